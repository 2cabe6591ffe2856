"""Classify photos with an exported network, from the bytes of a file to the names of classes, without torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Float32
from prepixel.errors import ModelError, ReadFailure
from prepixel.jpeg.batch import OnError, check_choice
from prepixel.jpeg.source import Limits, Source, check_sources, source_name
from prepixel.runtime.inference import Engine
from prepixel.runtime.manifest import MANIFEST, GraphInput, Manifest, Task
from prepixel.runtime.opened_network import OpenedNetwork
from prepixel.runtime.prediction import Prediction, Predictions
from prepixel.spectrum.arrays import check_grid, read_arrays
from prepixel.spectrum.opened_images import ReadReport, open_images
from prepixel.transforms.crop_draws import center_box


@dataclass(frozen=True)
class Predictor(OpenedNetwork):
    """Classify photos with an exported network. Several threads may use one at once.

    Attributes:
        manifest: of the network.
        classes: names, in label order.
        graph: the opened graph.
        threads: that read photos; 0 for one per CPU.
        limits: what each file may ask for.
    """

    task: ClassVar[Task] = "classification"

    def __repr__(self) -> str:
        given = self.manifest.input
        takes = f"{given.bands} on {given.grid[0]} x {given.grid[1]} blocks"
        return f"Predictor({self.manifest.name!r}, {len(self.classes)} classes, {takes}, by {self.graph.name})"

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        engine: Engine = "onnxruntime",
        threads: int = 0,
        limits: Limits = Limits(),
        grid: tuple[int, int] | None = None,
    ) -> Predictor:
        """Open an exported network.

        Args:
            folder: written by ``prepixel export``.
            engine: ``onnxruntime`` or ``openvino``.
            threads: that read photos, and that the engine computes on; 0 for one per CPU.
            limits: what each file may ask for.
            grid: blocks down and across that photos are read on; None for that of the export. Another one is for
                graphs that are exported for any.

        Raises:
            ModelError: a file of the folder is missing, altered, of a newer version, or does not load, the network is
                no classifier, or its graph takes no other grid.
            MissingDependency: the engine is not installed.
            ValueError: a negative number of threads.
        """
        opened = super().load(folder, engine=engine, threads=threads, limits=limits)
        return opened if grid is None else replace(opened, manifest=_with_grid(opened.manifest, grid, Path(folder)))

    def predict(self, sources: Sequence[Source], *, batch_size: int = 32, on_error: OnError = "raise") -> Predictions:
        """Classify photos.

        Args:
            sources: paths, files' bytes, or open binary files.
            batch_size: photos that pass the network together.
            on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources
                out, and list them.

        Raises:
            PrepixelError, OSError: a source cannot be read; not under ``"skip"``.
            TypeError: ``sources`` is one source.
            ValueError: a batch size below 1.
        """
        sources = check_sources(sources)
        check_choice("on_error", on_error, ("raise", "skip"))
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give 1 or more")
        parts, kept, failures = list[npt.NDArray[np.float32]](), list[int](), list[ReadFailure]()
        for start in range(0, len(sources), batch_size):
            values, report = self.read(sources[start : start + batch_size], on_error=on_error)
            kept += (report.kept + start).tolist()
            failures += [replace(one, index=one.index + start) for one in report.failures]
            if len(values):
                parts.append(self.run(values))
        every = np.concatenate(parts) if parts else np.empty((0, len(self.classes)), np.float32)
        return Predictions(every, self.classes, np.array(kept, dtype=np.int64), tuple(failures))

    def predict_each(
        self, sources: Sequence[Source], *, top: int = 5, batch_size: int = 32
    ) -> Iterator[Prediction | ReadFailure]:
        """Classify photos, in order; a file that cannot be read yields its failure instead.

        Args:
            sources: as `predict`; no more of them are open or in memory than a batch.
            top: how many classes to name.
            batch_size: photos that pass the network together.
        """
        for start in range(0, len(sources), batch_size):
            part = list(sources[start : start + batch_size])
            found = self.predict(part, batch_size=batch_size, on_error="skip")
            outcomes: dict[int, Prediction | ReadFailure] = {one.index: one for one in found.failures}
            for place, pairs in zip(found.kept.tolist(), found.top(top), strict=True):
                names, probabilities = zip(*pairs, strict=True)
                outcomes[place] = Prediction(source_name(part[place]), names, probabilities)
            for place in range(len(part)):
                yield outcomes[place]

    def read(
        self, sources: Sequence[Source], *, on_error: OnError = "raise", threads: int | None = None
    ) -> tuple[npt.NDArray[Any], ReadReport]:
        """Read photos as the graph's input.

        Args:
            sources: as `predict`.
            on_error: as `predict`.
            threads: to read on; None for the predictor's own number.

        Returns:
            The values of the photos that could be read, and which these are.
        """
        count = self.threads if threads is None else threads
        return read_input(self.manifest.input, sources, threads=count, limits=self.limits, on_error=on_error)

    def run(self, values: npt.NDArray[Any]) -> Float32[np.ndarray, "n k"]:
        """Compute the probabilities of all classes for values that `read` returned."""
        output = self.graph(values)
        return output if self.manifest.output == "probabilities" else softmax(output)


def _with_grid(manifest: Manifest, grid: tuple[int, int], folder: Path) -> Manifest:
    given = manifest.input
    if not given.dynamic_grid and grid != given.grid:
        raise ModelError(
            f"{folder}: its graph takes {given.grid[0]} x {given.grid[1]} blocks, not {grid[0]} x {grid[1]}; export "
            "the network again: prepixel export --dynamic-grid"
        )
    check_grid(grid)
    return replace(manifest, input=replace(given, grid=grid))


def read_input(
    described: GraphInput, sources: Sequence[Source], *, threads: int, limits: Limits, on_error: OnError
) -> tuple[npt.NDArray[Any], ReadReport]:
    """Read photos as a graph's input: the centered crop, resized to the grid.

    Raises:
        PrepixelError, OSError: a source cannot be read; not under ``on_error="skip"``.
    """
    # A stranger's file is seen as other programs see it, whatever index it holds.
    images = open_images(sources, threads=threads, limits=limits, on_error=on_error, indexes=None)
    aspect = described.grid[1] / described.grid[0]
    boxes = [
        (box.top, box.left, box.height, box.width)
        for height, width in images.sizes.tolist()
        for box in [center_box(height, width, described.crop_fraction, aspect=aspect)]
    ]
    arrays = read_arrays(
        images,
        grid=described.grid,
        bands=described.bands,
        boxes=np.array(boxes, dtype=np.float64).reshape(len(boxes), 4),
        filter=described.filter,
        dtype=described.dtype,
        shift=np.array(described.shift, np.float32),
        unit=np.array(described.unit, np.float32),
        threads=threads,
        on_error=on_error,
    )
    return arrays.values, arrays.report


def softmax(logits: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n k"]:
    """Turn logits into probabilities, row by row.

    >>> softmax(np.zeros((1, 4), np.float32)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Float32[np.ndarray, "n k"] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def is_exported(folder: Path) -> bool:
    """Return whether a folder holds an exported network."""
    return (folder / MANIFEST).is_file()
