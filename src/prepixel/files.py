"""Write files atomically and durably, lock folders, and list image files.

`AtomicFile` is the only writer of whole files in the library. A reader sees the old contents of a path or the new
ones, never a part of them, and what `replace_file` and its like have returned from survives a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from prepixel.file_listing import EXTENSIONS as EXTENSIONS
from prepixel.file_listing import image_files as image_files
from prepixel.file_reading import open_regular_file as open_regular_file
from prepixel.file_reading import read_regular_file as read_regular_file
from prepixel.file_reading import read_regular_file_part as read_regular_file_part
from prepixel.stores.remote_path import AnyPath, RemotePath, to_path

_TEMPORARY = (".prepixel-", ".partial")
_SYNC_THREADS = 16

# errno of a file system that has no such operation, or of a folder that cannot be opened or synced
_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}
_HINTS = {
    errno.ENOSPC: "free some space, or name a target on another disk",
    getattr(errno, "EDQUOT", -1): "free some of your quota, or name a target on another disk",
    errno.EFBIG: "the file system, or a limit of this process, does not allow a file of this size",
    errno.EROFS: "name a target that can be written",
    errno.EACCES: "name a target that you may write",
    errno.ENAMETOOLONG: "give it a shorter name",
}


class AtomicFile:
    """Write a file under a temporary name beside its target; `commit` syncs it and gives it the target's name.

    As a context manager it commits at the end, or discards what was written where the block raises. A target that is
    a device or a pipe, such as ``/dev/stdout``, is written directly.

    Attributes:
        target: the path that is replaced.
        file: the open binary file.
    """

    def __init__(self, target: str | os.PathLike[str], *, publish: bool = True) -> None:
        """Open the temporary file.

        Args:
            target: the path to replace.
            publish: whether `commit` ends with syncing and renaming; else `publish_files` does both for many files.

        Raises:
            OSError: the file cannot be made; the error names the target.
            StoreError: the target is in a store that cannot be written to.
        """
        self.target = to_path(target)
        if isinstance(self.target, RemotePath):
            self.target.check_writable()
        self._publish = publish
        self._temporary: Path | None = None if _is_special(self.target) else temporary_name(self.target)
        try:
            self._raw = _ErrorKeepingFile(self._temporary or self.target, "xb" if self._temporary else "wb")
        except OSError as error:
            raise error_about(error, self.target) from error
        self.file = io.BufferedWriter(self._raw)

    def commit(self) -> None:
        """Sync the contents, rename the file to its target, and sync the folder.

        Raises:
            OSError: the file cannot be written; the error names the target, and nothing is left behind.
        """
        try:
            self.file.flush()
            if self._publish and isinstance(self.target, Path):  # a store keeps what it has answered for
                _sync(self._raw.fileno())
            self._raw.close()
            if self._publish:
                self._rename()
                if isinstance(self.target, Path):
                    sync_folder(self.target.parent)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise error_about(error, self.target) from error
            raise

    def discard(self) -> None:
        """Remove what was written; safe after a failed write, and after `commit`."""
        with contextlib.suppress(OSError):
            self._raw.close()  # not the buffer: flushing it would fail again on a full disk
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _sync_closed(self) -> None:
        if self._temporary is not None:
            with self._temporary.open("r+b") as file:
                _sync(file.fileno())

    def _rename(self) -> None:
        if self._temporary is None:
            return
        if isinstance(self.target, Path):
            self._temporary.replace(self.target)
        else:
            with self._temporary.open("rb") as file:
                self.target.upload(file)
            self._temporary.unlink()
        self._temporary = None

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
            return
        self.discard()
        if self._raw.error is not None:  # libraries that write into the file hide it behind errors of their own
            raise error_about(self._raw.error, self.target) from error


def publish_files(files: Iterable[AtomicFile]) -> None:
    """Sync files written with ``publish=False``, rename each to its target, and sync the targets' folders.

    One call for many files waits for the disk fewer times than one call for each: files are synced on several threads,
    which lets the file system write them together.

    Raises:
        OSError: a file cannot be synced or renamed; the error names its target, and no temporary file is left behind.
    """
    files = list(files)
    target: AnyPath | None = None  # _sync_at_once names it by itself
    try:
        _sync_at_once(files)
        for file in files:
            target = file.target
            file._rename()  # noqa: SLF001
        for target in dict.fromkeys(file.target.parent for file in files):
            if isinstance(target, Path):
                sync_folder(target)
    except BaseException as error:
        for file in files:
            file.discard()
        if isinstance(error, OSError) and target is not None:
            raise error_about(error, target) from error
        raise


def _sync_at_once(files: Sequence[AtomicFile]) -> None:
    """Sync closed files on threads; raise the first error in the files' order, about its target."""
    errors: dict[int, BaseException] = {}
    left = iter(enumerate(files))
    one_at_a_time = threading.Lock()

    def work() -> None:
        while not errors:
            with one_at_a_time:
                place, file = next(left, (0, None))
            if file is None:
                return
            try:
                file._sync_closed()  # noqa: SLF001
            except BaseException as error:  # whatever it is, it belongs to the caller's thread
                errors[place] = error

    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(_SYNC_THREADS, len(files)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        place, error = min(errors.items())
        raise error_about(error, files[place].target) if isinstance(error, OSError) else error


class _ErrorKeepingFile(io.FileIO):
    """A raw file that remembers the first error of writing to it."""

    error: OSError | None = None

    def write(self, contents: Any, /) -> int:
        try:
            return super().write(contents)
        except OSError as error:
            self.error = self.error or error
            raise


def replace_file(path: str | os.PathLike[str], contents: bytes) -> None:
    """Write a file atomically and durably; see `AtomicFile`.

    Raises:
        OSError: the file cannot be written; the error names the path, and the old file is unharmed.
    """
    with AtomicFile(path) as target:
        target.file.write(contents)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically and durably, line ends as they are; see `AtomicFile`."""
    replace_file(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 1) -> None:
    """Write a JSON file atomically and durably; strings that are not valid Unicode survive as escapes."""
    replace_file(path, json_bytes(value, indent=indent) + b"\n")


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Encode a value as JSON in UTF-8; in ASCII where a string holds what UTF-8 cannot, such as a lone surrogate.

    File names that are not UTF-8 hold lone surrogates in Python.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False).encode("ascii")


def temporary_name(target: AnyPath) -> Path:
    """Return a fresh temporary name in the target's folder; its length does not depend on the target's name.

    Of a target in a store, the name is in the system's folder of temporary files.
    """
    begin, end = _TEMPORARY
    folder = target.parent if isinstance(target, Path) else Path(tempfile.gettempdir())
    return folder / f"{begin}{secrets.token_hex(6)}{end}"


def is_temporary(name: str) -> bool:
    """Return whether a file name is one that `temporary_name` makes."""
    return name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1])


def remove_temporary(folder: AnyPath) -> None:
    """Remove the temporary files that killed processes left in a folder; call it under the folder's lock.

    A store has none: an object appears when it is whole.
    """
    if not isinstance(folder, Path):
        return
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if is_temporary(entry.name)]
    for path in left:
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()


def replace_path(source: Path, target: Path) -> None:
    """Rename a synced file or folder to its target; a folder there is removed, or is back where renaming fails."""
    old = temporary_name(target)
    if target.is_dir():
        target.rename(old)
    try:
        source.replace(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_file(file: io.IOBase | Any) -> None:
    """Flush an open file and wait until its contents are on the disk."""
    file.flush()
    _sync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; do nothing where folders cannot be synced.

    Windows and some network and FUSE file systems cannot sync a folder. Files there have been synced by themselves;
    what a power cut may undo is the rename, which leaves the old file, whole.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _CANNOT_SYNC:
            return
        raise
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: AnyPath) -> None:
    """Make a folder and those above it that are missing, each synced into the one that holds it; a store needs none."""
    if not isinstance(folder, Path):
        folder.check_writable()
        return
    missing = list(itertools.takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder))


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _is_special(path: AnyPath) -> bool:
    """Return whether a path is neither a regular file nor a folder, such as a device or a pipe."""
    if not isinstance(path, Path):
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def error_about(error: OSError, target: AnyPath) -> OSError:
    """Return an error that names the target and a hint, in place of one that names no file or a temporary one."""
    if error.errno is None:
        return error
    hint = _HINTS.get(error.errno, "")
    return OSError(error.errno, f"{error.strerror}; {hint}" if hint else error.strerror, os.fspath(target))
