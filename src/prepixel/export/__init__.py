"""Export: a network on coefficients becomes a graph that runs without torch, with all that photos need beside it.

Names are loaded when first used; exporting needs torch and the extra ``export``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.export.classifier_graph import CannotExport
    from prepixel.export.detector_export import DetectorComparison, export_detector
    from prepixel.export.exporter import Comparison, ExportResult, export_classifier
    from prepixel.export.hub_classifier import HubClassifier
    from prepixel.export.quantization import QuantizationCheck, export_quantized
    from prepixel.export.segmenter_export import export_segmenter

_PLACES = {
    "CannotExport": "prepixel.export.classifier_graph",
    "Comparison": "prepixel.export.exporter",
    "DetectorComparison": "prepixel.export.detector_export",
    "ExportResult": "prepixel.export.exporter",
    "HubClassifier": "prepixel.export.hub_classifier",
    "QuantizationCheck": "prepixel.export.quantization",
    "export_classifier": "prepixel.export.exporter",
    "export_detector": "prepixel.export.detector_export",
    "export_quantized": "prepixel.export.quantization",
    "export_segmenter": "prepixel.export.segmenter_export",
}

__all__ = [
    "CannotExport",
    "Comparison",
    "DetectorComparison",
    "ExportResult",
    "HubClassifier",
    "QuantizationCheck",
    "export_classifier",
    "export_detector",
    "export_quantized",
    "export_segmenter",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
