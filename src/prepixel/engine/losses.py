"""The losses of a run's steps, read from the device late, and the first that is not finite."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOSS, _WEIGHTS = 1, 2
_HINT = (
    "Lower learning_rate, lengthen warmup_epochs or set max_gradient_norm; with float16 try bfloat16; in the first "
    "steps, look at how the inputs are normalized"
)


class LossLog:
    """Losses that may still be on the device, and what was not finite.

    Attributes:
        trouble: what is not finite (0: nothing), and since which step.
    """

    def __init__(self) -> None:
        self.trouble = (0, -1)
        self._unread: list[tuple[int, Tensor]] = []

    def add(self, step: int, loss_sum: Tensor) -> None:
        """Add a step's loss, summed over its images."""
        self._unread.append((step, loss_sum))

    def read(self) -> float:
        """Wait for the device, and return the sum of the losses since the last call."""
        if not self._unread:
            return 0.0
        values = torch.stack([loss for _, loss in self._unread]).tolist()
        for (step, _), value in zip(self._unread, values, strict=True):
            if not math.isfinite(value) and not self.trouble[0]:
                self.trouble = (_LOSS, step)
        self._unread.clear()
        return float(sum(values))

    def note_weights(self, step: int) -> None:
        """Record that weights are not finite after a step."""
        self.trouble = (_WEIGHTS, step)


def describe_trouble(kind: int, step: int, *, epoch: int, learning_rate: float, kept: str) -> str:
    """Describe what is not finite and what to do, for the error that ends the run."""
    what = "the loss is not finite in" if kind == _LOSS else "weights or running statistics are not finite after"
    return f"{what} step {step + 1} (epoch {epoch + 1}, learning rate {learning_rate:g}); {kept}. {_HINT}"
