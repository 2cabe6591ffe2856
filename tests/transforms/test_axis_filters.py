"""Filters along the axes against torchvision's filters of pixels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transforms.pixel_twin import ALL, encoded, photo, pixels_of, spectrum_of
from torch import Tensor
from torchvision.transforms.v2 import functional as twin

from prepixel import transforms
from prepixel.spectrum import BandSet, Spectrum
from prepixel.transforms.functional import flat_color

GRID = (3, 5)


def each(images: Tensor, change: Callable[..., Tensor], *factors: Tensor) -> Tensor:
    return torch.stack(
        [change(image, *(f.item() for f in rest)) for image, *rest in zip(images, *factors, strict=True)]
    )


@pytest.mark.parametrize("kernel_size", [1, 3, 9, (23, 5)])
def test_blur_is_torchvisions_with_its_border(kernel_size: int | tuple[int, int]) -> None:
    images, sigma = photo(3, GRID), torch.tensor([0.1, 1.1, 2.0], dtype=torch.float64)
    size = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    blurred = pixels_of(transforms.gaussian_blur(spectrum_of(images), kernel_size, sigma))
    expected = each(images, lambda image, s: twin.gaussian_blur(image, size, [s, s]), sigma)
    torch.testing.assert_close(blurred, expected, rtol=0, atol=1e-9)
    default = pixels_of(transforms.gaussian_blur(spectrum_of(images), kernel_size))
    torch.testing.assert_close(default, twin.gaussian_blur(images, size), rtol=0, atol=1e-9)


def test_sharpness_is_torchvisions_with_its_border() -> None:
    images, factors = photo(3, GRID), torch.tensor([0.0, 1.0, 1.9], dtype=torch.float64)
    changed = pixels_of(transforms.adjust_sharpness(spectrum_of(images), factors))
    expected = each(images / 255, twin.adjust_sharpness, factors) * 255
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-9)


@given(st.integers(-41, 41), st.integers(-25, 25))
@settings(deadline=None, max_examples=20)
def test_translation_is_that_of_pixels(across: int, down: int) -> None:
    images, fill = photo(2, GRID), (10.0, 255.0, 77.0)
    moves = torch.tensor([across, 0]), torch.tensor([down, -3])
    moved = pixels_of(transforms.translate(spectrum_of(images), *moves, fill))
    expected = torch.tensor(fill, dtype=torch.float64)[:, None, None].expand_as(images).clone()
    h, w = images.shape[2:]
    for i, (x, y) in enumerate(zip(moves[0].tolist(), moves[1].tolist(), strict=True)):
        for row in range(h):
            for column in range(w):
                if 0 <= row - y < h and 0 <= column - x < w:
                    expected[i, :, row, column] = images[i, :, row - y, column - x]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-9)


def test_translation_is_that_of_torchvisions_affine_map() -> None:
    images = photo(2, GRID)
    moved = pixels_of(transforms.translate(spectrum_of(images), -11, 5))
    expected = twin.affine(images, angle=0.0, translate=[-11, 5], scale=1.0, shear=[0.0, 0.0])
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-9)


CHANGES: dict[str, Callable[[Spectrum], Spectrum]] = {
    "blur": lambda s: transforms.gaussian_blur(s, 7, torch.tensor([0.9, 2.0], dtype=torch.float64)),
    "sharpness": lambda s: transforms.adjust_sharpness(s, torch.tensor([0.3, 1.7], dtype=torch.float64)),
    "translation": lambda s: transforms.translate(s, torch.tensor([3, -9]), torch.tensor([-4, 0]), 30.0),
}
SUBSETS = ["S-24", "L-24", "zigzag-11-3-2", BandSet("out of order", (9, 0, 17, 1, 130, 64, 128, 65))]


@pytest.mark.parametrize("bands", SUBSETS, ids=str)
@pytest.mark.parametrize("name", CHANGES)
def test_with_fewer_bands_the_image_of_those_is_filtered_and_they_are_kept(name: str, bands: BandSet | str) -> None:
    kept = spectrum_of(photo(2, GRID), bands)
    image_of_kept = spectrum_of(pixels_of(kept), ALL)
    expected = CHANGES[name](image_of_kept).select(bands)
    torch.testing.assert_close(CHANGES[name](kept).values, expected.values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bands", SUBSETS, ids=str)
def test_translation_by_whole_blocks_is_exact_for_every_band_set(bands: BandSet | str) -> None:
    whole = spectrum_of(photo(2, GRID))
    moves = torch.tensor([16, -8]), torch.tensor([0, 8])
    expected = transforms.translate(whole, *moves).select(bands)
    torch.testing.assert_close(
        transforms.translate(whole.select(bands), *moves).values, expected.values, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("dtype", [torch.int8, torch.float32])
def test_encoded_values_become_float32_coefficients(name: str, dtype: torch.dtype) -> None:
    stored = encoded(spectrum_of(photo(2, GRID), "S-24"), dtype)
    before = stored.values.clone()
    changed = CHANGES[name](stored)
    plain = CHANGES[name](Spectrum.of_coefficients(stored.coefficients().double(), "S-24"))
    assert changed.values.dtype == torch.float32
    torch.testing.assert_close(changed.values.double(), plain.values, rtol=1e-5, atol=2e-3)
    assert torch.equal(stored.values, before)


def test_what_does_not_fit_is_refused() -> None:
    spectrum = spectrum_of(photo(2, GRID), "S-24")
    with pytest.raises(ValueError, match=r"kernel_size is 4; it must be odd"):
        transforms.gaussian_blur(spectrum, 4)
    with pytest.raises(ValueError, match=r"kernel_size is 49; it must be odd, and half of it less than the image's 24"):
        transforms.gaussian_blur(spectrum, 49)
    with pytest.raises(ValueError, match=r"sigma is 0; it must be in"):
        transforms.gaussian_blur(spectrum, 3, 0.0)
    with pytest.raises(ValueError, match=r"\(3,\) distances for 2 images"):
        transforms.translate(spectrum, torch.zeros(3, dtype=torch.int64), 0)
    with pytest.raises(ValueError, match=r"a color is one number or three, or \"mean\" where it is said so, not 'red'"):
        flat_color("red", spectrum.bands)
