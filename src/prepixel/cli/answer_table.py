"""Print the answers for many images in the width that there is: paths are shortened, answers never."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from prepixel.cli.console import print_failure, print_json, print_table, printable, source_text, table_room
from prepixel.errors import ReadFailure
from prepixel.reports.text_table import text_width

_SHORTEST_NAME = 24
_LEAST_NAME, _LEAST_LIST = 12, 20  # on a terminal that is too narrow for both
_GAP = "..."


class AnswerRow(NamedTuple):
    """Store what was found in one image.

    Attributes:
        name: of its file.
        cells: what stands between the name and the answers.
        answers: best first.
    """

    name: str
    cells: tuple[str, ...]
    answers: tuple[str, ...]


def list_answers(
    outcomes: Iterable[tuple[Any, Any]],
    values: Callable[[Any], dict[str, Any] | None],
    answers: Callable[[Any], tuple[str, ...]],
    cells: Callable[[Any], tuple[str, ...]] = lambda found: (),
) -> tuple[list[AnswerRow], int]:
    """Print failures, and as JSON what is wanted so, as they come; return rows of the rest for a table.

    Args:
        outcomes: each source with what was found in it, or its `ReadFailure`.
        values: returns what JSON has beside the file; None for a row of the table.
        answers: returns a row's answers, best first.
        cells: returns what stands between the name and the answers.

    Returns:
        The rows, and the number of failures.
    """
    rows: list[AnswerRow] = []
    bad = 0
    for source, found in outcomes:
        if isinstance(found, ReadFailure):
            bad += 1
            print_failure(source, found)
        elif (shown := values(found)) is not None:
            print_json({"file": source_text(source), **shown})
        else:
            rows.append(AnswerRow(source_text(source), cells(found), answers(found)))
    return rows, bad


def print_answers(rows: Sequence[AnswerRow], headers: Sequence[str], *, columns: bool) -> None:
    """Print a table of answers that fits the terminal, or 100 characters where there is none.

    Args:
        rows: at least one, each with as many cells as the others.
        headers: of the name, of each cell, and of the answers as a list.
        columns: whether each place of the answers is a column of its own, where these fit; else they are a list.
    """
    rows = [AnswerRow(printable(name), _printable(cells), _printable(answers)) for name, cells, answers in rows]
    if not columns or not _print_columns(rows, headers):
        _print_lists(rows, headers)


def _printable(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(printable(text) for text in texts)


def _print_columns(rows: Sequence[AnswerRow], headers: Sequence[str]) -> bool:
    """Print a column for each place; return whether they fit."""
    count = max(len(row.answers) for row in rows)
    places = ["top-1"] if count == 1 else [str(place) for place in range(1, count + 1)]
    names = [*headers[:-1], *places]
    cells = [[*row.cells, *row.answers, *[""] * (count - len(row.answers))] for row in rows]
    taken = sum(max(map(text_width, column)) for column in zip(names[1:], *cells, strict=True))
    room = table_room(len(names)) - taken
    if room < min(_SHORTEST_NAME, max(text_width(row.name) for row in rows)):
        return False
    shown = [[shorten_middle(row.name, room), *rest] for row, rest in zip(rows, cells, strict=True)]
    print_table(names, shown, left=len(names))
    return True


def _print_lists(rows: Sequence[AnswerRow], headers: Sequence[str]) -> None:
    """Print the answers as lists, on as many lines as each needs."""
    room = table_room(len(headers))
    for index, header in enumerate(headers[1:-1]):
        room -= max(text_width(header), *(text_width(row.cells[index]) for row in rows))
    longest = max(text_width(row.name) for row in rows)
    widest = 1 + max(text_width(answer) for row in rows for answer in row.answers or [""])
    name_width = min(longest, max(_SHORTEST_NAME, room * 2 // 5), max(_LEAST_NAME, room - widest))
    width = max(_LEAST_LIST, room - name_width)
    lines = []
    for row in rows:
        first, *others = _wrapped(row.answers, width)
        lines.append([shorten_middle(row.name, name_width), *row.cells, first])
        lines += [["", *[""] * len(row.cells), other] for other in others]
    print_table(headers, lines, left=len(headers))


def _wrapped(answers: Sequence[str], width: int) -> list[str]:
    """Return answers as lines of a list; one that is longer than a line has a line of its own."""
    lines = [""]
    for index, answer in enumerate(answers):
        part = answer + ("," if index + 1 < len(answers) else "")
        longer = f"{lines[-1]} {part}".strip()
        if lines[-1] and text_width(longer) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def shorten_middle(text: str, width: int) -> str:
    """Return a text with its middle left out so that it takes ``width`` cells of a terminal at most.

    A third of what is kept is its begin, two thirds its end, where a path has the file's name.

    >>> shorten_middle("/data/photos/train/n01494475_hammerhead.JPEG", 30)
    '/data/pho...75_hammerhead.JPEG'
    """
    if text_width(text) <= width:
        return text
    kept = max(0, width - len(_GAP))
    head = _cut(text, kept // 3)
    tail = _cut(text[::-1], kept - text_width(head))[::-1]
    return f"{head}{_GAP}{tail}"


def _cut(text: str, width: int) -> str:
    """Return the longest begin of a text that takes ``width`` cells at most."""
    taken = 0
    for place, character in enumerate(text):
        taken += text_width(character)
        if taken > width:
            return text[:place]
    return text
