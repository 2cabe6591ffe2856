"""Cells of tables: widths as a terminal shows them, and CSV that starts no formula."""

from __future__ import annotations

import pytest

from prepixel.reports.text_table import aligned, csv_cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|x", "'-2+3+cmd|x"),
        ("  =1+1", "'  =1+1"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5", "-1.5"),
        ("+3e-4", "+3e-4"),
        ("18816", "18816"),
        ("-", ""),
        ("DCT S-24", "DCT S-24"),
    ],
)
def test_cells_start_no_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


def test_columns_line_up_by_what_a_terminal_shows() -> None:
    lines = aligned(("name", "n"), [("\u732b", "3"), ("cafe\u0301", "11"), ("\U0001f600", "7")])
    assert lines == ["name   n", "\u732b     3", "cafe\u0301  11", "\U0001f600     7"]
