"""Numbers an image: trained by squared error in units of each target's spread, scored by R2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional

from prepixel.tasks.classification_task import LabeledBatch


@dataclass(frozen=True)
class TargetScaling:
    """Store what a network's outputs are multiplied by, and moved by, to be in the targets' units.

    Attributes:
        mean: per target.
        std: per target, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(np.isfinite(self.mean + self.std)) or not min(self.std) > 0:
            raise ValueError(f"mean {self.mean} and std {self.std}: one finite number per target each, std above 0")

    @classmethod
    def of(cls, targets: Float[np.ndarray, "n k"]) -> TargetScaling:
        """Measure targets; one that is the same for all images gets a spread of 1."""
        values = np.asarray(targets, dtype=np.float64)
        std = values.std(0)
        return cls(tuple(values.mean(0).tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))

    def to_units(self, outputs: Tensor) -> Float64[Tensor, "n k"]:
        """Return a network's outputs in the targets' units."""
        return outputs.double() * outputs.new_tensor(self.std, dtype=torch.float64) + outputs.new_tensor(
            self.mean, dtype=torch.float64
        )

    def to_outputs(self, targets: Tensor) -> Float[Tensor, "n k"]:
        """Return targets as a network is to give them."""
        wide = targets.double() - targets.new_tensor(self.mean, dtype=torch.float64)
        return (wide / targets.new_tensor(self.std, dtype=torch.float64)).float()


@dataclass(frozen=True)
class RegressionResult:
    """Store the errors of a network on a set of images, in the targets' units.

    Attributes:
        images: how many were scored.
        mse: mean squared error, per target.
        mae: mean absolute error, per target.
        r2: share of the variance that is explained, per target; of a target that is the same for all images 1 where
            it is met exactly, else 0. nan for a single image.

    Source: torchmetrics' MeanSquaredError, MeanAbsoluteError and R2Score.
    """

    images: int
    mse: Float64[Tensor, " k"]
    mae: Float64[Tensor, " k"]
    r2: Float64[Tensor, " k"]

    def row(self) -> dict[str, float]:
        """Return the numbers of one row of a table, means over targets."""
        return {name: float(getattr(self, name).mean()) for name in ("r2", "mse", "mae")}

    def per_target(self) -> dict[str, Float64[Tensor, " k"]]:
        """Return the scores of each target by name."""
        return {"r2": self.r2, "mae": self.mae}


class RegressionMetrics:
    """Count what a `RegressionResult` is computed from: all are sums, so parts add up to the whole.

    Args:
        scaling: of the targets; sums are kept about their means, so that none cancels.
    """

    def __init__(self, scaling: TargetScaling) -> None:
        self.images = 0
        self.about = torch.tensor(scaling.mean, dtype=torch.float64)
        # of targets, their squares, squared and absolute errors
        self.sums = torch.zeros(4, len(scaling.mean), dtype=torch.float64)

    def update(self, predicted: Float64[Tensor, "n k"], targets: Float[Tensor, "n k"]) -> None:
        """Count a batch; predictions are in the targets' units."""
        wanted = targets.double()
        error = predicted.double() - wanted
        centered = wanted - self.about.to(wanted.device)
        counted = torch.stack([part.sum(0) for part in (centered, centered.square(), error.square(), error.abs())])
        self.images += len(targets)
        self.sums = self.sums + counted.cpu()

    def merge(self, other: RegressionMetrics) -> None:
        """Add what another process, or another part of the images, counted."""
        self.images += other.images
        self.sums = self.sums + other.sums

    def result(self) -> RegressionResult:
        """Compute the errors of everything counted so far.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.images:
            raise ValueError("no image was counted, so there is nothing to score")
        targets, squares, squared, absolute = self.sums
        spread = squares - targets.square() / self.images
        # a target that never changes leaves rounding alone
        constant = spread <= 1e-12 * squares.clamp(min=torch.finfo(torch.float64).tiny)
        r2 = torch.where(constant, (squared == 0).double(), 1 - squared / spread.masked_fill(constant, 1.0))
        if self.images < 2:
            r2 = torch.full_like(r2, float("nan"))
        return RegressionResult(self.images, squared / self.images, absolute / self.images, r2)

    def __getstate__(self) -> Mapping[str, Tensor | int]:
        """Return counters."""
        return dict(vars(self))


@dataclass(frozen=True)
class Regression:
    """Train by squared error in units of each target's spread, and score by R2.

    Attributes:
        scaling: of the network's outputs.
    """

    scaling: TargetScaling

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "r2"

    def loss(self, network: nn.Module, batch: LabeledBatch) -> Float[Tensor, ""]:
        """Compute the mean squared error of a batch that has samples, in units of each target's spread."""
        return functional.mse_loss(network(batch.inputs).float(), self.scaling.to_outputs(batch.targets))

    def new_metrics(self) -> RegressionMetrics:
        """Make metrics that have counted nothing."""
        return RegressionMetrics(self.scaling)

    def measure(self, network: nn.Module, batch: LabeledBatch, metrics: RegressionMetrics) -> None:
        """Count a batch."""
        metrics.update(self.scaling.to_units(network(batch.inputs)), batch.targets)
