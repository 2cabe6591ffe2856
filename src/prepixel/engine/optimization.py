"""Optimizer, learning-rate schedule, and moving average of the weights."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from prepixel.engine.lamb import Lamb
from prepixel.engine.settings import OptimizationSettings

Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


def build_optimizer(network: nn.Module, settings: OptimizationSettings) -> torch.optim.Optimizer:
    """Build the optimizer of a network's trainable weights; those with a single axis (norms, biases) go undecayed."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [p for p in trainable if p.ndim > 1 or settings.decay_norms_and_biases]
    spared = [p for p in trainable if not (p.ndim > 1 or settings.decay_norms_and_biases)]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (settings.beta1, settings.beta2)
    if settings.optimizer == "lamb":
        return Lamb(groups, settings.learning_rate, betas, settings.epsilon)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, settings.learning_rate, betas, settings.epsilon)
    return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, nesterov=settings.nesterov)


def learning_rate(settings: OptimizationSettings, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Compute the learning rate of a step.

    Args:
        settings: the schedule.
        step: steps taken before this one.
        steps_per_epoch: optimizer steps, not batches.
        epochs: of the whole run.

    Returns:
        During warm-up, w steps long: a line from ``warmup_factor`` at step 0 to 1 at step w, times the rate. Cosine
        then goes from step w to 0 (``final_factor``) at the step that would follow the last. Steps drop at whole
        epochs counted from the run's start.
    """
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        factor = settings.warmup_factor + (1 - settings.warmup_factor) * step / warmup
    elif settings.schedule == "cosine":
        done = (step - warmup) / max(epochs * steps_per_epoch - warmup, 1)
        factor = settings.final_factor + (1 - settings.final_factor) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    elif settings.schedule == "step":
        factor = settings.step_factor ** (step // steps_per_epoch // settings.step_epochs)
    else:
        factor = 1.0
    return settings.learning_rate * factor


class Average(AveragedModel):
    """Maintain the exponential moving average of a network's weights and running statistics.

    The decay of update t is ``min(decay, (1 + t) / (10 + t))``, so that the first weights are soon forgotten.

    Args:
        network: what is averaged; copied here, and never changed.
        decay: share of the average that an update keeps, in the long run.

    Attributes:
        module: a copy of the network with the averaged weights, for evaluation.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._average, use_buffers=True)
        self.module.requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0

    @property
    def updates(self) -> int:
        """Return how many updates were made."""
        return int(self.n_averaged) - 1

    @updates.setter
    def updates(self, count: int) -> None:
        """Set how many updates were made, on resume."""
        self.n_averaged.fill_(count + 1)  # the copied weights are the first that were averaged

    def _average(self, averages: Tensors, values: Tensors, _: Tensor | int) -> None:
        """Move averages, all of one type and device, toward values; integers (counters) are copied."""
        if averages[0].is_floating_point():
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            torch._foreach_lerp_(list(averages), list(values), 1 - decay)
        else:
            torch._foreach_copy_(list(averages), list(values))
