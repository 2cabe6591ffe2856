"""Make the index of a JPEG, put it into the file, take it out, and check it."""

from __future__ import annotations

from operator import index as as_int

from prepixel import _native
from prepixel.jpeg.decode import named, native_limits
from prepixel.jpeg.jpeg_index import JpegIndex
from prepixel.jpeg.source import Contents, Limits, Source, read_contents

DEFAULT_EVERY = 8


def index_jpeg(source: Source, *, every: int = DEFAULT_EVERY, limits: Limits = Limits()) -> JpegIndex:
    """Decode a JPEG once, and note where decoding can begin: the position of a bit and the DC predictors.

    ``read_jpeg(source, region=..., index=...)`` then decodes little more than the region. Files of one scan or several,
    with restart markers or without, can be indexed. MCUs of progressive files depend on all earlier ones, so of these
    only the places of scans are noted, and only scans that hold wanted frequencies are decoded.

    Args:
        source: a path, or a buffer of the file's bytes.
        every: MCUs between two checkpoints of a row of MCUs; each row begins with one. 0: these alone.
        limits: what the file may ask for.

    Raises:
        ValueError: ``every`` is outside 0..65,535.
        PrepixelError, OSError: the file cannot be decoded, as `read_jpeg`.
    """
    contents = read_contents(source, limits)
    return JpegIndex(named(source, contents, lambda whole: _index(whole, checked_every(every), limits)))


def embed_index(source: Source, *, every: int = DEFAULT_EVERY, limits: Limits = Limits()) -> bytes:
    """Return a JPEG with an index of itself in APP11 segments, which other programs pass over; the rest is unchanged.

    An index that the file holds already is replaced.

    Raises:
        ValueError, PrepixelError, OSError: as `index_jpeg`.
    """
    contents = read_contents(source, limits)
    return named(source, contents, lambda whole: _embed(whole, checked_every(every), limits))


def embedded_index(source: Source, *, limits: Limits = Limits()) -> JpegIndex | None:
    """Return the index that a JPEG holds; None where it holds none.

    Raises:
        MalformedIndex: it is damaged.
        OSError: the file cannot be opened.
    """
    contents = read_contents(source, limits)
    data = _native.embedded_index(contents)
    return named(source, contents, lambda _: JpegIndex(data)) if data else None


def without_index(source: Source, *, limits: Limits = Limits()) -> bytes:
    """Return a JPEG without the index that it holds: the bytes that `embed_index` was given.

    Raises:
        OSError: the file cannot be opened.
    """
    return _native.without_index(read_contents(source, limits))


def verify_index(source: Source, index: JpegIndex, *, limits: Limits = Limits()) -> bool:
    """Return whether every checkpoint of an index is what the file says: the file is indexed again.

    Reading with an index cannot see everything that is wrong with one; this does.

    Raises:
        PrepixelError, OSError: the file cannot be decoded, as `read_jpeg`.
    """
    contents = read_contents(source, limits)
    if index.is_embedded:
        return named(source, contents, lambda whole: _embed(whole, index.every, limits) == bytes(whole)) and (
            _native.embedded_index(contents) == index.data
        )
    return named(source, contents, lambda whole: _index(whole, index.every, limits) == index.data)


def _index(contents: Contents, every: int, limits: Limits) -> bytes:
    return _native.index_jpeg(contents, every=every, **native_limits(limits))


def _embed(contents: Contents, every: int, limits: Limits) -> bytes:
    return _native.embed_index(contents, every=every, **native_limits(limits))


def checked_every(every: int) -> int:
    """Return a number of MCUs between checkpoints that an index can have."""
    if not 0 <= as_int(every) <= 65535:
        raise ValueError(f"every is {every}; it is 0 to 65535 MCUs")
    return every
