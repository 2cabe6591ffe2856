"""Printing: tables and progress for people on a terminal, plain aligned text for everything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prepixel.optional import installed
from prepixel.reports.text_table import _width, aligned


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table, aligned by columns; the first ``left`` columns to the left, the others to the right."""
    if sys.stdout.isatty() and installed("rich"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold")
        for index, header in enumerate(headers):
            table.add_column(header, justify="left" if index < left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    for line in aligned(headers, rows, left=left):
        print(line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and what is to be said of each, one a line."""
    width = max((_width(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name}{' ' * (width - _width(name))}  {value}")


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows (done, total) as a bar on standard error, where that is a terminal."""
    if not (sys.stderr.isatty() and installed("rich")):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def percent(share: float, digits: int = 1) -> str:
    """Write a share, 0..1, in percent."""
    return f"{100 * share:.{digits}f} %"


def size_bytes(number: int) -> str:
    """Write a number of bytes with thousands set off."""
    return f"{number:,} bytes"


def duration(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def report_bad(failures: Sequence[object]) -> int:
    """Report how many files were left out, and return the exit status."""
    if failures:
        print(f"{len(failures)} files could not be read and were left out", file=sys.stderr)
    return 1 if failures else 0
