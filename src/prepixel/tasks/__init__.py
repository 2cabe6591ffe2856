"""What a network is trained for, and how it is scored."""

from prepixel.tasks.classification import Classification, ClassificationMetrics, ClassificationResult
from prepixel.tasks.gated import GatedClassification, GatedMetrics, GatedResult

__all__ = [
    "Classification",
    "ClassificationMetrics",
    "ClassificationResult",
    "GatedClassification",
    "GatedMetrics",
    "GatedResult",
]
