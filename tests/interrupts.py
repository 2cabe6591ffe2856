"""Runs that end before their time: by an interrupt, wherever the tests were started from, or since reading fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# Where the tests run in the background (`&`, nohup), SIGINT is ignored, and so it would be in every process they start.
_LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
_COMMAND = "import sys; from prepixel.cli import main; sys.exit(main(sys.argv[1:]))\n"


@contextmanager
def start_interruptible(code: str, *words: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start Python code as a process that takes SIGINT as a terminal's Ctrl-C; it is killed where the test fails."""
    with subprocess.Popen([sys.executable, "-c", _LISTEN + code, *words], **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_until(happened: Callable[[], object], process: subprocess.Popen[Any], *, seconds: float = 120) -> None:
    """Wait for something that a process does; fail where it ends before, or does not do it in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, f"the process ended before, with status {process.returncode}"
        assert time.monotonic() < deadline, f"the process did not come so far within {seconds} s"
        time.sleep(0.01)


@contextmanager
def start_command(*words: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start the command ``prepixel`` as such a process."""
    with start_interruptible(_COMMAND, *words, **options) as process:
        yield process


@contextmanager
def reading_fails(loader: type, step: int) -> Iterator[None]:
    """Let a loader raise an OSError in front of the training batch of that number; the block must let it through."""
    whole = loader.epoch  # type: ignore[attr-defined]

    def epoch(self: Any, epoch: int, first_batch: int = 0) -> Iterator[Any]:
        for place, batch in enumerate(whole(self, epoch, first_batch)):
            if self.training and place == step:
                raise OSError("the disk went away")
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "epoch", epoch)
        with pytest.raises(OSError, match="the disk went away"):
            yield
