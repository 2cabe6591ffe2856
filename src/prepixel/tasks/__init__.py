"""What a network is trained for, and how it is scored."""

from prepixel.tasks.classification import Classification, ClassificationMetrics, ClassificationResult

__all__ = ["Classification", "ClassificationMetrics", "ClassificationResult"]
