"""Sources: where the bytes of an image come from, and how they are read without surprises.

A source is a path, a buffer, or an open binary file. Only regular files are opened by path, and never more is read than
the limit on memory allows, so that a FIFO, a device or a sparse file of terabytes cannot hang or exhaust a process.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from prepixel.errors import JpegLimitExceeded, UnreadableImage

# Open files are read in parts of this size.
_PART = 1 << 22

Contents: TypeAlias = bytes | bytearray | memoryview | mmap.mmap | npt.NDArray[Any]
"""A file's bytes in any contiguous buffer; of a kind not listed, give its ``memoryview``."""


@runtime_checkable
class BinaryFile(Protocol):
    """An open binary file, such as ``open(path, "rb")`` or ``io.BytesIO``; read from its position to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes; all that are left where the size is negative."""


Source: TypeAlias = Contents | str | os.PathLike[str] | BinaryFile
"""A path, a file's bytes, or an open binary file."""

_KINDS = {
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Limits:
    """What a file may ask for before it is refused; the defaults suit files from strangers.

    Attributes:
        max_pixels: height times width; also the number of blocks that all scans together may visit, which ends
            a file of countless empty scans after seconds and leaves an image of that size some twenty scans.
        max_memory_bytes: for all coefficient planes together, and for the pixels and the decoder's buffers where an
            image has no coefficients; a larger file is not read either. While a JPEG is decoded, up to its own size
            comes on top. Functions that read many images on threads hold all that they work on at a time to it, too.
            On top of that come files that `prepixel.spectrum.open_images` holds, up to 256 MiB and never more than
            this.
        max_scans: scans of a file; progressive files have about ten.
    """

    max_pixels: int = 2**28
    max_memory_bytes: int = 2**31
    max_scans: int = 500

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_memory_bytes", "max_scans"):
            if not 0 < getattr(self, name) < 2 ** (31 if name == "max_scans" else 63):
                raise ValueError(f"Limits.{name} is {getattr(self, name)}; give a positive number")


def is_path(source: object) -> bool:
    """Return whether a source is a path."""
    return isinstance(source, str | os.PathLike)


def is_file(source: object) -> bool:
    """Return whether a source is an open binary file. (A mapped file has a ``read``, too, and is a buffer.)"""
    # Not isinstance(source, BinaryFile): a check against a Protocol takes 5 us, and this is asked of every image.
    return callable(getattr(source, "read", None)) and not isinstance(source, mmap.mmap)


def check_sources(sources: Sequence[Source]) -> list[Source]:
    """Return sources as a list.

    Raises:
        TypeError: one source is given in place of a list of sources, or a source is of none of these kinds.
    """
    if isinstance(sources, (str, os.PathLike, bytes, bytearray, memoryview, mmap.mmap, np.ndarray)) or is_file(sources):
        raise TypeError(f"sources is one {type(sources).__name__}; give a list of sources, even of one: [source]")
    sources = list(sources)
    for place, source in enumerate(sources):
        if not (is_path(source) or isinstance(source, bytes) or is_file(source) or _is_buffer(source)):
            raise TypeError(
                f"source {place} is a {type(source).__name__}; give a path, a file's bytes, or an open binary file"
            )
    return sources


def _is_buffer(source: Any) -> bool:
    try:
        memoryview(source).release()
    except TypeError:
        return False
    return True


def source_name(source: Source) -> str:
    """Return what messages call a source: its path, or the size of its buffer."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if is_file(source):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else f"open {type(source).__name__}"
    return f"buffer of {memoryview(source).nbytes} bytes"  # type: ignore[arg-type]


@contextmanager
def open_regular(path: str | os.PathLike[str], limits: Limits) -> Iterator[io.FileIO]:
    """Open a regular file to read, unbuffered.

    Raises:
        UnreadableImage: the path leads to a FIFO, a device or a socket.
        JpegLimitExceeded: the file is larger than `limits` allow.
        OSError: the file cannot be opened, or is a folder.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO and (special := special_file_error(path)):  # a socket cannot be opened
            raise special from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise special_file_error(path) or UnreadableImage(f"{os.fspath(path)}: changed while it was opened")
        if status.st_size > limits.max_memory_bytes:
            raise too_large(status.st_size, limits, os.fspath(path))
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def too_large(size: int, limits: Limits, name: str) -> JpegLimitExceeded:
    """Return the error of a file that is larger than the limit on memory."""
    return JpegLimitExceeded(
        f"a file of {size} bytes is larger than the limit of {limits.max_memory_bytes}",
        hint="Raise Limits.max_memory_bytes if you trust the file",
        source=name,
    )


def special_file_error(path: str | os.PathLike[str]) -> Exception | None:
    """Return the error of a path that leads to no regular file; None if it leads to one."""
    name = os.fspath(path)
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)  # noqa: PTH116  (of text as it is)
    except OSError as error:
        return error
    if kind == stat.S_IFREG:
        return None
    if kind == stat.S_IFDIR:
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    what = _KINDS.get(kind, "not a regular file")
    return UnreadableImage(f"{name}: {what}; only regular files are read. Leave it out")


def read_contents(source: Source, limits: Limits = Limits()) -> Contents:
    """Return a source's bytes: a buffer as it is, of a path or an open file what it holds.

    Raises:
        UnreadableImage, JpegLimitExceeded, OSError: as `open_regular`.
        TypeError: an open file gives text.
    """
    if isinstance(source, str | os.PathLike):
        with open_regular(source, limits) as file:
            return file.read()
    if not is_file(source):
        return source  # type: ignore[return-value]
    parts, size = list[bytes](), 0
    while part := source.read(_PART):  # type: ignore[union-attr]
        if not isinstance(part, bytes):
            raise TypeError(f"{source_name(source)} gives {type(part).__name__}; open files in binary mode: 'rb'")
        parts.append(part)
        size += len(part)
        if size > limits.max_memory_bytes:
            raise too_large(size, limits, source_name(source))
    return parts[0] if len(parts) == 1 else b"".join(parts)
