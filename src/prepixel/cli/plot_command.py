"""The command `plot`: draw the curves of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from prepixel.cli.console import print_line
from prepixel.cli.option_types import FIGURES, output_file, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_title

SUMMARY = "draw runs' loss and score over epochs"
ABOUT = """\
Draw runs' loss and score over epochs; runs that differ only in their seed
become a mean and a band."""
EXAMPLE = "prepixel plot runs/* --output curves.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plot`."""
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN", help="folders of runs, or folders that hold some")
    parser.add_argument(
        "-o",
        "--output",
        type=output_file(*FIGURES),
        default=Path("curves.png"),
        metavar="FILE",
        help="the figure (default: curves.png)",
    )
    add_title(parser)


def run(options: argparse.Namespace) -> int:
    """Draw the curves of runs."""
    from prepixel.reports import plot_curves
    from prepixel.reports.run_table import read_rows

    rows = read_rows(options.runs)
    try:
        plot_curves({row.name: row.records for row in rows}, options.output, title=options.title or "")
    except ValueError as error:
        raise UsageError(str(error)) from error
    print_line(f"drawn: {options.output}")
    return 0
