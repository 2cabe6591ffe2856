"""Export a segmenter: stored values to a logit per class and pixel of a frame, for batches of any size."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.export.classifier_graph import ClassifierGraph, Exportable
from prepixel.export.exporter import TOLERANCE, ExportResult, export_graph
from prepixel.export.graph_files import OPSET
from prepixel.models.input_norm import SpectrumInput
from prepixel.models.segmenters import Segmenter
from prepixel.runtime import GraphInput
from prepixel.runtime.manifest import GraphFormat
from prepixel.spectrum import Spectrum
from prepixel.spectrum.arrays import check_grid
from prepixel.spectrum.boxes import Filter


class _LabelLogits(nn.Module):
    """Compute a segmenter's main logits alone."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    @property
    def input(self) -> Any:
        """Return the segmenter's normalization."""
        return self.segmenter.input

    def forward(self, spectrum: Spectrum) -> Float[Tensor, "n k y x"]:
        """Compute the logits."""
        return self.segmenter(spectrum)["out"]  # type: ignore[no-any-return]


def export_segmenter(
    segmenter: Segmenter,
    folder: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    grid: tuple[int, int],
    trained: bool = True,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
    format: GraphFormat = "onnx",  # noqa: A002  (the word of the command)
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
) -> ExportResult:
    """Export a segmenter on coefficients, ready for `prepixel.runtime.SegmentationPredictor`.

    The graph's logits are compared with the segmenter's on random images; nothing is written where they differ. Its
    frame has ``pixels_per_block`` times the grid's blocks.

    Args:
        segmenter: folded, or without its stem.
        folder: as `export_classifier`.
        classes: names, in label order, the background included.
        grid: blocks down and across that photos are read on.
        trained: False for random weights.
        filter: of the resize.
        format: of the graph.
        opset: version of the ONNX operators.
        tolerance: the largest difference allowed, as a share of the largest logit.

    Raises:
        CannotExport: as `export_classifier`.
        ModelError: as `export_classifier`, or not as many names as the segmenter has classes.
        TypeError, ValueError: the grid is no pair of numbers, empty or too large.
        MissingDependency, OSError: as `export_classifier`.
    """
    exportable = exportable_segmenter(segmenter, classes=classes, grid=grid, trained=trained, filter=filter)
    return export_graph(exportable, folder, format, opset=opset, tolerance=tolerance)


def exportable_segmenter(
    segmenter: Segmenter,
    *,
    classes: Sequence[str],
    grid: tuple[int, int],
    trained: bool = True,
    filter: Filter = "bilinear",  # noqa: A002
) -> Exportable:
    """Prepare a segmenter for export; arguments and errors are those of `export_segmenter`."""
    normalization = segmenter.input
    if not isinstance(normalization, SpectrumInput):
        raise ModelError(
            f"{segmenter.kind} on {segmenter.trunk}: takes RGB pixels, and what is exported takes coefficients; fold "
            "it first: prepixel.models.fold_segmenter"
        )
    check_grid(grid)
    bands, count = normalization.bands, len(normalization.bands)
    network = copy.deepcopy(segmenter).cpu().float().eval().requires_grad_(requires_grad=False)
    shift, unit = torch.zeros(count), torch.ones(count)
    described = GraphInput(bands, grid, "float32", (0.0,) * count, (1.0,) * count, 1.0, filter)
    graph = ClassifierGraph(_LabelLogits(network), bands, shift, unit, "logits").eval()
    name = f"{segmenter.kind} on {segmenter.trunk}, {bands}"
    exportable = Exportable(
        *(name, trained, described, "logits", tuple(classes), "segmentation", segmenter.pixels_per_block), graph=graph
    )
    with torch.inference_mode():
        found = exportable.logits(exportable.random_values(1)).shape[1]
    if found != len(classes):
        raise ModelError(f"{name}: {len(classes)} class names, and it gives {found} logits for each pixel")
    return exportable
