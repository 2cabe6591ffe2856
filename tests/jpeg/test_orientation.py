"""One rule of orientation for every reader of the library, beside the readings of Pillow and exiftool."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageOps
from tests.jpeg.small_files import pixels

from prepixel.jpeg import (
    Segment,
    bandlimit_jpeg,
    encode_jpeg,
    pack_jpeg,
    read_header,
    read_image,
    read_jpeg,
    read_pack_header,
    read_pixels,
    read_segments,
    read_size,
    read_sizes,
)

TAG = 0x0112
BYTE, ASCII, SHORT, LONG, SBYTE, UNDEFINED, SSHORT, SLONG, FLOAT = 1, 2, 3, 4, 6, 7, 8, 9, 11
WIDTHS = {BYTE: "B", SBYTE: "b", SHORT: "H", SSHORT: "h", LONG: "I", SLONG: "i"}


def tiff(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    body = b"".join(struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries)) + body + bytes(4)


def tag(value: int, kind: int = SHORT, count: int = 1, order: str = "<") -> bytes:
    return tiff((TAG, kind, count, struct.pack(order + WIDTHS[kind], value).ljust(4, b"\0")), order=order)


def app1(contents: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(contents) + 2) + contents


def exif(*args: int, **options: object) -> bytes:
    return app1(b"Exif\0\0" + tag(*args, **options))  # type: ignore[arg-type]


def packet(inside: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{inside}</rdf:RDF></x:xmpmeta>'
    ).encode()


ATTRIBUTE = ' tiff:Orientation="{}"/>'
ELEMENT = "><tiff:Orientation>{}</tiff:Orientation></rdf:Description>"


def xmp(value: int, form: str = ATTRIBUTE) -> bytes:
    return app1(b"http://ns.adobe.com/xap/1.0/\0" + packet(form.format(value)))


EMPTY = app1(b"Exif\0\0" + tiff())
BROKEN = app1(b"Exif\0\0garbage!")

# name: (segments, by our rule, by exiftool, by Pillow 11.2); None where a program does not apply the orientation.
CASES: dict[str, tuple[bytes, int, int | None, int | None]] = {
    "SHORT": (exif(6), 6, 6, 6),
    "SHORT, big-endian": (exif(6, SHORT, 1, ">"), 6, 6, 6),
    "BYTE": (exif(6, BYTE), 6, 6, None),
    "SBYTE": (exif(6, SBYTE), 6, 6, 6),
    "LONG": (exif(6, LONG), 6, 6, 6),
    "SSHORT": (exif(6, SSHORT), 6, 6, 6),
    "SLONG": (exif(6, SLONG), 6, 6, 6),
    "no value": (exif(6, SHORT, 0), 1, None, None),
    "0": (exif(0), 1, None, None),
    "9": (exif(9), 1, None, None),
    "negative": (exif(-2, SSHORT), 1, None, None),
    "XMP attribute": (xmp(6), 6, 6, 6),
    "XMP element": (xmp(6, ELEMENT), 6, 6, 6),
    "XMP, single quotes": (xmp(6, " tiff:Orientation = '{}'/>"), 6, 6, None),
    "XMP, 60": (xmp(60), 1, None, 6),
    "Exif before XMP": (exif(8) + xmp(6), 8, 8, 8),
    "XMP in front of Exif": (xmp(6) + exif(8), 8, None, 8),
    "Exif of 0 before XMP": (exif(0) + xmp(6), 1, None, None),
    "Exif without it, then Exif": (EMPTY + exif(6), 6, 6, None),
    "Exif without it, then XMP": (EMPTY + xmp(6), 6, 6, 6),
    "broken Exif, then Exif": (BROKEN + exif(6), 6, 6, None),
    "two Exif": (exif(8) + exif(6), 8, 8, 8),
    "two XMP": (xmp(6) + xmp(8), 6, 6, 8),
}

# Before 11.2, Pillow does not read the XMP of a JPEG, which decides these.
PILLOW_READS_XMP = tuple(int(part) for part in PIL.__version__.split(".")[:2]) >= (11, 2)
BY_XMP_IN_PILLOW = {"XMP attribute", "XMP element", "XMP, 60", "Exif without it, then XMP", "two XMP"}


def with_segments(file: bytes, segments: bytes) -> bytes:
    return file[:2] + segments + file[2:]


def jpeg(mode: str = "RGB", height: int = 16, width: int = 24) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(height, width)).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("name", CASES)
def test_every_reader_of_a_jpeg_decides_alike(name: str, mode: str, tmp_path: Path) -> None:
    segments, expected, _, _ = CASES[name]
    plain = jpeg(mode)
    file = with_segments(plain, segments)
    size = (24, 16) if expected >= 5 else (16, 24)
    path = tmp_path / "turned.jpg"
    path.write_bytes(file)
    assert read_header(file).orientation == read_jpeg(file).orientation == read_image(file).orientation == expected
    assert read_size(file) == tuple(read_sizes([path]).sizes[0]) == size
    decoded = read_pixels(file)
    assert decoded.shape == (*size, 3)
    np.testing.assert_array_equal(decoded, turned(read_pixels(plain), expected))


def turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turn by Pillow's table of transpositions."""
    marked = io.BytesIO()
    note = Image.Exif()
    note[TAG] = orientation
    Image.fromarray(samples).save(marked, "PNG", exif=note)
    return np.asarray(ImageOps.exif_transpose(Image.open(marked)))


@pytest.mark.parametrize("name", CASES)
def test_pillow_agrees_or_differs_as_stated(name: str) -> None:
    segments, expected, _, by_pillow = CASES[name]
    if name in BY_XMP_IN_PILLOW and not PILLOW_READS_XMP:
        by_pillow = None
    file = with_segments(jpeg(), segments)
    turned_by_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).size == (16, 24)
    assert turned_by_pillow == (by_pillow in (5, 6, 7, 8))
    if by_pillow is not None and name not in ("XMP, 60", "two XMP"):  # where Pillow takes a digit of 60, and the last
        assert by_pillow == expected


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed (libimage-exiftool-perl)")
def test_exiftool_agrees(tmp_path: Path) -> None:
    paths = []
    for index, (segments, _, _, _) in enumerate(CASES.values()):
        paths.append(tmp_path / f"{index:02}.jpg")
        paths[-1].write_bytes(with_segments(jpeg(), segments))
    command = ["exiftool", "-n", "-q", "-q", "-f", "-p", "$Orientation", *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    for (name, (_, expected, by_exiftool, _)), line in zip(CASES.items(), lines, strict=True):
        if by_exiftool is not None:
            assert line == str(by_exiftool), name
            assert by_exiftool == expected
        elif name != "XMP in front of Exif":  # of which exiftool takes the first, and the Exif standard's readers Exif
            assert line not in map(str, range(1, 9)), name


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_again_keeps_it(name: str) -> None:
    segments, expected, _, _ = CASES[name]
    file = with_segments(jpeg(), segments)
    for metadata in ("all", "icc", "none"):
        again = bandlimit_jpeg(file, (range(8),) * 3, metadata=metadata)  # type: ignore[arg-type]
        assert read_header(again).orientation == expected
        if metadata != "all":
            assert Image.open(io.BytesIO(again)).getexif().get(TAG, 1) == expected
    assert read_pack_header(pack_jpeg(file)).orientation == expected
    assert read_header(encode_jpeg(read_jpeg(file), segments=read_segments(file))).orientation == expected


def test_an_exif_segment_overrides_what_kept_xmp_says() -> None:
    image = read_jpeg(with_segments(jpeg(), exif(3)))
    kept = Segment(0xE1, xmp(6)[4:])
    again = encode_jpeg(image, segments=[kept])
    assert read_header(again).orientation == 3
    assert kept in read_segments(again)


def with_png_chunks(file: bytes, *chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    import zlib

    coded = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    at = file.index(b"IEND") - 4 if behind else file.index(b"IDAT") - 4
    return file[:at] + coded + file[at:]


def png(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(16, 24)).save(file, "PNG")
    return with_png_chunks(file.getvalue(), *chunks, behind=behind)


def webp(**options: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(16, 24)).save(file, "WEBP", lossless=True, **options)
    return file.getvalue()


def tiff_file(kind: int, value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(16, 24)).save(file, "TIFF")
    contents = bytearray(file.getvalue())
    directory = int.from_bytes(contents[4:8], "little")
    count = int.from_bytes(contents[directory : directory + 2], "little")
    entries = contents[directory + 2 : directory + 2 + 12 * count]
    own = struct.pack("<HHI", TAG, kind, 1) + struct.pack("<" + WIDTHS[kind], value).ljust(4, b"\0")
    parts = sorted([bytes(entries[12 * i : 12 * i + 12]) for i in range(count)] + [own])
    new = (
        struct.pack("<H", count + 1) + b"".join(sorted(parts, key=lambda e: int.from_bytes(e[:2], "little"))) + bytes(4)
    )
    contents[4:8] = struct.pack("<I", len(contents))
    return bytes(contents + new)


XMP_CHUNK = b"XML:com.adobe.xmp\0\0\0\0\0"
OTHERS: dict[str, tuple[Callable[[], bytes], int]] = {
    "PNG, eXIf": (lambda: png((b"eXIf", tag(6))), 6),
    "PNG, eXIf of a BYTE": (lambda: png((b"eXIf", tag(6, BYTE))), 6),
    "PNG, eXIf behind the pixels": (lambda: png((b"eXIf", tag(6)), behind=True), 6),
    "PNG, XMP": (lambda: png((b"iTXt", XMP_CHUNK + packet(ATTRIBUTE.format(6)))), 6),
    "PNG, XMP behind the pixels": (lambda: png((b"iTXt", XMP_CHUNK + packet(ATTRIBUTE.format(6))), behind=True), 6),
    "PNG, both": (lambda: png((b"iTXt", XMP_CHUNK + packet(ATTRIBUTE.format(6))), (b"eXIf", tag(8))), 8),
    "PNG, eXIf of 0 and XMP": (lambda: png((b"eXIf", tag(0)), (b"iTXt", XMP_CHUNK + packet(ATTRIBUTE.format(6)))), 1),
    "PNG": (png, 1),
    "WebP, Exif": (lambda: webp(exif=b"Exif\0\0" + tag(6)), 6),
    "WebP, Exif without its prefix": (lambda: webp(exif=tag(6, SLONG)), 6),
    "WebP, XMP": (lambda: webp(xmp=packet(ELEMENT.format(6))), 6),
    "WebP, both": (lambda: webp(exif=tag(3), xmp=packet(ELEMENT.format(6))), 3),
    "TIFF, SHORT": (lambda: tiff_file(SHORT, 6), 6),
    "TIFF, BYTE": (lambda: tiff_file(BYTE, 6), 6),
    "TIFF, LONG": (lambda: tiff_file(LONG, 8), 8),
    "TIFF, 9": (lambda: tiff_file(SHORT, 9), 1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_follow_the_same_rule(name: str) -> None:
    make, expected = OTHERS[name]
    file = make()
    size = (24, 16) if expected >= 5 else (16, 24)
    image = read_image(file)
    assert image.orientation == expected
    assert image.upright_size == read_size(file) == tuple(read_sizes([file]).sizes[0]) == size
    np.testing.assert_array_equal(read_pixels(file), turned(pixels(16, 24), expected))
