"""Read regular files, or parts of them, of bounded size, from the file system or from a store."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO

from prepixel.stores.remote_path import RemotePath, is_url, read_listed

_MAX_PART = 1 << 31  # bytes of one image's file


def read_regular_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a file of bounded size; pipes and devices are refused before they are read.

    Raises:
        OSError: the file cannot be opened, is no regular file, or is larger than ``max_bytes``.
        StoreError: the store that holds it does not answer, or refuses.
    """
    if isinstance(path, RemotePath):
        return path.read_bytes(max_bytes=max_bytes)
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise OSError(errno.EFBIG, f"has {size} bytes; {max_bytes} are read at most", os.fspath(path))
        return file.read(max_bytes)


def open_regular_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for reading; pipes and devices are refused without waiting for them.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # of the descriptor: what is checked is what is read
            raise OSError(errno.EINVAL, "is no regular file", os.fspath(path))
        return open(descriptor, "rb")  # noqa: PTH123
    except BaseException:
        os.close(descriptor)
        raise


def read_regular_file_part(path: str | os.PathLike[str], offset: int, size: int) -> bytes:
    """Read a known number of bytes of a file.

    Raises:
        OSError: the file cannot be opened, is no regular file, has become shorter, or the part is above 2 GiB.
    """
    if size > _MAX_PART:
        raise OSError(errno.EFBIG, f"has {size} bytes; {_MAX_PART} are read at most", os.fspath(path))
    if is_url(path):
        return check_whole(read_listed(os.fspath(path), offset, size), size, path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  (what is checked is what is read)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", os.fspath(path))
        file.seek(offset)
        contents = file.read(size)
    return check_whole(contents or b"", size, path)


def check_whole(contents: bytes, size: int, path: str | os.PathLike[str]) -> bytes:
    """Return what was read of a file, if it is as long as it should be.

    Raises:
        OSError: it is shorter.
    """
    if len(contents) != size:
        raise OSError(errno.EIO, f"became shorter while it was read ({len(contents)} of {size} bytes)", os.fspath(path))
    return contents
