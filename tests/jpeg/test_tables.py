"""Quantization and Huffman tables: which is in force, how it is read, and codes that no lookup holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.jpeg.by_hand import entropy, frame, huffman, joined, quantization, scan
from tests.oracles.libjpeg import Libjpeg

from prepixel.jpeg import read_jpeg

BLOCK = "001010"  # difference 0, end of block, in the standard's luminance tables
TWO = [(1, 1, 1, 0), (2, 1, 1, 0)]


def test_the_table_of_a_components_first_scan_is_in_force() -> None:
    dc = huffman(0, 0, (1,) + (0,) * 15, b"\0")
    ac = huffman(1, 0, (1,) + (0,) * 15, b"\0")
    file = joined(
        quantization(steps=(2,) * 64),
        dc + ac,
        frame(8, 8, TWO, marker=0xC2),
        scan([(1, 0, 0)], end=0, low=0),
        entropy("0"),
        quantization(steps=(3,) * 64),
        scan([(2, 0, 0)], end=0, low=0),
        entropy("0"),
        quantization(steps=(5,) * 64),
        scan([(1, 0, 0)], start=1),
        entropy("0"),
    )
    assert [int(c.quantization[3, 4]) for c in read_jpeg(file).components] == [2, 3]


def test_tables_are_read_in_natural_order_and_in_sixteen_bits() -> None:
    steps = [1000 + k for k in range(64)]
    image = read_jpeg(joined(quantization(steps=steps), frame(marker=0xC1), scan(), entropy(BLOCK)))
    table = image.components[0].quantization
    assert table.dtype == np.uint16
    assert table[0, :4].tolist() == [1000, 1001, 1005, 1006]
    assert table[:4, 0].tolist() == [1000, 1002, 1003, 1009]
    assert table[7, 7] == 1063


def test_huffman_tables_may_change_between_scans() -> None:
    # Difference -1: symbol 1 and a 0 bit. The same bits under two tables.
    swapped = huffman(0, 0, (0, 2) + (0,) * 14, b"\1\0")  # 00: size 1, 01: size 0
    plain = huffman(0, 0, (0, 2) + (0,) * 14, b"\0\1")
    end = huffman(1, 0, (1,) + (0,) * 15, b"\0")
    file = joined(
        quantization(),
        frame(8, 8, TWO),
        end + plain,
        scan([(1, 0, 0)]),
        entropy("00" + "0"),
        swapped,
        scan([(2, 0, 0)]),
        entropy("00" + "0" + "0"),
    )
    assert [int(c.quantized[0, 0, 0, 0]) for c in read_jpeg(file).components] == [0, -1]


def test_long_codes_and_large_values_are_decoded() -> None:
    # Sixteen-bit codes, and coefficients of 15 bits: nothing fits in a lookup.
    counts = (1,) + (0,) * 14 + (1,)
    tables = huffman(0, 0, counts, b"\0\x0f") + huffman(1, 0, counts, b"\0\x0f")
    first_long = "1" + "0" * 15
    most = "1" * 15
    file = joined(
        quantization(),
        frame(8, 16),
        tables,
        scan(),
        entropy(first_long + most + (first_long + most) * 63 + first_long + "0" * 15 + "0"),
    )
    plane = read_jpeg(file).components[0].quantized.reshape(2, 64)
    assert (plane[0] == 32767).all()
    assert plane[1, 0] == 0  # 32767 - 32767
    assert not plane[1, 1:].any()


def test_the_last_coefficient_ends_a_block_and_the_next_begins_with_its_dc() -> None:
    # A pair lookup may see the end of one block and the begin of the next.
    dc = huffman(0, 0, (0, 2) + (0,) * 14, b"\0\1")
    ac = huffman(1, 0, (0, 3) + (0,) * 14, b"\0\1\xf1")
    ones = "011" * 63  # sixty-three times run 0, value 1
    file = joined(quantization(), frame(8, 24), dc, ac, scan(), entropy("011" + ones + "010" + ones + "00" + "00"))
    plane = read_jpeg(file).components[0].quantized.reshape(3, 64)
    assert (plane[0] == 1).all()
    assert (plane[1, 1:] == 1).all()
    assert plane[1:, 0].tolist() == [0, 0]
    assert not plane[2, 1:].any()


def test_a_first_scan_sent_twice_counts_once_and_overwrites(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Successive approximation has no order to break where the first scan already sent every bit."""
    dc, ac = huffman(0, 0, (0, 2) + (0,) * 14, b"\0\1"), huffman(1, 0, (0, 3) + (0,) * 14, b"\0\1\x21")
    file = joined(
        quantization(),
        frame(8, 16, marker=0xC2),
        dc + ac,
        scan(end=0) + entropy("011" + "00"),
        scan(start=1) + entropy("011" + "00" + "101" + "00"),
        scan(end=0) + entropy("010" + "011"),
        scan(start=1) + entropy("010" + "00" + "011" + "00"),
    )
    image = read_jpeg(file)
    assert image.missing_blocks == 0
    assert image.num_scans == 4
    (tmp_path / "twice.jpg").write_bytes(file)
    (reading,) = libjpeg.read([tmp_path / "twice.jpg"])
    assert reading.is_clean
    plane = image.components[0].quantized.reshape(1, 2, 64)
    assert np.array_equal(plane, reading.planes[0].quantized)
    assert plane[0, :, 0].tolist() == [-1, 0]
    assert plane[0, :, 1].tolist() == [-1, 1]
