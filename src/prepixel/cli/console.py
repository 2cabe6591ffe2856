"""Print to the terminal: lines, tables, JSON and progress. Every text passes `printable` on its way out."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prepixel.errors import JpegError, ReadFailure
from prepixel.optional import installed
from prepixel.reports.text_table import aligned, text_width

_WIDTH = 100  # of output that is no terminal
STANDARD_INPUT = "standard input"
_BUFFER = re.compile(r"^buffer of \d+ bytes[,:] ")  # how messages name the contents of a file
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # controls, lone surrogates, line and paragraph separators
# Said of every network whose weights are random
UNTRAINED = "this network is untrained: its weights are random, so its answers mean nothing"
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")


def printable(text: str) -> str:
    r"""Return a text without anything that a terminal would obey: control characters become ``\x1b`` and the like.

    Bytes of file names that are not UTF-8, which Python holds as lone surrogates, become ``\xe9`` and the like.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_unprintable(c) else c for c in text)


def _is_unprintable(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in _UNPRINTABLE


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def print_line(text: str = "") -> None:
    """Print one line to standard output."""
    _write(sys.stdout, printable(text))


def print_text(text: str) -> None:
    """Print lines to standard output."""
    for line in text.removesuffix("\n").split("\n"):
        print_line(line)


def print_error(text: str) -> None:
    """Print one line to standard error; line breaks in the text become spaces."""
    _write(sys.stderr, printable(" ".join(text.splitlines()) if "\n" in text else text))


def print_json(value: Any) -> None:
    """Print one JSON object on one line; numbers that JSON cannot hold become null."""
    _write(sys.stdout, json_text(value))


def json_text(value: Any) -> str:
    """Return a value as JSON on one line, without unprintable characters; numbers that JSON cannot hold become null."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    if not text.isprintable():
        text = "".join(f"\\u{ord(c):04x}" if _is_unprintable(c) else c for c in text)
    return text


def _plain(value: Any) -> Any:
    """Turn dataclasses, failures and tuples into what JSON knows."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, ReadFailure):
        return {"source": value.source, "kind": value.kind, "message": value.message}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _write(stream: Any, line: str) -> None:
    try:
        print(line, file=stream, flush=True)
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        encoding = stream.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def line_width() -> int:
    """Return the characters of a line of the terminal; 100 without one."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def table_room(columns: int) -> int:
    """Return how many characters the cells of a table's row may take: the terminal's, or those of 100 without one."""
    return line_width() - (3 * columns + 1 if _draws_frames() else 2 * (columns - 1))


def _draws_frames() -> bool:
    return sys.stdout.isatty() and installed("rich")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table in aligned columns; the first ``left`` columns are aligned left, the others right."""
    headers = [printable(header) for header in headers]
    rows = [[printable(cell) for cell in row] for row in rows]
    if _draws_frames():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold")
        for index, header in enumerate(headers):
            table.add_column(Text(header), justify="left" if index < left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    for line in aligned(headers, rows, left=left):
        print_line(line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    width = max((text_width(printable(name)) for name, _ in pairs), default=0)
    for name, value in pairs:
        print_line(f"{name}{' ' * (width - text_width(printable(name)))}  {value}")


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows (done, total) as a bar on standard error, if that is a terminal.

    The bar is there from the first call until all is done.
    """
    if not (sys.stderr.isatty() and installed("rich")):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=None)

    def show(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)
        if done < total:
            progress.start()
        else:  # what comes next draws a bar of its own
            progress.stop()

    try:
        yield show
    finally:
        progress.stop()


@contextmanager
def progress_lines(description: str, *, every: float = 10.0) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows (done, total): a bar on a terminal, else a line every ``every`` seconds."""
    if sys.stderr.isatty() and installed("rich"):
        with progress_bar(description) as progress:
            yield progress
        return
    import time

    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            print_error(f"{description}: {done:,} of {total:,}")

    print_error(f"{description} ...")
    yield show


def percent(share: float, digits: int = 1) -> str:
    """Format a share, 0..1, as a percentage."""
    return f"{100 * share:.{digits}f} %"


def size_bytes(count: int) -> str:
    """Format a number of bytes with thousands separators."""
    return f"{count:,} bytes"


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def named_error(error: Exception, name: str) -> Exception:
    """Return an error about bytes, which messages name by their number, as one about what they were read from."""
    if isinstance(error, JpegError):
        error.source = name
        return error
    return type(error)(f"{name}: {_BUFFER.sub('', str(error))}")


def failure_text(failure: ReadFailure) -> str:
    """Return a file's error as one line that names the file once."""
    text = failure.message
    return text if failure.source in text else f"{failure.source}: {text}"


def report_skipped(failures: Sequence[object]) -> int:
    """Print how many files were left out, if any, and return the exit status: 1 if any, else 0."""
    if failures:
        files = (
            "1 file could not be read and was"
            if len(failures) == 1
            else f"{len(failures):,} files could not be read and were"
        )
        print_error(f"{files} left out")
    return 1 if failures else 0


def short_stem(source: str) -> str:
    """Return a file's stem, short enough to be part of another name."""
    return Path(source).stem.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "surrogateescape")


def source_text(source: Any) -> str:
    """Return what messages and tables call an image file, or the bytes of standard input."""
    return STANDARD_INPUT if isinstance(source, bytes) else str(source)


def print_failure(source: Any, failure: ReadFailure) -> None:
    """Print why a file could not be read; bytes are those of standard input."""
    error = named_error(failure.error, STANDARD_INPUT) if isinstance(source, bytes) else failure.error
    shown = dataclasses.replace(failure, source=source_text(source), error=error)
    print_error(f"prepixel: {failure_text(shown)}")


def report_unread(bad: int, count: int) -> int:
    """Print how many files could not be read, if any, and return the exit status: 1 if any, else 0."""
    if bad:
        print_error(f"{bad} of {count} files could not be read")
    return 1 if bad else 0
