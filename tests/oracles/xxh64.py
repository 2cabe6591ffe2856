"""XXH64, slowly. Source: the xxHash specification, "XXH64 algorithm description"."""

from __future__ import annotations

import struct


def xxh64(data: bytes) -> int:
    """Compute XXH64 with seed 0."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, word = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, (1 << 64) - 1

    def rotl(x: int, r: int) -> int:
        return (x << r | x >> (64 - r)) & word

    def step(lane: int, value: int) -> int:
        return rotl((lane + value * p2) & word, 31) * p1 & word

    at, size = 0, len(data)
    hashed = p5
    if size >= 32:
        lanes = [(p1 + p2) & word, p2, 0, -p1 & word]
        for at in range(0, size - 31, 32):
            lanes = [step(lane, v) for lane, v in zip(lanes, struct.unpack_from("<4Q", data, at), strict=True)]
        at += 32
        hashed = sum(rotl(lane, r) for lane, r in zip(lanes, (1, 7, 12, 18), strict=True)) & word
        for lane in lanes:
            hashed = ((hashed ^ step(0, lane)) * p1 + p4) & word
    hashed = (hashed + size) & word
    while size - at >= 8:
        hashed = (rotl(hashed ^ step(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & word
        at += 8
    if size - at >= 4:
        hashed = (rotl(hashed ^ struct.unpack_from("<I", data, at)[0] * p1 & word, 23) * p2 + p3) & word
        at += 4
    for byte in data[at:]:
        hashed = rotl(hashed ^ byte * p5 & word, 11) * p1 & word
    hashed = (hashed ^ hashed >> 33) * p2 & word
    hashed = (hashed ^ hashed >> 29) * p3 & word
    return hashed ^ hashed >> 32
