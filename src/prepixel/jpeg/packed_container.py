"""Packed images as bytes: how they are recognized, taken apart and put together."""

from __future__ import annotations

import struct
import sys
from types import ModuleType
from typing import Any, NamedTuple

from prepixel.errors import JpegLimitExceeded, MalformedPack
from prepixel.jpeg.source import Limits

PACK_ENDING = ".ppx"
_MAGIC = b"ppx\x01"
_HINT = "Fetch or pack the file again"
_RAW, _ZSTD = 0, 1
# magic, compression, three zeros, stored bytes of the payload, bytes of the header, checksum, bytes of the payload
_ENVELOPE = struct.Struct("<4sB3xIIQI")


class PackContents(NamedTuple):
    """The parts of a packed image.

    Attributes:
        header: its header's bytes.
        payload: uncompressed.
    """

    header: memoryview
    payload: memoryview | bytes


def is_packed(contents: Any) -> bool:
    """Return whether a buffer begins as a packed image does."""
    return bytes(memoryview(contents)[: len(_MAGIC)]) == _MAGIC


def payload_size(contents: Any) -> int:
    """Return how many bytes a packed image says its payload has, uncompressed; 0 of anything else."""
    whole = memoryview(contents)
    if not is_packed(whole) or whole.nbytes < _ENVELOPE.size:
        return 0
    return int(_ENVELOPE.unpack_from(whole)[-1])


def open_pack(contents: Any, limits: Limits = Limits()) -> PackContents:
    """Split a packed image into header and payload and decompress it; the header is not checked.

    Raises:
        MalformedPack: it is truncated or too long, of an unknown compression, or does not decompress to the size in
            its header.
        JpegLimitExceeded: its payload is larger than `limits` allow.
    """
    whole = memoryview(contents).cast("B")
    if len(whole) < _ENVELOPE.size:
        raise MalformedPack("the packed image ends in its header", byte_offset=len(whole), hint=_HINT)
    magic, compression, stored, header, _, size = _ENVELOPE.unpack_from(whole)
    if magic != _MAGIC:
        raise MalformedPack("no packed image: it does not begin with 'ppx' and the version 1", byte_offset=0)
    if len(whole) != header + stored:
        what = f"the packed image should have {header} + {stored} bytes; it has {len(whole)}"
        raise MalformedPack(what, byte_offset=min(len(whole), header + stored), hint=_HINT)
    if size > limits.max_memory_bytes:
        what = f"the payload's {size} bytes are more than the limit of {limits.max_memory_bytes}"
        raise JpegLimitExceeded(what, byte_offset=24, hint="Raise Limits.max_memory_bytes if you trust the file")
    stored_payload = whole[header:]
    payload: memoryview | bytes = stored_payload
    if compression == _ZSTD:
        payload = _decompressed(stored_payload, header, size)
    elif compression != _RAW:
        raise MalformedPack(f"there is no compression {compression}", byte_offset=4, hint=_HINT)
    return PackContents(whole[:header], payload)


def close_pack(header: bytes, payload: bytes, compression: str, level: int) -> bytes:
    """Compress the payload, write compression and size into the header, and join the two."""
    code, stored = _RAW, payload
    if compression == "zstd":
        code, stored = _ZSTD, _zstd().compress(payload, level)
    return header[:4] + struct.pack("<B3xI", code, len(stored)) + header[12:] + stored


def _zstd() -> ModuleType:
    """Return Python's module for Zstandard (PEP 784), or its backport for versions before 3.14."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    else:
        from backports import zstd
    return zstd  # type: ignore[no-any-return, unused-ignore]


def _decompressed(payload: memoryview, offset: int, size: int) -> bytes:
    zstd = _zstd()
    try:
        said = zstd.get_frame_info(payload).decompressed_size
        if said != size:  # before memory is asked for
            what = f"the compressed payload says that it has {said} bytes, and the header {size}"
            raise MalformedPack(what, byte_offset=offset, hint=_HINT)
        decompressor = zstd.ZstdDecompressor()
        contents: bytes = decompressor.decompress(payload, size + 1)  # no more, whatever the frame's blocks hold
    except zstd.ZstdError as error:
        what = f"the payload cannot be decompressed ({error})"
        raise MalformedPack(what, byte_offset=offset, hint=_HINT) from error
    if len(contents) != size or not decompressor.eof or decompressor.unused_data:
        raise MalformedPack("the compressed payload is not one whole frame", byte_offset=offset, hint=_HINT)
    return contents
