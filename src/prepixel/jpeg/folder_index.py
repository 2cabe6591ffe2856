"""The indexes of a folder's JPEGs in one file, mapped into memory and looked up by path.

Format: docs/formats/jpeg-index.md, "Beside a folder".
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from prepixel.errors import MalformedIndex
from prepixel.files import open_regular_file

SIDECAR_NAME = "prepixel.ppi"
MAGIC = b"ppi\x01"
_HEADER = struct.Struct("<4sHH")  # magic, MCUs between checkpoints, zero
_RECORD = struct.Struct("<qIHH")  # time of change of the file, bytes of the index, of the path, zero
_FOOTER = struct.Struct("<QQQ4sI")  # records, offset of the table, size of this file, magic, zero
_HINT = "Make it again: prepixel index FOLDER"
_MAX_PATH = 65535
_NO_INDEX = b"\0"


class IndexRecord(NamedTuple):
    """One file's index.

    Attributes:
        path: below the folder, its parts separated by ``/``.
        modified_ns: when the file was changed last, as the indexing process saw it.
        data: the bytes of its `JpegIndex`.
    """

    path: str
    modified_ns: int
    data: bytes


class FolderIndex:
    """The indexes of a folder's JPEGs, as `prepixel index` writes them; read by `open_folder_index`.

    Any number of threads and processes may share one; a pickled one is opened again.

    Attributes:
        root: the folder, as its files' paths begin.
        path: the file that holds the indexes.
        every: MCUs between two checkpoints of a row; 0: there is one for each row.
    """

    def __init__(self, root: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> None:
        """Open the file.

        Args:
            root: the folder.
            path: where its indexes are; None for `SIDECAR_NAME` in the folder.

        Raises:
            MalformedIndex: the file is damaged.
            OSError: it cannot be opened.
        """
        self.root = os.fspath(root)
        self.path = Path(path if path is not None else Path(root, SIDECAR_NAME))
        self._prefix = os.path.join(self.root, "")  # noqa: PTH118
        self._absolute = os.path.join(os.path.abspath(self.root), "")  # noqa: PTH100, PTH118
        with open_regular_file(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size < _HEADER.size + _FOOTER.size:
                raise self._damaged("it is too short to be an index of a folder")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count, table, told_size, magic, zero = _FOOTER.unpack_from(self._bytes, size - _FOOTER.size)
        _, self.every, _ = _HEADER.unpack_from(self._bytes, 0)
        fits = told_size == size and count <= size // 16 and table + 16 * count + _FOOTER.size == size
        if self._bytes[:4] != MAGIC or magic != MAGIC or zero or not fits:
            raise self._damaged("it is truncated, damaged, or no index of a folder")
        self._hashes = np.frombuffer(self._bytes, "<u8", count, table)
        self._offsets = np.frombuffer(self._bytes, "<u8", count, table + 8 * count)

    def __len__(self) -> int:
        return len(self._hashes)

    def __reduce__(self) -> tuple[Any, ...]:
        return FolderIndex, (self.root, self.path)

    def __iter__(self) -> Iterator[IndexRecord]:
        """Yield all records, sorted by the hash of their paths."""
        for offset in self._offsets.tolist():
            yield self._record(offset)

    def find(self, paths: Sequence[object]) -> list[memoryview | None]:
        """Return the bytes of each file's index; None for files that have none, and for sources that are no paths.

        Nothing is checked that reading by an index checks: whether it is whole, and the file's. A damaged record counts
        as an index that is damaged.
        """
        names = [self._name(path) for path in paths]
        hashes = [0 if name is None else path_hash(name) for name in names]
        places = np.searchsorted(self._hashes, np.array(hashes, dtype=np.uint64)).tolist()
        return [
            None if name is None else self._find(name, hashed, place)
            for name, hashed, place in zip(names, hashes, places, strict=True)
        ]

    def record(self, path: str) -> IndexRecord | None:
        """Return the record of a path below the folder, its parts separated by ``/``; None where there is none."""
        name = os.fsencode(path)
        hashed = path_hash(name)
        offset = self._offset(name, hashed, int(np.searchsorted(self._hashes, np.uint64(hashed))))
        return None if offset is None else self._record(offset)

    def _name(self, path: object) -> bytes | None:
        if not isinstance(path, str | os.PathLike):
            return None
        text, prefix = os.fspath(path), self._prefix
        if not isinstance(text, str):
            return None
        if not text.startswith(prefix):  # the folder may be named in another way
            text, prefix = os.path.abspath(text), self._absolute  # noqa: PTH100
            if not text.startswith(prefix):
                return None
        return os.fsencode(text[len(prefix) :].replace(os.sep, "/"))

    def _find(self, name: bytes, hashed: int, place: int) -> memoryview | None:
        try:
            offset = self._offset(name, hashed, place)
            if offset is None:
                return None
            begin, path_size, size = self._parts(offset)
        except MalformedIndex:
            return memoryview(_NO_INDEX)
        return memoryview(self._bytes)[begin + path_size : begin + path_size + size]

    def _offset(self, name: bytes, hashed: int, place: int) -> int | None:
        """Return where a path's record is, which is at `place` of the table or, with the same hash, behind it."""
        while place < len(self._hashes) and int(self._hashes[place]) == hashed:
            offset = int(self._offsets[place])
            begin, path_size, _ = self._parts(offset)
            if self._bytes[begin : begin + path_size] == name:
                return offset
            place += 1
        return None

    def _parts(self, offset: int) -> tuple[int, int, int]:
        """Return where a record's path begins, its bytes, and those of the index behind it."""
        size = len(self._bytes)
        if offset + _RECORD.size > size:
            raise self._damaged("a record lies behind its end")
        _, index_size, path_size, _ = _RECORD.unpack_from(self._bytes, offset)
        if offset + _RECORD.size + path_size + index_size > size:
            raise self._damaged("a record ends behind its end")
        return offset + _RECORD.size, path_size, index_size

    def _record(self, offset: int) -> IndexRecord:
        begin, path_size, size = self._parts(offset)
        path = os.fsdecode(self._bytes[begin : begin + path_size])
        data = self._bytes[begin + path_size : begin + path_size + size]
        return IndexRecord(path, _RECORD.unpack_from(self._bytes, offset)[0], bytes(data))

    def _damaged(self, what: str) -> MalformedIndex:
        return MalformedIndex(what, hint=_HINT, source=os.fspath(self.path))


def open_folder_index(root: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> FolderIndex | None:
    """Open the indexes of a folder; None where there are none.

    Args:
        root: the folder.
        path: where its indexes are; None for `SIDECAR_NAME` in the folder.

    Raises:
        MalformedIndex: the file of indexes is damaged.
        OSError: it cannot be opened.
    """
    try:
        return FolderIndex(root, path)
    except FileNotFoundError:
        return None


def path_hash(name: bytes) -> int:
    """Return the number that a path is looked up by: BLAKE2b of 8 bytes, little-endian."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")


def begin_records(file: IO[bytes], every: int) -> None:
    """Write what stands in front of the records."""
    file.write(_HEADER.pack(MAGIC, every, 0))


def write_record(file: IO[bytes], record: IndexRecord) -> None:
    """Append a record.

    Raises:
        ValueError: the path is longer than 65,535 bytes.
    """
    name = os.fsencode(record.path)
    if len(name) > _MAX_PATH:
        raise ValueError(f"a path of {len(name)} bytes is longer than {_MAX_PATH}")
    file.write(_RECORD.pack(record.modified_ns, len(record.data), len(name), 0) + name + record.data)


def record_size(record: IndexRecord) -> int:
    """Return the bytes that `write_record` writes."""
    return _RECORD.size + len(os.fsencode(record.path)) + len(record.data)


def read_records(file: IO[bytes], every: int) -> Iterator[tuple[int, IndexRecord]]:
    """Yield records and their offsets, up to the first that is not whole; none of a file of another ``every``."""
    begin = file.read(_HEADER.size)
    if len(begin) < _HEADER.size or begin != _HEADER.pack(MAGIC, every, 0):
        return
    offset = _HEADER.size
    while len(fields := file.read(_RECORD.size)) == _RECORD.size:
        modified_ns, size, path_size, _ = _RECORD.unpack(fields)
        name, data = file.read(path_size), file.read(size)
        if len(data) < size or len(name) < path_size:
            return
        yield offset, IndexRecord(os.fsdecode(name), modified_ns, data)
        offset += _RECORD.size + path_size + size


def finish_records(file: IO[bytes], offsets: dict[str, int]) -> None:
    """Append the table that records are found by.

    Args:
        file: stands behind its last record.
        offsets: of each path's record.
    """
    file.write(bytes(-file.tell() % 8))
    table = file.tell()
    pairs = sorted((path_hash(os.fsencode(path)), offset) for path, offset in offsets.items())
    for column in zip(*pairs, strict=True) if pairs else ():
        file.write(np.array(column, dtype="<u8").tobytes())
    file.write(_FOOTER.pack(len(pairs), table, file.tell() + _FOOTER.size, MAGIC, 0))
