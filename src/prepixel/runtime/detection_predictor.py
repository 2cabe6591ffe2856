"""Find objects in photos with an exported detector, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Bool, Float32
from prepixel.errors import PrepixelError, ReadFailure
from prepixel.jpeg.batch import OnError, check_choice
from prepixel.jpeg.source import Limits, Source, check_sources, source_name
from prepixel.runtime.manifest import GraphInput, Task
from prepixel.runtime.opened_network import OpenedNetwork
from prepixel.spectrum.arrays import read_arrays
from prepixel.spectrum.opened_images import OpenImages, open_images


@dataclass(frozen=True)
class DetectedObjects:
    """Store the objects found in one photo, best first.

    Attributes:
        source: the photo's path, or "buffer of N bytes".
        size: height and width of the photo in pixels, upright.
        boxes: left, top, right and bottom of each object, in pixels of the photo.
        labels: names of their classes.
        scores: 0..1.
        masks: a probability for each of 28 x 28 places of the box; None for detectors without masks.
    """

    source: str
    size: tuple[int, int]
    boxes: Float32[np.ndarray, "objects 4"]
    labels: tuple[str, ...]
    scores: Float32[np.ndarray, " objects"]
    masks: Float32[np.ndarray, "objects 28 28"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def mask(self, place: int, *, threshold: float = 0.5) -> Bool[np.ndarray, "h w"]:
        """Lay one object's mask out over the photo: bilinear between the centers of its 28 x 28 places.

        Raises:
            ValueError: the detector gives no masks.
        """
        if self.masks is None:
            raise ValueError("the detector gives no masks; export a mask_rcnn")
        laid = np.zeros(self.size, dtype=bool)
        left, top, right, bottom = self.boxes[place].tolist()
        low_row, high_row = max(0, int(np.floor(top))), min(self.size[0], int(np.ceil(bottom)))
        low_column, high_column = max(0, int(np.floor(left))), min(self.size[1], int(np.ceil(right)))
        rows = _spread(np.arange(low_row, high_row), top, bottom, self.masks.shape[1])
        columns = _spread(np.arange(low_column, high_column), left, right, self.masks.shape[2])
        laid[low_row:high_row, low_column:high_column] = rows @ self.masks[place] @ columns.T >= threshold
        return laid


@dataclass(frozen=True)
class DetectionPredictor(OpenedNetwork):
    """Find objects in photos with an exported detector. Several threads may use one at once.

    A photo is shown whole, as large as it fits, in the top left of the graph's frame; beyond it is the mean color.

    Attributes:
        manifest: of the network.
        classes: names; the first is label 1.
        graph: the opened graph.
        threads: that read photos; 0 for one per CPU.
        limits: what each file may ask for.
    """

    task: ClassVar[Task] = "detection"

    def predict(
        self, sources: Sequence[Source], *, min_score: float = 0.5, on_error: OnError = "raise"
    ) -> Iterator[DetectedObjects | ReadFailure]:
        """Find objects in photos, one after the other; under "skip" an unreadable one yields its failure.

        Args:
            sources: paths, files' bytes, or open binary files.
            min_score: objects of a lower score are left out, 0..1.
            on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: its failure.

        Raises:
            PrepixelError, OSError: a source cannot be read; not under ``"skip"``.
            TypeError: ``sources`` is one source.
        """
        listed = check_sources(sources)
        check_choice("on_error", on_error, ("raise", "skip"))
        return self._each(listed, min_score, on_error)

    def _each(
        self, sources: Sequence[Source], min_score: float, on_error: OnError
    ) -> Iterator[DetectedObjects | ReadFailure]:
        for place, source in enumerate(sources):
            try:
                images = open_images([source], threads=self.threads, limits=self.limits, indexes=None)
                values = _read_opened(self.manifest.input, images, self.threads)
            except (PrepixelError, OSError) as error:
                if on_error == "raise":
                    raise
                yield ReadFailure(place, source_name(source), error)
                continue
            size = (int(images.sizes[0, 0]), int(images.sizes[0, 1]))
            yield self._found(source_name(source), size, self.graph.all_outputs(values), min_score)

    def _found(
        self, source: str, size: tuple[int, int], outputs: Sequence[npt.NDArray[Any]], min_score: float
    ) -> DetectedObjects:
        boxes, labels, scores = outputs[:3]
        block = self.manifest.pixels_per_block
        down, across = own_grid(self.manifest.input, size)
        stretch = np.array([size[1] / (block * across), size[0] / (block * down)] * 2, np.float32)
        placed = np.clip(boxes * stretch, 0, np.array([size[1], size[0]] * 2, np.float32)).astype(np.float32)
        kept = (scores >= min_score) & (labels >= 1) & (placed[:, 2] > placed[:, 0]) & (placed[:, 3] > placed[:, 1])
        names = tuple(self.classes[label - 1] for label in labels[kept].tolist())
        masks = outputs[3][kept] if self.manifest.masks else None
        return DetectedObjects(source, size, placed[kept], names, scores[kept], masks)


def own_grid(given: GraphInput, size: tuple[int, int]) -> tuple[int, int]:
    """Return the blocks down and across of the frame that a photo of (height, width) fills."""
    scale = min(given.grid[0] / size[0], given.grid[1] / size[1])
    down, across = (min(most, max(1, round(side * scale))) for most, side in zip(given.grid, size, strict=True))
    return down, across


def read_frame(given: GraphInput, source: Source, limits: Limits) -> npt.NDArray[Any]:
    """Read one photo into the top left of a frame, where 0 stands for the mean color.

    Raises:
        PrepixelError, OSError: it cannot be read.
    """
    return _read_opened(given, open_images([source], threads=1, limits=limits, indexes=None), 1)


def _read_opened(given: GraphInput, images: OpenImages, threads: int) -> npt.NDArray[Any]:
    height, width = images.sizes[0].tolist()
    down, across = own_grid(given, (height, width))
    arrays = read_arrays(
        images,
        grid=(down, across),
        bands=given.bands,
        filter=given.filter,
        dtype=given.dtype,
        shift=np.array(given.shift, np.float32),
        unit=np.array(given.unit, np.float32),
        threads=threads,
    )
    frame = np.zeros((1, len(given.bands), *given.grid), arrays.values.dtype)
    frame[:, :, :down, :across] = arrays.values
    return frame


def _spread(pixels: npt.NDArray[np.int64], low: float, high: float, count: int) -> npt.NDArray[np.float32]:
    """Return how much each of a mask's places counts at pixels of the photo, along one axis."""
    at = (pixels + 0.5 - low) / max(high - low, 1e-6) * count - 0.5
    weights: npt.NDArray[np.float32] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))).astype(np.float32)
    return weights
