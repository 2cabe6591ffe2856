"""Estimate the result and the duration of a long run over many files from a sample of them."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prepixel.errors import PrepixelError

_SAMPLE = 24

Source = TypeVar("Source")


@dataclass(frozen=True)
class WorkEstimate:
    """Estimate what a run will leave and take.

    Attributes:
        num_files: files, or images, of the source, of any kind.
        num_finished: of these, finished by an earlier run.
        num_bytes: of all that the run is about; other files are not counted.
        num_bytes_left: of those not finished.
        ratio: bytes after over bytes before, of the sample.
        ratio_error: twice its standard error: how far off that of the whole may be.
        seconds: how long the rest will take on the threads asked for; writing is not counted.
        num_sampled: readable files in the sample, evenly spaced among those left; 0: the numbers above are 0, too.
    """

    num_files: int
    num_finished: int
    num_bytes: int
    num_bytes_left: int
    ratio: float
    ratio_error: float
    seconds: float
    num_sampled: int


def estimate_work(
    work: Callable[[Source], tuple[int, int]],
    left: Sequence[Source],
    *,
    num_bytes_left: int,
    num_files: int,
    num_finished: int,
    num_bytes: int,
    threads: int,
) -> WorkEstimate:
    """Do the work on a sample of what is left, and estimate the whole.

    Args:
        work: handles one source and writes nothing; returns its bytes before and after. What it cannot read is passed
            over.
        left: what is not finished.
        num_bytes_left: of all of these.
        num_files: as in `WorkEstimate`; so are ``num_finished`` and ``num_bytes``.
        threads: that the run will have; 0 for one per CPU.
    """
    step = max(1, len(left) // _SAMPLE)
    before, after, seconds = [], [], 0.0
    for source in left[step // 2 : step // 2 + step * _SAMPLE : step]:
        start = time.perf_counter()
        try:
            sizes = work(source)
        except (PrepixelError, OSError):
            continue
        seconds += time.perf_counter() - start
        before.append(sizes[0])
        after.append(sizes[1])
    ratio = sum(after) / sum(before) if before else 0.0
    at_once = min(threads or os.cpu_count() or 1, os.cpu_count() or 1, max(1, len(left)))
    return WorkEstimate(
        num_files=num_files,
        num_finished=num_finished,
        num_bytes=num_bytes,
        num_bytes_left=num_bytes_left,
        ratio=ratio,
        ratio_error=_error_of_ratio(before, after, ratio),
        seconds=seconds / sum(before) * num_bytes_left / at_once if before else 0.0,
        num_sampled=len(before),
    )


def _error_of_ratio(before: list[int], after: list[int], ratio: float) -> float:
    """Twice the standard error of a ratio of two sums over a sample."""
    if len(before) < 2:
        return 0.0
    residuals = [b - ratio * a for a, b in zip(before, after, strict=True)]
    spread = math.sqrt(statistics.fmean(r * r for r in residuals) / (len(before) - 1))
    return 2 * spread / statistics.fmean(before)
