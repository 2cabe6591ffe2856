"""What goes in (paths, buffers, threads) and what comes out (planes, tables, color, orientation, warnings)."""

from __future__ import annotations

import io
import mmap
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.jpeg.by_hand import EOI, SOI, entropy, exif, frame, joined, quantization, scan, segment
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow, find
from tests.small_photos import jpeg

from prepixel.errors import JpegError, MalformedJpeg, TruncatedJpeg
from prepixel.jpeg import JpegHeader, JpegImage, Limits, read_header, read_jpeg

BLOCK = "001010"  # difference 0, end of block, in the standard's luminance tables


def assert_same(one: JpegImage, other: JpegImage) -> None:
    for a, b in zip(one.components, other.components, strict=True):
        assert np.array_equal(a.quantized, b.quantized)
        assert np.array_equal(a.quantization, b.quantization)


def test_any_buffer_and_path_give_the_same(files: dict[str, bytes], tmp_path: Path) -> None:
    contents = files["baseline-420"]
    path = tmp_path / "a photo.jpg"
    path.write_bytes(contents)
    expected, header = read_jpeg(contents), read_header(contents)
    assert (expected.height, expected.width) == (HEIGHT, WIDTH)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        sources = [
            bytearray(contents),
            memoryview(contents),
            memoryview(b"before" + contents)[6:],
            np.frombuffer(contents, np.uint8),
            np.frombuffer(contents, np.int8).reshape(1, -1),
            mapped,
            path,
            str(path),
        ]
        for source in sources:
            assert_same(read_jpeg(source), expected)
            assert read_header(source) == header
        sources.clear()
    assert header == JpegHeader(height=HEIGHT, width=WIDTH, color="ycbcr", process="baseline", orientation=1)


def test_bytes_that_are_not_contiguous_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BufferError, match="contiguous"):
        read_jpeg(memoryview(files["gray"])[::2])


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        read_jpeg(tmp_path / "nowhere.jpg")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        read_header(str(tmp_path / "nowhere.jpg"))


def test_arrays_own_their_memory_and_outlive_the_source() -> None:
    contents = bytearray(by_pillow())
    image = read_jpeg(contents)
    planes = [c.quantized.copy() for c in image.components]
    contents[:] = bytes(len(contents))
    contents.clear()  # a buffer still in use could not be resized
    quantized = [c.quantized for c in image.components]
    del image
    for plane, kept in zip(quantized, planes, strict=True):
        assert np.array_equal(plane, kept)
        assert plane.flags.c_contiguous
        assert plane.flags.aligned
        assert plane.flags.writeable
        assert plane.ctypes.data % 64 == 0
        plane[:] = 1


def test_memory_is_given_back() -> None:
    image = read_jpeg(by_pillow())
    plane = image.components[0].quantized
    assert plane.base is not None
    assert sys.getrefcount(plane.base) <= 3


def test_memory_that_other_images_used_leaves_nothing_behind() -> None:
    # Planes of more than 64 KiB are used again; progressive and truncated files rely on zeros.
    kinds = {
        "444": jpeg(301, 403, subsampling="4:4:4"),
        "420": jpeg(301, 403, subsampling="4:2:0", restart_marker_rows=1),
        "progressive": jpeg(307, 397, subsampling="4:4:4", progressive=True),
        "progressive gray": jpeg(299, 401, mode="L", progressive=True),
    }
    bands = ((0, 1, 8), (0,), (0,))

    def every_way(file: bytes) -> list[JpegImage]:
        cut = file[: len(file) // 2]
        return [read_jpeg(file), read_jpeg(file, bands=bands), read_jpeg(cut, on_truncated="keep")]

    fresh = {name: every_way(file) for name, file in kinds.items()}
    expected = {
        name: [[c.quantized.copy() for c in image.components] for image in images] for name, images in fresh.items()
    }
    for image in [image for images in fresh.values() for image in images]:
        for component in image.components:
            component.quantized[:] = 0x5A5A
    fresh.clear()
    for name in [*kinds, *reversed(kinds)] * 3:
        for image, planes in zip(every_way(kinds[name]), expected[name], strict=True):
            for component, plane in zip(image.components, planes, strict=True):
                assert np.array_equal(component.quantized, plane), name
                component.quantized[:] = 0x5A5A


def test_eight_threads_read_the_same(files: dict[str, bytes]) -> None:
    names = sorted(files) * 40
    expected = {name: read_jpeg(contents) for name, contents in files.items()}
    with ThreadPoolExecutor(8) as pool:
        for name, image in zip(names, pool.map(lambda name: read_jpeg(files[name]), names), strict=True):
            assert_same(image, expected[name])


@pytest.mark.data
def test_eight_threads_read_photos_the_same(photos: Path) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.JPEG"))[:40]
    alone = [read_jpeg(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for image, expected in zip(pool.map(read_jpeg, paths * 3), alone * 3, strict=True):
            assert_same(image, expected)


def test_errors_in_threads_are_their_own(files: dict[str, bytes]) -> None:
    sizes = list(range(700, 900))

    def offset(size: int) -> int | None:
        with pytest.raises(TruncatedJpeg) as caught:
            read_jpeg(files["baseline-444"][:size])
        return caught.value.byte_offset

    expected = [offset(size) for size in sizes]
    assert len(set(expected)) > 190
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(offset, sizes)) == expected


def test_header_reads_on_where_the_first_bytes_hold_no_scan(tmp_path: Path) -> None:
    file = by_pillow()
    long = SOI + segment(0xE2, bytes(65000)) * 3 + file[2:]
    path = tmp_path / "long.jpg"
    path.write_bytes(long)
    assert read_header(path) == read_header(file)
    path.write_bytes(long[:180_000])
    with pytest.raises(TruncatedJpeg, match=r"long\.jpg, byte 180000: the file ends inside the APP2 segment"):
        read_header(path)


def test_header_finds_the_height_that_dnl_says(files: dict[str, bytes]) -> None:
    file = files["height-by-dnl"]
    assert file[find(file, 0xC0) + 5 : find(file, 0xC0) + 7] == b"\0\0"
    assert read_header(file).height == HEIGHT


# Color, as libjpeg decides: JFIF, then Adobe, then the component ids.
JFIF = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


@pytest.mark.parametrize(
    ("markers", "identifiers", "color"),
    [
        (b"", b"\1", "gray"),
        (b"", b"\1\2", "unknown"),
        (b"", b"\1\2\3", "ycbcr"),
        (b"", b"RGB", "rgb"),
        (b"", b"rgb", "ycbcr"),
        (b"", b"\0\1\2", "ycbcr"),
        (JFIF, b"RGB", "ycbcr"),
        (adobe(0), b"\1\2\3", "rgb"),
        (adobe(1), b"RGB", "ycbcr"),
        (adobe(7), b"\1\2\3", "ycbcr"),
        (JFIF + adobe(0), b"\1\2\3", "ycbcr"),
        (b"", b"\1\2\3\4", "cmyk"),
        (adobe(0), b"\1\2\3\4", "cmyk"),
        (adobe(2), b"\1\2\3\4", "ycck"),
        (segment(0xE0, b"JFIF\0\1\2"), b"RGB", "rgb"),
        (segment(0xEE, b"Adobe\0\x64"), b"\1\2\3", "ycbcr"),
    ],
)
def test_color_is_decided_as_libjpeg_does(markers: bytes, identifiers: bytes, color: str) -> None:
    parts = [(identifier, 1, 1, 0) for identifier in identifiers]
    file = joined(
        markers,
        quantization(),
        frame(8, 8, parts),
        scan([(identifier, 0, 0) for identifier in identifiers]),
        entropy(BLOCK * len(parts)),
    )
    image = read_jpeg(file)
    assert image.color == color == read_header(file).color
    assert [c.identifier for c in image.components] == list(identifiers)


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_both_byte_orders(order: str, orientation: int) -> None:
    file = by_pillow()
    for tag_type in (1, 3, 4):
        turned = SOI + exif(orientation, order=order, tag_type=tag_type) + file[2:]
        header, image = read_header(turned), read_jpeg(turned)
        assert header.orientation == image.orientation == orientation
        upright = (HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT)
        assert header.upright_size == image.upright_size == upright
    with Image.open(io.BytesIO(SOI + exif(orientation, order=order) + file[2:])) as opened:
        assert opened.getexif()[0x0112] == orientation


@pytest.mark.parametrize(
    "marker",
    [
        exif(0),
        exif(9),
        exif(3, offset=2**32 - 1),
        exif(3, offset=2**31),
        exif(3, offset=26),
        exif(3, offset=1000),
        exif(3, tag_type=2),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"Exif\0\0MM"),
        segment(0xE1, b"Exif\0\0XX\0*\0\0\0\x08"),
        segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\1" * 90),
        segment(0xE1, b"Exif\0"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
    ],
)
def test_exif_that_says_nothing_usable_is_orientation_1(marker: bytes) -> None:
    assert read_jpeg(SOI + marker + by_pillow()[2:]).orientation == 1


def test_exif_entries_may_be_more_than_are_there() -> None:
    assert read_jpeg(SOI + exif(6, count=65535) + by_pillow()[2:]).orientation == 6


def test_the_first_orientation_holds() -> None:
    assert read_jpeg(SOI + exif(6) + exif(3) + by_pillow()[2:]).orientation == 6
    assert read_jpeg(SOI + segment(0xE1, b"Exif\0\0MM") + exif(3) + by_pillow()[2:]).orientation == 3


# What is a warning, as in libjpeg.
def test_stray_bytes_are_told_and_skipped(files: dict[str, bytes]) -> None:
    file = files["baseline-420"]
    expected = read_jpeg(file)
    at = find(file, 0xC4)
    image = read_jpeg(file[:at] + b"junk\xff\x00" + file[at:])
    assert image.warnings == (f"byte {at}: 6 bytes before DHT outside any segment",)
    assert_same(image, expected)
    image = read_jpeg(file[:-2] + b"\0\0\0" + EOI)
    assert image.warnings == (f"byte {len(file) + 1}: 3 bytes before this marker beyond the last block",)
    assert_same(image, expected)
    image = read_jpeg(file + b"trailing \xff\xd8 bytes are another file's")
    assert image.warnings == ()
    assert_same(image, expected)


def test_fill_bytes_are_no_warning(files: dict[str, bytes]) -> None:
    file = files["restart"]
    expected = read_jpeg(file)
    at = find(file, 0xC4)
    filled = file[:at] + b"\xff" * 5 + file[at:-2] + b"\xff\xff" + EOI
    filled = filled.replace(b"\xff\xd1", b"\xff\xff\xff\xd1")
    image = read_jpeg(filled)
    assert image.warnings == ()
    assert_same(image, expected)


def test_a_missing_end_behind_a_complete_image_is_told(files: dict[str, bytes]) -> None:
    for name in ("baseline-420", "progressive"):
        file = files[name]
        for on_truncated in ("raise", "keep"):
            image = read_jpeg(file[:-2], on_truncated=on_truncated)  # type: ignore[arg-type]
            assert image.warnings == (f"byte {len(file) - 2}: EOI is missing",)
            assert image.missing_blocks == 0
            assert_same(image, read_jpeg(file))


def test_progressive_parameters_of_a_sequential_scan_are_told() -> None:
    file = joined(quantization(), frame(), scan(end=0), entropy(BLOCK))
    at = file.index(b"\xff\xda")
    assert read_jpeg(file).warnings == (f"byte {at}: a sequential scan gives progressive parameters; ignored",)


def test_a_dnl_that_contradicts_the_frame_is_told() -> None:
    file = joined(quantization(), frame(), scan(), entropy(BLOCK), segment(0xDC, b"\0\x09"))
    (warning,) = read_jpeg(file).warnings
    assert warning.endswith("DNL says 9 lines, the frame header 8; the header holds")


def test_warnings_do_not_pile_up() -> None:
    stray = (b"junk" + segment(0xFE, b"")) * 1000
    image = read_jpeg(joined(stray, quantization(), frame(), scan(), entropy(BLOCK)))
    assert len(image.warnings) <= 21
    assert image.warnings[-1] == "more warnings than these are left out"


def test_components_of_one_id_are_taken_in_order() -> None:
    same = [(0, 1, 1, 0)] * 3
    file = joined(quantization(), frame(8, 8, same), scan([(0, 0, 0)] * 3), entropy("0100" + "1010" + BLOCK * 2))
    assert [int(c.quantized[0, 0, 0, 0]) for c in read_jpeg(file).components] == [-1, 0, 0]


def test_restart_markers_that_close_the_last_interval_are_no_matter(files: dict[str, bytes]) -> None:
    file = files["baseline-420"]
    image = read_jpeg(file[:-2] + b"\xff\xd0" + EOI)
    assert image.warnings == ()
    assert_same(image, read_jpeg(file))


# The Python side.
def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"Limits\.max_scans is 0; give a positive number"):
        Limits(max_scans=0)
    with pytest.raises(ValueError, match=r"Limits\.max_pixels is -1"):
        Limits(max_pixels=-1)
    with pytest.raises(ValueError, match=r"Limits\.max_memory_bytes is 9223372036854775808"):
        Limits(max_memory_bytes=2**63)


def test_errors_name_their_source_and_travel(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(files["gray"][:500])
    for source, name in ((path, str(path)), (str(path), str(path)), (path.read_bytes(), "buffer of 500 bytes")):
        with pytest.raises(TruncatedJpeg) as caught:
            read_jpeg(source)
        error = caught.value
        assert (error.source, error.byte_offset) == (name, 500)
        assert str(error).startswith(f"{name}, byte 500: the file ends in scan 1, component 0, block (3, 3). Fetch")
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert type(again) is TruncatedJpeg
    path.write_bytes(b"no photo")
    for read in (read_jpeg, read_header):
        with pytest.raises(MalformedJpeg) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path}, byte 0: not a JPEG: it does not begin with SOI (0xFF 0xD8). Check that this is the file you meant"
        )
    assert issubclass(TruncatedJpeg, MalformedJpeg)
    assert issubclass(JpegError, ValueError)
