"""Classification by a network whose gate chooses channels: the gate's loss is added, and its channels are counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prepixel.gates import GatedNetwork, GatedOutput, GateOutput
from prepixel.tasks.classification_task import (
    Classification,
    ClassificationMetrics,
    ClassificationResult,
    LabeledBatch,
)


@dataclass(frozen=True)
class GatedResult(ClassificationResult):
    """Store the scores of a gated network on a set of images.

    Attributes:
        channels_on: mean number of channels that were on for an image.
        budget: how many there should be; None for no such number.
    """

    channels_on: float
    budget: float | None

    @property
    def budget_score(self) -> float:
        """Return top-1, less one for each channel more than one above the budget.

        By it any network within its budget is better than any beyond: top-1 alone would prefer one that was scored
        before its channels were off.
        """
        return self.top1 if self.budget is None else self.top1 - max(0.0, self.channels_on - self.budget - 1)

    def row(self) -> dict[str, float]:
        """Return the numbers of one line of a table."""
        more = {} if self.budget is None else {"budget_score": self.budget_score}
        return {**super().row(), "channels_on": self.channels_on, **more}


class GatedMetrics(ClassificationMetrics):
    """Count what a `GatedResult` is computed from.

    Args:
        num_classes: classes, 1 or more.
        budget: channels that should be on.
    """

    def __init__(self, num_classes: int, budget: float | None) -> None:
        super().__init__(num_classes)
        self.on = torch.zeros((), dtype=torch.int64)
        self.budget = torch.tensor(float("nan") if budget is None else budget, dtype=torch.float64)

    def count(self, choice: GateOutput) -> None:
        """Count the channels of a batch."""
        self.on = self.on.to(choice.bits.device) + choice.bits.detach().sum().long()

    def merge(self, other: ClassificationMetrics) -> None:
        """Add what another process, or another part of the images, counted."""
        super().merge(other)
        assert isinstance(other, GatedMetrics)
        self.on = self.on + other.on.to(self.on.device)

    def result(self) -> GatedResult:
        """Compute the scores of everything counted so far.

        Raises:
            ValueError: nothing was counted.
        """
        scores = super().result()
        budget = None if self.budget.isnan() else float(self.budget)
        return GatedResult(**vars(scores), channels_on=int(self.on) / scores.images, budget=budget)


@dataclass(frozen=True)
class GatedClassification(Classification):
    """Train a gated network by cross-entropy and its gate's loss; score it by top-1 within its budget.

    Attributes:
        budget: channels that should be on; None for no such number.
    """

    budget: float | None = None

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "top1" if self.budget is None else "budget_score"

    def loss(self, network: nn.Module, batch: LabeledBatch) -> Float[Tensor, ""]:
        """Compute the mean cross-entropy, in nats, of a batch that has samples, and add the gate's loss."""
        output, choice = _run(network, batch)
        assert isinstance(network, GatedNetwork)
        return self.loss_of(output, batch.targets) + network.gate.penalty(choice)

    def new_metrics(self) -> GatedMetrics:
        """Make metrics that have counted nothing."""
        return GatedMetrics(self.num_classes, self.budget)

    def measure(self, network: nn.Module, batch: LabeledBatch, metrics: ClassificationMetrics) -> None:
        """Count a batch."""
        output, choice = _run(network, batch)
        metrics.update(output, batch.targets)
        assert isinstance(metrics, GatedMetrics)
        metrics.count(choice)


def _run(network: nn.Module, batch: LabeledBatch) -> GatedOutput:
    if not isinstance(network, GatedNetwork):
        raise TypeError(f"the task is for gated networks, and this is a {type(network).__name__}")
    return network.run(batch.inputs)
