"""Sizes of many files at once, and what is done with the bad ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow, pixels

from prepixel.errors import JpegLimitExceeded, TruncatedJpeg, UnreadableImage
from prepixel.jpeg import Limits, read_size, read_sizes


def png(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, "PNG", exif=exif)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return by_pillow(exif=exif.tobytes())


def test_sizes_are_upright_and_in_order(files: dict[str, bytes], tmp_path: Path) -> None:
    sources = [*files.values(), png(), png(8), turned(5), turned(3)]
    expected = [read_size(source) for source in sources]
    assert expected[-3:] == [(WIDTH, HEIGHT), (WIDTH, HEIGHT), (HEIGHT, WIDTH)]
    for threads in (1, 2, 8, 0):
        read = read_sizes(sources, threads=threads)
        assert read.sizes.tolist() == [list(size) for size in expected]
        assert read.sizes.dtype == np.int64
        assert read.kept.tolist() == list(range(len(sources)))
        assert read.failures == ()
    paths = []
    for index, source in enumerate(sources):
        paths.append(tmp_path / f"{index}.img")
        paths[-1].write_bytes(source)
    assert read_sizes(paths).sizes.tolist() == [list(size) for size in expected]


def test_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    file = by_pillow()
    comments = (b"\xff\xfe\xff\xff" + bytes(65533)) * 3
    path = tmp_path / "long.jpg"
    path.write_bytes(file[:2] + comments + file[2:])
    assert read_sizes([path, str(path)]).sizes.tolist() == [[HEIGHT, WIDTH]] * 2


def test_the_entropy_coded_data_is_not_needed(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    file = files["progressive"]
    path.write_bytes(file[: file.index(b"\xff\xda") + 20])
    assert read_sizes([path]).sizes.tolist() == [[HEIGHT, WIDTH]]


def test_no_source_gives_no_size() -> None:
    read = read_sizes([])
    assert read.sizes.shape == (0, 2)
    assert read.kept.shape == (0,)


def test_bad_files_are_raised_or_left_out_and_listed(tmp_path: Path) -> None:
    cut, text, missing = by_pillow()[:50], b"text", tmp_path / "nowhere.jpg"
    sources = [by_pillow(), text, cut, png(), missing]
    with pytest.raises(UnreadableImage, match="74 65 78 74"):
        read_sizes(sources)
    with pytest.raises(TruncatedJpeg, match="source 0, buffer of 50 bytes, byte 50: "):
        read_sizes([cut, text])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        read_sizes([missing, text])
    read = read_sizes(sources, on_error="skip")
    assert read.kept.tolist() == [0, 3]
    assert read.sizes.tolist() == [[HEIGHT, WIDTH]] * 2
    assert [failure.index for failure in read.failures] == [1, 2, 4]
    assert [type(failure.error) for failure in read.failures] == [UnreadableImage, TruncatedJpeg, FileNotFoundError]
    assert [failure.source for failure in read.failures] == ["buffer of 4 bytes", "buffer of 50 bytes", str(missing)]


def test_limits_hold() -> None:
    for source in (by_pillow(), png()):
        with pytest.raises(JpegLimitExceeded, match="pixels"):
            read_sizes([source], limits=Limits(max_pixels=HEIGHT * WIDTH - 1))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="threads is -2; give how many, or 0"):
        read_sizes([by_pillow()], threads=-2)
    unchecked = read_sizes.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="on_error is 'ignore'; it can be 'raise' or 'skip'"):
        unchecked([], on_error="ignore")
