"""Files to be band-limited, in a folder or in a store: their listing, and the reading of each."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias

from prepixel.data.read_ahead import read_ahead
from prepixel.errors import DatasetError, JpegLimitExceeded
from prepixel.files import image_files, open_regular_file
from prepixel.jpeg import Limits
from prepixel.jpeg.folder_index import SIDECAR_NAME
from prepixel.stores.client import list_objects
from prepixel.stores.remote_path import AnyPath, ListedObject, RemotePath, download_listed, read_listed

_SOI = b"\xff\xd8"
_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")


class FileState(NamedTuple):
    """Store what tells whether a source has changed; the ETag is that of an object in a store."""

    size: int = 0
    modified_ns: int = 0
    etag: str = ""


class FileSource:
    """A file of the file system.

    Attributes:
        path: where it is.
        state: known after reading.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = FileState()

    def read_jpeg(self, limits: Limits) -> bytes | None:
        """Return the bytes of a JPEG, None of another file.

        Raises:
            JpegLimitExceeded: the file is larger than the limits.
            OSError: the file cannot be read.
        """
        with open_regular_file(self.path) as file:
            status = os.fstat(file.fileno())
            self.state = FileState(status.st_size, status.st_mtime_ns)
            if not is_named_jpeg(self.path.name) and file.read(len(_SOI)) != _SOI:
                return None
            return _read_whole(file, limits)

    def can_be_copied(self, error: Exception) -> bool:
        """Return whether the file is there and can be read."""
        del error
        return self.path.is_file() and os.access(self.path, os.R_OK)

    def copy_into(self, file: IO[bytes]) -> None:
        """Write the file's bytes into another."""
        with self.path.open("rb") as contents:
            shutil.copyfileobj(contents, file)


class ObjectSource:
    """An object of a store, and what `read_object_source` has read of it.

    Attributes:
        path: its URL.
        state: by its listing.
    """

    def __init__(self, path: ListedObject, fetched: bytes | OSError | None) -> None:
        self.path = path
        self.state = FileState(path.info.size, path.info.modified_ns, path.info.etag)
        self._fetched = fetched

    def read_jpeg(self, limits: Limits) -> bytes | None:
        """Return the bytes of a JPEG, None of another file; to be called once.

        Raises:
            JpegLimitExceeded: the object is larger than the limits.
            OSError: the object could not be read.
        """
        fetched, self._fetched = self._fetched, None  # what has been read is not kept while the result is written
        if isinstance(fetched, OSError):
            raise fetched
        if fetched is not None:
            _check_size(self.state.size, limits)
        return fetched

    def can_be_copied(self, error: Exception) -> bool:
        """Return whether the object is there."""
        return not isinstance(error, OSError)

    def copy_into(self, file: IO[bytes]) -> None:
        """Write the object's bytes into a file."""
        download_listed(self.path, file)


Source: TypeAlias = FileSource | ObjectSource
"""One file to be band-limited."""


def is_named_jpeg(name: str) -> bool:
    """Return whether a file's name is that of a JPEG."""
    return name.lower().endswith(_JPEG_ENDINGS)


def read_jpeg_file(path: AnyPath, limits: Limits) -> bytes:
    """Read a JPEG's bytes, from a regular file, or an object, of at most ``limits.max_memory_bytes``.

    Raises:
        JpegLimitExceeded: the file is larger.
        OSError: the file cannot be opened, or is no regular file.
        StoreError: the store does not answer, or refuses.
    """
    if isinstance(path, RemotePath):
        listed = path.listed()
        _check_size(listed.info.size, limits)
        return read_listed(listed)
    with open_regular_file(path) as file:
        return _read_whole(file, limits)


def read_object_source(path: ListedObject, limits: Limits) -> ObjectSource:
    """Read a JPEG whole, unless it is too large; of another object, its first bytes; an error is kept for later."""
    size = path.info.size
    try:
        contents: bytes | None = b""
        if not is_named_jpeg(path):
            contents = read_listed(path, 0, len(_SOI)) if size else b""
            if contents != _SOI:
                return ObjectSource(path, None)
        if size <= limits.max_memory_bytes:
            contents = read_listed(path)
        return ObjectSource(path, contents)
    except OSError as error:
        return ObjectSource(path, error)


def read_sources(
    root: AnyPath, names: Iterable[str], objects: Sequence[ListedObject], limits: Limits
) -> Generator[tuple[str, Source], None, None]:
    """Yield files with their names, in order; objects of a store are read ahead, files when it is their turn.

    Args:
        root: the source.
        names: below it.
        objects: the same in a store, with what their listing said; none of a folder.
        limits: what each file may ask for.
    """
    if isinstance(root, Path):
        yield from ((name, FileSource(root / name)) for name in names)
        return

    def size_of(item: tuple[str, ListedObject]) -> int:
        return item[1].info.size if item[1].info.size <= limits.max_memory_bytes else len(_SOI)

    items = zip(names, objects, strict=True)
    with contextlib.closing(read_ahead(items, lambda item: read_object_source(item[1], limits), size_of)) as fetched:
        for (name, _), source in fetched:
            yield name, source


@dataclass(frozen=True)
class SourceFiles:
    """List the files below a source.

    Attributes:
        root: the source, a folder or one in a store.
        names: below it, sorted.
        objects: of a source in a store, what its listing said, by name.
    """

    root: AnyPath
    names: Sequence[str]
    objects: Mapping[str, ListedObject] = field(default_factory=dict)

    def state(self, name: str) -> FileState | None:
        """Return a file's size and time of change; None of one that is no regular file.

        Raises:
            OSError: it is not there, or cannot be reached.
        """
        if name in self.objects:
            info = self.objects[name].info
            return FileState(info.size, info.modified_ns, info.etag)
        status = os.stat(f"{self.root}{os.sep}{name}")  # noqa: PTH116  (a million Paths cost seconds)
        return FileState(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def read_jpeg(self, name: str, limits: Limits) -> bytes:
        """Read a JPEG's bytes.

        Raises:
            JpegLimitExceeded, OSError, StoreError: as `read_jpeg_file`.
        """
        if name not in self.objects:
            return read_jpeg_file(self.root / name, limits)
        _check_size(self.objects[name].info.size, limits)
        return read_listed(self.objects[name])


def list_source(root: AnyPath) -> SourceFiles:
    """List the files below a source, without its own index, which fits no other file."""
    begin = len(str(root)) + 1
    paths = sorted(image_files(root, extensions=("",)))
    if isinstance(root, Path):
        names = [Path(path).relative_to(root).as_posix() for path in paths]
        return SourceFiles(root, [name for name in names if name != SIDECAR_NAME])
    objects = {path[begin:]: path for path in paths if isinstance(path, ListedObject)}
    objects.pop(SIDECAR_NAME, None)
    return SourceFiles(root, list(objects), objects)


def check_names(files: SourceFiles, goal: AnyPath) -> None:
    """Raise where a target cannot have the names of the source.

    Raises:
        DatasetError: an object of a store has a name that no file can have here, or a folder has, too; or a file's name
            is not UTF-8, which names in stores are.
    """
    if isinstance(files.root, Path) and isinstance(goal, Path):
        return
    folders = set[str]()
    for name in files.names:
        if isinstance(goal, Path):
            folders.update(itertools.accumulate(name.split("/")[:-1], "{}/{}".format))
            if Path(name).as_posix() != name or Path(name).drive:
                raise DatasetError(f"{files.root / name}: no file can have this name here; write into a store")
        elif not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DatasetError(f"{str(files.root / name)!r}: its name is not UTF-8, as names in a store are; rename it")
    if both := next((name for name in files.names if name in folders), None):
        raise DatasetError(
            f"{files.root / both}: is an object, and objects lie below it, which no folder can hold; rename it, or "
            "write into a store"
        )


class TargetSizes:
    """Sizes of the files in a target; a store is listed once, when the first is asked for."""

    def __init__(self, goal: AnyPath) -> None:
        """Name the target; nothing is read yet."""
        self._goal = goal
        self._sizes: dict[str, int] | None = None

    def of(self, name: str) -> int | None:
        """Return a file's size; None of one that is not there."""
        if isinstance(self._goal, Path):
            try:
                return (self._goal / name).stat().st_size
            except OSError:
                return None
        if self._sizes is None:
            self._sizes = _list_sizes(self._goal)
        return self._sizes.get(name)


def _list_sizes(root: RemotePath) -> dict[str, int]:
    begin = len(root.key) + 1 if root.key else 0
    return {info.key[begin:]: info.size for info in list_objects(root.bucket, root.key)}


def _read_whole(file: IO[bytes], limits: Limits) -> bytes:
    """Read a file from its start, after a look at its size."""
    size = os.fstat(file.fileno()).st_size
    _check_size(size, limits)
    file.seek(0)
    return file.read(size)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_memory_bytes:
        raise JpegLimitExceeded(
            f"a file of {size} bytes is larger than the limit of {limits.max_memory_bytes}",
            hint="Raise Limits.max_memory_bytes if you trust the file",
        )
