"""Several labels an image: trained by binary cross-entropy, scored by mean average precision over labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional

from prepixel.tasks.classification_task import LabeledBatch


@dataclass(frozen=True)
class MultiLabelResult:
    """Store the scores of a network on a set of images; all are fractions, 0..1, but the loss.

    A label is on where its logit is above 0.

    Attributes:
        images: how many were scored.
        loss: mean binary cross-entropy in nats.
        average_precision: per label; 0 for one that no image has.
        f1: per label; 0 for one that no image has and none is given.
        f1_micro: over the labels of all images together.
        accuracy: share of right labels, the mean over labels.
        exact: share of images all of whose labels are right.

    Source: torchmetrics' MultilabelAveragePrecision, MultilabelF1Score, MultilabelAccuracy and MultilabelExactMatch.
    """

    images: int
    loss: float
    average_precision: Float64[Tensor, " k"]
    f1: Float64[Tensor, " k"]
    f1_micro: float
    accuracy: float
    exact: float

    def row(self) -> dict[str, float]:
        """Return the numbers of one row of a table."""
        return {
            "loss": self.loss,
            "map": float(self.average_precision.mean()),
            "f1_macro": float(self.f1.mean()),
            "f1_micro": self.f1_micro,
            "accuracy": self.accuracy,
            "exact": self.exact,
        }

    def per_target(self) -> dict[str, Float64[Tensor, " k"]]:
        """Return the scores of each label by name."""
        return {"ap": self.average_precision}


class MultiLabelMetrics:
    """Keep logits and labels, on the CPU, until a `MultiLabelResult` is computed from all of them."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []

    def update(self, logits: Float[Tensor, "n k"], labels: Float[Tensor, "n k"]) -> None:
        """Keep a batch."""
        self.logits.append(logits.detach().double().cpu())
        self.labels.append(labels.detach().double().cpu())

    def merge(self, other: MultiLabelMetrics) -> None:
        """Add what another process, or another part of the images, kept."""
        self.logits += other.logits
        self.labels += other.labels

    def result(self) -> MultiLabelResult:
        """Compute the scores of everything kept so far.

        Raises:
            ValueError: nothing was kept.
        """
        if not self.logits:
            raise ValueError("no image was counted, so there is nothing to score")
        logits, labels = torch.cat(self.logits), torch.cat(self.labels)
        on, right = logits > 0, labels > 0.5
        hits, wrong = (on & right).sum(0).double(), (on != right).sum(0).double()
        return MultiLabelResult(
            images=len(logits),
            loss=float(functional.binary_cross_entropy_with_logits(logits, labels)),
            average_precision=torch.stack(
                [average_precision(own, wanted) for own, wanted in zip(logits.T, right.T, strict=True)]
            ),
            f1=_f1(hits, wrong),
            f1_micro=float(_f1(hits.sum(), wrong.sum())),
            accuracy=float((on == right).double().mean()),
            exact=float((on == right).all(1).double().mean()),
        )

    def __getstate__(self) -> Mapping[str, list[Tensor]]:
        """Return what was kept, in two tensors."""
        return {name: [torch.cat(kept)] if kept else [] for name, kept in vars(self).items()}


def average_precision(scores: Float64[Tensor, " n"], wanted: Tensor) -> Float64[Tensor, ""]:
    """Sum precision over the steps of recall, images of equal score at once.

    Source: scikit-learn's and torchmetrics' average precision, without interpolation.
    """
    if not wanted.any():
        return scores.new_zeros(())
    order = scores.argsort(descending=True, stable=True)
    ordered, found = scores[order], wanted[order].double().cumsum(0)
    last_of_ties = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
    found, count = found[last_of_ties], (torch.arange(len(ordered)) + 1.0).double()[last_of_ties]
    steps = torch.diff(found, prepend=found.new_zeros(1)) / found[-1]
    return (steps * found / count).sum()


def _f1(hits: Tensor, wrong: Tensor) -> Tensor:
    total = 2 * hits + wrong
    return torch.where(total > 0, 2 * hits / total.clamp(min=1), torch.zeros_like(total))


@dataclass(frozen=True)
class MultiLabel:
    """Train by binary cross-entropy of each label, the mean over labels, and score by mean average precision.

    Attributes:
        num_labels: logits of the network; targets are 0 or 1 for each.
        label_smoothing: share by which targets move to one half, in training only.
    """

    num_labels: int
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.num_labels < 1:
            raise ValueError(f"num_labels is {self.num_labels}; it must be 1 or greater")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1")

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "map"

    def loss(self, network: nn.Module, batch: LabeledBatch) -> Float[Tensor, ""]:
        """Compute the mean loss, in nats, of a batch that has samples."""
        return self.loss_of(network(batch.inputs), batch.targets)

    def loss_of(self, logits: Float[Tensor, "n k"], labels: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Compute the mean loss, in nats, of logits."""
        wanted = labels.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits.float(), wanted)

    def new_metrics(self) -> MultiLabelMetrics:
        """Make metrics that have kept nothing."""
        return MultiLabelMetrics()

    def measure(self, network: nn.Module, batch: LabeledBatch, metrics: MultiLabelMetrics) -> None:
        """Keep a batch."""
        metrics.update(network(batch.inputs), batch.targets)
