"""Stopping training at a step's boundary, as a signal asks."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from prepixel.errors import PrepixelError

# A launcher passes on the Ctrl-C that its processes also get from the terminal; that is one request, not two.
_SAME_REQUEST_SECONDS = 2.0


class TrainingInterrupted(PrepixelError):
    """Report a run that stopped on request, with everything saved.

    Attributes:
        signal_number: of the signal that asked; a command exits with 128 + this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.signal_number)


def interrupted(
    number: int, step: int, steps: int, epoch: int, epochs: int, saved: Path, hint: str
) -> TrainingInterrupted:
    """Return the error of a run that a signal stopped after a step; ``hint`` says how to resume it."""
    return TrainingInterrupted(
        f"{signal.Signals(number).name}: stopped after step {step} of {steps} (epoch {epoch} of {epochs}), and saved "
        f"it in {saved}. {hint}",
        number,
    )


class StopRequest:
    """Record SIGINT and SIGTERM instead of terminating, while the context is active in the main thread.

    A second Ctrl-C, later than two seconds after the first, stops at once.

    Attributes:
        signal_number: the first signal that came; 0 if none.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.signal_number:
            self.signal_number = number
            self._since = time.monotonic()
            print(f"\n{signal.Signals(number).name}: stopping after this step", file=sys.stderr, flush=True)
        elif number == signal.SIGINT and time.monotonic() - self._since > _SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt
