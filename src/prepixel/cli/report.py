"""Verbs on records: table, plot. They read files only; torch is loaded only where old and new recipes meet."""

from __future__ import annotations

import argparse

from prepixel.errors import RecipeError
from prepixel.files import write_text
from prepixel.reports.run_table import read_rows, render


def table(options: argparse.Namespace) -> int:
    """Print or write the table that compares runs."""
    text = render(read_rows(options.runs), options.format)
    if options.output is None:
        print(text, end="")
    else:
        write_text(options.output, text)
        print(f"written: {options.output}")
    return 0


def plot(options: argparse.Namespace) -> int:
    """Draw the curves of runs."""
    from prepixel.reports import plot_curves

    rows = read_rows(options.runs)
    try:
        plot_curves({row.name: row.records for row in rows}, options.output, title=options.title)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    print(f"drawn: {options.output}")
    return 0
