"""Packed images read from docs/formats/packed-images.md alone, slowly, by struct and numpy."""

from __future__ import annotations

import struct
import sys
from math import ceil
from typing import Any, NamedTuple

import numpy as np

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd


class Plane(NamedTuple):
    """Hold a component as the file tells it."""

    identifier: int
    sampling: tuple[int, int]
    kept: set[int]
    quantization: np.ndarray[Any, np.dtype[np.int64]]
    quantized: np.ndarray[Any, np.dtype[np.int64]]
    codings: dict[int, int]


def read(file: bytes) -> tuple[tuple[int, int, int, int], list[Plane]]:
    """Return (height, width, color, orientation) and the components."""
    assert file[:4] == b"ppx\x01"
    stored, header_size = struct.unpack_from("<II", file, 8)
    size, height, width = struct.unpack_from("<III", file, 24)
    color, orientation, count, zero = file[36:40]
    assert zero == 0
    assert len(file) == header_size + stored
    payload = file[header_size:]
    if file[4] == 1:
        payload = zstd.decompress(payload)
    assert len(payload) == size
    components, at = [], 40
    table = np.zeros(64, dtype=np.int64)
    for _ in range(count):
        identifier, sampling, bits, table_coding = struct.unpack_from("<BBQB", file, at)
        at += 11
        if table_coding:
            table = np.frombuffer(file, "<u1" if table_coding == 1 else "<u2", 64, at).astype(np.int64)
            at += 64 * table_coding
        planes = {}
        for k in (k for k in range(64) if bits >> k & 1):
            coding, escapes = file[at], 0
            at += 1
            if coding in {2, 3, 5}:
                (escapes,) = struct.unpack_from("<I", file, at)
                at += 4
            if coding == 5:
                (set_bits,) = struct.unpack_from("<I", file, at)
                at += 4
            planes[k] = (coding, escapes, set_bits if coding == 5 else 0)
        components.append((identifier, (sampling >> 4, sampling & 15), table, planes))
    assert at == header_size
    max_v, max_h = max(c[1][0] for c in components), max(c[1][1] for c in components)
    at, made = 0, []
    for identifier, (v, h), steps, planes in components:
        down, across = ceil(ceil(height * v / max_v) / 8), ceil(ceil(width * h / max_h) / 8)
        quantized = np.zeros((down, across, 64), dtype=np.int64)
        for k, (coding, escapes, set_bits) in planes.items():
            values, at = _plane(payload, at, (down, across), coding, escapes, set_bits)
            values = values.reshape(down, across)
            if coding in {3, 4}:
                values = np.cumsum(values, axis=1).astype(np.int16).astype(np.int64)
            quantized[:, :, k] = values
        codings = {k: coding for k, (coding, _, _) in planes.items()}
        made.append(Plane(identifier, (v, h), set(planes), steps, quantized, codings))
    assert at == size
    return (height, width, color, orientation), made


def _plane(payload: bytes, at: int, size: tuple[int, int], coding: int, escapes: int, set_bits: int) -> tuple[Any, int]:
    n = size[0] * size[1]
    if coding == 0:
        return np.zeros(n, dtype=np.int64), at
    if coding == 4:
        low, high = np.frombuffer(payload, "<u1", 2 * n, at).astype(np.int64).reshape(2, n)
        return low + 256 * high, at + 2 * n
    if coding == 5:
        in_row = ceil(size[1] / 8)
        bits = np.unpackbits(np.frombuffer(payload, np.uint8, size[0] * in_row, at), bitorder="little")
        bits = bits.reshape(size[0], 8 * in_row)
        assert not bits[:, size[1] :].any()
        where = np.flatnonzero(bits[:, : size[1]])
        assert len(where) == set_bits
        at += size[0] * in_row
        values = np.zeros(n, dtype=np.int64)
        values[where] = np.frombuffer(payload, "<i1", set_bits, at)
        assert values[where].all()
        at += set_bits
    else:
        values = np.frombuffer(payload, "<i1", n, at).astype(np.int64)
        at += n
    for _ in range(escapes):
        place, value = struct.unpack_from("<Ih", payload, at)
        assert values[place] == 0
        values[place] = value
        at += 6
    return values, at
