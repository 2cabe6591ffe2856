"""Errors of numbers equal torchmetrics', far from zero, of constant targets, and merged from parts."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn

from prepixel.tasks import Regression, RegressionMetrics, TargetScaling


@dataclass(frozen=True)
class _Batch:
    inputs: Tensor
    targets: Tensor


def drawn(images: int = 97) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    targets = torch.randn(images, 3, generator=generator) * torch.tensor([1.0, 30.0, 0.01]) + torch.tensor(
        [0.0, 1e4, -5.0]
    )
    return targets + torch.randn(images, 3, generator=generator) * torch.tensor([0.5, 20.0, 0.005]), targets


def test_errors_equal_torchmetrics() -> None:
    predicted, targets = drawn()
    scaling = TargetScaling.of(targets.numpy())
    metrics, other = RegressionMetrics(scaling), RegressionMetrics(scaling)
    metrics.update(predicted[:31].double(), targets[:31])
    other.update(predicted[31:].double(), targets[31:])
    metrics.merge(pickle.loads(pickle.dumps(other)))
    result = metrics.result()
    wide = predicted.double(), targets.double()
    close = {"rtol": 1e-9, "atol": 0.0}
    mse, r2 = torchmetrics.MeanSquaredError(num_outputs=3), torchmetrics.R2Score(multioutput="raw_values")
    torch.testing.assert_close(result.mse, mse.set_dtype(torch.float64)(*wide), **close)
    expected = [torchmetrics.functional.mean_absolute_error(wide[0][:, k], wide[1][:, k]) for k in range(3)]
    torch.testing.assert_close(result.mae, torch.stack(expected), **close)
    centered = tuple(part - targets.double().mean(0) for part in wide)  # torchmetrics' sums cancel far from zero
    torch.testing.assert_close(result.r2, r2.set_dtype(torch.float64)(*centered), rtol=1e-7, atol=0.0)
    assert result.row() == {name: float(getattr(result, name).mean()) for name in ("r2", "mse", "mae")}
    assert result.images == 97


def test_constant_targets_and_single_images() -> None:
    targets = torch.full((5, 2), 7.25)
    scaling = TargetScaling.of(targets.numpy())
    assert scaling == TargetScaling((7.25, 7.25), (1.0, 1.0))
    metrics = RegressionMetrics(scaling)
    metrics.update(torch.tensor([[7.25, 7.0]] * 5).double(), targets)
    assert metrics.result().r2.tolist() == [1.0, 0.0]
    single = RegressionMetrics(scaling)
    single.update(torch.tensor([[7.0, 7.0]]).double(), targets[:1])
    assert single.result().r2.isnan().all()
    with pytest.raises(ValueError, match="no image was counted"):
        RegressionMetrics(scaling).result()


def test_the_loss_is_in_units_of_each_targets_spread() -> None:
    predicted, targets = drawn()
    scaling = TargetScaling.of(targets.numpy())
    torch.testing.assert_close(
        torch.tensor(scaling.std), targets.double().std(0, correction=0), check_dtype=False, rtol=1e-6, atol=0.0
    )
    outputs = scaling.to_outputs(predicted)
    expected = ((predicted - targets) / targets.std(0, correction=0)).square().mean()
    loss = Regression(scaling).loss(nn.Identity(), _Batch(outputs, targets))
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(scaling.to_units(outputs), predicted.double(), rtol=1e-6, atol=1e-6)


def test_scalings_that_make_no_sense_are_refused() -> None:
    for mean, std in (((0.0,), (0.0,)), ((0.0,), (1.0, 1.0)), ((np.inf,), (1.0,))):
        with pytest.raises(ValueError, match="one finite number per target each, std above 0"):
            TargetScaling(mean, std)
