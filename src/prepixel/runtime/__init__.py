"""Exported networks at work, without torch: NumPy, the compiled core, and ONNX Runtime or OpenVINO."""

from prepixel.runtime.detection_predictor import DetectedObjects, DetectionPredictor
from prepixel.runtime.manifest import Graph, GraphInput, Manifest
from prepixel.runtime.prediction import Prediction, Predictions
from prepixel.runtime.predictor import Predictor, is_exported
from prepixel.runtime.segmentation_predictor import SegmentationPredictor, Segmentations

__all__ = [
    "DetectedObjects",
    "DetectionPredictor",
    "Graph",
    "GraphInput",
    "Manifest",
    "Prediction",
    "Predictions",
    "Predictor",
    "SegmentationPredictor",
    "Segmentations",
    "is_exported",
]
