"""Packed images: the chosen coefficients as they are, read by the description alone, and hostile bytes refused."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.jpeg.small_files import by_cjpeg, by_pillow
from tests.jpeg.test_bandlimit import COLOURED, S24, assert_thinned, kept_of
from tests.oracles import packed as oracle

from prepixel.errors import JpegError, JpegLimitExceeded, MalformedPack, TruncatedJpeg
from prepixel.jpeg import (
    Component,
    JpegImage,
    Limits,
    encode_jpeg,
    is_packed,
    pack_jpeg,
    read_image,
    read_jpeg,
    read_pack,
    read_pack_header,
    read_size,
    read_sizes,
)
from prepixel.jpeg.packed import ALL_BANDS, Compression


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("bands", [S24, COLOURED, ALL_BANDS], ids=["S-24", "colored", "all"])
def test_every_kind_of_file_reads_back(bands: object, compression: Compression, files: dict[str, bytes]) -> None:
    for name, file in (files | {"rgb": by_pillow(keep_rgb=True)}).items():
        packed = pack_jpeg(file, bands, compression=compression)  # type: ignore[arg-type]
        assert is_packed(packed), name
        assert_thinned(read_jpeg(file), read_pack(packed), bands)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_the_description_alone_is_enough_to_read(compression: Compression, files: dict[str, bytes]) -> None:
    colors = ("gray", "ycbcr", "rgb", "cmyk", "ycck", "unknown")
    for file in files.values():
        image = read_jpeg(file)
        (height, width, color, orientation), components = oracle.read(pack_jpeg(file, S24, compression=compression))
        assert (height, width, colors[color], orientation) == (image.height, image.width, image.color, 1)
        for index, (component, told) in enumerate(zip(image.components, components, strict=True)):
            kept = kept_of(index, image.color, S24)
            mask = np.array([k in kept for k in range(64)])
            assert told.kept == kept
            assert (told.identifier, told.sampling) == (component.identifier, component.sampling)
            assert np.array_equal(told.quantization.reshape(8, 8), component.quantization)
            quantized = component.quantized.reshape(*component.quantized.shape[:2], 64)
            assert np.array_equal(told.quantized, np.where(mask, quantized, 0))


def steep(values: list[int], height: int, width: int) -> bytes:
    """Write a gray JPEG whose DC and one AC take these values in turn."""
    down, across = -(-height // 8), -(-width // 8)
    quantized = np.zeros((down * across, 64), dtype=np.int16)
    quantized[:, 0] = np.resize(values, down * across)
    quantized[:, 9] = np.resize(values[::-1], down * across)
    quantized[::7, 63] = 129
    quantized[::11, 62] = -128
    table = np.full((8, 8), 257, dtype=np.uint16)
    component = Component(3, (1, 1), height, width, quantized.reshape(down, across, 8, 8), table)
    return encode_jpeg(JpegImage(height, width, (component,), "gray", orientation=6))


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        ([0, 3, -5], {0: 3, 9: 1, 1: 0, 63: 5, 62: 5}),  # of 63 none fits, of 62 all
        ([0] * 12 + [1200], {0: 3, 9: 5, 1: 0, 63: 5, 62: 5}),
        ([7] * 12 + [1200], {0: 3, 9: 2, 1: 0, 63: 5, 62: 5}),
        ([-1024, 1023], {0: 4, 9: 4, 1: 0, 63: 5, 62: 5}),
    ],
    ids=["small", "sparse, some large", "some large", "all large"],
)
def test_each_coding_is_taken_where_it_is_shortest(values: list[int], codings: dict[int, int]) -> None:
    file = steep(values, 83, 139)
    packed = pack_jpeg(file)
    (_, _, _, orientation), (component,) = oracle.read(packed)
    assert {k: component.codings[k] for k in codings} == codings
    assert orientation == 6
    image, again = read_jpeg(file), read_pack(packed)
    assert np.array_equal(component.quantized.reshape(11, 18, 8, 8), image.components[0].quantized)
    assert np.array_equal(image.components[0].quantized, again.components[0].quantized)
    assert np.array_equal(image.components[0].quantization, again.components[0].quantization)
    assert again.orientation == 6
    assert read_size(packed) == (139, 83)


def test_a_pack_becomes_the_jpeg_of_its_coefficients(files: dict[str, bytes]) -> None:
    for name in ("progressive", "odd-3x2", "sixteen-bit-tables"):
        again = read_jpeg(encode_jpeg(read_pack(pack_jpeg(files[name]))))
        for before, after in zip(read_jpeg(files[name]).components, again.components, strict=True):
            assert np.array_equal(before.quantized, after.quantized)


def test_its_checksum_is_that_of_zstd(files: dict[str, bytes]) -> None:
    packed = pack_jpeg(files["odd-3x2"], compression="none")
    (header_size,) = struct.unpack_from("<I", packed, 12)
    # zstd's frames end with the low half of the XXH64, seed 0, of what they hold: it vouches for the one below.
    empty = pack_jpeg(files["odd-3x2"], ((), (), ()), compression="none")
    assert header_size > len(empty) == struct.unpack_from("<I", empty, 12)[0]
    frame = oracle.zstd.compress(empty[24:], options={oracle.zstd.CompressionParameter.checksum_flag: 1})
    seed = xxh64(empty[24:], 0)
    assert seed & 0xFFFFFFFF == struct.unpack("<I", frame[-4:])[0]
    assert struct.unpack_from("<Q", empty, 16)[0] == xxh64(b"", seed)
    told = xxh64(packed[header_size:], xxh64(packed[24:header_size], 0))
    assert struct.unpack_from("<Q", packed, 16)[0] == told


def xxh64(contents: bytes, seed: int) -> int:
    """Compute XXH64 as its specification words it, in whole numbers."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, m = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, (1 << 64) - 1

    def left(x: int, r: int) -> int:
        return ((x << r) | (x >> (64 - r))) & m

    def lane(acc: int, value: int) -> int:
        return left((acc + value * p2) & m, 31) * p1 & m

    n, at = len(contents), 0
    if n >= 32:
        accs = [(seed + p1 + p2) & m, (seed + p2) & m, seed, (seed - p1) & m]
        while n - at >= 32:
            accs = [lane(a, v) for a, v in zip(accs, struct.unpack_from("<4Q", contents, at), strict=True)]
            at += 32
        acc = sum(left(a, r) for a, r in zip(accs, (1, 7, 12, 18), strict=True)) & m
        for a in accs:
            acc = ((acc ^ lane(0, a)) * p1 + p4) & m
    else:
        acc = (seed + p5) & m
    acc = (acc + n) & m
    while n - at >= 8:
        acc = (left(acc ^ lane(0, struct.unpack_from("<Q", contents, at)[0]), 27) * p1 + p4) & m
        at += 8
    if n - at >= 4:
        acc = (left(acc ^ (struct.unpack_from("<I", contents, at)[0] * p1 & m), 23) * p2 + p3) & m
        at += 4
    while at < n:
        acc = left(acc ^ (contents[at] * p5 & m), 11) * p1 & m
        at += 1
    acc = (acc ^ acc >> 33) * p2 & m
    acc = (acc ^ acc >> 29) * p3 & m
    return acc ^ acc >> 32


def test_what_a_pack_says_of_itself(files: dict[str, bytes], tmp_path: Path) -> None:
    packed = pack_jpeg(files["baseline-420"], S24)
    header = read_pack_header(packed)
    assert (header.height, header.width, header.color, header.orientation) == (41, 59, "ycbcr", 1)
    assert header.kept == tuple(frozenset(bands) for bands in S24)
    assert header.upright_size == read_size(packed) == (41, 59)
    assert not header.is_whole
    assert read_pack_header(pack_jpeg(files["gray"])).is_whole
    (tmp_path / "a.ppx").write_bytes(packed)
    sizes = read_sizes([packed, tmp_path / "a.ppx", files["gray"]])
    assert sizes.sizes.tolist() == [[41, 59]] * 3
    assert np.array_equal(
        read_image(tmp_path / "a.ppx").components[1].quantized, read_pack(packed).components[1].quantized
    )


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_pack_cut_at_any_byte_is_refused(compression: Compression) -> None:
    packed = pack_jpeg(by_cjpeg("-sample", "2x1"), COLOURED, compression=compression)
    for size in range(len(packed)):
        with pytest.raises(MalformedPack) as caught:
            read_pack(packed[:size])
        assert caught.value.byte_offset is None or caught.value.byte_offset <= size
    with pytest.raises(MalformedPack, match="it has"):
        read_pack(packed + b"\0")


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_changed_byte_is_never_taken_for_an_image(compression: Compression) -> None:
    packed = pack_jpeg(by_cjpeg("-sample", "2x1"), COLOURED, compression=compression)
    draws = random.Random(20020)
    for at in range(len(packed)):
        if 5 <= at < 8:  # not looked at
            continue
        changed = bytearray(packed)
        changed[at] ^= 1 << draws.randrange(8)
        try:
            read = read_pack(bytes(changed))
        except (MalformedPack, JpegLimitExceeded):
            continue
        # within a zstd frame some bits say nothing of the contents
        assert compression == "zstd"
        assert at >= struct.unpack_from("<I", packed, 12)[0]
        again = read_pack(packed)
        assert all(
            np.array_equal(a.quantized, b.quantized) for a, b in zip(read.components, again.components, strict=True)
        )


def changed(file: bytes, at: int, contents: bytes) -> bytes:
    return file[:at] + contents + file[at + len(contents) :]


@pytest.mark.parametrize(
    ("at", "contents", "text"),
    [
        (0, b"ppx\x02", r"byte 0: no packed image: it does not begin with 'ppx' and the version 1"),
        (4, b"\x07", r"byte 4: there is no compression 7\. Fetch or pack the file again"),
        (8, b"\xff", r"byte \d+: the packed image should have \d+ \+ \d+ bytes; it has \d+"),
        (16, b"\0", r"byte 16: the checksum is not that of the contents"),
        (28, b"\0\0\1\0", r"byte 28: an image of 65536 x 59 pixels; sides are 1 to 65535"),
        (36, b"\x06", r"byte 36: there is no such color or orientation"),
        (37, b"\x09", r"byte 36: there is no such color or orientation"),
        (38, b"\x01", r"byte 36: color and number of components do not agree"),
        (41, b"\x50", r"byte 41: sampling factors are 1 to 4"),
        (50, b"\x00", r"byte 50: the first component's table is said to be that of the one before"),
        (50, b"\x03", r"byte 50: there is no such coding of a quantization table"),
        (115, b"\x06", r"byte 115: there is no such coding of a plane"),
    ],
)
def test_each_contradiction_is_named(at: int, contents: bytes, text: str, files: dict[str, bytes]) -> None:
    packed = pack_jpeg(files["baseline-420"], COLOURED, compression="none")
    with pytest.raises(MalformedPack, match=text):
        read_pack(changed(packed, at, contents))


def test_sizes_are_checked_before_memory_is_asked_for(files: dict[str, bytes]) -> None:
    packed = pack_jpeg(files["baseline-420"], COLOURED)
    with pytest.raises(JpegLimitExceeded, match=r"byte 28: 41 x 59 pixels are more than the limit of 1000"):
        read_pack(packed, limits=Limits(max_pixels=1000))
    with pytest.raises(JpegLimitExceeded, match=r"the planes take \d+ bytes, more than the limit of 5000"):
        read_pack(packed, limits=Limits(max_memory_bytes=5000))
    with pytest.raises(JpegLimitExceeded, match=r"byte 24: the payload's \d+ bytes are more than the limit of 50"):
        read_pack(packed, limits=Limits(max_memory_bytes=50))
    with pytest.raises(MalformedPack, match=r"the compressed payload says that it has \d+ bytes, and the header 77"):
        read_pack(changed(packed, 24, struct.pack("<I", 77)))


def test_what_cannot_be_packed_says_why(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(files["baseline-420"][:-100])
    with pytest.raises(TruncatedJpeg, match=r"cut\.jpg"):
        pack_jpeg(tmp_path / "cut.jpg")
    with pytest.raises(JpegError, match="buffer of 4 bytes"):
        pack_jpeg(b"\x89PNG")
    with pytest.raises(ValueError, match=r"level is 20; zstd has 1 to 19"):
        pack_jpeg(files["gray"], level=20)
    with pytest.raises(ValueError, match=r"Cb bands \[64\] are outside 0..63"):
        pack_jpeg(files["gray"], ((), (64,), ()))
