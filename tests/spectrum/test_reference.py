"""The map on coefficients equals the pixel pipeline."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import pixel_reference as rgb_pipeline
from tests.spectrum.images import SAMPLINGS, boxes, forms, make_image
from torch.nn import functional

from prepixel.errors import UnsupportedJpeg
from prepixel.jpeg.image import JpegImage
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Box
from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.geometry import upright
from prepixel.spectrum.reference import axis_matrix, dequantize, resample, resample_plane
from prepixel.spectrum.resampled_axis import check_axis

# Coefficients of these tests reach some hundreds; a sum of a few thousand float64 products errs by 1e-11 at most.
TOLERANCE = 1e-9
ALL = BandSet.parse("192")
Filter = Literal["bilinear", "bicubic"]
FILTERS: tuple[Filter, ...] = ("bilinear", "bicubic")


def by_pixels(
    image: JpegImage,
    box: tuple[float, float, float, float],
    grid: tuple[int, int],
    *,
    flip: bool = False,
    turns: int = 0,
    filter_name: str = "bilinear",
) -> torch.Tensor:
    v_max, h_max = image.max_sampling
    expected = rgb_pipeline.spectrum(
        [
            rgb_pipeline.decode_plane(c.quantized.astype(float) * c.quantization, c.height, c.width)
            for c in image.components
        ],
        [(v_max / c.sampling[0], h_max / c.sampling[1]) for c in image.components],
        stored_size=(image.height, image.width),
        color=image.color,
        orientation=image.orientation,
        box=box,
        grid=grid,
        flip=flip,
        turns=turns,
        filter_name=filter_name,
    )
    return torch.from_numpy(expected.reshape(192, *grid))


@settings(max_examples=250, deadline=None)
@given(data=st.data(), form=forms(), flip=st.booleans(), name=st.sampled_from(FILTERS))
def test_resample_is_the_pixel_pipeline(
    data: st.DataObject, form: Callable[[], JpegImage], flip: bool, name: Filter
) -> None:
    image = form()
    box = data.draw(boxes(image.upright_size))
    grid = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    ours = resample(image, Box(*box), grid, ALL, flip=flip, filter=name)
    assert ours.shape == (192, *grid)
    torch.testing.assert_close(ours, by_pixels(image, box, grid, flip=flip, filter_name=name), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_sampling_in_every_orientation(sampling: str, orientation: int) -> None:
    """Sweep what chance could leave out; odd sizes, a box that ends inside blocks of every component."""
    image = make_image(43, 29, sampling=sampling, orientation=orientation, seed=orientation)
    height, width = image.upright_size
    box = (2.0, 3.0, height - 5.0, width - 4.0)
    for flip, name in ((False, FILTERS[0]), (True, FILTERS[1])):
        ours = resample(image, Box(*box), (3, 2), ALL, flip=flip, filter=name)
        torch.testing.assert_close(
            ours, by_pixels(image, box, (3, 2), flip=flip, filter_name=name), atol=TOLERANCE, rtol=0
        )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), flip=st.booleans(), name=st.sampled_from(FILTERS), orientation=st.integers(1, 8))
def test_whole_crops_of_full_planes_are_torch_interpolate(
    data: st.DataObject, flip: bool, name: Filter, orientation: int
) -> None:
    """Check against torch itself, on pixels that numpy turned upright: a second oracle, and the definition of both."""
    image = make_image(37, 53, orientation=orientation, seed=5)
    height, width = image.upright_size
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    grid = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 5)))
    turn = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).T,
        8: np.rot90,
    }[orientation]
    channels = []
    for component in image.components:
        plane = rgb_pipeline.decode_plane(component.quantized * component.quantization.astype(float), 37, 53)
        channels.append(torch.from_numpy(np.ascontiguousarray(turn(plane))))
    pixels = torch.stack(channels)[None, :, top : top + rows, left : left + columns]
    size = [8 * grid[0], 8 * grid[1]]
    resized = functional.interpolate(pixels, size, mode=name, antialias=True, align_corners=False)[0]
    resized = resized.flip(2) if flip else resized
    blocks = resized.reshape(3, grid[0], 8, grid[1], 8).permute(0, 1, 3, 2, 4)
    expected = block_dct(blocks).permute(0, 3, 4, 1, 2).reshape(192, *grid)
    ours = resample(image, Box(top, left, rows, columns), grid, ALL, flip=flip, filter=name)
    torch.testing.assert_close(ours, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("sampling", ["4:2:2", "4:2:0", "4:4:0", "4:1:1"])
def test_subsampled_chroma_of_an_aligned_crop_is_torch_interpolate(sampling: str) -> None:
    image = make_image(40, 56, sampling=sampling)
    chroma = image.components[1]
    ratio = 40 // chroma.height, 56 // chroma.width
    samples = rgb_pipeline.decode_plane(dequantize(chroma).numpy(), chroma.height, chroma.width)
    crop = torch.from_numpy(samples)[None, None, 8 // ratio[0] : 36 // ratio[0], 4 // ratio[1] : 52 // ratio[1]]
    resized = functional.interpolate(crop, (16, 24), mode="bicubic", antialias=True)[0, 0]
    expected = block_dct(resized.reshape(2, 8, 3, 8).permute(0, 2, 1, 3)).permute(2, 3, 0, 1).reshape(64, 2, 3)
    ours = resample(image, Box(8, 4, 28, 48), (2, 3), ALL, filter="bicubic")
    torch.testing.assert_close(ours[64:128], expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FILTERS)
def test_an_image_on_its_own_grid_keeps_its_coefficients(name: Filter) -> None:
    image = make_image(24, 40)
    ours = resample(image, None, (3, 5), ALL, filter=name)
    stored = torch.stack([dequantize(c).permute(2, 3, 0, 1).reshape(64, 3, 5) for c in image.components])
    torch.testing.assert_close(ours, stored.reshape(192, 3, 5), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["S-6", "T-24", "L-24", "zigzag-3-0-1"])
def test_fewer_bands_are_those_of_all(name: str) -> None:
    image = make_image(31, 47, sampling="4:2:0", orientation=6)
    bands = BandSet.parse(name)
    every = resample(image, None, (5, 3), ALL)
    torch.testing.assert_close(resample(image, None, (5, 3), bands), every[list(bands.channels)], atol=1e-11, rtol=0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0", "4:1:1"])
def test_orientation_is_what_turning_the_file_gives(sampling: str, orientation: int) -> None:
    """Where a lossless turn of the stored planes is exact, resampling the turned file is a third way."""
    image = make_image(48, 64, sampling=sampling, orientation=orientation)
    turned = upright(image)
    assert turned.orientation == 1
    height, width = image.upright_size
    box = Box(3, 5.5, height - 7.25, width - 9)
    torch.testing.assert_close(
        resample(image, box, (2, 3), ALL), resample(turned, box, (2, 3), ALL), atol=TOLERANCE, rtol=0
    )


def test_flip_of_the_result_is_flip_of_the_blocks() -> None:
    image = make_image(33, 57, sampling="4:2:0", orientation=8)
    box = Box(4, 1, 50, 30)
    signs = torch.tensor([(-1.0) ** u for _, _, u in ALL], dtype=torch.float64)[:, None, None]
    mirrored = resample(image, box, (5, 3), ALL).flip(2) * signs
    torch.testing.assert_close(resample(image, box, (5, 3), ALL, flip=True), mirrored, atol=TOLERANCE, rtol=0)


def test_a_constant_image_has_no_ac_even_where_chroma_ends_halfway() -> None:
    """Weights sum to 1 at every border, also where the crop ends inside the last chroma sample (odd sizes)."""
    image = make_image(23, 37, sampling="4:2:0")
    flat = []
    for value, component in zip((40, -7, 3), image.components, strict=True):
        quantized = np.zeros_like(component.quantized)
        quantized[..., 0, 0] = value
        flat.append(dataclasses.replace(component, quantized=quantized))
    image = dataclasses.replace(image, components=tuple(flat))
    expected = torch.zeros(192, 2, 3, dtype=torch.float64)
    for c, (value, component) in enumerate(zip((40, -7, 3), flat, strict=True)):
        expected[64 * c] = value * int(component.quantization[0, 0])
    for name in FILTERS:
        torch.testing.assert_close(resample(image, None, (2, 3), ALL, filter=name), expected, atol=1e-10, rtol=0)


def test_linear_ramps_excite_only_their_own_axis_and_odd_frequencies() -> None:
    """A ramp stays one under resize away from borders; a horizontal one has u odd or 0 only, and v 0."""
    ramp = torch.linspace(-100, 90, 40, dtype=torch.float64).expand(24, 40)
    plane = block_dct(ramp.reshape(3, 8, 5, 8).permute(0, 2, 1, 3))
    out = resample_plane(plane, (24, 40), Box(0, 0, 24, 40), (2, 3))
    inner = out[:, :, :, 1]  # the middle block column does not feel the clipped taps of the borders
    assert inner[0, 1::2].abs().amax() > 1
    assert inner[1:].abs().max() < TOLERANCE
    assert inner[:, 2::2].abs().max() < TOLERANCE
    turned = resample_plane(plane.transpose(0, 1).transpose(2, 3), (40, 24), Box(0, 0, 40, 24), (3, 2))
    torch.testing.assert_close(turned, out.permute(1, 0, 3, 2), atol=TOLERANCE, rtol=0)


def test_matrix_is_zero_outside_the_blocks_of_the_crop_and_narrow_inside() -> None:
    matrix = axis_matrix(123, 7, 5, start=31, length=60)
    assert matrix.shape == (35, 128)
    assert matrix[:, :24].abs().max() == 0
    assert matrix[:, 96:].abs().max() == 0
    # An output block of 8 samples at spacing 60/56 reaches 8 * 60/56 + 2 * 60/56 samples: at most 3 input blocks.
    touched = (matrix.reshape(7, 5, 16, 8).abs().amax((1, 3)) > 1e-12).sum(1)
    assert 2 <= touched.max() <= 3


def test_padding_of_the_last_block_is_never_read() -> None:
    image = make_image(19, 21)
    samples = [torch.randn(3, 8, 3, 8, dtype=torch.float64) for _ in range(2)]
    for version in samples:
        version.reshape(24, 24)[:19, :21] = torch.arange(19 * 21, dtype=torch.float64).reshape(19, 21)
    one, two = (block_dct(version.permute(0, 2, 1, 3)) for version in samples)
    assert (one - two).abs().max() > 0.1
    box = Box(0, 0, image.height, image.width)
    results = [resample_plane(plane, (19, 21), box, (2, 3)) for plane in (one, two)]
    torch.testing.assert_close(results[0], results[1], atol=TOLERANCE, rtol=0)


def test_a_box_that_sticks_out_by_rounding_reads_no_padding() -> None:
    image = make_image(19, 21, sampling="4:2:0")
    beyond = resample(image, Box(0, 0, 19 + 1e-7, 21 + 1e-7), (2, 3), ALL)
    torch.testing.assert_close(beyond, resample(image, None, (2, 3), ALL), atol=1e-4, rtol=0)


@pytest.mark.parametrize("top", [-5e-7, 19.0])
def test_a_sliver_beside_the_image_is_its_border(top: float) -> None:
    image = make_image(19, 21)
    border = resample(image, Box(min(max(0.0, top), 18.0), 0, 1, 21), (2, 3), ALL)
    torch.testing.assert_close(resample(image, Box(top, 0, 1e-7, 21), (2, 3), ALL), border, atol=TOLERANCE, rtol=0)


def test_resample_changes_nothing_that_it_was_given() -> None:
    image = make_image(17, 13, color="rgb", orientation=5)
    before = [component.quantized.copy() for component in image.components]
    resample(image, Box(1, 2, 5, 7), (2, 3), ALL, flip=True)
    for component, copy in zip(image.components, before, strict=True):
        np.testing.assert_array_equal(component.quantized, copy)


@pytest.mark.parametrize("color", ["cmyk", "ycck"])
def test_inks_are_refused_with_the_way_out(color: Literal["cmyk", "ycck"]) -> None:
    image = dataclasses.replace(make_image(16, 24), color=color)
    with pytest.raises(UnsupportedJpeg, match=rf"{color.upper()} image has no YCbCr.*prepixel\.jpeg\.read_image"):
        resample(image, None, (2, 3), ALL)


def test_unknown_color_is_refused_with_the_way_out() -> None:
    image = make_image(16, 24)
    image = dataclasses.replace(image, color="unknown", components=image.components[:2])
    with pytest.raises(UnsupportedJpeg, match=r"image of 2 components has no colors.*by resample_plane"):
        resample(image, None, (2, 3), ALL)


def test_errors_say_what_is_wrong() -> None:
    image = make_image(16, 24, orientation=6)
    with pytest.raises(ValueError, match=r"outside the upright image of 24 x 16 \(height x width\)"):
        resample(image, Box(0, 0, 16, 24), (2, 3), ALL)
    with pytest.raises(ValueError, match="is not a box: its edges must be finite"):
        resample(image, Box(0, 0, 0, 4), (2, 3), ALL)
    with pytest.raises(ValueError, match="at least 1 x 1 blocks, not 0 x 3"):
        resample(image, None, (0, 3), ALL)
    with pytest.raises(ValueError, match="fill 3 x 2 blocks, not 2 x 3"):
        resample_plane(torch.zeros(2, 3, 8, 8), (24, 16), Box(0, 0, 24, 16), (2, 3))
    with pytest.raises(ValueError, match="not 16 samples, 2 blocks, 9 frequencies"):
        axis_matrix(16, 2, 9)
    with pytest.raises(ValueError, match="a crop from 3 to 17 is outside an axis of 16 samples"):
        axis_matrix(16, 2, start=3, length=14)
    with pytest.raises(ValueError, match=r"a crop of 0\.0 samples from 16\.0 is empty"):
        axis_matrix(16, 2, start=16.0)


def test_unknown_filter_names_the_known() -> None:
    # The tests' type checking stands before it, so the check is called without.
    unchecked = inspect.unwrap(check_axis)
    with pytest.raises(ValueError, match="no filter 'lanczos'; there are bilinear, bicubic"):
        unchecked(16, 2, 8, 0, 16, "lanczos")  # type: ignore[arg-type]
