"""Index all JPEGs of a folder: into one file beside them, or each into itself; and check what was indexed."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prepixel.data.parallel import map_unordered
from prepixel.errors import DatasetError, MalformedIndex, PrepixelError, ReadFailure
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files, replace_file, replace_path, sync_file
from prepixel.folder_lock import directory_lock
from prepixel.jpeg.folder_index import (
    SIDECAR_NAME,
    FolderIndex,
    IndexRecord,
    begin_records,
    finish_records,
    open_folder_index,
    read_records,
    record_size,
    write_record,
)
from prepixel.jpeg.index_file import (
    DEFAULT_EVERY,
    checked_every,
    embed_index,
    embedded_index,
    index_jpeg,
    verify_index,
    without_index,
)
from prepixel.jpeg.jpeg_index import JpegIndex
from prepixel.jpeg.source import Limits, read_contents

_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
_FILES_PER_SYNC = 2000

Progress = Callable[[int], None]


@dataclass(frozen=True)
class IndexReport:
    """Report what became of a folder's JPEGs.

    Attributes:
        num_files: JPEGs below the folder, by their endings.
        num_indexed: of these, indexed now.
        num_earlier: indexed by an earlier run, and unchanged since.
        file_bytes: of the JPEGs that are indexed.
        index_bytes: of their indexes.
        seconds: that this run took.
        bad: JPEGs that cannot be indexed, or whose index is not theirs, by path below the folder.
    """

    num_files: int
    num_indexed: int
    num_earlier: int
    file_bytes: int
    index_bytes: int
    seconds: float
    bad: tuple[ReadFailure, ...]

    @property
    def ratio(self) -> float:
        """Return bytes of indexes over bytes of files; 0 where there are none."""
        return self.index_bytes / self.file_bytes if self.file_bytes else 0.0

    @property
    def images_per_second(self) -> float:
        """Return how many files this run indexed a second."""
        return self.num_indexed / self.seconds if self.seconds else 0.0


@dataclass
class _Tally:
    begun: float
    files: int = 0
    indexed: int = 0
    earlier: int = 0
    file_bytes: int = 0
    index_bytes: int = 0

    def count(self, record: IndexRecord, *, is_new: bool) -> None:
        self.indexed += is_new
        self.earlier += not is_new
        self.file_bytes += JpegIndex(record.data).file_size
        self.index_bytes += len(record.data)

    def report(self, bad: dict[str, Exception]) -> IndexReport:
        failures = tuple(ReadFailure(i, path, error) for i, (path, error) in enumerate(sorted(bad.items())))
        seconds = time.perf_counter() - self.begun
        return IndexReport(self.files, self.indexed, self.earlier, self.file_bytes, self.index_bytes, seconds, failures)


def index_folder(
    root: str | os.PathLike[str],
    *,
    every: int = DEFAULT_EVERY,
    output: str | os.PathLike[str] | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> IndexReport:
    """Index all JPEGs below a folder into one file, from which `FolderIndex` looks them up by path.

    A run that was stopped is resumed. Files that have not changed since an earlier run, by size and time of change,
    keep their index.

    Args:
        root: the folder.
        every: MCUs between two checkpoints of a row, as `index_jpeg`.
        output: the file to write; None for ``prepixel.ppi`` in the folder.
        threads: threads to read on; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with the number of files done, on the calling thread.

    Raises:
        DatasetError: there is no such folder, or no JPEG below it.
        FolderInUse: another process writes indexes beside ``output``.
        ValueError: ``every`` is outside 0..65,535.
        OSError: the output cannot be written.
    """
    folder, every = _folder(root), checked_every(every)
    target = Path(output) if output is not None else folder / SIDECAR_NAME
    partial = target.with_name(target.name + ".partial")
    tally, bad = _Tally(time.perf_counter()), dict[str, Exception]()
    with directory_lock(target.parent, "indexing into"), partial.open("a+b") as file:
        written = _resume(file, every)
        earlier = _Earlier(_open_earlier(folder, target, every), {p: r for p, (_, r) in written.items()})
        offsets = dict[str, int]()
        outcomes = map_unordered(lambda path: earlier.index(folder, path, every, limits), jpegs_below(folder), threads)
        with contextlib.closing(outcomes):
            for path, outcome in outcomes:
                tally.files += 1
                if isinstance(outcome, Exception):
                    bad[path] = outcome
                else:
                    offsets[path] = _store(file, outcome, written)
                    tally.count(outcome, is_new=not earlier.has(outcome))
                if tally.files % _FILES_PER_SYNC == 0:
                    sync_file(file)
                if progress is not None:
                    progress(tally.files)
        if tally.files:
            finish_records(file, offsets)
            sync_file(file)
    if not tally.files:
        partial.unlink()
        raise DatasetError(f"{folder}: no JPEG below it; JPEGs are recognized by their endings, .jpg and others")
    replace_path(partial, target)
    return tally.report(bad)


def embed_folder(
    root: str | os.PathLike[str],
    *,
    every: int = DEFAULT_EVERY,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> IndexReport:
    """Put an index into each JPEG below a folder, in place; other programs pass over it.

    Each file is replaced at once by one that differs in the index alone, which is checked before. Files that hold their
    index already are left as they are.

    Args:
        root: the folder.
        every: MCUs between two checkpoints of a row, as `index_jpeg`.
        threads: threads to work on; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with the number of files done, on the calling thread.

    Raises:
        DatasetError: there is no such folder, or no JPEG below it.
        FolderInUse: another process writes indexes into the folder.
        ValueError: ``every`` is outside 0..65,535.
    """
    folder, every = _folder(root), checked_every(every)

    def embed(path: str) -> tuple[int, int, bool]:
        file = folder / path
        before = bytes(read_contents(file, limits))
        after = embed_index(before, every=every, limits=limits)
        plain = without_index(before)
        if without_index(after) != plain:
            raise PrepixelError(f"{path}: putting an index into it would change it; please report this file")
        if after != before:
            mode = file.stat().st_mode
            replace_file(file.resolve(), after)
            file.chmod(stat.S_IMODE(mode))
        return len(plain), len(after) - len(plain), after != before

    with directory_lock(folder, "putting indexes into"):
        return _each(folder, embed, threads, progress)


def verify_folder(
    root: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
    embedded: bool = False,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> IndexReport:
    """Index all JPEGs below a folder again, and compare every checkpoint; those that differ are listed as bad.

    Args:
        root: the folder.
        path: where its indexes are; None for ``prepixel.ppi`` in the folder.
        embedded: compare the indexes inside the files instead.
        threads: threads to work on; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with the number of files done, on the calling thread.

    Raises:
        DatasetError: there is no such folder, no JPEG below it, or no file of indexes.
        MalformedIndex: the file of indexes is damaged.
    """
    folder = _folder(root)
    indexes = None if embedded else open_folder_index(folder, path)
    if indexes is None and not embedded:
        raise DatasetError(
            f"{path or folder / SIDECAR_NAME}: no such file of indexes; make it: prepixel index {folder}"
        )

    def verify(name: str) -> tuple[int, int, bool]:
        contents = bytes(read_contents(folder / name, limits))
        data = embedded_index(contents) if indexes is None else indexes.find([os.path.join(folder, name)])[0]  # noqa: PTH118
        if data is None:
            raise MalformedIndex("it has no index", hint=f"Index the folder again: prepixel index {folder}")
        index = data if isinstance(data, JpegIndex) else JpegIndex(bytes(data))
        if not verify_index(contents, index, limits=limits):
            raise MalformedIndex("the index is not of this file", hint="Index the folder again")
        return len(contents), len(index.data), True

    return _each(folder, verify, threads, progress)


def _each(
    folder: Path, work: Callable[[str], tuple[int, int, bool]], threads: int, progress: Progress | None
) -> IndexReport:
    """Call ``work`` for each JPEG's path below the folder; it returns bytes of the file and the index, and "is new"."""
    tally, bad = _Tally(time.perf_counter()), dict[str, Exception]()

    def attempt(path: str) -> tuple[str, tuple[int, int, bool] | Exception]:
        try:
            return path, work(path)
        except (PrepixelError, OSError) as error:
            return path, error

    with contextlib.closing(map_unordered(attempt, jpegs_below(folder), threads)) as outcomes:
        for path, outcome in outcomes:
            tally.files += 1
            if isinstance(outcome, Exception):
                bad[path] = outcome
            else:
                tally.file_bytes += outcome[0]
                tally.index_bytes += outcome[1]
                tally.indexed += outcome[2]
                tally.earlier += not outcome[2]
            if progress is not None:
                progress(tally.files)
    if not tally.files:
        raise DatasetError(f"{folder}: no JPEG below it; JPEGs are recognized by their endings, .jpg and others")
    return tally.report(bad)


class _Earlier:
    """Records of earlier runs: of a finished one, and of one that was stopped."""

    def __init__(self, finished: FolderIndex | None, stopped: dict[str, IndexRecord]) -> None:
        self._finished, self._stopped = finished, stopped

    def has(self, record: IndexRecord) -> bool:
        return record == self._stopped.get(record.path) or (
            self._finished is not None and record == self._finished.record(record.path)
        )

    def index(self, folder: Path, path: str, every: int, limits: Limits) -> tuple[str, IndexRecord | Exception]:
        """Return the record of a file: an earlier one where the file has not changed, or a new one."""
        try:
            status = (folder / path).stat()
            finished = None if self._finished is None else self._finished.record(path)
            for record in (self._stopped.get(path), finished):
                if record is not None and _is_current(record, status):
                    return path, record
            data = index_jpeg(folder / path, every=every, limits=limits).data
            return path, IndexRecord(path, status.st_mtime_ns, data)
        except (PrepixelError, OSError) as error:
            return path, error


def _is_current(record: IndexRecord, status: os.stat_result) -> bool:
    if record.modified_ns != status.st_mtime_ns:
        return False
    try:
        return JpegIndex(record.data).file_size == status.st_size
    except MalformedIndex:
        return False


def _open_earlier(folder: Path, target: Path, every: int) -> FolderIndex | None:
    """Open the indexes of an earlier run; None where there are none that can be used again."""
    try:
        earlier = open_folder_index(folder, target)
    except MalformedIndex:
        return None
    return earlier if earlier is not None and earlier.every == every else None


def _resume(file: IO[bytes], every: int) -> dict[str, tuple[int, IndexRecord]]:
    """Return the whole records of a stopped run, and leave the file open behind the last."""
    file.seek(0)
    written = {record.path: (offset, record) for offset, record in read_records(file, every)}
    end = max((offset + record_size(record) for offset, record in written.values()), default=0)
    file.truncate(end)
    if not written:
        begin_records(file, every)
    return written


def _store(file: IO[bytes], record: IndexRecord, written: dict[str, tuple[int, IndexRecord]]) -> int:
    """Append a record that is not there yet; return its offset."""
    there = written.get(record.path)
    if there is not None and there[1] == record:
        return there[0]
    offset = file.seek(0, os.SEEK_END)
    write_record(file, record)
    return offset


def _folder(root: str | os.PathLike[str]) -> Path:
    folder = Path(root)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {not_a_folder(folder)}; name one that holds JPEGs, at any depth")
    return folder


def jpegs_below(folder: Path) -> Iterator[str]:
    """Yield the paths of the JPEGs below a folder, as they continue its own."""
    prefix = len(os.path.join(folder, ""))  # noqa: PTH118
    for path in image_files(folder, extensions=_JPEG_ENDINGS):
        yield path[prefix:].replace(os.sep, "/")
