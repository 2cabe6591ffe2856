"""The command ``prepixel``: inspect files, rewrite data sets, train, score and report.

Each command has a file, ``NAME_command.py``, with its options and its handler. The handlers import what they need when
they are called, so that help and the commands for files work without torch.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from prepixel.cli.console import print_error, printable
from prepixel.cli.parser import parse_arguments
from prepixel.errors import PrepixelError, describe_error
from prepixel.optional import extras_for

_INTERRUPTED = 130


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0: done. 1: done, but some files or annotations could not be used and were left out. 2: an option, or a file it
    names, is wrong, and one line on standard error says what. 128 + n: stopped by signal n. Unexpected errors keep
    their traceback.

    Args:
        argv: the words after the command's name; None for those of this process.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        options = parse_arguments(sys.argv[1:] if argv is None else list(argv))
        with extras_for(f"prepixel {options.command}"):
            return int(options.run(options))
    except BrokenPipeError:  # the reader of the pipe, such as a pager, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print_error("interrupted")
        return _INTERRUPTED
    except PrepixelError as error:
        print_error(f"prepixel: {error}")
        stopped_by = getattr(error, "signal_number", 0)
        return 128 + stopped_by if stopped_by else 2
    except OSError as error:
        if error.filename is None:
            raise
        print_error(f"prepixel: {describe_error(error)}")
        return 2
