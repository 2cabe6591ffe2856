"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from prepixel.cli.option_types import integer, part_number, words
from prepixel.cli.parser import UsageError

MAX_IMAGES = 1_000_000_000
MAX_BATCH = 65_536


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads",
        type=integer(0, 1024),
        default=0,
        metavar="N",
        help="threads that read images (default: 0, one per CPU)",
    )


def add_distribution(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine``, ``--address`` and ``--part``, which distribute a job over processes and machines."""
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where the work is done: in this process, or on a Ray cluster (default: local)",
    )
    parser.add_argument(
        "--address",
        type=words,
        metavar="HOST:PORT",
        help="the Ray cluster, or auto (default: one that is started on this machine)",
    )
    parser.add_argument(
        "--part",
        type=part_number,
        metavar="I/N",
        help="do part I of N only, as a task of a job array; prepixel merge then completes the result",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "one JSON object") -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=f"print {what} instead of text")


def add_bands(parser: argparse.ArgumentParser, default: str, note: str = "") -> None:
    """Add ``--bands``; the band set itself is parsed by the command, which may need torch."""
    help_text = f"band set, such as S-24, or a .json file (default: {default}{note})"
    parser.add_argument("--bands", type=words, default=default, metavar="BANDS", help=help_text)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights``, the choice of a run's checkpoint."""
    parser.add_argument(
        "--weights", choices=("best", "last"), default="best", help="checkpoint of the run to load (default: best)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        type=words,
        default="auto",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps (default: auto, an accelerator if there is one)",
    )


def add_build(parser: argparse.ArgumentParser) -> None:
    """Add ``--build``, the caller's code for recipes, runs and folded files of networks that no library has."""
    parser.add_argument(
        "--build",
        type=words,
        metavar="FILE.py:FUNCTION",
        help="function that builds the RGB network, if it is your own code",
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run`` and its hidden former name."""
    parser.add_argument("--dry-run", action="store_true", help="print the estimate of size and duration; write nothing")
    parser.add_argument("--forecast-only", dest="dry_run", action="store_true", help=argparse.SUPPRESS)


def add_title(parser: argparse.ArgumentParser) -> None:
    """Add ``--title``."""
    parser.add_argument("--title", type=words, metavar="TEXT", help="printed above the figure")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add ``--overwrite``, without which `check_new` refuses."""
    parser.add_argument("--overwrite", action="store_true", help="replace what --output names, if it is there already")


def check_new(options: argparse.Namespace) -> None:
    """Refuse to write over a file, or into a folder that holds something, without being asked to.

    Raises:
        UsageError: ``options.output`` is there, and ``options.overwrite`` is false.
    """
    path: Path = options.output
    is_there = any(path.iterdir()) if path.is_dir() else path.is_file()
    if is_there and not options.overwrite:
        raise UsageError(f"{path}: is there already; replace it with --overwrite, or name another by --output")


def pair(name: str, sides: Sequence[int]) -> tuple[int, int]:
    """Return the two sides that an option of one or two numbers gives.

    Raises:
        UsageError: it gives more.
    """
    if len(sides) > 2:
        raise UsageError(f"{name} {' '.join(map(str, sides))}: give one number for both sides, or two: down and across")
    return sides[0], sides[-1]
