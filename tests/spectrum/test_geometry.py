"""Turns of coefficients are turns of pixels; turns of files are jpegtran's, to the integer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.spectrum.images import make_image
from torch import Tensor

from prepixel.jpeg import read_jpeg
from prepixel.jpeg.image import JpegImage
from prepixel.spectrum import geometry
from prepixel.spectrum.boxes import Box, axis_order
from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.geometry import transform, upright

# What each function does to a picture, in numpy's words.
TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flip_horizontal": np.fliplr,
    "flip_vertical": np.flipud,
    "transpose": lambda p: p.T,
    "transverse": lambda p: np.rot90(p, 2).T,
    "rotate_90": lambda p: np.rot90(p, -1),
    "rotate_180": lambda p: np.rot90(p, 2),
    "rotate_270": np.rot90,
}
# What makes a picture of an EXIF orientation upright, in words of ours and of jpegtran.
ORIENTATIONS: dict[int, tuple[str, list[str]]] = {
    2: ("flip_horizontal", ["-flip", "horizontal"]),
    3: ("rotate_180", ["-rotate", "180"]),
    4: ("flip_vertical", ["-flip", "vertical"]),
    5: ("transpose", ["-transpose"]),
    6: ("rotate_90", ["-rotate", "90"]),
    7: ("transverse", ["-transverse"]),
    8: ("rotate_270", ["-rotate", "270"]),
}
# name: cjpeg's -sample for luma (across x down), and the iMCU (down, across).
SAMPLES: dict[str, tuple[str, tuple[int, int]]] = {
    "4:4:4": ("1x1", (8, 8)),
    "4:2:2": ("2x1", (8, 16)),
    "4:2:0": ("2x2", (16, 16)),
    "4:4:0": ("1x2", (16, 8)),
    "4:1:1": ("4x1", (8, 32)),
    "gray": ("1x1", (8, 8)),
    "gray, 2x2": ("2x2", (8, 8)),
}


def blocks_of(picture: np.ndarray) -> Tensor:
    rows, columns = picture.shape
    samples = torch.from_numpy(np.ascontiguousarray(picture)).reshape(rows // 8, 8, columns // 8, 8)
    return block_dct(samples.permute(0, 2, 1, 3))


@pytest.mark.parametrize("name", TURNS)
def test_turning_coefficients_is_turning_pixels(name: str) -> None:
    picture = np.random.default_rng(3).normal(0, 50, (24, 40))
    turned = getattr(geometry, name)(blocks_of(picture))
    torch.testing.assert_close(turned, blocks_of(TURNS[name](picture)), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", TURNS)
def test_battery_exact_on_integers_batched_fresh_and_its_own_inverse(name: str) -> None:
    turn = getattr(geometry, name)
    blocks = torch.randint(-1000, 1000, (2, 3, 5, 7, 8, 8), dtype=torch.int16)
    before = blocks.clone()
    turned = turn(blocks)
    assert turned.dtype == torch.int16
    assert torch.equal(turned[1, 2], turn(blocks[1, 2]))
    assert torch.equal(turned, turn(blocks.transpose(0, 1).contiguous().transpose(0, 1)))
    back = getattr(geometry, {"rotate_90": "rotate_270", "rotate_270": "rotate_90"}.get(name, name))
    assert torch.equal(back(turned), blocks)
    assert turn(blocks[:0]).shape[0] == 0
    turned.zero_()
    assert torch.equal(blocks, before)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_is_the_turn_of_its_name(orientation: int) -> None:
    blocks = torch.randint(-1000, 1000, (5, 7, 8, 8), dtype=torch.int16)
    expected = blocks if orientation == 1 else getattr(geometry, ORIENTATIONS[orientation][0])(blocks)
    result = geometry.orient(blocks, orientation)
    assert torch.equal(result, expected)
    assert result.data_ptr() != blocks.data_ptr()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_box_finds_its_pixels_in_the_stored_image(orientation: int) -> None:
    stored = np.arange(13 * 19).reshape(13, 19)
    name = ORIENTATIONS[orientation][0] if orientation > 1 else ""
    turn: Callable[[np.ndarray], np.ndarray] = TURNS.get(name, lambda p: p)
    box = Box(2, 5, 7, 3)
    seen = turn(stored)[2:9, 5:8]
    own = box.in_stored_axes((13, 19), orientation)
    top, left, bottom, right = (int(edge) for edge in (own.top, own.left, own.top + own.height, own.left + own.width))
    np.testing.assert_array_equal(turn(stored[top:bottom, left:right]), seen)


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed; it is in Debian's libjpeg-turbo-progs"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def make_file(height: int, width: int, sampling: str) -> bytes:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()
    gray = ["-grayscale"] if sampling.startswith("gray") else []
    command = [tool("cjpeg"), "-quality", "83", "-sample", SAMPLES[sampling][0], *gray]
    return subprocess.run(command, input=picture, capture_output=True, check=True).stdout


def by_jpegtran(file: bytes, arguments: list[str]) -> JpegImage:
    command = [tool("jpegtran"), *arguments]
    return read_jpeg(subprocess.run(command, input=file, capture_output=True, check=True).stdout)


def assert_same_coefficients(ours: JpegImage, theirs: JpegImage) -> None:
    assert (ours.height, ours.width, ours.color) == (theirs.height, theirs.width, theirs.color)
    assert len(ours.components) == len(theirs.components)
    for one, other in zip(ours.components, theirs.components, strict=True):
        assert (one.height, one.width) == (other.height, other.width)
        if len(ours.components) > 1:  # of a single component jpegtran writes sampling factors of 1
            assert one.sampling == other.sampling
        np.testing.assert_array_equal(one.quantization, other.quantization)
        np.testing.assert_array_equal(one.quantized, other.quantized)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("sampling", SAMPLES)
def test_transform_equals_jpegtran_on_whole_imcus(sampling: str, orientation: int) -> None:
    down, across = SAMPLES[sampling][1]
    file = make_file(3 * down, 5 * across, sampling)
    ours = transform(read_jpeg(file), orientation)
    assert_same_coefficients(ours, by_jpegtran(file, ["-perfect", *ORIENTATIONS[orientation][1]]))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("sampling", SAMPLES)
def test_transform_with_trim_equals_jpegtran_on_odd_sizes(sampling: str, orientation: int) -> None:
    down, across = SAMPLES[sampling][1]
    for height, width in ((2 * down + 7, 3 * across + 5), (2 * down + 1, 3 * across), (3 * down, 2 * across + 3)):
        file = make_file(height, width, sampling)
        ours = transform(read_jpeg(file), orientation, trim=True)
        assert_same_coefficients(ours, by_jpegtran(file, ["-trim", *ORIENTATIONS[orientation][1]]))


@pytest.mark.parametrize("sampling", SAMPLES)
def test_transpose_equals_jpegtran_for_any_size_without_trim(sampling: str) -> None:
    for height, width in ((17, 43), (1, 29), (41, 3)):
        file = make_file(height, width, sampling)
        assert_same_coefficients(transform(read_jpeg(file), 5), by_jpegtran(file, ["-transpose"]))


def test_orientation_one_is_the_image_itself_at_any_size() -> None:
    image = make_image(17, 43, sampling="4:2:0")
    assert_same_coefficients(transform(image, 1), image)


def test_upright_uses_and_clears_the_orientation() -> None:
    image = make_image(16, 32, sampling="4:2:0", orientation=6)
    turned = upright(image)
    assert turned.orientation == 1
    assert (turned.height, turned.width) == image.upright_size == (32, 16)
    assert_same_coefficients(turned, transform(image, 6))
    assert transform(image, 6).orientation == 6


def test_transposing_turns_the_table_too() -> None:
    image = make_image(8, 16)
    assert not np.array_equal(image.components[0].quantization, image.components[0].quantization.T)
    turned = transform(image, 5).components[0]
    np.testing.assert_array_equal(turned.quantization, image.components[0].quantization.T)
    np.testing.assert_array_equal(turned.quantized[1, 0], image.components[0].quantized[0, 1].T)


def test_inexact_turns_are_refused_with_the_way_out() -> None:
    image = make_image(32, 43, sampling="4:2:0")
    with pytest.raises(ValueError, match=r"width 43 is not a multiple of 16 \(the iMCU\), so the last 11 .*trim=True"):
        transform(image, 2)
    assert transform(image, 2, trim=True).width == 32
    assert transform(image, 4).width == 43  # rows alone are reversed, and they are whole
    with pytest.raises(ValueError, match=r"height 7 is less than one iMCU \(8\)"):
        transform(make_image(7, 8), 4, trim=True)


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_no_ninth_orientation(orientation: int) -> None:
    with pytest.raises(ValueError, match=rf"orientations are 1\.\.8, not {orientation}"):
        axis_order(orientation)


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (Box(-1, 0, 5, 5), r"from \(-1, 0\) to \(4, 5\), outside the upright image of 11 x 13"),
        (Box(0, 9, 5, 5), r"from \(0, 9\) to \(5, 14\), outside"),
        (Box(7, 0, 5, 5), r"from \(7, 0\) to \(12, 5\), outside"),
        (Box(0, 0, 0, 5), "not a box"),
        (Box(0, 0, 5, -2.5), "not a box"),
        (Box(0, float("nan"), 5, 5), "not a box"),
        (Box(0, 0, float("inf"), 5), "not a box"),
    ],
)
def test_impossible_boxes_are_refused(box: Box, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        box.check_inside((11, 13))


def test_a_box_may_stick_out_by_rounding_only() -> None:
    Box(0, 0, 11 + 1e-9, 13).check_inside((11, 13))
    with pytest.raises(ValueError, match="outside"):
        Box(0, 0, 11 + 1e-3, 13).check_inside((11, 13))
