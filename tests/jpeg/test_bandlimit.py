"""Thinned files: the kept coefficients untouched, the others gone, and every program still opens them."""

from __future__ import annotations

import io
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.jpeg.by_hand import segment
from tests.jpeg.small_files import by_cjpeg, by_pillow, find
from tests.oracles.libjpeg import Libjpeg

from prepixel.errors import JpegLimitExceeded, MalformedJpeg, TruncatedJpeg, UnsupportedJpeg
from prepixel.jpeg import JpegImage, Limits, bandlimit_jpeg, encode_jpeg, read_header, read_jpeg, read_segments

S24 = ((0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27), (0, 1, 8, 9), (0, 1, 8, 9))
ALL = (range(64), range(64), range(64))
COLOURED = ((0, 1, 2), (0, 8), (0, 63))  # told apart by component


def kept_of(component: int, color: str, bands: tuple[tuple[int, ...], ...]) -> set[int]:
    """Say which natural indices a component keeps, from the documented rule."""
    if color == "gray" or (color == "ycck" and component == 3):
        return set(bands[0])
    if color in {"ycbcr", "ycck"}:
        return set(bands[component])
    return set().union(*bands)


def assert_thinned(original: JpegImage, thinned: JpegImage, bands: tuple[tuple[int, ...], ...]) -> None:
    assert thinned.warnings == ()
    for name in ("height", "width", "color", "orientation"):
        assert getattr(original, name) == getattr(thinned, name)
    assert len(original.components) == len(thinned.components)
    for index, (before, after) in enumerate(zip(original.components, thinned.components, strict=True)):
        assert (before.sampling, before.identifier) == (after.sampling, after.identifier)
        assert np.array_equal(before.quantization, after.quantization)
        kept = np.array([i in kept_of(index, original.color, bands) for i in range(64)]).reshape(8, 8)
        assert np.array_equal(np.where(kept, before.quantized, 0), after.quantized)


@pytest.mark.parametrize("bands", [S24, COLOURED], ids=["S-24", "colored"])
def test_every_kind_of_file_keeps_what_it_should(
    bands: tuple[tuple[int, ...], ...], files: dict[str, bytes], libjpeg: Libjpeg, tmp_path: Path
) -> None:
    rgb = by_pillow(keep_rgb=True)
    ycck = by_pillow("CMYK")  # Pillow writes CMYK alone; by transform 2 the same components are YCCK
    ycck = ycck.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2", 1)
    kinds = files | {"rgb": rgb, "ycck": ycck}
    colors = set()
    for name, file in kinds.items():
        original, thinned = read_jpeg(file), bandlimit_jpeg(file, bands)
        assert_thinned(original, read_jpeg(thinned), bands)
        assert read_jpeg(thinned).restart_interval == original.restart_interval
        colors.add(original.color)
        (tmp_path / f"{name}.jpg").write_bytes(thinned)
    paths = sorted(tmp_path.iterdir())
    for path, reading in zip(paths, libjpeg.read(paths), strict=True):
        assert reading.is_clean, path
        assert not reading.warnings
        for component, plane in zip(read_jpeg(path).components, reading.planes, strict=True):
            assert np.array_equal(component.quantized.reshape(plane.quantized.shape), plane.quantized)
        with Image.open(path) as picture:
            picture.load()
    assert colors == {"gray", "ycbcr", "rgb", "cmyk", "ycck"}


def test_all_bands_are_the_file_recoded() -> None:
    for file in (by_pillow(), by_pillow(progressive=True), by_cjpeg("-restart", "2B")):
        image = read_jpeg(file)
        assert bandlimit_jpeg(file, ALL) == encode_jpeg(
            image, restart_interval=image.restart_interval, segments=read_segments(file)
        )


@settings(max_examples=40, deadline=None)
@given(bands=st.tuples(*[st.sets(st.integers(0, 63))] * 3), rows=st.integers(0, 2))
def test_any_bands_are_kept_and_thinning_twice_is_thinning_once(
    bands: tuple[set[int], set[int], set[int]], rows: int
) -> None:
    file = by_pillow(subsampling=2)
    thinned = bandlimit_jpeg(file, bands, restart_rows=rows)
    assert_thinned(read_jpeg(file), read_jpeg(thinned), tuple(tuple(b) for b in bands))
    assert bandlimit_jpeg(thinned, bands, restart_rows=rows) == thinned


@pytest.mark.data
def test_photos_keep_what_they_should_and_any_program_opens_them(photos: Path) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.JPEG"))[::11]
    paths += sorted(path for path in (photos / "jpeg_corpus").rglob("*.jpg"))[::7]
    thinned_files = 0
    for path in paths:
        try:
            original = read_jpeg(path)
        except (MalformedJpeg, UnsupportedJpeg) as error:
            with pytest.raises(type(error)):
                bandlimit_jpeg(path, S24)
            continue
        if any((component.quantization == 0).any() for component in original.components):
            with pytest.raises(MalformedJpeg, match="holds a step of 0"):
                bandlimit_jpeg(path, S24)
            continue
        thinned = bandlimit_jpeg(path, S24)
        assert_thinned(original, read_jpeg(thinned), S24)
        done = subprocess.run(["djpeg", "-outfile", "/dev/null"], input=thinned, capture_output=True, check=False)
        assert done.returncode == 0 or len(original.components) in {2, 4}, (path, done.stderr)
        thinned_files += 1
    assert thinned_files > 20


# -- restart markers and metadata --------------------------------------------------------------------------------------


def test_restart_markers_are_as_wanted() -> None:
    file = by_cjpeg("-restart", "3B", "-sample", "2x2")

    def interval(**options: int) -> int:
        return read_jpeg(bandlimit_jpeg(file, S24, **options)).restart_interval  # type: ignore[arg-type]

    assert interval() == 3
    assert interval(restart_interval=0) == 0
    assert interval(restart_interval=5) == 5
    assert interval(restart_rows=1) == 4
    assert interval(restart_rows=2) == 8


def rich_file() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture with a description"
    file = by_pillow(exif=exif.tobytes(), icc_profile=bytes(range(256)) * 3, comment=b"words")
    pictures = segment(0xE2, b"MPF\0" + bytes(40))
    return file[:2] + file[2:20] + pictures + file[20:]


def test_metadata_are_kept_as_asked_and_orientation_always() -> None:
    file = rich_file()
    assert [s.marker for s in read_segments(file)] == [0xE0, 0xE2, 0xE1, 0xE2, 0xFE]
    for metadata, markers in (
        ("all", [0xE0, 0xE1, 0xE2, 0xFE]),  # but for the index of further pictures
        ("icc", [0xE0, 0xE1, 0xE2]),
        ("none", [0xE0, 0xE1]),
    ):
        thinned = bandlimit_jpeg(file, S24, metadata=metadata)  # type: ignore[arg-type]
        segments = read_segments(thinned)
        assert [s.marker for s in segments] == markers
        assert read_header(thinned).orientation == 6
        with Image.open(io.BytesIO(thinned)) as picture:
            exif = dict(picture.getexif())
            assert exif == ({0x0112: 6} if metadata != "all" else {0x0112: 6, 0x010E: "a picture with a description"})
            assert ("icc_profile" in picture.info) == (metadata != "none")
        if metadata != "all":
            assert len(segments[1].contents) == 32
    upright = by_pillow(comment=b"words")
    assert [s.marker for s in read_segments(bandlimit_jpeg(upright, S24, metadata="none"))] == [0xE0]


def test_a_thumbnail_inside_jfif_goes_with_the_metadata() -> None:
    file = by_pillow()
    assert find(file, 0xE0) == 2
    with_thumbnail = segment(0xE0, file[6:18] + b"\1\2" + b"\7" * 6)
    file = file[:2] + with_thumbnail + segment(0xE0, b"JFXX\0\x10rest") + file[20:]
    (kept,) = read_segments(bandlimit_jpeg(file, S24, metadata="none"))
    assert kept.contents == file[6:18] + b"\0\0"
    assert len(read_segments(bandlimit_jpeg(file, S24))) == 2


def test_adobe_stays_where_it_tells_the_color() -> None:
    for file in (by_pillow("CMYK"), by_pillow(keep_rgb=True)):
        segments = read_segments(file)
        assert 0xEE in [s.marker for s in segments]
        thinned = bandlimit_jpeg(file, S24, metadata="none")
        assert [s for s in read_segments(thinned) if s.marker == 0xEE] == [s for s in segments if s.marker == 0xEE]


# -- sources, threads, errors ------------------------------------------------------------------------------------------


def test_paths_and_buffers_are_alike(tmp_path: Path) -> None:
    file = by_pillow()
    (tmp_path / "a.jpg").write_bytes(file)
    expected = bandlimit_jpeg(file, S24)
    for source in (tmp_path / "a.jpg", str(tmp_path / "a.jpg"), bytearray(file), memoryview(file)):
        assert bandlimit_jpeg(source, S24) == expected


def test_threads_thin_alike(files: dict[str, bytes]) -> None:
    expected = [bandlimit_jpeg(file, S24) for file in files.values()]
    found: list[list[bytes]] = []
    workers = [
        threading.Thread(target=lambda: found.append([bandlimit_jpeg(file, S24) for file in files.values()]))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected] * 4


def test_truncation_at_every_byte_raises_or_loses_nothing() -> None:
    file = by_pillow("L", quality=10)
    whole = bandlimit_jpeg(file, S24)
    for size in range(len(file)):
        try:
            assert bandlimit_jpeg(file[:size], S24) == whole
            assert size >= len(file) - 2  # only EOI was missing
        except MalformedJpeg:
            assert size < len(file) - 1


def test_errors_name_the_source_and_the_place(tmp_path: Path) -> None:
    file = by_pillow()
    (tmp_path / "cut.jpg").write_bytes(file[:700])
    with pytest.raises(TruncatedJpeg, match=r"cut\.jpg, byte 700: "):
        bandlimit_jpeg(tmp_path / "cut.jpg", S24)
    with pytest.raises(MalformedJpeg, match=r"buffer of 8 bytes, byte 0: this is a PNG file, not a JPEG"):
        bandlimit_jpeg(b"\x89PNG\r\n\x1a\n", S24)
    with pytest.raises(UnsupportedJpeg, match="arithmetic"):
        bandlimit_jpeg(file.replace(b"\xff\xc0", b"\xff\xc9", 1), S24)
    with pytest.raises(JpegLimitExceeded, match=r"Raise Limits\.max_pixels"):
        bandlimit_jpeg(file, S24, limits=Limits(max_pixels=100))
    at = find(file, 0xDB)
    with pytest.raises(MalformedJpeg, match=r"bytes: the quantization table of component 0 holds a step of 0"):
        bandlimit_jpeg(file[: at + 10] + b"\0" + file[at + 11 :], S24)
    with pytest.raises(MalformedJpeg, match="a restart interval of 65536 MCUs"):
        bandlimit_jpeg(file, S24, restart_interval=65536)
    with pytest.raises(MalformedJpeg, match="both in MCUs and in rows"):
        bandlimit_jpeg(file, S24, restart_interval=2, restart_rows=2)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        bandlimit_jpeg(tmp_path / "nowhere.jpg", S24)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"Cb bands \[-1, 64\] are outside 0\.\.63; give natural indices, 8 v \+ u"):
        bandlimit_jpeg(by_pillow(), ((0,), (64, -1, 3), (0,)))
    unchecked = bandlimit_jpeg.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="metadata is 'some'; it can be 'all' or 'icc' or 'none'"):
        unchecked(by_pillow(), S24, metadata="some")
