"""Options of the commands for gated runs."""

from __future__ import annotations

import argparse

from prepixel.cli.option_types import path
from prepixel.cli.shared_options import add_checkpoint, add_threads


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--weights`` and ``--threads``."""
    parser.add_argument(
        "--data", type=path, metavar="FOLDER", help="images, one folder per class (default: the recipe's)"
    )
    add_checkpoint(parser)
    add_threads(parser)


def dataset_name(options: argparse.Namespace, val: str | None) -> str:
    """Return the name of the images that a gate was measured on."""
    return str(options.data.resolve().name if options.data is not None else val)
