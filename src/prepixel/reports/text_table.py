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


def turned(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table that has a line for each header and a column for each row.

    Rows that do not fit beside the others follow below, under the headers again.

    Args:
        headers: the first one stays above the columns.
        rows: at least one.
        width: characters that a line may have; a single column may be wider.
    """
    lines: list[str] = []
    left = list(rows)
    while left:
        count, block = len(left), _turned(headers, left)
        while count > 1 and max(map(text_width, block)) > width:
            count -= 1
            block = _turned(headers, left[:count])
        lines += ["", *block] if lines else block
        left = left[count:]
    return lines


def _turned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    columns = [headers, *rows]
    lines = [[column[place] for column in columns] for place in range(len(headers))]
    return aligned(lines[0], lines[1:], left=len(columns))


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
