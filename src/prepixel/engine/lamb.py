"""LAMB: Adam's step, for each weight as long as a share of the weight itself; for large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Move weights by LAMB, with bias correction.

    The trust ratio applies to weights that are decayed; others, norms and biases as a rule, move as by AdamW. Gradients
    are not clipped here: the paper's recipes set ``max_gradient_norm`` to 1.

    Args:
        groups: of parameters, with ``weight_decay``.
        learning_rate: of the steps.
        betas: decay of the gradient's mean, and of its square.
        epsilon: keeps the denominator from zero.

    Source: You et al., "Large batch optimization for deep learning" (ICLR 2020), algorithm 2, with phi the identity.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], learning_rate: float, betas: tuple[float, float], epsilon: float
    ) -> None:
        super().__init__(groups, {"lr": learning_rate, "betas": betas, "eps": epsilon, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        steps, (beta1, beta2) = int(state["step"]), group["betas"]
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        update = mean / (1 - beta1**steps) / ((square / (1 - beta2**steps)).sqrt() + group["eps"])
        if group["weight_decay"]:
            update.add_(weight, alpha=group["weight_decay"])
            lengths = weight.norm(), update.norm()
            update.mul_(torch.where((lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1], 1.0))
        weight.add_(update, alpha=-group["lr"])
