"""Exported networks at work, without torch: NumPy, the compiled core, and ONNX Runtime or OpenVINO."""

from prepixel.runtime.manifest import Graph, GraphInput, Manifest
from prepixel.runtime.prediction import Prediction, Predictions
from prepixel.runtime.predictor import Predictor, is_exported

__all__ = [
    "Graph",
    "GraphInput",
    "Manifest",
    "Prediction",
    "Predictions",
    "Predictor",
    "is_exported",
]
