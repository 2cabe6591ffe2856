"""Export: a classifier on coefficients becomes a graph that runs without torch, with all that photos need beside it.

Names are loaded when first used; exporting needs torch and the extra ``export``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.export.exporter import Comparison, ExportResult, export_classifier
    from prepixel.export.graph_files import CannotExport
    from prepixel.export.quantization import QuantizationCheck, export_quantized

_PLACES = {
    "CannotExport": "prepixel.export.graph_files",
    "Comparison": "prepixel.export.exporter",
    "ExportResult": "prepixel.export.exporter",
    "QuantizationCheck": "prepixel.export.quantization",
    "export_classifier": "prepixel.export.exporter",
    "export_quantized": "prepixel.export.quantization",
}

__all__ = [
    "CannotExport",
    "Comparison",
    "ExportResult",
    "QuantizationCheck",
    "export_classifier",
    "export_quantized",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
