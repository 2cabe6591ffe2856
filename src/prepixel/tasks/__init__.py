"""What a network is trained for, and how it is scored."""

from prepixel.optional import extras_for

with extras_for(__name__):
    from prepixel.tasks.average_precision import GroundTruth, score_detections, write_detections
    from prepixel.tasks.classification_task import Classification, ClassificationMetrics, ClassificationResult
    from prepixel.tasks.detection_task import Detection, DetectionMetrics, DetectionResult, coco_detections
    from prepixel.tasks.gated import GatedClassification, GatedMetrics, GatedResult
    from prepixel.tasks.multi_label_task import MultiLabel, MultiLabelMetrics, MultiLabelResult
    from prepixel.tasks.regression_task import Regression, RegressionMetrics, RegressionResult, TargetScaling
    from prepixel.tasks.segmentation_task import Segmentation, SegmentationMetrics, SegmentationResult

__all__ = [
    "Classification",
    "ClassificationMetrics",
    "ClassificationResult",
    "Detection",
    "DetectionMetrics",
    "DetectionResult",
    "GatedClassification",
    "GatedMetrics",
    "GatedResult",
    "GroundTruth",
    "MultiLabel",
    "MultiLabelMetrics",
    "MultiLabelResult",
    "Regression",
    "RegressionMetrics",
    "RegressionResult",
    "Segmentation",
    "SegmentationMetrics",
    "SegmentationResult",
    "TargetScaling",
    "coco_detections",
    "score_detections",
    "write_detections",
]
