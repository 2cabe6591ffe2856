"""The journal of band-limiting, a line for each finished file, and the report made of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Literal

from prepixel.data.jobs.job_report import JobReport
from prepixel.errors import ReadFailure, RecordedError
from prepixel.files import replace_file, sync_file
from prepixel.stores.remote_path import AnyPath

FILES = "files.jsonl"
_OLDER_KINDS = {"thinned": "bandlimited"}


@dataclass(frozen=True)
class FinishedFile:
    """Record a finished file and the state of its source at that time.

    Attributes:
        path: below the source.
        kind: what became of it.
        before: bytes of the source.
        after: bytes of the target.
        modified_ns: the source's time of change.
        error: why it is bad, as an exception's name; else empty.
        message: the same in words.
        etag: of a source in a store; a line of a file does not have it.
    """

    path: str
    kind: Literal["bandlimited", "copied", "skipped", "bad"]
    before: int
    after: int
    modified_ns: int
    error: str = ""
    message: str = ""
    etag: str = ""


def read_finished(state: AnyPath) -> dict[str, FinishedFile]:
    """Read what is finished; a line that a killed run left truncated counts as nothing.

    Older versions wrote the kind "thinned" for "bandlimited".
    """
    rows = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (state / FILES).read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                fields = json.loads(line)
                row = FinishedFile(**fields | {"kind": _OLDER_KINDS.get(fields["kind"], fields["kind"])})
                rows[row.path] = row
    return rows


def append_finished(journal: IO[str], rows: Iterable[FinishedFile]) -> None:
    """Append a line for each file, and wait until they are on the disk; what they say must be there already."""
    journal.write("".join(map(_line, rows)))
    sync_file(journal)


def write_finished(state: AnyPath, rows: Mapping[str, FinishedFile]) -> None:
    """Write all lines sorted by path, so that the bytes do not depend on the order files were finished in."""
    replace_file(state / FILES, "".join(_line(row) for _, row in sorted(rows.items())).encode())


def _line(row: FinishedFile) -> str:
    fields = asdict(row)
    if not row.etag:
        del fields["etag"]
    return json.dumps(fields) + "\n"


@dataclass(frozen=True, kw_only=True)
class BandlimitReport(JobReport):
    """Report what became of a folder.

    Attributes:
        num_files: files below the source, of any kind.
        num_bandlimited: JPEGs band-limited, by this run or an earlier one.
        num_copied: files that are no JPEG, copied.
        num_skipped: files that are no JPEG, left out.
    """

    num_files: int
    num_bandlimited: int
    num_copied: int
    num_skipped: int

    @property
    def num_images(self) -> int:
        """Return the number of files."""
        return self.num_files


def report_files(rows: Mapping[str, FinishedFile], earlier: int, seconds: float) -> BandlimitReport:
    """Summarize the files of a journal."""
    bandlimited = [row for row in rows.values() if row.kind == "bandlimited"]
    kinds = [row.kind for row in rows.values() if not row.error]
    return BandlimitReport(
        num_files=len(rows),
        num_earlier=earlier,
        num_bandlimited=len(bandlimited),
        num_copied=kinds.count("copied"),
        num_skipped=kinds.count("skipped"),
        bytes_before=sum(row.before for row in bandlimited),
        bytes_after=sum(row.after for row in bandlimited),
        seconds=seconds,
        bad=tuple(
            ReadFailure(index, row.path, RecordedError(row.error, row.message))
            for index, (_, row) in enumerate(sorted(rows.items()))
            if row.error
        ),
    )
