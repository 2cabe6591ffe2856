"""Marker segments and entropy-coded bits put together by hand. Source: ITU-T T.81, Annex B."""

from __future__ import annotations

from collections.abc import Sequence

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, contents: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(contents) + 2).to_bytes(2, "big") + contents


def quantization(table_id: int = 0, steps: Sequence[int] = (1,) * 64) -> bytes:
    """DQT; steps in zigzag order."""
    if max(steps) > 255:
        return segment(0xDB, bytes([0x10 | table_id]) + b"".join(step.to_bytes(2, "big") for step in steps))
    return segment(0xDB, bytes([table_id, *steps]))


def frame(
    height: int = 8,
    width: int = 8,
    components: Sequence[tuple[int, int, int, int]] = ((1, 1, 1, 0),),
    *,
    marker: int = 0xC0,
    precision: int = 8,
) -> bytes:
    """SOFn; components as (id, h, v, table)."""
    parts = b"".join(bytes([identifier, h << 4 | v, table]) for identifier, h, v, table in components)
    sizes = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return segment(marker, bytes([precision]) + sizes + bytes([len(components)]) + parts)


def huffman(table_class: int, table_id: int, counts: Sequence[int], symbols: bytes) -> bytes:
    """DHT."""
    return segment(0xC4, bytes([table_class << 4 | table_id, *counts]) + symbols)


def scan(
    components: Sequence[tuple[int, int, int]] = ((1, 0, 0),),
    *,
    start: int = 0,
    end: int = 63,
    high: int = 0,
    low: int = 0,
) -> bytes:
    """SOS; components as (id, DC table, AC table)."""
    parts = b"".join(bytes([identifier, dc << 4 | ac]) for identifier, dc, ac in components)
    return segment(0xDA, bytes([len(components)]) + parts + bytes([start, end, high << 4 | low]))


def entropy(bits: str) -> bytes:
    """Pack bits, fill the last byte with ones, and stuff; "00" and "1010" are difference 0 and EOB of K.3 and K.5."""
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""
    return packed.replace(b"\xff", b"\xff\0")


def joined(*parts: bytes) -> bytes:
    """A file: SOI, the parts, EOI."""
    return SOI + b"".join(parts) + EOI


def exif(orientation: int, *, order: str = "big", tag_type: int = 3, offset: int = 8, count: int = 1) -> bytes:
    """APP1 with one directory of one entry, the orientation."""
    endian = "big" if order == "big" else "little"

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, endian)  # type: ignore[arg-type]

    width = {1: 1, 3: 2, 4: 4}.get(tag_type, 2)
    value = (number(orientation, width) + bytes(4))[:4]
    head = (b"MM" if order == "big" else b"II") + number(42, 2) + number(offset, 4)
    directory = number(count, 2) + number(0x0112, 2) + number(tag_type, 2) + number(1, 4) + value + number(0, 4)
    return segment(0xE1, b"Exif\0\0" + head + directory)
