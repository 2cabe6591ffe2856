"""Indexes of JPEGs read from docs/formats/jpeg-index.md alone, and a slow walk over the MCUs of a JPEG, bit by bit."""

from __future__ import annotations

import struct
from math import ceil
from typing import NamedTuple


class State(NamedTuple):
    """A decoder's state in front of an MCU, or behind the last: the position of a bit, and DC predictors."""

    bit: int
    predictors: tuple[int, ...]


class Scan(NamedTuple):
    """A scan's place, and its states by MCU."""

    begin: int
    end: int
    states: dict[int, State]


class Index(NamedTuple):
    """The fields of an index."""

    checksum: int
    file_size: int
    file_checksum: int
    checked_begin: int
    every: int
    progressive: bool
    scans: list[Scan]


def read(data: bytes) -> Index:
    """Read an index."""
    assert data[:4] == b"pji\x01"
    checksum, size, file_checksum, begin, every, process, zero = struct.unpack_from("<IQQIHBB", data, 4)
    assert zero == 0
    at = 32

    def varint() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed() -> int:
        code = varint()
        return -(code + 1) // 2 if code % 2 else code // 2

    scans, end = [], 0
    for _ in range(varint()):
        first = end + varint()
        end = first + varint()
        states = {}
        if not process:
            across, down = varint(), varint()
            count = data[at]
            at += 1
            bit, predictors = 8 * first, (0,) * count
            states[0] = State(bit, predictors)
            step = every or across
            places = [row * across + column for row in range(down) for column in range(0, across, step)]
            for mcu in [*places[1:], across * down]:
                bit += varint()
                predictors = tuple((p + signed() + 32768) % 65536 - 32768 for p in predictors)
                states[mcu] = State(bit, predictors)
        scans.append(Scan(first, end, states))
    assert at == len(data)
    return Index(checksum, size, file_checksum, begin, every, bool(process), scans)


class _Bits:
    """Bits of entropy-coded data, and where they stand."""

    def __init__(self, file: bytes, at: int) -> None:
        self.file, self.at, self.place = file, at, 0

    def bit(self) -> int:
        value = self.file[self.at] >> (7 - self.place) & 1
        self.place += 1
        if self.place == 8:
            self.place = 0
            self.at += 2 if self.file[self.at] == 0xFF else 1
        return value

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = 2 * value + self.bit()
        return value

    def symbol(self, codes: dict[tuple[int, int], int]) -> int:
        code, length = 0, 0
        while (length, code) not in codes:
            code, length = 2 * code + self.bit(), length + 1
            assert length <= 16
        return codes[length, code]

    def position(self) -> int:
        return 8 * self.at + self.place


def walk(file: bytes) -> list[Scan]:
    """Decode a sequential JPEG slowly; return the states in front of every MCU of every scan."""
    tables: dict[int, dict[tuple[int, int], int]] = {}
    frame: dict[int, tuple[int, int]] = {}
    scans, at, interval, height, width = [], 2, 0, 0, 0
    while file[at + 1] != 0xD9:
        code, size = file[at + 1], int.from_bytes(file[at + 2 : at + 4], "big")
        body = file[at + 4 : at + 2 + size]
        at += 2 + size
        if code == 0xC4:
            tables |= _codes(body)
        elif code in {0xC0, 0xC1}:
            height, width = struct.unpack(">HH", body[1:5])
            frame = {body[6 + 3 * i]: (body[7 + 3 * i] & 15, body[7 + 3 * i] >> 4) for i in range(body[5])}
        elif code == 0xDD:
            interval = int.from_bytes(body, "big")
        elif code == 0xDA:
            scans.append(_walk_scan(file, at, body, frame, tables, interval, (height, width)))
            at = scans[-1].end
    return scans


def _codes(body: bytes) -> dict[int, dict[tuple[int, int], int]]:
    tables, at = {}, 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = iter(body[at + 17 : at + 17 + sum(counts)])
        codes, code = {}, 0
        for length, count in enumerate(counts, start=1):
            for _ in range(count):
                codes[length, code] = next(symbols)
                code += 1
            code *= 2
        tables[body[at]] = codes
        at += 17 + sum(counts)
    return tables


def _walk_scan(
    file: bytes,
    at: int,
    body: bytes,
    frame: dict[int, tuple[int, int]],
    tables: dict[int, dict[tuple[int, int], int]],
    interval: int,
    size: tuple[int, int],
) -> Scan:
    parts = [(body[1 + 2 * i], body[2 + 2 * i] >> 4, body[2 + 2 * i] & 15) for i in range(body[0])]
    max_v, max_h = max(v for v, _ in frame.values()), max(h for _, h in frame.values())
    if len(parts) == 1:
        v, h = frame[parts[0][0]]
        blocks = [1]
        across, down = ceil(ceil(size[1] * h / max_h) / 8), ceil(ceil(size[0] * v / max_v) / 8)
    else:
        blocks = [frame[part[0]][0] * frame[part[0]][1] for part in parts]
        across, down = ceil(size[1] / (8 * max_h)), ceil(size[0] / (8 * max_v))
    bits, predictors, states = _Bits(file, at), [0] * len(parts), {}
    for mcu in range(across * down):
        if interval and mcu and mcu % interval == 0:
            if bits.place:
                bits.at += 2 if file[bits.at] == 0xFF else 1
            assert file[bits.at] == 0xFF
            assert file[bits.at + 1] == 0xD0 + (mcu // interval - 1) % 8
            bits, predictors = _Bits(file, bits.at + 2), [0] * len(parts)
        states[mcu] = State(bits.position(), tuple(predictors))
        for i, (_, dc, ac) in enumerate(parts):
            for _ in range(blocks[i]):
                length = bits.symbol(tables[dc])
                value = bits.bits(length)
                predictors[i] += value if not length or value >> (length - 1) else value - (1 << length) + 1
                k = 1
                while k < 64:
                    symbol = bits.symbol(tables[16 + ac])
                    bits.bits(symbol & 15)
                    if symbol == 0:
                        break
                    k += (symbol >> 4) + 1
    states[across * down] = State(bits.position(), tuple(predictors))
    end = bits.at + (0 if bits.place == 0 else 2 if file[bits.at] == 0xFF else 1)
    return Scan(at, end, states)
