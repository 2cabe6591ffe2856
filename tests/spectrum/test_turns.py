"""Quarter turns and vertical flips by the reader: pixels' in float64, and bit for bit those of the spectrum."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tests.jpeg.small_files import by_pillow
from tests.spectrum.images import SAMPLINGS, make_image
from tests.spectrum.test_indexed_crops import FILES, drawn_boxes
from tests.spectrum.test_packed import files
from tests.spectrum.test_read_spectra import encoded
from tests.spectrum.test_reference import by_pixels

from prepixel.jpeg import index_jpeg, pack_jpeg, read_jpeg, read_sizes
from prepixel.jpeg.image import Color, JpegImage
from prepixel.spectrum import (
    BandSet,
    Box,
    open_images,
    read_arrays,
    read_padded,
    read_spectra,
    read_spectrum,
    resample,
    spectrum_of,
)
from prepixel.spectrum.crop_arrays import CropArrays

ALL = BandSet.of("192")
LOPSIDED = BandSet("lopsided", (0, 1, 8, 16, 64, 67, 129))


def turned(values: np.ndarray, bands: BandSet, turns: int) -> np.ndarray:
    """Turn values [f, bh, bw] whose bands hold (u, v) with each (v, u): a mirror image left to right, transposed."""
    for _ in range(turns % 4):
        rows = []
        for c, v, u in bands:
            mirrored = values[list(bands).index((c, u, v))][:, ::-1] * (-1 if v % 2 else 1)
            rows.append(mirrored.T)
        values = np.stack(rows).astype(values.dtype)
    return values


def grid_before(grid: tuple[int, int], turns: int) -> tuple[int, int]:
    return grid[::-1] if turns % 2 else grid


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_orientation_flip_and_turn_is_that_of_pixels(sampling: str) -> None:
    for orientation, flip, turns in itertools.product(range(1, 9), (False, True), range(4)):
        image = make_image(19, 13, sampling=sampling, orientation=orientation, seed=orientation)
        height, width = image.upright_size
        box, grid = (2.0, 3.0, height - 5.0, width - 4.5), (3, 2)
        ours = resample(image, Box(*box), grid, ALL, flip=flip, turns=turns)
        expected = by_pixels(image, box, grid, flip=flip, turns=turns)
        torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_gray_and_rgb_turn_as_pixels_do(color: Color) -> None:
    for turns in range(4):
        image = make_image(23, 37, color=color, orientation=turns + 5)
        ours = resample(image, None, (2, 3), ALL, turns=turns, filter="bicubic")
        expected = by_pixels(image, (0, 0, *image.upright_size), (2, 3), turns=turns, filter_name="bicubic")
        torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
@pytest.mark.parametrize("bands", ["192", "S-24"])
def test_the_reader_turns_bit_for_bit_as_the_spectrum_turns(bands: str, dtype: torch.dtype) -> None:
    chosen = BandSet.of(bands)
    # A unit of (v, u) that is (u, v)'s, and a shift of DC alone: then int8 values turn as coefficients do.
    unit = torch.tensor([1.0 + 0.37 * v + 0.37 * u + c for c, v, u in chosen])
    shift = torch.tensor([40.0 - 9 * c if v == u == 0 else 0.0 for c, v, u in chosen])
    options: dict[str, Any] = {"bands": chosen, "dtype": dtype, "shift": shift, "unit": unit, "filter": "bicubic"}
    for seed, (sampling, orientation) in enumerate(itertools.product(SAMPLINGS, range(1, 9))):
        image = make_image(37, 29, sampling=sampling, orientation=orientation, seed=seed)
        height, width = image.upright_size
        box = Box(2.25, 3.0, height - 5.5, width - 4.0)
        for flip, turns in itertools.product((False, True), range(4)):
            grid = (3, 5)
            ours = spectrum_of(image, grid=grid, box=box, flip=flip, turns=turns, **options)
            before = spectrum_of(image, grid=grid_before(grid, turns), box=box, flip=flip, **options)
            expected = turned(before.values[0].numpy(), chosen, turns)
            assert np.array_equal(ours.values[0].numpy(), expected), (sampling, orientation, flip, turns)


def test_two_quarters_and_a_flip_mirror_top_to_bottom() -> None:
    image = make_image(33, 57, sampling="4:2:0", orientation=6)
    plain = spectrum_of(image, grid=(5, 3), bands=ALL)
    mirrored = spectrum_of(image, grid=(5, 3), bands=ALL, flip=True, turns=2)
    assert torch.equal(mirrored.values, plain.flip_vertical().values)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_any_bands_and_grid_turn(turns: int) -> None:
    """A turned frequency (v, u) is made of (u, v), which the bands need not hold."""
    image = make_image(43, 61, sampling="4:2:2", orientation=3)
    assert_within_rounding(image, Box(1, 2, 40, 50), (2, 5), LOPSIDED, turns)


def assert_within_rounding(image: JpegImage, box: Box, grid: tuple[int, int], bands: BandSet, turns: int) -> None:
    ours = spectrum_of(image, grid=grid, bands=bands, box=box, turns=turns)
    expected = resample(image, box, grid, bands, turns=turns)
    torch.testing.assert_close(ours.values[0].double(), expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_packed_images_turn_as_their_jpegs(dtype: Any) -> None:
    named = files()
    sources = list(named.values())
    packed = [pack_jpeg(file, compression="none") for file in sources]
    unit = np.linspace(0.7, 9.1, 24) if dtype == "int8" else None
    for turns, flip, grid in itertools.product((1, 2, 3), (False, True), ((2, 3), (13, 11))):
        boxes = drawn_boxes(read_sizes(sources).sizes, turns)
        options: dict[str, Any] = {
            "grid": grid, "bands": "S-24", "boxes": boxes, "dtype": dtype, "unit": unit, "threads": 1,
            "turns": np.full(len(sources), turns), "flips": np.full(len(sources), flip),
        }  # fmt: skip
        assert np.array_equal(read_arrays(sources, **options).values, read_arrays(packed, **options).values)


def test_files_of_every_kind_turn_by_index_and_without() -> None:
    sizes = read_sizes(FILES).sizes
    indexes = [index_jpeg(file, every=1) for file in FILES]
    rng = np.random.default_rng(4)
    for seed in range(4):
        options: dict[str, Any] = {
            "bands": "S-24", "boxes": drawn_boxes(sizes, seed), "flips": rng.random(len(FILES)) < 0.5,
            "turns": rng.integers(-5, 6, len(FILES)), "grid": (3, 5),
        }  # fmt: skip
        plain = read_arrays(FILES, indexes=None, **options)
        indexed = read_arrays(FILES, indexes=indexes, threads=2, **options)
        assert np.array_equal(indexed.values, plain.values)
        for i, file in enumerate(FILES):
            if i in plain.report.from_pixels:
                continue
            image, box = read_jpeg(file), Box(*options["boxes"][i].tolist())
            flip, turns = bool(options["flips"][i]), int(options["turns"][i])
            alone = spectrum_of(image, grid=(3, 5), bands="S-24", box=box, flip=flip, turns=turns)
            assert np.array_equal(alone.values[0].numpy(), plain.values[i])


def test_every_reader_turns_images_of_pixels_too() -> None:
    sources = [encoded("png"), b"nothing", by_pillow(subsampling=2)]
    turns = np.array([1, 0, 3])
    opened = open_images(sources, on_error="skip")
    by_arrays = read_arrays(sources, grid=(5, 3), bands="S-24", turns=turns, on_error="skip")
    spectra = read_spectra(opened, grid=(5, 3), bands="S-24", turns=turns[[0, 2]], on_error="skip").spectrum
    padded = read_padded(sources, grids=[(5, 3)] * 3, bands="S-24", turns=turns, on_error="skip").spectrum.spectrum
    for values in (spectra.values.numpy(), padded.values.numpy()):
        assert np.array_equal(by_arrays.values, values)
    for i, place in enumerate((0, 2)):
        whole = read_spectrum(sources[place], grid=(3, 5), bands="S-24")
        expected = turned(whole.values[0].numpy(), whole.bands, int(turns[place]))
        assert np.array_equal(by_arrays.values[i], expected)
        alone = read_spectrum(sources[place], grid=(5, 3), bands="S-24", turns=int(turns[place]))
        assert np.array_equal(by_arrays.values[i], alone.values[0].numpy())


def test_turns_that_do_not_fit_are_refused() -> None:
    file = by_pillow()
    with pytest.raises(ValueError, match="2 turns for 1 sources; give one per source"):
        read_spectra([file], grid=(2, 3), bands="S-24", turns=np.array([1, 2]))
    with pytest.raises(ValueError, match="turns are float64; give whole numbers of quarter turns, counter-clockwise"):
        inspect.unwrap(CropArrays.of)(CropArrays, 1, None, None, np.array([0.5]))
