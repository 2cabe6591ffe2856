"""Listings of folders in a store, saved to a file that jobs read instead of listing again, a line at a time.

The first line is a header; each further one is an image as a JSON list (name, label, bytes, ETag, time of change in
nanoseconds); the last one says how many there were, so that a listing that was cut is recognized. However many images
are listed, 8 bytes of memory are needed for each.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, overload

import numpy as np

from prepixel.data.datasets.folder import class_folder_samples
from prepixel.data.datasets.text_formats import MAX_CLASSES
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.errors import DatasetError, reason_of
from prepixel.files import AtomicFile, json_bytes
from prepixel.stores.client import ObjectInfo
from prepixel.stores.remote_path import AnyPath, ListedObject, RemotePath, to_path

_FORMAT = "prepixel listing 1"
_CHUNK = 1 << 24  # bytes read at a time to find the lines


class SavedEntries(Sequence[PackEntry]):
    """The images of a saved listing; each is read from the file when it is asked for."""

    def __init__(self, file: IO[bytes], name: str, root: RemotePath, num_classes: int) -> None:
        """Find the lines of an open file behind its header.

        Raises:
            DatasetError: it does not end as a listing does.
        """
        weakref.finalize(self, file.close)
        self._file, self._name, self._root, self._num_classes = file, name, root, num_classes
        starts = _line_starts(file.fileno())
        self._starts, count = starts[1:-1], len(starts) - 3  # without the header, the last line and the file's end
        end = os.pread(file.fileno(), int(starts[-1] - starts[-2]), int(starts[-2])) if count >= 0 else b""
        if count < 0 or end != _last_line(count):
            raise DatasetError(f"{name}: is cut, or damaged; remove it, and it is made again")

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> PackEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PackEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> PackEntry | tuple[PackEntry, ...]:
        if isinstance(index, slice):
            places = range(len(self))[index]
            if not places:
                return ()
            begin, last = min(places[0], places[-1]), max(places[0], places[-1])
            return tuple(self._read(begin, last + 1))[places[0] - begin :: places.step]
        place = range(len(self))[index]
        return next(self._read(place, place + 1))

    def __iter__(self) -> Iterator[PackEntry]:
        for begin in range(0, len(self), 1000):
            yield from self._read(begin, min(begin + 1000, len(self)))

    def _read(self, begin: int, end: int) -> Iterator[PackEntry]:
        """Yield neighbors, read at once."""
        first, last = int(self._starts[begin]), int(self._starts[end])
        for line in os.pread(self._file.fileno(), last - first, first).splitlines():
            yield self._entry(line)

    def _entry(self, line: bytes) -> PackEntry:
        try:
            name, label, size, etag, modified_ns = json.loads(line)
            if not (isinstance(name, str) and isinstance(etag, str) and 0 <= label < self._num_classes and size >= 0):
                raise ValueError(f"{line[:60]!s} is no image of it")
            info = ObjectInfo((self._root / name).key, size, etag, modified_ns)
            return PackEntry(name, label, size, ListedObject.of(self._root.bucket, info), 0)
        except (ValueError, TypeError) as error:
            raise DatasetError(
                f"{self._name}: is damaged ({reason_of(error)}); remove it, and it is made again"
            ) from error


def list_images(
    root: RemotePath,
    class_names: tuple[str, ...] | None,
    path: str | os.PathLike[str] | None,
    folders: list[str] | None = None,
) -> tuple[tuple[str, ...], SavedEntries]:
    """Return the classes and images of a folder of class folders in a store.

    Args:
        root: the folder.
        class_names: the classes in order of their labels; None for the folders' names.
        path: of the listing's file: read if it is there, else written; in a store, too. None for a temporary file.
        folders: the names of the class folders; None to list them.

    Raises:
        DatasetError: the folder is not there, holds no image, or classes that are not named; or the file is damaged,
            or is the listing of another folder, or with other classes.
    """
    if path is None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile())
            classes = _write(file, root, class_names, folders)
            file.flush()
            stack.pop_all()  # it stays open as long as its entries are used
        return classes, SavedEntries(file, f"the listing of {root}", root, len(classes))
    place = to_path(path)
    if not place.is_file():
        with AtomicFile(place) as target:
            _write(target.file, root, class_names, folders)
    saved = _open(place)
    with contextlib.ExitStack() as stack:
        stack.callback(saved.close)
        classes = _check_header(saved, str(place), root, class_names)
        stack.pop_all()
    return classes, SavedEntries(saved, str(place), root, len(classes))


def _open(place: AnyPath) -> IO[bytes]:
    """Open a listing's file, which stays open as long as its entries are used; of one in a store, a copy."""
    if isinstance(place, Path):
        return place.open("rb")
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile())
        place.download(copy)
        copy.flush()
        stack.pop_all()
    return copy


def _write(
    file: IO[bytes], root: RemotePath, class_names: tuple[str, ...] | None, folders: list[str] | None
) -> tuple[str, ...]:
    """List the folder into a file; return the classes."""
    classes, samples = class_folder_samples(root, class_names, folders=folders)
    file.write(json_bytes({"format": _FORMAT, "root": str(root), "classes": classes}) + b"\n")
    count, begin = 0, len(str(root)) + 1
    for path, label in samples:
        assert isinstance(path, ListedObject)
        file.write(json_bytes([path[begin:], label, path.info.size, path.info.etag, path.info.modified_ns]) + b"\n")
        count += 1
    file.write(_last_line(count))
    return classes


def _last_line(count: int) -> bytes:
    return json.dumps({"num_images": count}).encode("ascii") + b"\n"


def _check_header(file: IO[bytes], name: str, root: RemotePath, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    file.seek(0)
    try:
        fields: Any = json.loads(file.readline())
        if fields["format"] != _FORMAT:
            raise ValueError(f"its format is {str(fields['format'])[:40]!r}")
        classes = tuple(fields["classes"])
        if not 1 <= len(classes) <= MAX_CLASSES or not all(isinstance(one, str) for one in classes):
            raise ValueError("its classes are no names")
        found = str(fields["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{name}: is no listing that prepixel wrote ({reason_of(error)}); name another file"
        ) from error
    if found != str(root):
        raise DatasetError(f"{name}: is the listing of {found}, and {root} is asked for; name another file")
    if class_names is not None and classes != class_names:
        raise DatasetError(f"{name}: has other classes than those named; name another file, or remove this one")
    return classes


def _line_starts(descriptor: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return where lines begin, and the end of the last."""
    size = os.fstat(descriptor).st_size
    found = [np.zeros(1, dtype=np.int64)]
    for begin in range(0, size, _CHUNK):
        chunk = np.frombuffer(os.pread(descriptor, _CHUNK, begin), dtype=np.uint8)
        found.append(np.flatnonzero(chunk == ord("\n")) + (begin + 1))
    return np.concatenate(found)
