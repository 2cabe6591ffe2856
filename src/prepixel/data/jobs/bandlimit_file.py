"""Band-limit one file of a folder into another folder, or say why it is left out."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, NamedTuple, TypeAlias

from prepixel.data.jobs.journal import FinishedFile
from prepixel.errors import JpegError, JpegLimitExceeded, describe_error
from prepixel.files import AtomicFile, make_folder, open_regular_file
from prepixel.jpeg import Limits, bandlimit_jpeg
from prepixel.jpeg.bandlimit import Metadata
from prepixel.spectrum import BandSet

_SOI = b"\xff\xd8"
_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")

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


class FileResult(NamedTuple):
    """What became of one file, and the file that was written for it, still under its temporary name."""

    row: FinishedFile
    written: AtomicFile | None = None


def bandlimit_file(root: Path, goal: Path, name: str, options: BandlimitOptions, limits: Limits) -> FileResult:
    """Do what is to be done with one file; an error in reading it is the file's, one in writing is raised."""
    before = modified = 0
    smaller: bytes | None = None
    try:
        with open_regular_file(root / name) as file:
            status = os.fstat(file.fileno())
            before, modified = status.st_size, status.st_mtime_ns
            if is_named_jpeg(name) or file.read(len(_SOI)) == _SOI:
                smaller = options.bandlimit(_read_jpeg(file, limits), limits)
    except RuntimeError as error:  # a defect of ours: loud, and with the file that shows it
        error.add_note(f"file: {root / name}")
        raise
    except (JpegError, OSError) as error:
        if isinstance(error, JpegError):
            error.source = name if options.on_error != "stop" else os.fspath(root / name)
        if options.on_error == "stop":
            raise
        return _handle_bad(
            root / name, goal / name, FinishedFile(name, "bad", before, 0, modified, *_words(name, error)), options
        )
    if smaller is None:
        skipped = FinishedFile(name, "skipped", before, 0, modified)
        return _copy(root / name, goal / name, skipped) if options.non_jpegs == "copy" else FileResult(skipped)
    make_folder((goal / name).parent)
    with AtomicFile(goal / name, publish=False) as target:
        target.file.write(smaller)
    return FileResult(FinishedFile(name, "bandlimited", before, len(smaller), modified), target)


def read_jpeg_file(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """Read a JPEG's bytes, from a regular file of at most ``limits.max_memory_bytes``.

    Raises:
        JpegLimitExceeded: the file is larger.
        OSError: the file cannot be opened, or is no regular file.
    """
    with open_regular_file(path) as file:
        return _read_jpeg(file, limits)


def _read_jpeg(file: IO[bytes], limits: Limits) -> bytes:
    """Read a file from its start, after a look at its size."""
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_memory_bytes:
        raise JpegLimitExceeded(
            f"a file of {size} bytes is larger than the limit of {limits.max_memory_bytes}",
            hint="Raise Limits.max_memory_bytes if you trust the file",
        )
    file.seek(0)
    return file.read(size)


def is_named_jpeg(name: str) -> bool:
    """Return whether a file's name is that of a JPEG."""
    return name.lower().endswith(_JPEG_ENDINGS)


def _words(name: str, error: Exception) -> tuple[str, str]:
    """Return an error's kind and text; of the system's, without the path that the source was reached by."""
    return type(error).__name__, describe_error(error, name)


def _handle_bad(source: Path, target: Path, row: FinishedFile, options: BandlimitOptions) -> FileResult:
    if options.on_error == "copy" and source.is_file() and os.access(source, os.R_OK):
        return _copy(source, target, row)
    target.unlink(missing_ok=True)  # of a source that was good once
    return FileResult(row)


def _copy(source: Path, target: Path, row: FinishedFile) -> FileResult:
    make_folder(target.parent)
    with source.open("rb") as contents, AtomicFile(target, publish=False) as written:
        shutil.copyfileobj(contents, written.file)
        size = written.file.tell()
    return FileResult(replace(row, kind="copied", after=size), written)
