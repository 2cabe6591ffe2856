"""Coefficients written and read back: by us, by libjpeg, by Pillow; sizes held to jpegtran's."""

from __future__ import annotations

import dataclasses
import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.jpeg.by_hand import exif
from tests.jpeg.small_files import find
from tests.jpeg.test_against_libjpeg import assert_equal
from tests.oracles.libjpeg import Libjpeg

from prepixel.errors import JpegLimitExceeded, MalformedJpeg
from prepixel.jpeg import Component, JpegImage, Limits, Segment, encode_jpeg, read_jpeg, read_segments, write_jpeg

HEIGHT, WIDTH = 53, 71  # primes
COLORS = {1: ["gray"], 2: ["unknown"], 3: ["ycbcr", "rgb"], 4: ["cmyk", "ycck"]}
FACTORS = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (4, 1), (3, 1), (3, 2), (4, 4)]


def make_image(
    samplings: list[tuple[int, int]],
    color: str,
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    most: int = 1023,
    share: float = 0.1,
    most_step: int = 255,
    orientation: int = 1,
    seed: int = 20020,
) -> JpegImage:
    """Random coefficients of a share of all frequencies, up to `most`, and tables of random steps."""
    rng = np.random.default_rng(seed)
    max_v, max_h = (max(factors) for factors in zip(*samplings, strict=True))
    components = []
    for index, (v, h) in enumerate(samplings):
        down, across = -(-height * v // max_v), -(-width * h // max_h)
        shape = (-(-down // 8), -(-across // 8), 8, 8)
        values = rng.integers(-most, most + 1, shape) * (rng.random(shape) < share)
        table = rng.integers(1, most_step + 1, (8, 8))
        components.append(Component(index + 1, (v, h), down, across, values.astype(np.int16), table.astype(np.uint16)))
    return JpegImage(height, width, tuple(components), color, orientation)  # type: ignore[arg-type]


def assert_same(written: JpegImage, read: JpegImage) -> None:
    assert read.warnings == ()
    for name in ("height", "width", "color", "orientation"):
        assert getattr(written, name) == getattr(read, name)
    assert len(written.components) == len(read.components)
    for ours, theirs in zip(written.components, read.components, strict=True):
        assert (ours.sampling, ours.height, ours.width) == (theirs.sampling, theirs.height, theirs.width)
        assert np.array_equal(ours.quantized, theirs.quantized)
        assert np.array_equal(ours.quantization, theirs.quantization)


def assert_written(image: JpegImage, path: Path, libjpeg: Libjpeg, **options: Any) -> bytes:
    """Write, and hold what we and libjpeg read to what was written."""
    write_jpeg(image, path, **options)
    assert_same(image, read_jpeg(path))
    (reading,) = libjpeg.read([path])
    assert not reading.refusal
    assert not reading.warnings
    assert_equal(image, reading, path)
    return path.read_bytes()


# -- round trips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samplings", "color"),
    [
        ([(1, 1)], "gray"),
        ([(2, 3)], "gray"),  # factors of a lone component change nothing, and stay
        ([(1, 1), (1, 2)], "unknown"),
        ([(1, 1)] * 3, "ycbcr"),
        ([(1, 1)] * 3, "rgb"),
        ([(2, 2), (1, 1), (1, 1)], "ycbcr"),
        ([(1, 2), (1, 1), (1, 1)], "ycbcr"),
        ([(2, 1), (1, 1), (1, 1)], "ycbcr"),
        ([(1, 4), (1, 1), (1, 1)], "ycbcr"),
        ([(2, 4), (1, 1), (1, 1)], "ycbcr"),
        ([(3, 2), (1, 2), (3, 1)], "ycbcr"),
        ([(1, 1), (2, 2), (2, 2)], "ycbcr"),
        ([(4, 4), (1, 2), (2, 4)], "ycbcr"),  # 26 blocks: a scan for each component
        ([(1, 1)] * 4, "cmyk"),
        ([(2, 2), (1, 1), (1, 1), (2, 2)], "ycck"),
        ([(2, 2), (2, 1), (1, 1), (2, 2)], "cmyk"),  # 11 blocks: a scan for each component
    ],
)
@pytest.mark.parametrize("restarts", [{}, {"restart_interval": 3}, {"restart_rows": 1}], ids=["none", "3", "row"])
def test_every_sampling_and_color_comes_back(
    samplings: list[tuple[int, int]], color: str, restarts: dict[str, int], libjpeg: Libjpeg, tmp_path: Path
) -> None:
    image = make_image(samplings, color)
    file = assert_written(image, tmp_path / "image.jpg", libjpeg, **restarts)
    lone = len(samplings) == 1 or sum(v * h for v, h in samplings) > 10
    assert read_jpeg(file).num_scans == (len(samplings) if lone else 1)
    if restarts:
        max_h = image.max_sampling[1]
        row = image.components[0].quantized.shape[1] if lone else -(-WIDTH // (8 * max_h))
        interval = restarts.get("restart_interval", row)
        assert read_jpeg(file).restart_interval == interval
        assert file.count(b"\xff\xd0") >= 1
    else:
        assert b"\xff\xdd" not in file


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_image_comes_back(data: st.DataObject, libjpeg: Libjpeg, tmp_path: Path) -> None:
    count = data.draw(st.integers(1, 4))
    image = make_image(
        [data.draw(st.sampled_from(FACTORS)) for _ in range(count)],
        data.draw(st.sampled_from(COLORS[count])),
        height=data.draw(st.integers(1, 61)),
        width=data.draw(st.integers(1, 61)),
        most=data.draw(st.sampled_from([1, 30, 1023, 2047])),
        share=data.draw(st.sampled_from([0.0, 0.01, 0.3, 1.0])),
        most_step=data.draw(st.sampled_from([1, 255, 65535])),
        orientation=data.draw(st.integers(1, 8)),
        seed=data.draw(st.integers(0, 2**32)),
    )
    restarts = data.draw(st.sampled_from([{}, {"restart_interval": 1}, {"restart_interval": 7}, {"restart_rows": 2}]))
    assert_written(image, tmp_path / "image.jpg", libjpeg, **restarts)


def only(changes: dict[tuple[int, ...], int]) -> JpegImage:
    """Three blocks of zeros, but for changes at (block, v, u)."""
    values = np.zeros((1, 3, 8, 8), np.int16)
    for place, value in changes.items():
        values[(0, *place)] = value
    return JpegImage(8, 24, (Component(1, (1, 1), 8, 24, values, np.ones((8, 8), np.uint16)),), "gray")


@pytest.mark.parametrize(
    ("changes", "frame"),
    [
        ({}, 0xC0),
        ({(0, 7, 7): 1, (2, 7, 7): -1}, 0xC0),  # 62 zeros before the last coefficient: no end of block behind it
        ({(0, 7, 7): 1023, (1, 7, 7): -1023, (2, 7, 7): 1}, 0xC0),
        ({(0, 0, 1): 1023, (1, 0, 1): -1023}, 0xC0),
        ({(0, 0, 0): 1024, (1, 0, 0): -1023}, 0xC0),  # a DC difference of 2047: as far as baseline goes
        ({(0, 0, 0): 1024, (1, 0, 0): -1024}, 0xC1),
        ({(0, 0, 0): 2047, (1, 0, 0): -2047, (2, 0, 0): 2047}, 0xC1),
        ({(0, 0, 1): 1024}, 0xC1),
        ({(0, 0, 0): 32767, (1, 0, 0): 0, (2, 0, 0): -32767, (0, 3, 2): 32767, (1, 5, 1): -32767}, 0xC1),
        ({(0, 2, 3): 5, (0, 3, 4): -5, (1, 5, 2): 7, (2, 6, 1): 1}, 0xC0),  # runs around sixteen and thirty-two
    ],
)
def test_extreme_blocks_come_back(
    changes: dict[tuple[int, ...], int], frame: int, libjpeg: Libjpeg, tmp_path: Path
) -> None:
    file = assert_written(only(changes), tmp_path / "image.jpg", libjpeg)
    assert file[find(file, frame) + 1] == frame


@pytest.mark.parametrize("run", range(63))
def test_every_run_of_zeros_comes_back(run: int) -> None:
    k = np.zeros(64, np.int16)
    order = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
    k[order[1 + run]] = -3
    image = only({})
    image.components[0].quantized[0, 1] = k.reshape(8, 8)
    assert_same(image, read_jpeg(encode_jpeg(image)))


def test_tables_are_written_once_and_with_sixteen_bits_where_they_must() -> None:
    image = make_image([(1, 1)] * 3, "ycbcr", most_step=255)
    first, second, third = image.components
    third = dataclasses.replace(third, quantization=second.quantization)
    assert encode_jpeg(dataclasses.replace(image, components=(first, second, third))).count(b"\xff\xdb\0\x43") == 2
    wide = first.quantization.copy()
    wide[7, 7] = 256
    second = dataclasses.replace(second, quantization=wide)
    file = encode_jpeg(dataclasses.replace(image, components=(first, second, third)))
    assert (file.count(b"\xff\xdb\0\x43"), file.count(b"\xff\xdb\0\x83")) == (2, 1)
    assert file[find(file, 0xC1) + 1] == 0xC1


def test_components_of_one_identifier_are_numbered(libjpeg: Libjpeg, tmp_path: Path) -> None:
    image = make_image([(1, 1)] * 3, "ycbcr")
    components = tuple(dataclasses.replace(component, identifier=5) for component in image.components)
    assert_written(dataclasses.replace(image, components=components), tmp_path / "image.jpg", libjpeg)
    assert [c.identifier for c in read_jpeg(tmp_path / "image.jpg").components] == [1, 2, 3]


def test_planes_of_any_memory_order_are_written_and_left_alone() -> None:
    image = make_image([(1, 1)], "gray")
    (component,) = image.components
    turned = np.asfortranarray(component.quantized)
    backwards = component.quantized[::-1, ::-1].copy()[::-1, ::-1]
    before = turned.copy()
    for plane in (turned, backwards):
        other = dataclasses.replace(component, quantized=plane)
        assert encode_jpeg(dataclasses.replace(image, components=(other,))) == encode_jpeg(image)
    assert np.array_equal(turned, before)


# -- beside libjpeg ----------------------------------------------------------------------------------------------------


def jpegtran(file: bytes, *options: str) -> bytes:
    return subprocess.run(["jpegtran", *options], input=file, capture_output=True, check=True).stdout


def assert_no_larger(file: bytes, name: object) -> None:
    theirs = jpegtran(file, "-optimize", "-copy", "none")
    ours = encode_jpeg(read_jpeg(theirs), segments=read_segments(theirs))
    assert_same(read_jpeg(theirs), read_jpeg(ours))
    assert len(ours) <= len(theirs), name


def test_small_files_of_every_kind_come_back_no_larger_than_jpegtran_makes_them(files: dict[str, bytes]) -> None:
    for name, file in files.items():
        image = read_jpeg(file)
        assert_same(image, read_jpeg(encode_jpeg(image, segments=read_segments(file))))
        if name not in {"height-by-dnl", "motion-jpeg"}:  # libjpeg reads neither
            assert_no_larger(file, name)


@pytest.mark.data
def test_photos_come_back_no_larger_than_jpegtran_makes_them(photos: Path) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.JPEG"))[::9]
    paths += sorted((photos / "coco_mini").rglob("*.jpg"))[:10]
    assert len(paths) >= 20
    for path in paths:
        assert_no_larger(path.read_bytes(), path)


def test_jpegtran_and_pillow_find_nothing_odd(files: dict[str, bytes]) -> None:
    for name in ("baseline-420", "gray", "cmyk", "progressive", "odd-3x2"):
        ours = encode_jpeg(read_jpeg(files[name]), restart_interval=2, segments=read_segments(files[name]))
        done = subprocess.run(["jpegtran", "-verbose"], input=ours, capture_output=True, check=True)
        assert b"orrupt" not in done.stderr
        assert b"extraneous" not in done.stderr
        with Image.open(io.BytesIO(ours)) as mine, Image.open(io.BytesIO(files[name])) as original:
            assert (mine.mode, mine.size) == (original.mode, original.size)
            assert np.array_equal(np.asarray(mine), np.asarray(original))


# -- errors ------------------------------------------------------------------------------------------------------------


def changed(**changes: Any) -> JpegImage:
    return dataclasses.replace(make_image([(1, 1)] * 3, "ycbcr"), **changes)


def with_component(**changes: Any) -> JpegImage:
    image = make_image([(1, 1)] * 3, "ycbcr")
    return dataclasses.replace(
        image, components=(dataclasses.replace(image.components[0], **changes), *image.components[1:])
    )


JFIF = Segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (changed(components=()), {}, "an image of 0 components. Give 1 to 4"),
        (changed(height=0), {}, f"an image of 0 x {WIDTH} pixels. Each side of a JPEG is 1 to 65535"),
        (changed(width=65536), {}, f"an image of {HEIGHT} x 65536 pixels"),
        (changed(orientation=9), {}, "orientation 9. EXIF knows 1 to 8"),
        (
            changed(height=HEIGHT + 8),
            {},
            (
                "component 0 has 7 x 9 blocks, but size and sampling ask for 8 x 9 (A.1.1). "
                "Make plane, size and sampling agree"
            ),
        ),
        (with_component(sampling=(5, 1)), {}, "sampling factors 5 (v) and 1 (h) of component 0. Each is 1 to 4"),
        (
            with_component(quantization=np.zeros((8, 8), np.uint16)),
            {},
            ("the quantization table of component 0 holds a step of 0 (B.2.4.1). Steps are 1 to 65535"),
        ),
        (
            with_component(quantized=np.full((7, 9, 8, 8), -32768, np.int16)),
            {},
            ("a DC difference or an AC coefficient is beyond +-32767. No JPEG of 8-bit samples holds such a one"),
        ),
        (changed(), {"restart_interval": -1}, "a negative restart interval. Give how many MCUs, or rows of MCUs; 0 "),
        (changed(), {"restart_interval": 65536}, "a restart interval of 65536 MCUs. 65535 is the most (B.2.4.4)"),
        (changed(), {"restart_interval": 1, "restart_rows": 1}, "restart intervals both in MCUs and in rows. Give one"),
        (changed(), {"segments": [Segment(0xDB, b"")]}, "a kept segment is DQT. Keep APP0 to APP15 and COM alone"),
        (
            changed(),
            {"segments": [Segment(0xFE, bytes(65534))]},
            "a kept COM segment of 65534 bytes. 65533 is the most",
        ),
        (
            changed(color="rgb"),
            {"segments": [JFIF]},
            (
                "the kept segments, or the number of components, say another "
                "color than the image. Leave JFIF's and Adobe's segments out, or make the color agree"
            ),
        ),
        (changed(color="cmyk"), {}, "say another color"),
        (
            changed(orientation=3),
            {"segments": [Segment(0xE1, exif(6)[4:])]},
            (
                "the kept Exif segment says orientation 6, "
                "the image 3. Leave the segment out, or make the orientation agree"
            ),
        ),
    ],
)
def test_what_no_jpeg_can_say_is_refused(
    image: JpegImage, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(MalformedJpeg) as refused:
        write_jpeg(image, tmp_path / "image.jpg", **options)
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the image has 12 bits per sample; only 8 are written"):
        encode_jpeg(changed(precision=12))
    with pytest.raises(ValueError, match="an identifier outside 0 to 255"):
        encode_jpeg(with_component(identifier=256))
    with pytest.raises(ValueError, match="a marker is 0 to 255"):
        encode_jpeg(changed(), segments=[Segment(300, b"")])
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.jpg"):
        write_jpeg(changed(), tmp_path / "folder.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.jpg"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"before")
    write_jpeg(changed(), path)
    assert path.read_bytes() == encode_jpeg(changed())
    assert [found.name for found in tmp_path.iterdir()] == ["image.jpg"]


def test_encoding_is_held_to_the_limit_on_memory(tmp_path: Path) -> None:
    """As reading is: symbols and file, 4 bytes for each symbol and up to 2 for each byte of the file."""
    image = make_image([(1, 1)] * 3, "ycbcr", height=512, width=512, share=0.5)
    least = sum(4 * int(np.count_nonzero(component.quantized)) for component in image.components)
    path = tmp_path / "large.jpg"
    for limit in (least // 2, least):
        with pytest.raises(
            JpegLimitExceeded, match=rf"^(the symbols to encode|.*) of \d+ bytes, more than {limit}\. Raise"
        ):
            encode_jpeg(image, limits=Limits(max_memory_bytes=limit))
        with pytest.raises(JpegLimitExceeded, match=r"Raise Limits\.max_memory_bytes"):
            write_jpeg(image, path, limits=Limits(max_memory_bytes=limit))
    assert list(tmp_path.iterdir()) == []
    contents = encode_jpeg(image, limits=Limits(max_memory_bytes=4 * least))
    assert contents == encode_jpeg(image)
    write_jpeg(image, path, limits=Limits(max_memory_bytes=4 * least))
    assert path.read_bytes() == contents
