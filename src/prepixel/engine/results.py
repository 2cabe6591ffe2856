"""How training ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prepixel.errors import PrepixelError


class LoaderEnded(PrepixelError):
    """Report a loader that gave fewer batches than its length says."""


@dataclass(frozen=True)
class TrainResult:
    """Store the result of a run.

    Attributes:
        steps: optimizer steps of the whole run.
        resumed_at: steps done before this start; 0 for a fresh one.
        best_score: the best evaluation's score; None without evaluation.
        best_epoch: the epoch that it followed, from 0; -1 without evaluation.
        evaluation: the last evaluation's result, of the averaged weights where there are some; None without.
        seconds: this start's duration.
    """

    steps: int
    resumed_at: int
    best_score: float | None
    best_epoch: int
    evaluation: Any
    seconds: float
