"""A line for each file that thinning is done with, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from prepixel.files import replace_file, sync_file

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
        for line in (state / FILES).read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, TypeError):
                row = FinishedFile(**json.loads(line))
                rows[row.path] = row
    return rows


def append_finished(journal: IO[str], rows: Iterable[FinishedFile]) -> None:
    """Append a line for each file, and wait until they are on the disk; what they say must be there already."""
    journal.write("".join(map(_line, rows)))
    sync_file(journal)


def write_finished(state: Path, rows: Mapping[str, FinishedFile]) -> None:
    """Write all lines sorted by path, so that the bytes do not depend on the order files were finished in."""
    replace_file(state / FILES, "".join(_line(row) for _, row in sorted(rows.items())).encode())


def _line(row: FinishedFile) -> str:
    return json.dumps(asdict(row)) + "\n"
