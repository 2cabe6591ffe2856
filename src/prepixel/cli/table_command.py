"""The command `table`: compare runs from their records."""

from __future__ import annotations

import argparse

from prepixel.cli.console import line_width, print_line, print_text
from prepixel.cli.option_types import output_file, path

SUMMARY = "compare runs: scores beside costs"
ABOUT = """\
Compare runs: top-1 after the last epoch (mean and standard deviation over
runs that differ only in their seed), the resolution that the input was made
from, values and bytes per sample, images/s, parameters, multiply-adds."""
EXAMPLE = "prepixel table runs/* --format markdown"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `table`."""
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN", help="folders of runs, or folders that hold some")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="default: text")
    parser.add_argument("-o", "--output", type=output_file(), metavar="FILE", help="write to a file, do not print")


def run(options: argparse.Namespace) -> int:
    """Print or write the table that compares runs."""
    from prepixel.files import make_folder, write_text
    from prepixel.reports.run_table import read_rows, render

    width = line_width() if options.output is None else None
    text = render(read_rows(options.runs), options.format, width=width)
    if options.output is None:
        print_text(text)
    else:
        make_folder(options.output.absolute().parent)
        write_text(options.output, text)
        print_line(f"written: {options.output}")
    return 0
