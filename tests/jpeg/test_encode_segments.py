"""APPn and COM segments of encoded files: color, orientation and kept segments."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image
from tests.jpeg.by_hand import exif
from tests.jpeg.small_files import by_cjpeg, by_pillow
from tests.jpeg.test_encode import make_image

from prepixel.errors import MalformedJpeg
from prepixel.jpeg import encode_jpeg, read_jpeg, read_segments


def test_color_is_told_by_the_segment_that_it_takes() -> None:
    def heads(samplings: list[tuple[int, int]], color: str) -> list[int]:
        return [s.marker for s in read_segments(encode_jpeg(make_image(samplings, color)))]

    one, three, four = [(1, 1)], [(1, 1)] * 3, [(1, 1)] * 4
    assert heads(one, "gray") == heads(three, "ycbcr") == [0xE0]
    assert heads(three, "rgb") == heads(four, "ycck") == [0xEE]
    assert heads(four, "cmyk") == heads(one * 2, "unknown") == []
    image = make_image(three, "rgb")
    named = [dataclasses.replace(c, identifier=ord(name)) for c, name in zip(image.components, "RGB", strict=True)]
    assert read_segments(encode_jpeg(dataclasses.replace(image, components=tuple(named)))) == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_told_by_exif(orientation: int) -> None:
    file = encode_jpeg(make_image([(1, 1)], "gray", orientation=orientation))
    assert read_jpeg(file).orientation == orientation
    with Image.open(io.BytesIO(file)) as picture:
        assert picture.getexif().get(0x0112, 1) == orientation


def test_segments_come_along_in_order_and_are_not_said_twice() -> None:
    profile = bytes(range(256)) * 300
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010E] = "a picture"
    file = by_pillow(icc_profile=profile, exif=turned.tobytes(), comment=b"words")
    segments = read_segments(file)
    assert [s.marker for s in segments] == [0xE0, 0xE1, 0xE2, 0xE2, 0xFE]
    image = read_jpeg(file)
    ours = encode_jpeg(image, segments=segments)
    assert read_segments(ours) == segments
    with Image.open(io.BytesIO(ours)) as picture:
        assert picture.info["icc_profile"] == profile
        assert dict(picture.getexif()) == dict(turned)
        assert picture.info["comment"] == b"words"
    # JFIF stays the first where the orientation is added
    added = read_segments(encode_jpeg(image, segments=[s for s in segments if s.marker != 0xE1]))
    assert [s.marker for s in added] == [0xE0, 0xE1, 0xE2, 0xE2, 0xFE]


def test_segments_are_found_where_readers_find_them(tmp_path: Path) -> None:
    file = by_cjpeg()
    odd = file[:2] + b"\xff\xfe\0\4ab" + b"stray" + b"\xff\xff\xff" + exif(3)[1:] + file[2:]
    (tmp_path / "odd.jpg").write_bytes(odd)
    markers = [s.marker for s in read_segments(tmp_path / "odd.jpg")]
    assert markers == [0xFE, 0xE1, 0xE0]
    with pytest.raises(MalformedJpeg, match=r"buffer of 4 bytes, byte 0: not a JPEG"):
        read_segments(b"text")
