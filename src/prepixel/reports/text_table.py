"""Align columns of text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Give a table's lines, columns two spaces apart."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(headers))]

    def pad(cell: str, column: int) -> str:
        space = " " * (widths[column] - _width(cell))
        return cell + space if column < left else space + cell

    return ["  ".join(pad(cell, column) for column, cell in enumerate(line)).rstrip() for line in lines]


def _width(text: str) -> int:
    """Count the cells of a terminal that a text takes; letters of East Asia take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
