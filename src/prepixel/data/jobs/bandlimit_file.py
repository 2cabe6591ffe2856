"""Band-limit one file of a folder into another folder, or say why it is left out."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, NamedTuple, TypeAlias

from prepixel.data.jobs.bandlimit_sources import Source
from prepixel.data.jobs.journal import FinishedFile
from prepixel.errors import JpegError, describe_error
from prepixel.files import AtomicFile, make_folder
from prepixel.jpeg import Limits, bandlimit_jpeg
from prepixel.jpeg.bandlimit import Metadata
from prepixel.spectrum import BandSet
from prepixel.stores.remote_path import RemotePath

NonJpegs: TypeAlias = Literal["skip", "copy"]
OnError: TypeAlias = Literal["skip", "copy", "stop"]


@dataclass(frozen=True)
class BandlimitOptions:
    """State how each file is band-limited.

    Attributes:
        bands: the frequencies to keep.
        restart_interval: MCUs between restart markers; 0 for none, None for as many as each file has.
        restart_rows: instead of it, rows of MCUs.
        metadata: which segments go along, as `bandlimit_jpeg` has it.
        non_jpegs: what is done with files that are no JPEG, neither by contents nor by name: left out, or copied.
        on_error: what is done with JPEGs that cannot be band-limited: left out, or copied as they are (both are
            listed), or the first of them ends the run.
    """

    bands: BandSet
    restart_interval: int | None = None
    restart_rows: int = 0
    metadata: Metadata = "all"
    non_jpegs: NonJpegs = "skip"
    on_error: OnError = "skip"

    def bandlimit(self, contents: bytes, limits: Limits) -> bytes:
        """Return one file's bytes, band-limited."""
        return bandlimit_jpeg(
            contents,
            (self.bands.of_component(0), self.bands.of_component(1), self.bands.of_component(2)),
            restart_interval=self.restart_interval,
            restart_rows=self.restart_rows,
            metadata=self.metadata,
            limits=limits,
        )


class FileOutcome(NamedTuple):
    """What becomes of one file: its line, and what the target gets.

    Attributes:
        row: the line; of a file to be copied, still without the bytes that were written.
        contents: bytes of the target; None where there are none.
        action: what is done instead of writing ``contents``: the source is copied, the target removed, or nothing.
    """

    row: FinishedFile
    contents: bytes | None = None
    action: Literal["copy", "remove", "nothing"] = "nothing"


class FileResult(NamedTuple):
    """What became of one file, and the file that was written for it, still under its temporary name."""

    row: FinishedFile
    written: AtomicFile | None = None


def bandlimit_source(source: Source, name: str, options: BandlimitOptions, limits: Limits) -> FileOutcome:
    """Band-limit one file, or find out why not; an error in reading it is the file's, and nothing is written."""
    smaller: bytes | None = None
    try:
        contents = source.read_jpeg(limits)
        if contents is not None:
            smaller = options.bandlimit(contents, limits)
    except RuntimeError as error:  # a defect of ours: loud, and with the file that shows it
        error.add_note(f"file: {source.path}")
        raise
    except (JpegError, OSError) as error:
        if isinstance(error, JpegError):
            error.source = name if options.on_error != "stop" else str(source.path)
        if options.on_error == "stop":
            raise
        # of the system's errors, without the path that the source was reached by
        words = type(error).__name__, describe_error(error, name)
        row = FinishedFile(name, "bad", source.state.size, 0, source.state.modified_ns, *words, source.state.etag)
        copied = options.on_error == "copy" and source.can_be_copied(error)
        return FileOutcome(row, action="copy" if copied else "remove")  # the target of a source that was good once
    row = FinishedFile(name, "skipped", source.state.size, 0, source.state.modified_ns, etag=source.state.etag)
    if smaller is None:
        return FileOutcome(row, action="copy" if options.non_jpegs == "copy" else "nothing")
    return FileOutcome(replace(row, kind="bandlimited", after=len(smaller)), smaller)


def write_outcome(source: Source, target: Path, outcome: FileOutcome) -> FileResult:
    """Write what became of a file below a target of the file system, under a temporary name."""
    row, contents, action = outcome
    if action == "remove":
        target.unlink(missing_ok=True)
    if contents is None and action != "copy":
        return FileResult(row)
    make_folder(target.parent)
    with AtomicFile(target, publish=False) as written:
        if contents is None:
            row = _copy(source, row, written.file)
        else:
            written.file.write(contents)
    return FileResult(row, written)


def upload_outcome(source: Source, target: RemotePath, outcome: FileOutcome) -> FinishedFile:
    """Write what became of a file below a target in a store.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    row, contents, action = outcome
    if action == "remove":
        target.unlink()
    if contents is not None:
        target.upload(io.BytesIO(contents))
    elif action == "copy":
        with tempfile.TemporaryFile() as copy:
            row = _copy(source, row, copy)
            target.upload(copy)
    return row


def _copy(source: Source, row: FinishedFile, file: IO[bytes]) -> FinishedFile:
    source.copy_into(file)
    return replace(row, kind="copied", after=file.tell())
