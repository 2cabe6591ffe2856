"""Keep a process from forking while its threads are inside code whose locks a child would inherit held."""

from __future__ import annotations

import os
import threading
from types import TracebackType


class ForkGuard:
    """A context that any number of threads may be in at a time; a fork waits until all have left it.

    For calls of libraries with locks of their own, such as NumPy's BLAS: a child that inherits one held waits for ever
    when it needs it. Inside, do nothing that forks.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._num_inside = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._wait_until_empty,
                after_in_parent=self._changed.release,
                after_in_child=self._changed.release,
            )

    def __enter__(self) -> None:
        with self._changed:
            self._num_inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._num_inside -= 1
            if not self._num_inside:
                self._changed.notify_all()

    def _wait_until_empty(self) -> None:
        """Take the lock with nobody inside; it is released after the fork, in both processes."""
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._num_inside)
