"""What a service allows and how it batches."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prepixel.errors import PrepixelError


class ServiceError(PrepixelError, ValueError):
    """Report settings that a service cannot run with."""


@dataclass(frozen=True)
class ServiceSettings:
    """Store what a service allows and how it batches.

    Attributes:
        workers: batches that are computed at the same time, each on one thread; 0 for one per CPU.
        max_batch: photos of a batch at most. On a CPU larger ones are no faster, and idle workers wait for them.
        max_wait_seconds: how long a photo waits for others to share its batch, while a worker is free.
        max_queue: photos that wait for a worker at most; more are refused with status 429.
        max_body_bytes: of one request; larger ones are refused with status 413.
        max_waiting_bytes: of all bodies in memory at the same time; more are refused with status 429.
        max_photos: of one request.
        max_pixels: of one photo.
        max_memory_bytes: for the coefficients of one photo.
        body_seconds: how long a request's body may take to arrive.
        answer_seconds: how long a photo may wait for its answer; then status 503.
        stop_seconds: how long requests that have begun may take once the service is told to stop.
    """

    workers: int = 0
    max_batch: int = 2
    max_wait_seconds: float = 0.0
    max_queue: int = 256
    max_body_bytes: int = 32 << 20
    max_waiting_bytes: int = 512 << 20
    max_photos: int = 32
    max_pixels: int = 50_000_000
    max_memory_bytes: int = 512 << 20
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.max_wait_seconds < 0 or self.workers < 0:
            raise ServiceError("max_wait_seconds and workers must be 0 or more")
        for name, value in vars(self).items():
            if name not in {"max_wait_seconds", "workers"} and not value > 0:
                raise ServiceError(f"{name} is {value}; it must be above 0")
        if self.max_photos > self.max_queue:
            raise ServiceError(
                f"a request may hold {self.max_photos} photos, and the queue {self.max_queue}; make the queue longer"
            )

    @property
    def num_workers(self) -> int:
        """Return how many batches are computed at the same time."""
        if self.workers:
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
