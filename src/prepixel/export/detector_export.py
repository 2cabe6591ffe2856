"""Export a detector whole, heads and selection of boxes included, for one photo at a time in a fixed frame.

By torch's older exporter, which traces: torchvision's detectors decide by the number of boxes, and the exporter that
stands on torch.export does not take that. A trace holds the frame's size as constants (anchors, clipping, the scales of
RoI Align), so that other grids would give wrong boxes; hence the graph states its grid, and the runtime keeps to it.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.export.classifier_graph import CannotExport, ExportDescription, random_values
from prepixel.export.exporter import TOLERANCE, Comparison, ExportResult, assemble, check_target, write_export
from prepixel.export.graph_files import OPSET, GraphFiles, exporting, quiet
from prepixel.jpeg.source import Limits, Source
from prepixel.models.detectors import Detector, Frames, SpectralBackbone
from prepixel.models.pyramid import FRAME_MULTIPLE
from prepixel.optional import require
from prepixel.runtime import GraphInput
from prepixel.runtime.detection_predictor import read_frame
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.inference import INPUT, open_graph
from prepixel.runtime.manifest import Graph
from prepixel.spectrum import PaddedSpectrum, Spectrum
from prepixel.spectrum.boxes import Filter

_OUTPUTS = ("boxes", "labels", "scores", "masks")
_NUM_IMAGES = 3
_KINDS = ("faster_rcnn", "mask_rcnn")  # dense detectors rank thousands of scores, of which equal ones come in any order


@dataclass(frozen=True)
class DetectorComparison:
    """Store how far a detector's graph is from its network.

    Attributes:
        num_images: that were compared.
        num_objects: found in them, by both the same number, with the same labels in the same order.
        box_difference: largest, in pixels of the frame.
        score_difference: largest, of scores and of masks.
    """

    num_images: int
    num_objects: int
    box_difference: float
    score_difference: float


class _DetectorGraph(nn.Module):
    """Compute boxes, labels, scores and perhaps masks of one frame from its values."""

    def __init__(self, detector: Detector, grid: tuple[int, int], shift: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.detector = detector
        self.grid = grid
        self.register_buffer("shift", shift)
        self.register_buffer("unit", unit)

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        """Find the objects of one image."""
        backbone = self.detector.backbone
        assert isinstance(backbone, SpectralBackbone)
        spectrum = Spectrum(values, backbone.input.bands, self.shift, self.unit)  # type: ignore[arg-type]
        height, width = (backbone.pixels_per_block * side for side in self.grid)  # numbers, where a trace has tensors
        size = [(height, width)]
        frames = Frames(PaddedSpectrum(spectrum, (self.grid,)), size, (1, 3, height, width), size)
        (found,) = self.detector.detector(frames)
        return tuple(found[name] for name in _OUTPUTS if name in found)


def export_detector(
    detector: Detector,
    folder: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    grid: tuple[int, int],
    name: str = "",
    trained: bool = True,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
    photos: Sequence[Source] = (),
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
) -> tuple[ExportResult, DetectorComparison]:
    """Export a detector on coefficients to ONNX, ready for `prepixel.runtime.DetectionPredictor`.

    Boxes, labels, scores and masks of the graph are compared with the network's; nothing is written where they differ.

    Args:
        detector: Faster or Mask R-CNN, on coefficients, without a gate.
        folder: as `export_classifier`.
        classes: names; the first is label 1.
        grid: blocks down and across of the frame. It is fixed: the graph takes no other.
        name: for tables; empty for one of the detector's parts.
        trained: False for random weights.
        filter: of the resize.
        photos: that graph and network are compared on; none for random images, in which a trained detector may find
            no object.
        opset: version of the ONNX operators.
        tolerance: the largest difference allowed: of scores and masks, and of boxes as a share of the frame's side.

    Raises:
        CannotExport: the exporter does not take the detector, or graph and network differ, or nothing was found to
            compare.
        ModelError: it is of another kind, takes pixels, has a gate, or the grid or the names do not fit it; as
            `export_classifier`.
        MissingDependency, OSError: as `export_classifier`.
    """
    require("export to ONNX", "onnx", "onnxruntime")
    target = Path(folder)
    check_target(target)
    described, graph = _describe(detector, classes, grid, name, trained=trained, resize=filter)
    contents = _traced(described, graph, opset)
    files = assemble(described, GraphFiles(Graph("onnx", "model.onnx", opset=opset), {"model.onnx": contents}), target)
    comparison, engine = _compare(graph, files, _values(described.input, graph, photos))
    worst = float(np.max([comparison.box_difference / max(files.manifest.frame), comparison.score_difference]))
    if not worst <= tolerance:
        raise CannotExport(
            f"{described.name}: not exported: the graph's boxes in {engine} differ from the network's by "
            f"{comparison.box_difference:.1e} pixels, scores by {comparison.score_difference:.1e}, and "
            f"{tolerance:.1e} is allowed; raise the tolerance, or compare on photos of yours"
        )
    if not comparison.num_objects:
        raise CannotExport(
            f"{described.name}: not exported: it finds no object in {comparison.num_images} images, so there is "
            "nothing to compare; give photos that show some"
        )
    checks = {"tolerance": tolerance, "num_objects": comparison.num_objects}
    return write_export(files, Comparison(worst, comparison.num_images, engine), checks), comparison


def _traced(described: ExportDescription, graph: _DetectorGraph, opset: int) -> bytes:
    """Export by the tracing exporter, which writes to a path."""
    example = torch.zeros(1, len(described.input.bands), *described.input.grid)
    outputs = list(_OUTPUTS if described.masks else _OUTPUTS[:3])
    with tempfile.TemporaryDirectory() as folder, exporting(described, "ONNX"), quiet(), torch.no_grad():
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            graph,
            (example,),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_axes={one: {0: "objects"} for one in outputs},
        )
        return path.read_bytes()


def _describe(
    detector: Detector, classes: Sequence[str], grid: tuple[int, int], name: str, *, trained: bool, resize: Filter
) -> tuple[ExportDescription, _DetectorGraph]:
    """Check what is to be exported, and describe it; values of 0 stand for the mean color."""
    backbone = detector.backbone
    name = name or detector.kind
    if detector.kind not in _KINDS:
        raise ModelError(f"{name}: {detector.kind} is not exported; {' and '.join(_KINDS)} are")
    if not isinstance(backbone, SpectralBackbone):
        raise ModelError(f"{name}: takes RGB pixels; fold it first: prepixel.models.fold_detector")
    if backbone.gate is not None:
        raise ModelError(f"{name}: has a gate, and what is exported has none; train on the channels that it chose")
    if len(classes) != detector.num_classes:
        raise ModelError(f"{name}: {len(classes)} class names, and it finds objects of {detector.num_classes}")
    multiple = FRAME_MULTIPLE // backbone.pixels_per_block
    if any(side < 1 or side % multiple for side in grid):
        raise ModelError(f"{name}: a grid of {grid[0]} x {grid[1]} blocks; both sides must be multiples of {multiple}")
    network = copy.deepcopy(detector).cpu().float().eval().requires_grad_(requires_grad=False)
    shift = backbone.input.shift.detach().cpu().float()
    unit = torch.ones_like(shift)
    bands = backbone.input.bands
    given = GraphInput(bands, grid, "float32", tuple(shift.tolist()), tuple(unit.tolist()), 1.0, resize)
    described = ExportDescription(
        *(name, trained, given, "detections", tuple(classes), "detection"),
        *(backbone.pixels_per_block, detector.has_masks),
    )
    return described, _DetectorGraph(network, grid, shift, unit).eval()


def _values(given: GraphInput, graph: _DetectorGraph, photos: Sequence[Source]) -> list[Tensor]:
    """Return the frames that graph and network are compared on."""
    if not photos:
        normalization: Any = graph.detector.backbone.input
        return [random_values(given, normalization, 1, seed=seed) for seed in range(_NUM_IMAGES)]
    return [torch.from_numpy(read_frame(given, photo, Limits())) for photo in photos]


def _compare(graph: _DetectorGraph, files: ExportedFiles, values: Sequence[Tensor]) -> tuple[DetectorComparison, str]:
    """Compare a graph with its detector; NaN in either gives NaN."""
    runner = open_graph(files, "onnxruntime")
    objects, boxes, scores = 0, [0.0], [0.0]
    for one in values:
        with torch.no_grad():
            expected: list[npt.NDArray[Any]] = [part.numpy() for part in graph(one)]
        got = runner.all_outputs(one.numpy())
        if [part.shape for part in got] != [part.shape for part in expected] or not np.array_equal(got[1], expected[1]):
            boxes, scores = [float("inf")], [float("inf")]
            break
        objects += len(got[1])
        if len(got[1]):
            boxes.append(float(np.abs(got[0] - expected[0]).max()))
            scores += [float(np.abs(a - b).max()) for a, b in zip(got[2:], expected[2:], strict=True)]
    # NaN stays, unlike with Python's max
    return DetectorComparison(len(values), objects, float(np.max(boxes)), float(np.max(scores))), runner.name
