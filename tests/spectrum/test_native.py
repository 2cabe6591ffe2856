"""The native kernel against the float64 reference: float32 within its rounding errors, int8 equal but for ties."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spectrum.images import SAMPLINGS, boxes, forms, make_image
from tests.spectrum.native_pipeline import at_level, error_bound, whole

from prepixel import _native
from prepixel.errors import JpegLimitExceeded, UnsupportedJpeg
from prepixel.jpeg.image import JpegImage
from prepixel.spectrum import BandSet, Box, Spectrum, encode_int8, resample, spectrum_of
from prepixel.spectrum.boxes import Filter

FILTERS: tuple[Filter, ...] = ("bilinear", "bicubic")
ALL = BandSet.parse("192")
BAND_SETS = ["192", "S-24", "T-12", "L-24", "zigzag-0-2-7", "triangle-3-1-0"]


def assert_within_rounding(
    image: JpegImage, box: Box, grid: tuple[int, int], bands: BandSet, *, flip: bool, filter_name: Filter
) -> None:
    reference = resample(image, box, grid, bands, flip=flip, filter=filter_name)
    bound = error_bound(image, box, grid, bands, flip=flip, filter_name=filter_name)
    ours = spectrum_of(image, grid=grid, bands=bands, box=box, flip=flip, filter=filter_name)
    assert ours.values.shape == (1, len(bands), *grid)
    assert ours.values.dtype == torch.float32
    excess = (ours.values[0].double() - reference).abs() - bound
    assert excess.max() <= 0, f"{excess.max():g} beyond the bound at {np.unravel_index(excess.argmax(), excess.shape)}"


@settings(max_examples=150, deadline=None)
@given(data=st.data(), make=forms(), flip=st.booleans(), name=st.sampled_from(FILTERS))
def test_float32_is_the_reference_but_for_rounding(
    data: st.DataObject, make: Callable[[], JpegImage], flip: bool, name: Filter
) -> None:
    image = make()
    box = Box(*data.draw(boxes(image.upright_size)))
    grid = data.draw(st.tuples(st.integers(1, 13), st.integers(1, 11)))
    bands = BandSet.parse(data.draw(st.sampled_from(BAND_SETS)))
    assert_within_rounding(image, box, grid, bands, flip=flip, filter_name=name)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_sampling_in_every_orientation(sampling: str, orientation: int) -> None:
    image = make_image(43, 29, sampling=sampling, orientation=orientation, seed=orientation)
    height, width = image.upright_size
    box = Box(2, 3, height - 5, width - 4)
    for flip, name in ((False, FILTERS[0]), (True, FILTERS[1])):
        assert_within_rounding(image, box, (3, 2), BandSet.parse("T-24"), flip=flip, filter_name=name)


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (7, 5)),  # one pixel, enlarged
        ((3, 709), (11, 2)),
        ((709, 3), (2, 11)),
        ((523, 611), (1, 1)),  # reduced by 80
        ((523, 611), (61, 67)),  # beyond one strip of work
    ],
)
def test_extreme_sizes(size: tuple[int, int], grid: tuple[int, int]) -> None:
    for orientation, name in ((1, FILTERS[0]), (7, FILTERS[1])):
        image = make_image(*size, sampling="4:2:0", orientation=orientation)
        assert_within_rounding(
            image, whole(image.upright_size), grid, BandSet.parse("S-12"), flip=True, filter_name=name
        )


def test_slivers_at_the_borders() -> None:
    image = make_image(37, 53, sampling="4:2:0")
    for box in (
        Box(36.999, 0, 0.001, 53),
        Box(0, 52.5, 37, 0.5),
        Box(36, 52, 1, 1),
        Box(0, 0, 1e-9, 1e-9),
        Box(-5e-7, -5e-7, 37 + 1e-6, 53 + 1e-6),  # what rounding may leave of a whole image
    ):
        assert_within_rounding(image, box, (2, 3), ALL, flip=False, filter_name="bicubic")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), make=forms(), flip=st.booleans(), name=st.sampled_from(FILTERS))
def test_int8_is_the_rounded_reference_but_at_ties(
    data: st.DataObject, make: Callable[[], JpegImage], flip: bool, name: Filter
) -> None:
    image = make()
    box = Box(*data.draw(boxes(image.upright_size)))
    grid = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 5)))
    bands = BandSet.parse(data.draw(st.sampled_from(BAND_SETS)))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    shift = torch.from_numpy(generator.uniform(-40, 40, len(bands)).astype(np.float32))
    unit = torch.from_numpy(generator.uniform(0.3, 5, len(bands)).astype(np.float32))
    ours = spectrum_of(
        image, grid=grid, bands=bands, box=box, flip=flip, filter=name, dtype=torch.int8, shift=shift, unit=unit
    )
    assert ours.values.dtype == torch.int8
    assert torch.equal(ours.shift, shift)
    assert torch.equal(ours.unit, unit)
    reference = resample(image, box, grid, bands, flip=flip, filter=name)
    expected = encode_int8(Spectrum.of_coefficients(reference[None], bands), shift, unit).values[0]
    per_channel = [t.double()[:, None, None] for t in (shift, unit)]
    steps = (reference - per_channel[0]) / per_channel[1]
    # Factor and offset are rounded to float32, and so are the product and the sum.
    scaled = (reference / per_channel[1]).abs() + (per_channel[0] / per_channel[1]).abs()
    slack = error_bound(image, box, grid, bands, flip=flip, filter_name=name) / per_channel[1] + scaled * 2.0**-22
    from_tie = (steps - steps.floor() - 0.5).abs()
    sure = (from_tie > slack) | (steps.abs() > 128)
    assert torch.equal(ours.values[0][sure], expected[sure])
    assert ((ours.values[0].int() - expected.int()).abs() <= 1).all()
    inside = steps.abs() < 127
    assert ((ours.values[0].double() - steps).abs() <= 0.5 + slack)[inside].all()


def test_int8_rounds_half_to_even_and_clips_to_127() -> None:
    image = make_image(8, 8)
    quantized = np.zeros_like(image.components[0].quantized)
    quantized[0, 0].flat[:8] = [5, 7, -5, -7, 32767, -32768, 1, 0]
    ones = np.ones((8, 8), np.uint16)
    luma = dataclasses.replace(image.components[0], quantized=quantized, quantization=ones)
    gray = dataclasses.replace(image, components=(luma,), color="gray")
    # On its own grid the map is the identity, up to 1e-7 of the largest: ties only where that leaves them.
    luma_small = dataclasses.replace(luma, quantized=np.clip(quantized, -7, 7))
    small = dataclasses.replace(gray, components=(luma_small,))
    bands = BandSet("row", tuple(range(8)))
    two = torch.full((8,), 2.0)
    clipped = spectrum_of(gray, grid=(1, 1), bands=bands, dtype=torch.int8, unit=two).values.flatten().tolist()
    assert clipped[4:6] == [127, -127]
    exact = spectrum_of(small, grid=(1, 1), bands=bands).values.flatten()
    halves = spectrum_of(small, grid=(1, 1), bands=bands, dtype=torch.int8, unit=two).values.flatten()
    assert torch.equal(halves, (exact / 2).round().to(torch.int8))
    # A gray image's chroma is exactly 0, so shift and unit make exact ties: -shift / unit = .5, 1.5, 2.5, -.5, -1.5.
    chroma = BandSet("chroma", (64, 65, 66, 128, 129))
    shift = torch.tensor([-1.0, -3.0, -5.0, 1.0, 3.0])
    ties = spectrum_of(gray, grid=(1, 1), bands=chroma, dtype=torch.int8, shift=shift, unit=torch.full((5,), 2.0))
    assert ties.values.flatten().tolist() == [0, 2, 2, 0, -2]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), make=forms(), flip=st.booleans(), name=st.sampled_from(FILTERS))
def test_every_instruction_set_gives_the_same_bits(
    data: st.DataObject, make: Callable[[], JpegImage], flip: bool, name: Filter
) -> None:
    image = make()
    box = Box(*data.draw(boxes(image.upright_size)))
    grid = data.draw(st.tuples(st.integers(1, 13), st.integers(1, 11)))
    bands = BandSet.parse(data.draw(st.sampled_from(BAND_SETS)))
    flips, turns = np.array([flip]), np.array([image.orientation % 4])
    for dtype in (np.float32, np.int8):
        results = [
            at_level(
                level, image, box, np.empty((1, len(bands), *grid), dtype), bands, flips=flips, turns=turns, filter=name
            )
            for level in _native.simd_levels()
        ]
        assert all(result.tobytes() == results[0].tobytes() for result in results)


def test_levels_include_the_portable_one_and_the_unknown_are_refused() -> None:
    assert _native.simd_levels()[0] == "portable"
    with pytest.raises(ValueError, match="no instruction set sse9; there are best, portable"):
        at_level("sse9", make_image(9, 9), Box(0, 0, 9, 9), np.empty((1, 192, 1, 1), np.float32), ALL)


def test_a_flip_is_exactly_the_flipped_spectrum() -> None:
    image = make_image(33, 57, sampling="4:2:0")
    box = Box(4, 1.5, 20, 50.25)
    plain = spectrum_of(image, grid=(5, 3), bands=ALL, box=box)
    mirrored = spectrum_of(image, grid=(5, 3), bands=ALL, box=box, flip=True)
    assert torch.equal(mirrored.values, plain.flip_horizontal().values)


def test_values_do_not_depend_on_what_was_made_before() -> None:
    small, large = make_image(11, 13, seed=1), make_image(301, 203, sampling="4:1:1", seed=2)
    before = spectrum_of(small, grid=(3, 5), bands=ALL).values
    spectrum_of(large, grid=(61, 17), bands=ALL)
    assert torch.equal(spectrum_of(small, grid=(3, 5), bands=ALL).values, before)


def test_shift_and_unit_are_one_multiply_add() -> None:
    image = make_image(31, 47, sampling="4:2:2")
    bands = BandSet.parse("S-6")
    shift, unit = torch.linspace(-9, 70, 6), torch.linspace(0.5, 30, 6)
    plain = spectrum_of(image, grid=(2, 3), bands=bands)
    scaled = spectrum_of(image, grid=(2, 3), bands=bands, shift=shift, unit=unit)
    assert torch.equal(scaled.shift, shift)
    torch.testing.assert_close(scaled.values, plain.normalized(shift, unit), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scaled.coefficients(), plain.coefficients(), rtol=1e-5, atol=1e-4)


def test_gray_has_no_chroma_and_constants_no_detail() -> None:
    image = make_image(23, 37, color="gray")
    out = spectrum_of(image, grid=(2, 3), bands=ALL)
    assert out.values[:, 64:].abs().max() == 0
    flat = np.zeros_like(image.components[0].quantized)
    flat[..., 0, 0] = 40
    constant = dataclasses.replace(image, components=(dataclasses.replace(image.components[0], quantized=flat),))
    out = spectrum_of(constant, grid=(2, 3), bands=ALL)
    level = 40 * int(image.components[0].quantization[0, 0])
    assert (out.values[:, 0] - level).abs().max() <= level * 1e-6
    assert out.values[:, 1:].abs().max() <= level * 1e-6


def test_coefficients_of_the_largest_size_do_not_overflow() -> None:
    image = make_image(16, 24, color="rgb")
    components = tuple(
        dataclasses.replace(
            c,
            quantized=np.full_like(c.quantized, sign * 32767),
            quantization=np.full((8, 8), 65535, np.uint16),
        )
        for c, sign in zip(image.components, (1, -1, 1), strict=True)
    )
    image = dataclasses.replace(image, components=components)
    assert_within_rounding(image, Box(1, 2, 13, 19), (3, 2), ALL, flip=False, filter_name="bicubic")
    tiny = torch.full((192,), 1e-37)
    clipped = spectrum_of(image, grid=(3, 2), bands=ALL, dtype=torch.int8, unit=tiny)
    assert clipped.values.abs().max() == 127


def test_strided_and_read_only_planes_are_as_good() -> None:
    image = make_image(37, 29, sampling="4:2:0")
    expected = spectrum_of(image, grid=(3, 2), bands=ALL)
    components = []
    for component in image.components:
        wide = np.zeros((component.quantized.shape[0], 2 * component.quantized.shape[1], 8, 8), np.int16)
        wide[:, ::2] = component.quantized
        strided = wide[:, ::2]
        table = np.asfortranarray(component.quantization)
        for array in (strided, table):
            array.flags.writeable = False
        components.append(dataclasses.replace(component, quantized=strided, quantization=table))
    strided_image = dataclasses.replace(image, components=tuple(components))
    assert torch.equal(spectrum_of(strided_image, grid=(3, 2), bands=ALL).values, expected.values)


@pytest.mark.parametrize("color", ["cmyk", "ycck"])
def test_inks_are_refused_with_the_way_out(color: Literal["cmyk", "ycck"]) -> None:
    image = dataclasses.replace(make_image(16, 24), color=color)
    with pytest.raises(UnsupportedJpeg, match=r"no YCbCr coefficients.*prepixel\.jpeg\.read_image"):
        spectrum_of(image, grid=(2, 3), bands=ALL)


def test_two_components_are_refused() -> None:
    image = make_image(16, 24)
    image = dataclasses.replace(image, components=image.components[:2], color="unknown")
    with pytest.raises(UnsupportedJpeg, match="image of 2 components has no colors that any convention names"):
        spectrum_of(image, grid=(2, 3), bands=ALL)


def test_bad_boxes_are_refused_as_by_the_reference() -> None:
    image = make_image(16, 24, orientation=6)
    with pytest.raises(ValueError, match=r"outside the upright image of 24 x 16 \(height x width\)"):
        spectrum_of(image, grid=(2, 3), bands=ALL, box=Box(0, 0, 16, 24))
    for edge in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="is not a box: its edges must be finite and its height and width above 0"):
            spectrum_of(image, grid=(2, 3), bands=ALL, box=Box(0, 0, edge, 4))


def test_what_cannot_be_computed_is_refused() -> None:
    image = make_image(16, 24)
    bands = BandSet.parse("S-6")
    with pytest.raises(ValueError, match="1 x 1 to 4096 x 4096 blocks, not 0 x 3"):
        spectrum_of(image, grid=(0, 3), bands=bands)
    with pytest.raises(ValueError, match="1 x 1 to 4096 x 4096 blocks, not 3 x 4097"):
        spectrum_of(image, grid=(3, 4097), bands=bands)
    with pytest.raises(ValueError, match=r"float32 or torch\.int8, not torch\.float16"):
        spectrum_of(image, grid=(2, 3), bands=bands, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"int8 values need a unit per channel; take Statistics\.int8_unit"):
        spectrum_of(image, grid=(2, 3), bands=bands, dtype=torch.int8)
    with pytest.raises(ValueError, match="a unit must be above 0 in every channel; the smallest is 0"):
        spectrum_of(image, grid=(2, 3), bands=bands, unit=torch.tensor([1.0, 1, 1, 0, 1, 1]))
    with pytest.raises(ValueError, match="shift must be 6 finite numbers, one per channel of S-6"):
        spectrum_of(image, grid=(2, 3), bands=bands, shift=torch.full((6,), math.nan))
    with pytest.raises(ValueError, match=r"the smallest unit, .*, is too small for float32 values"):
        spectrum_of(image, grid=(2, 3), bands=bands, unit=torch.full((6,), 1e-45))


def test_planes_that_contradict_the_image_are_refused() -> None:
    image = make_image(16, 24)
    luma = image.components[0]

    def with_luma(**changes: object) -> JpegImage:
        return dataclasses.replace(image, components=(dataclasses.replace(luma, **changes), *image.components[1:]))

    with pytest.raises(ValueError, match="17 x 24 samples do not fill 2 x 3 blocks"):
        spectrum_of(with_luma(height=17), grid=(2, 3), bands=ALL)
    with pytest.raises(ValueError, match=r"sampling factors are 1..4, not 5 and 1"):
        spectrum_of(with_luma(sampling=(5, 1)), grid=(2, 3), bands=ALL)
    with pytest.raises(ValueError, match=r"EXIF orientations are 1..8, not 9"):
        spectrum_of(dataclasses.replace(image, orientation=9), grid=(2, 3), bands=ALL)
    with pytest.raises(ValueError, match="2 components is neither gray nor of three colors"):
        spectrum_of(dataclasses.replace(image, components=image.components[:2]), grid=(2, 3), bands=ALL)
    with pytest.raises(JpegLimitExceeded, match="side of 1048577 samples is above 1048576"):
        spectrum_of(with_luma(height=2**20 + 1), grid=(2, 3), bands=ALL)
