"""Align columns of text, and write cells of CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[+-]?[0-9][0-9.,eE+-]*")


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return a table's lines, columns two spaces apart."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(text_width(line[column]) for line in lines) for column in range(len(headers))]

    def pad(cell: str, column: int) -> str:
        space = " " * (widths[column] - text_width(cell))
        return cell + space if column < left else space + cell

    return ["  ".join(pad(cell, column) for column, cell in enumerate(line)).rstrip() for line in lines]


def text_width(text: str) -> int:
    """Return how many cells of a terminal a text takes; its length where rich is not installed."""
    try:
        from rich.cells import cell_len
    except ModuleNotFoundError:
        return len(text)
    return cell_len(text)


def csv_cell(text: str) -> str:
    """Return a cell of CSV that no spreadsheet takes for a formula: an apostrophe precedes what could start one.

    A dash alone, which stands for a missing value, becomes an empty cell.
    """
    if text == "-":
        return ""
    starts_formula = text.lstrip()[:1] in {"=", "+", "-", "@"} or text[:1] in {"\t", "\r", "\n"}
    return f"'{text}" if starts_formula and not _NUMBER.fullmatch(text) else text
