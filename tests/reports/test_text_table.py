"""Cells of tables: widths as a terminal shows them, and CSV that starts no formula."""

from __future__ import annotations

import pytest

from prepixel.reports.text_table import aligned, csv_cell, turned


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


def test_a_table_that_is_too_wide_is_turned() -> None:
    headers, rows = ["run", "top-1 %", "network"], [["a", "91.5", "resnet18"], ["bb", "9.0", "resnet50"]]
    assert turned(headers, rows, 40) == [
        "run      a         bb",
        "top-1 %  91.5      9.0",
        "network  resnet18  resnet50",
    ]
    below = ["run      a", "top-1 %  91.5", "network  resnet18", "", "run      bb", "top-1 %  9.0", "network  resnet50"]
    assert turned(headers, rows, 20) == below
    assert turned(headers, rows, 5) == below
