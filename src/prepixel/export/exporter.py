"""Export a classifier to a folder: graph, labels, manifest; compared with the network before anything is written."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from prepixel.array_types import Float
from prepixel.errors import ModelError
from prepixel.export.classifier_graph import CannotExport, Exportable, ExportDescription
from prepixel.export.graph_files import OPSET, GraphFiles, build_graph
from prepixel.files import json_bytes, make_folder, replace_file, replace_path, sync_folder, temporary_name
from prepixel.optional import installed
from prepixel.runs import Classifier
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.inference import open_graph
from prepixel.runtime.manifest import LABELS, MANIFEST, Encoding, FileSum, GraphFormat, Manifest, Output

TOLERANCE = 1e-4
_BATCHES = (1, 3)  # images of the two batches that a graph is compared on
_LIBRARIES = ("prepixel", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")
# Logarithms of probabilities below this one are not compared: float32 has nothing smaller.
_LOWEST_LOG = -80.0


@dataclass(frozen=True)
class Comparison:
    """Store how far a graph is from its network.

    Attributes:
        difference: the largest difference of two logits, as a share of the largest logit.
        num_images: random images that were compared.
        engine: that ran the graph, with its version.
    """

    difference: float
    num_images: int
    engine: str


@dataclass(frozen=True)
class ExportResult:
    """Store what was exported.

    Attributes:
        folder: where it is.
        manifest: of it.
        comparison: with the network.
    """

    folder: Path
    manifest: Manifest
    comparison: Comparison

    @property
    def size_bytes(self) -> int:
        """Return the size of the graph's files and the labels."""
        return sum(one.size_bytes for one in self.manifest.files.values())


def export_classifier(
    classifier: Classifier,
    folder: str | os.PathLike[str],
    *,
    format: GraphFormat = "onnx",  # noqa: A002  (the word of the command)
    encoding: Encoding | None = None,
    output: Output = "logits",
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
    dynamic_grid: bool = False,
) -> ExportResult:
    """Export a classifier, ready for `prepixel.runtime.Predictor`.

    The graph is run on random images, and its logits are compared with the network's; nothing is written where they
    differ.

    Args:
        classifier: a run or a folded network, on coefficients.
        folder: to write; it must not exist, be empty, or hold an exported network, which is replaced.
        format: of the graph.
        encoding: of the values that the graph takes; None for the classifier's own.
        output: what the graph gives.
        opset: version of the ONNX operators.
        tolerance: the largest difference allowed, as a share of the largest logit.
        dynamic_grid: let the graph take other grids, too; it is compared with the network on two others.

    Raises:
        CannotExport: the exporter does not take the network, the graph differs from it, or the classifier gives labels
            or values instead of one of its classes.
        ModelError: the classifier takes pixels, or the folder holds something else.
        MissingDependency: a package that exports or runs the format is not installed.
        OSError: the folder cannot be written.
    """
    exportable = Exportable.of(classifier, encoding=encoding, output=output, dynamic_grid=dynamic_grid)
    return export_graph(exportable, folder, format, opset=opset, tolerance=tolerance)


def export_graph(
    exportable: Exportable,
    folder: str | os.PathLike[str],
    kind: GraphFormat,
    *,
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
) -> ExportResult:
    """Export what gives logits, as `export_classifier` does.

    Raises:
        CannotExport, ModelError, MissingDependency, OSError: as `export_classifier`.
    """
    target = Path(folder)
    check_target(target)
    graph = build_graph(exportable, kind, opset=opset)
    files = assemble(exportable, graph, target)
    comparison = compare(exportable, files)
    check_difference(exportable, comparison, tolerance)
    return write_export(files, comparison, {"tolerance": tolerance})


def assemble(described: ExportDescription, graph: GraphFiles, folder: Path) -> ExportedFiles:
    """Put a graph, its labels and its manifest together, in memory."""
    contents = {**graph.contents, LABELS: json_bytes(list(described.classes), indent=1) + b"\n"}
    manifest = Manifest(
        described.name,
        described.trained,
        graph.graph,
        described.input,
        described.output,
        len(described.classes),
        {name: FileSum.of(one) for name, one in contents.items()},
        {name: importlib.metadata.version(name) for name in _LIBRARIES if installed(name)},
        task=described.task,
        pixels_per_block=described.pixels_per_block,
        masks=described.masks,
    )
    return ExportedFiles(folder, manifest, contents, described.classes)


def compare(exportable: Exportable, files: ExportedFiles) -> Comparison:
    """Compare a graph with its network on random images, in batches of different sizes; NaN in either gives NaN."""
    name, run = graph_runner(files)
    differences, sizes = list[float](), list[float]()
    cases = [(count, grid) for grid in exportable.grids for count in _BATCHES]
    for count, grid in cases:
        values = exportable.random_values(count, seed=count, grid=grid)
        try:
            expected = exportable.logits(values).double().numpy()
            got = run(values.numpy()).astype(np.float64)
        except Exception as error:
            if grid == exportable.input.grid:
                raise
            raise CannotExport(
                f"{exportable.name}: not exported: it does not take {grid[0]} x {grid[1]} blocks beside "
                f"{exportable.input.grid[0]} x {exportable.input.grid[1]} ({type(error).__name__}); leave out "
                "--dynamic-grid"
            ) from error
        if got.shape != expected.shape:
            raise CannotExport(
                f"{exportable.name}: the graph gives {got.shape} for {count} images, not {expected.shape}"
            )
        sizes.append(float(np.abs(expected).max()))
        differences.append(logit_difference(got, expected, exportable.output))
    difference = np.max(differences) / np.maximum(np.max(sizes), 1e-30)  # NaN stays, unlike with Python's max
    return Comparison(float(difference), sum(count for count, _ in cases), name)


def logit_difference(
    got: Float[np.ndarray, "n k *frame"], expected: Float[np.ndarray, "n k *frame"], output: Output
) -> float:
    """Return the largest difference between a graph's output and a network's logits, in logits; NaN if one is NaN."""
    if output == "probabilities":
        highest = expected.max(1, keepdims=True)
        logarithms = expected - highest - np.log(np.exp(expected - highest).sum(1, keepdims=True))
        expected = np.maximum(logarithms, _LOWEST_LOG)
        with np.errstate(divide="ignore"):
            got = np.maximum(np.log(got), _LOWEST_LOG)
    return float(np.abs(got - expected).max())


def graph_runner(files: ExportedFiles) -> tuple[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]:
    """Return what runs a graph of any format here, and its name and version."""
    graph = files.manifest.graph
    if graph.format != "torch":
        runner = open_graph(files, "openvino" if graph.format == "openvino" else "onnxruntime")
        return runner.name, runner
    program = torch.export.load(io.BytesIO(files.contents[graph.file])).module()

    def run(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            result: npt.NDArray[Any] = program(torch.from_numpy(values)).numpy()
        return result

    return f"torch {torch.__version__.partition('+')[0]}", run


def check_difference(exportable: Exportable, comparison: Comparison, tolerance: float) -> None:
    """Raise CannotExport for a graph that computes something else than its network."""
    if not comparison.difference <= tolerance:  # NaN is not
        raise CannotExport(
            f"{exportable.name}: not exported: the graph's logits in {comparison.engine} differ from the network's by "
            f"{comparison.difference:.1e} of the largest, and {tolerance:.1e} is allowed; try another --format or "
            "--opset, or raise --tolerance"
        )


def write_export(
    files: ExportedFiles, comparison: Comparison, more_checks: Mapping[str, float | int | str]
) -> ExportResult:
    """Write an exported network to its folder, whole or not at all."""
    checks: dict[str, float | int | str] = {
        "largest_difference": comparison.difference,
        "num_images": comparison.num_images,
        "engine": comparison.engine,
        **more_checks,
    }
    manifest = dataclasses.replace(files.manifest, checks=checks)
    with replaced_folder(files.folder) as place:
        for name, contents in files.contents.items():
            replace_file(place / name, contents)
        replace_file(place / MANIFEST, json_bytes(manifest.to_values(), indent=1) + b"\n")
        ExportedFiles.read(place)
    return ExportResult(files.folder, manifest, comparison)


def check_target(target: Path) -> None:
    """Check that a folder may be written or replaced.

    Raises:
        ModelError: it is a file, or holds something else than an exported network.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise ModelError(f"{target}: is no folder; name a folder to write")
    names = {path.name for path in target.iterdir()}
    if names and MANIFEST not in names:
        raise ModelError(f"{target}: holds files, and no exported network that could be replaced; name another folder")
    if names:
        strange = names - {MANIFEST, *Manifest.read(target).files}
        if strange:
            raise ModelError(
                f"{target}: holds {min(strange)}, which is no part of the exported network; remove it first"
            )


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside the target, which takes the target's place when the block ends without an error."""
    target = target.resolve()
    make_folder(target.parent)
    place = temporary_name(target)
    place.mkdir()
    try:
        yield place
        sync_folder(place)
        replace_path(place, target)
    finally:
        shutil.rmtree(place, ignore_errors=True)
