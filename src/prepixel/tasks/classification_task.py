"""Classification: one label an image; trained by cross-entropy, scored by top-1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

Criterion = Literal["cross_entropy", "binary_cross_entropy"]


@runtime_checkable
class LabeledBatch(Protocol):
    """Store inputs and one label for each of them."""

    @property
    def inputs(self) -> Any:
        """Return the network's inputs."""

    @property
    def targets(self) -> Tensor:
        """Return the labels: 0-based class numbers, or, while training, probabilities of classes."""


@dataclass(frozen=True)
class ClassificationResult:
    """Store the scores of a network on a set of images; all are fractions, 0..1, but the loss.

    Attributes:
        images: how many were scored.
        loss: mean cross-entropy in nats, without label smoothing.
        top1: share of images whose highest logit is the label's.
        top5: share of images whose label is among the five highest logits; nan with five classes or fewer, where it
            says nothing.
        recall: per class, the share of its images that are taken for it; nan for a class without images.
        precision: per class, the share of images taken for it that are of it; nan where none is.
        confusion: how many images of each class (rows) are taken for each class (columns).
    """

    images: int
    loss: float
    top1: float
    top5: float
    recall: Float64[Tensor, " k"]
    precision: Float64[Tensor, " k"]
    confusion: Int64[Tensor, "k k"]

    def row(self) -> dict[str, float]:
        """Return the numbers of one row of a table; top5 only with more than five classes."""
        row = {"loss": self.loss, "top1": self.top1, "top5": self.top5}
        return {name: value for name, value in row.items() if name != "top5" or not math.isnan(value)}

    def class_rows(self, classes: Sequence[str]) -> list[dict[str, str | int | float]]:
        """Return one row per class, in label order.

        Raises:
            ValueError: not as many names as classes.
        """
        if len(classes) != len(self.recall):
            raise ValueError(f"{len(classes)} class names for {len(self.recall)} classes")
        images, recall, precision = self.confusion.sum(1).tolist(), self.recall.tolist(), self.precision.tolist()
        return [
            {"class": name, "images": images[k], "recall": recall[k], "precision": precision[k]}
            for k, name in enumerate(classes)
        ]


class ClassificationMetrics:
    """Count what a `ClassificationResult` is computed from: all are sums, so parts add up to the whole.

    Args:
        num_classes: classes, 1 or more.
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.in_top5 = torch.zeros((), dtype=torch.int64)
        self.loss = torch.zeros((), dtype=torch.float64)

    def update(self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> None:
        """Count a batch; the counters live on its device.

        Of equal logits the lower label wins in top-1; in top-5 a label counts only if fewer than five logits are
        as high or higher, the label's own not counted. Logits that are not finite show in the loss.
        """
        self._to(logits.device)
        logits = logits.detach().double()
        num_classes = logits.shape[1]
        predicted = logits.argmax(1)
        cells = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
        self.confusion += cells.view(num_classes, num_classes)
        own = logits.gather(1, labels[:, None])
        # The label's own logit always is as high as itself, hence up to and including five.
        self.in_top5 += (((logits >= own).sum(1) <= 5) & own[:, 0].isfinite()).sum()
        self.loss += functional.cross_entropy(logits, labels, reduction="sum")

    def merge(self, other: ClassificationMetrics) -> None:
        """Add what another process, or another part of the images, counted."""
        other._to(self.confusion.device)
        self.confusion += other.confusion
        self.in_top5 += other.in_top5
        self.loss += other.loss

    def result(self) -> ClassificationResult:
        """Compute the scores of everything counted so far.

        Raises:
            ValueError: nothing was counted.
        """
        confusion = self.confusion.cpu()
        images = int(confusion.sum())
        if images == 0:
            raise ValueError("no image was counted, so there is nothing to score")
        hits = confusion.diagonal().double()
        top5 = int(self.in_top5) / images if confusion.shape[0] > 5 else float("nan")
        return ClassificationResult(
            images=images,
            loss=float(self.loss) / images,
            top1=float(hits.sum()) / images,
            top5=top5,
            recall=hits / confusion.sum(1),
            precision=hits / confusion.sum(0),
            confusion=confusion,
        )

    def _to(self, device: torch.device) -> None:
        self.confusion, self.in_top5, self.loss = (
            counter.to(device) for counter in (self.confusion, self.in_top5, self.loss)
        )

    def __getstate__(self) -> Mapping[str, Tensor]:
        """Return counters on the CPU: another process may not have this one's device."""
        return {name: counter.cpu() for name, counter in vars(self).items()}


@dataclass(frozen=True)
class Classification:
    """Train by cross-entropy and score by top-1.

    Attributes:
        num_classes: labels are 0 .. num_classes - 1.
        label_smoothing: share of the target spread evenly over all classes, in training only.
        criterion: what training minimizes: cross_entropy, or binary_cross_entropy of each class against the rest, the
            mean over classes. Scores state the cross-entropy in both cases.
    """

    num_classes: int
    label_smoothing: float = 0.0
    criterion: Criterion = field(default="cross_entropy", kw_only=True)

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"num_classes is {self.num_classes}; it must be 1 or greater")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1")

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "top1"

    def loss(self, network: nn.Module, batch: LabeledBatch) -> Float[Tensor, ""]:
        """Compute the mean loss, in nats, of a batch that has samples."""
        return self.loss_of(network(batch.inputs), batch.targets)

    def loss_of(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"] | Float[Tensor, "n k"]
    ) -> Float[Tensor, ""]:
        """Compute the mean loss, in nats, of logits; labels are class numbers, or probabilities of classes."""
        if self.criterion == "binary_cross_entropy":
            wanted = labels if labels.is_floating_point() else functional.one_hot(labels, self.num_classes)
            smooth = wanted.float().lerp(
                torch.full((), 1 / self.num_classes, device=wanted.device), self.label_smoothing
            )
            return functional.binary_cross_entropy_with_logits(logits.float(), smooth)
        return functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)

    def new_metrics(self) -> ClassificationMetrics:
        """Make metrics that have counted nothing."""
        return ClassificationMetrics(self.num_classes)

    def measure(self, network: nn.Module, batch: LabeledBatch, metrics: ClassificationMetrics) -> None:
        """Count a batch."""
        metrics.update(network(batch.inputs), batch.targets)
