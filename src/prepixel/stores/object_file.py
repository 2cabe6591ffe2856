"""Read a listed object of a store as a file, from front to back, in ranges."""

from __future__ import annotations

import io
import os

from prepixel.stores.remote_path import ListedObject, read_listed

_FIRST, _MOST = 64 << 10, 8 << 20  # bytes of a range
_NEAR = 1 << 20  # bytes that are cheaper to read than a request is to wait for: 20 ms at 400 Mbit/s


class ObjectFile(io.RawIOBase):
    """Read a listed object; memory holds one range of it.

    A range that goes on where the last one ended, or at most 1 MiB behind, is twice as long as that, 8 MiB at most.
    After another jump it has 64 KiB. So what is read in order needs few requests, and what is jumped over is not read.
    """

    def __init__(self, path: ListedObject) -> None:
        """Name the object; nothing is read yet."""
        super().__init__()
        self._path, self._position = path, 0
        self._begin, self._range, self._length = 0, b"", _FIRST // 2

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; nothing is read."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._path.info.size}[whence]
        self._position = max(0, begin + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read bytes; fewer than asked for at the end only.

        Raises:
            FileNotFoundError, ObjectReplaced, StoreError: as `prepixel.stores.client.read_object`.
        """
        left = max(0, self._path.info.size - self._position)
        left = left if size < 0 else min(size, left)
        pieces = []
        while left:
            place = self._position - self._begin
            if not 0 <= place < len(self._range):
                self._fetch()
                place = 0
            if not self._range:  # the object is shorter than it was listed
                break
            piece = self._range[place : place + left]
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _fetch(self) -> None:
        """Read the range that begins at the position."""
        jump = self._position - self._begin - len(self._range)
        self._length = min(2 * self._length, _MOST) if 0 <= jump <= _NEAR else _FIRST
        size = min(self._length, self._path.info.size - self._position)
        self._begin, self._range = self._position, read_listed(self._path, self._position, size)
