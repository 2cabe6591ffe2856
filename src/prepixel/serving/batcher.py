"""Answer photos in batches: a bounded queue, and workers that take what has gathered in it.

Workers are threads that take their batches themselves, so that none waits for the event loop while photos do: where
workers fill all CPUs the loop has to wait for one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from prepixel.runtime import Predictor
from prepixel.serving.metrics import Metrics
from prepixel.serving.service_settings import ServiceSettings

_LOG = logging.getLogger(__name__)

Outcome: TypeAlias = npt.NDArray[np.float32] | Exception
"""The probabilities of all classes, or why there are none."""


class QueueFull(Exception):
    """Report that more photos wait than the service allows."""


class Stopping(Exception):
    """Report that the service takes no more photos."""


@dataclass(frozen=True)
class _Waiting:
    contents: bytes
    outcome: asyncio.Future[Outcome]
    since: float


class Batcher:
    """Answer photos in batches. All public methods are called on the event loop's thread.

    Args:
        predictor: with one thread of its own, as several batches are computed at the same time.
        settings: of the service.
        metrics: that batches are counted in, on the event loop's thread.
    """

    def __init__(self, predictor: Predictor, settings: ServiceSettings, metrics: Metrics) -> None:
        self._predictor, self._settings, self._metrics = predictor, settings, metrics
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._workers: list[asyncio.Future[None]] = []
        self._threads: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> bool:
        """Return whether photos are taken."""
        return bool(self._workers) and not self._stopping

    def start(self) -> None:
        """Start the workers, for the running event loop."""
        loop, count = asyncio.get_running_loop(), self._settings.num_workers
        self._threads = ThreadPoolExecutor(count, "prepixel-batch")
        self._workers = [loop.run_in_executor(self._threads, self._work, loop) for _ in range(count)]

    async def stop(self) -> None:
        """Take no more photos, answer those that wait, and end the workers."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        await asyncio.gather(*self._workers)
        if self._threads is not None:
            self._threads.shutdown()

    def submit(self, photos: Sequence[bytes]) -> list[asyncio.Future[Outcome]]:
        """Put the photos of a request into the queue, all or none.

        Raises:
            QueueFull: they do not fit.
            Stopping: the service has been told to stop.
        """
        if not self.running:
            raise Stopping
        loop, now = asyncio.get_running_loop(), time.monotonic()
        waiting = [_Waiting(photo, loop.create_future(), now) for photo in photos]
        with self._changed:
            if len(self._queue) + len(photos) > self._settings.max_queue:
                raise QueueFull
            self._queue.extend(waiting)
            self._changed.notify(len(waiting))
        return [one.outcome for one in waiting]

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer batches until the end, on a thread of its own."""
        while batch := self._next_batch():
            taken = time.monotonic()
            try:
                outcomes = self._answer([one.contents for one in batch])
            except Exception as error:  # a fault of ours, or of the machine: these photos fail, the service goes on
                _LOG.exception("a batch of %d photos failed", len(batch))
                outcomes = [error] * len(batch)
            loop.call_soon_threadsafe(self._settle, batch, outcomes, taken)

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome], taken: float) -> None:
        """Hand out what became of a batch, on the event loop's thread."""
        self._metrics.batch_photos.add(float(len(batch)))
        for one, outcome in zip(batch, outcomes, strict=True):
            self._metrics.queue_seconds.add(taken - one.since)
            if not one.outcome.done():  # whose request may be gone
                one.outcome.set_result(outcome)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for photos, and for more of them as long as the settings say; an empty batch is the end."""
        settings = self._settings
        with self._changed:
            while True:
                while self._queue and self._queue[0].outcome.done():
                    self._queue.popleft()
                if self._queue:
                    left = self._queue[0].since + settings.max_wait_seconds - time.monotonic()
                    if len(self._queue) >= settings.max_batch or left <= 0 or self._stopping:
                        break
                elif self._stopping:
                    return []
                else:
                    left = None
                self._changed.wait(left)
            count = min(len(self._queue), settings.max_batch)
            return [self._queue.popleft() for _ in range(count)]

    def _answer(self, photos: list[bytes]) -> list[Outcome]:
        """Compute a batch, on a thread of its own."""
        found = self._predictor.predict(photos, batch_size=len(photos), on_error="skip")
        outcomes: dict[int, Any] = {one.index: one.error for one in found.failures}
        outcomes |= zip(found.kept.tolist(), found.all_probabilities, strict=True)
        return [outcomes[place] for place in range(len(photos))]
