"""Label every pixel of photos with an exported network, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Int64
from prepixel.errors import ReadFailure
from prepixel.jpeg.batch import OnError, check_choice
from prepixel.jpeg.source import Source, check_sources
from prepixel.runtime.manifest import Task
from prepixel.runtime.opened_network import OpenedNetwork
from prepixel.spectrum.arrays import read_arrays
from prepixel.spectrum.boxes import Padding
from prepixel.spectrum.opened_images import ReadReport, open_images

# ImageNet's mean color: what segmenters see beyond a photo.
_BEYOND = Padding((123.675, 116.28, 103.53))
_ROWS = 64
_Labels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Segmentations:
    """Store label maps of several photos.

    Attributes:
        maps: for each photo the class index of every pixel, at the photo's own size, upright; bytes where there are at
            most 256 classes.
        classes: names, in label order.
        kept: for each map the place of its source.
        failures: the sources that are left out; none under ``on_error="raise"``.
        scores: for each map the probabilities of its labels, 0..1; None where they were not asked for.
    """

    maps: tuple[npt.NDArray[np.uint8] | npt.NDArray[np.uint16], ...]
    classes: tuple[str, ...]
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    scores: tuple[npt.NDArray[np.float32], ...] | None = None

    def __len__(self) -> int:
        return len(self.maps)

    def __repr__(self) -> str:
        return f"Segmentations({len(self)} photos, {len(self.classes)} classes, {len(self.failures)} left out)"

    def shares(self) -> tuple[dict[str, float], ...]:
        """Return for each photo the share of its pixels that each class has; classes without a pixel are left out."""
        counts = [np.bincount(one.ravel(), minlength=len(self.classes)) / one.size for one in self.maps]
        return tuple(
            {name: float(share) for name, share in zip(self.classes, one, strict=True) if share} for one in counts
        )


@dataclass(frozen=True)
class SegmentationPredictor(OpenedNetwork):
    """Label every pixel of photos with an exported segmenter. Several threads may use one at once.

    A photo is shown whole, as large as it fits, in the middle of a frame of the graph's proportions, and the mean color
    beyond it. Its labels are those of the highest probability, bilinear between the frame's pixels.

    Attributes:
        manifest: of the network.
        classes: names, in label order.
        graph: the opened graph.
        threads: that read photos; 0 for one per CPU.
        limits: what each file may ask for.
    """

    task: ClassVar[Task] = "segmentation"

    def predict(
        self,
        sources: Sequence[Source],
        *,
        batch_size: int = 8,
        on_error: OnError = "raise",
        with_scores: bool = False,
    ) -> Segmentations:
        """Label photos.

        Args:
            sources: paths, files' bytes, or open binary files.
            batch_size: photos that are read, and pass the network, together.
            on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources
                out, and list them.
            with_scores: whether to keep the probability of each pixel's label, of 4 bytes.

        Raises:
            PrepixelError, OSError: a source cannot be read; not under ``"skip"``.
            TypeError: ``sources`` is one source.
            ValueError: a batch size below 1.
        """
        sources = check_sources(sources)
        check_choice("on_error", on_error, ("raise", "skip"))
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give 1 or more")
        maps, scores = list[_Labels](), list[npt.NDArray[np.float32]]()
        kept, failures = list[int](), list[ReadFailure]()
        for start in range(0, len(sources), batch_size):
            values, report, shown = self._read(sources[start : start + batch_size], on_error)
            kept += (report.kept + start).tolist()
            failures += [replace(one, index=one.index + start) for one in report.failures]
            for (size, box), one in zip(shown, self.graph(values) if len(values) else (), strict=True):
                best = np.empty(size, np.float32) if with_scores else None
                maps.append(_labels_in_photo(_softmax(one), size, box, best))
                scores += [] if best is None else [best]
        places = np.array(kept, dtype=np.int64)
        return Segmentations(tuple(maps), self.classes, places, tuple(failures), tuple(scores) if with_scores else None)

    def _read(
        self, sources: Sequence[Source], on_error: OnError
    ) -> tuple[npt.NDArray[Any], ReadReport, list[tuple[tuple[int, int], tuple[float, ...]]]]:
        """Read photos into frames; return their values, which photos they are, and each one's size and box."""
        given = self.manifest.input
        images = open_images(sources, threads=self.threads, limits=self.limits, on_error=on_error, indexes=None)
        aspect, sizes = given.grid[1] / given.grid[0], [(height, width) for height, width in images.sizes.tolist()]
        boxes = [_whole_box(height, width, aspect) for height, width in sizes]
        arrays = read_arrays(
            images,
            grid=given.grid,
            bands=given.bands,
            boxes=np.array(boxes, np.float64).reshape(len(images), 4),
            padding=_BEYOND,
            filter=given.filter,
            dtype=given.dtype,
            shift=np.array(given.shift, np.float32),
            unit=np.array(given.unit, np.float32),
            threads=self.threads,
            on_error=on_error,
        )
        shown = dict(zip(images.kept.tolist(), zip(sizes, boxes, strict=True), strict=True))
        return arrays.values, arrays.report, [shown[place] for place in arrays.report.kept.tolist()]


def _whole_box(height: int, width: int, aspect: float) -> tuple[float, float, float, float]:
    """Return the smallest box of some proportions around a photo, in whole pixels: top, left, height, width."""
    down, across = max(height, round(width / aspect)), max(width, round(height * aspect))
    return float(-((down - height) // 2)), float(-((across - width) // 2)), float(down), float(across)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(0))
    scores: npt.NDArray[np.float32] = powers / powers.sum(0)
    return scores


def _labels_in_photo(
    scores: npt.NDArray[np.float32],
    size: Sequence[int],
    box: Sequence[float],
    best: npt.NDArray[np.float32] | None = None,
) -> _Labels:
    """Return the labels of a photo's pixels, by the frame's scores (k, y, x) bilinearly at their centers.

    Args:
        scores: of the frame's pixels.
        size: of the photo.
        box: that the frame shows: top, left, height, width.
        best: gets the scores of the labels; None for none.
    """
    rows, columns = (
        _between(count, start, length, side)
        for count, start, length, side in zip(size, box[:2], box[2:], scores.shape[1:], strict=True)
    )
    labels = np.empty((size[0], size[1]), np.uint8 if len(scores) <= 256 else np.uint16)
    for begin in range(0, size[0], _ROWS):  # the scores of a whole photo would take its pixels times its classes
        part = slice(begin, begin + _ROWS)
        low, high, share = (one[part, None] for one in rows)
        lines = scores[:, low[:, 0]] * (1 - share) + scores[:, high[:, 0]] * share
        low, high, share = columns
        found = lines[:, :, low] * (1 - share) + lines[:, :, high] * share
        labels[part] = found.argmax(0)
        if best is not None:
            best[part] = found.max(0)
    return labels


def _between(
    count: int, start: float, length: float, side: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the two places of a frame that each pixel of a photo lies between, and the share of the second."""
    at = ((np.arange(count) + 0.5 - start) / length * side - 0.5).clip(0, side - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, side - 1), (at - low).astype(np.float32)
