"""Indexes that are not true, with valid checksums."""

from __future__ import annotations

import struct

from tests.oracles.xxh64 import xxh64


def restamped(data: bytes) -> bytes:
    """Write a valid checksum into a forged index."""
    return data[:4] + struct.pack("<I", xxh64(data[8:]) & 0xFFFFFFFF) + data[8:]


def with_raised_rows(data: bytes) -> bytes:
    """Forge a baseline file's index of rows: all but the first begin with another DC predictor of Y, all by one number.

    That number is one, or -63 where the sum would be longer.

    Crops below the first row cannot know, so what they give shows whether an index was used.
    """
    body = bytearray(data)
    # The first difference of predictors behind the header, one scan's five numbers and the first distance in bits.
    place = 32 + 1 + _varints(data, 33, 4) + 1
    place += _varints(data, place, 1)
    body[place] = body[place] & 128 | (body[place] + 2) & 127
    return restamped(bytes(body))


def _varints(data: bytes, at: int, count: int) -> int:
    begin = at
    for _ in range(count):
        while data[at] & 128:
            at += 1
        at += 1
    return at - begin
