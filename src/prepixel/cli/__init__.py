"""The command ``prepixel``: verbs that look at files, train, score and report.

Verbs are loaded when they are called, so that help, and looking at a file, never wait for torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from prepixel.cli.parser import parse_arguments
from prepixel.errors import PrepixelError
from prepixel.optional import extras_for

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status.

    0: all went well. 1: done, but some files could not be read. 2: the request, or a file it rests on, is at fault,
    and one line on standard error says how. 128 + n: stopped by signal n. Anything unexpected keeps its traceback.

    Args:
        argv: the words after the command's name; None for those of this process.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        verb, options = parse_arguments(sys.argv[1:] if argv is None else list(argv))
        room, name = verb.split(":")
        with extras_for(f"prepixel {name}"):
            return int(getattr(importlib.import_module(f"prepixel.cli.{room}"), name)(options))
    except BrokenPipeError:  # the reader, a pager perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except PrepixelError as error:
        print(f"prepixel: {error}", file=sys.stderr)
        stopped_by = getattr(error, "signal_number", 0)
        return 128 + stopped_by if stopped_by else 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"prepixel: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
