"""A line for each file that thinning is done with, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from prepixel.files import replace_file

FILES = "files.jsonl"


@dataclass(frozen=True)
class FinishedFile:
    """Hold a file that is done with, and how its source was then.

    Attributes:
        path: below the source.
        kind: what became of it.
        before: bytes of the source.
        after: bytes of the target.
        modified_ns: the source's time of change.
        error: why it is bad, as an exception's name; else empty.
        message: the same in words.
    """

    path: str
    kind: Literal["thinned", "copied", "skipped", "bad"]
    before: int
    after: int
    modified_ns: int
    error: str = ""
    message: str = ""


def read_finished(state: Path) -> dict[str, FinishedFile]:
    """Read what is finished; the last line of a killed run may be cut, and is nothing then."""
    rows = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (state / FILES).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                row = FinishedFile(**json.loads(line))
                rows[row.path] = row
    return rows


def append_finished(journal: IO[str], row: FinishedFile) -> None:
    """Add a line, so that it is there when the process is killed."""
    journal.write(_line(row))
    journal.flush()


def write_finished(state: Path, rows: Mapping[str, FinishedFile]) -> None:
    """Write all lines anew, by path: the same bytes whatever order files were done in."""
    replace_file(state / FILES, "".join(_line(row) for _, row in sorted(rows.items())).encode())


def _line(row: FinishedFile) -> str:
    return json.dumps(asdict(row)) + "\n"
