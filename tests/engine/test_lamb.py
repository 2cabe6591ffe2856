"""LAMB equals timm's, which shares no code with it."""

from __future__ import annotations

import pytest
import torch
from timm.optim import Lamb as TimmLamb
from torch import nn

from prepixel.engine.lamb import Lamb
from prepixel.engine.optimization import build_optimizer
from prepixel.engine.settings import OptimizationSettings


def test_steps_equal_timms() -> None:
    torch.manual_seed(0)
    settings = OptimizationSettings(optimizer="lamb", learning_rate=0.02, weight_decay=0.05, beta2=0.99, epsilon=1e-6)
    ours, theirs = (nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    own = build_optimizer(ours, settings)
    assert isinstance(own, Lamb)
    groups = [
        {"params": [value for value in theirs.parameters() if value.ndim > 1], "weight_decay": 0.05},
        {"params": [value for value in theirs.parameters() if value.ndim == 1], "weight_decay": 0.0},
    ]
    reference = TimmLamb(groups, lr=0.02, betas=(0.9, 0.99), eps=1e-6, max_grad_norm=None)
    for step in range(20):
        inputs = torch.randn(11, 5, dtype=torch.float64)
        for network, optimizer in ((ours, own), (theirs, reference)):
            for group in optimizer.param_groups:
                group["lr"] = 0.02 / (1 + step)
            optimizer.zero_grad()
            network(inputs).square().sum().backward()
            optimizer.step()
    for got, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_a_weight_of_zeros_moves_as_by_adam_and_a_closure_is_called() -> None:
    weight = nn.Parameter(torch.zeros(2, 3))
    optimizer = Lamb([{"params": [weight], "weight_decay": 0.1}], 0.5, (0.9, 0.999), 1e-8)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (weight * torch.tensor([1.0, -2.0, 3.0])).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 0.0
    assert weight.detach().numpy() == pytest.approx(torch.tensor([[-0.5, 0.5, -0.5]] * 2).numpy(), abs=1e-6)
