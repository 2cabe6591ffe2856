"""Python processes that an interrupt reaches, wherever the tests were started from, and that no test leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def start_command(*words: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start the command ``prepixel`` as such a process."""
    with start_interruptible(_COMMAND, *words, **options) as process:
        yield process
