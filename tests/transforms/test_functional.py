"""Photometric changes against the same changes of pixels."""

from __future__ import annotations

import colorsys
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transforms.pixel_twin import encoded, photo, pixels_of, spectrum_of
from torch import Tensor
from torchvision.transforms.v2 import functional as twin

from prepixel import transforms
from prepixel.spectrum import BandSet, Spectrum

GRID = (3, 5)
FACTORS = torch.tensor([0.8, 1.0, 1.3], dtype=torch.float64)
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]


def gray(image: Tensor) -> Tensor:
    return (LUMA * image).sum(-3, keepdim=True)


# What each does to one image of 0..255, without clamping.
FORMULAS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "adjust_brightness": lambda image, f: f * image,
    "adjust_contrast": lambda image, f: f * image + (1 - f) * gray(image).mean(),
    "adjust_saturation": lambda image, f: f * image + (1 - f) * gray(image),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_each_image_is_changed_by_its_own_factor_exactly(name: str) -> None:
    images = photo(3, GRID)
    changed = getattr(transforms, name)(spectrum_of(images), FACTORS)
    expected = torch.stack([FORMULAS[name](image, float(f)) for image, f in zip(images, FACTORS, strict=True)])
    torch.testing.assert_close(pixels_of(changed), expected, rtol=0, atol=1e-9)
    # torchvision weighs R by .2989, and clamps nothing here
    told = torch.stack(
        [getattr(twin, name)(image / 255, float(f)) * 255 for image, f in zip(images, FACTORS, strict=True)]
    )
    limit = 1e-9 if name == "adjust_brightness" else 1e-4 * 255 * 0.3
    torch.testing.assert_close(pixels_of(changed), told, rtol=0, atol=limit)


@pytest.mark.parametrize("name", [*FORMULAS, "approximate_hue"])
@pytest.mark.parametrize("bands", ["S-24", "L-24", "T-12"])
def test_a_band_set_gets_what_it_keeps_of_the_whole(name: str, bands: str) -> None:
    whole = spectrum_of(photo(3, GRID))
    factors = FACTORS - (1 if name == "approximate_hue" else 0)
    change = getattr(transforms, name)
    expected = change(whole, factors).select(bands)
    torch.testing.assert_close(change(whole.select(bands), factors).values, expected.values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*FORMULAS, "approximate_hue", "to_grayscale", "invert"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.float32, torch.float16])
def test_encoded_values_become_float32_coefficients(name: str, dtype: torch.dtype) -> None:
    stored = encoded(spectrum_of(photo(3, GRID), "S-24"), dtype)
    before = stored.values.clone()
    change: Callable[..., Spectrum] = getattr(transforms, name)
    arguments: list[Any] = [] if name in ("to_grayscale", "invert") else [0.4]
    changed = change(stored, *arguments)
    plain = change(Spectrum.of_coefficients(stored.coefficients(), "S-24"), *arguments)
    assert changed.values.dtype == torch.float32
    torch.testing.assert_close(changed.values, plain.values)
    assert torch.equal(stored.values, before)


@given(st.floats(-0.5, 0.5), st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_hue_turns_chroma_and_keeps_luma(turns: float, seed: int) -> None:
    images = photo(2, (1, 2), seed=seed)
    changed = pixels_of(transforms.approximate_hue(spectrum_of(images), turns))
    torch.testing.assert_close(gray(changed), gray(images), rtol=0, atol=1e-9)
    y = gray(images)
    chroma = torch.complex((images[:, 2:] - y) / 1.772, (images[:, :1] - y) / 1.402)
    turned = chroma * torch.polar(torch.ones(()).double(), torch.tensor(2 * torch.pi * turns, dtype=torch.float64))
    got = torch.complex((changed[:, 2:] - y) / 1.772, (changed[:, :1] - y) / 1.402)
    torch.testing.assert_close(got, turned, rtol=0, atol=1e-9)


def test_hue_turns_the_way_of_hsv() -> None:
    """The hue of a color moves by nearly what torchvision adds to it; chroma is a circle and HSV a hexagon."""
    for hue in (0.0, 0.2, 0.45, 0.7):
        color = torch.tensor(colorsys.hsv_to_rgb(hue, 0.3, 0.6), dtype=torch.float64) * 255
        image = color[None, :, None, None].expand(1, 3, 8, 8)
        turned = pixels_of(transforms.approximate_hue(spectrum_of(image), 0.1))[0, :, 0, 0] / 255
        moved = (colorsys.rgb_to_hsv(*turned.tolist())[0] - hue + 0.5) % 1 - 0.5
        assert moved == pytest.approx(0.1, abs=0.05)


def test_grayscale_and_negative_are_exact_and_of_the_chosen_images() -> None:
    images, which = photo(3, GRID), torch.tensor([True, False, True])
    grayed = pixels_of(transforms.to_grayscale(spectrum_of(images), which))
    torch.testing.assert_close(grayed[which], gray(images[which]).expand(2, 3, -1, -1), rtol=0, atol=1e-9)
    torch.testing.assert_close(grayed[1], images[1], rtol=0, atol=1e-9)
    negative = pixels_of(transforms.invert(spectrum_of(images), which))
    torch.testing.assert_close(negative[which], 255 - images[which], rtol=0, atol=1e-9)
    torch.testing.assert_close(negative[1], images[1], rtol=0, atol=1e-9)
    all_gray = pixels_of(transforms.to_grayscale(spectrum_of(images)))
    torch.testing.assert_close(all_gray, gray(images).expand(3, 3, -1, -1), rtol=0, atol=1e-9)


def test_rectangles_of_blocks_are_painted_exactly() -> None:
    images, color = photo(3, GRID), (20.0, 200.0, 90.0)
    boxes = torch.tensor([[1, 2, 2, 1], [0, 0, 0, 4], [-1, 3, 3, 9]])
    painted = pixels_of(transforms.erase(spectrum_of(images), boxes, color))
    expected = images.clone()
    shown = torch.tensor(color, dtype=torch.float64)[:, None, None]
    expected[0, :, 8:24, 16:24] = shown
    expected[2, :, :16, 24:] = shown
    torch.testing.assert_close(painted, expected, rtol=0, atol=1e-9)
    mean = pixels_of(transforms.erase(spectrum_of(images), boxes, "mean", torch.tensor([True, True, False])))
    expected = images.clone()
    expected[0, :, 8:24, 16:24] = images[0].mean((1, 2), keepdim=True)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-9)


def test_without_luma_dc_the_mean_is_mid_gray() -> None:
    bands = BandSet("no DC", (1, 2, 64, 128))
    spectrum = spectrum_of(photo(2, GRID), bands)
    changed = transforms.adjust_contrast(spectrum, 0.5)
    torch.testing.assert_close(changed.values, 0.5 * spectrum.values, rtol=0, atol=1e-12)


def test_hue_counts_a_missing_partner_as_zero() -> None:
    bands = BandSet("lopsided", (0, 64, 65, 128))
    spectrum = spectrum_of(photo(2, GRID), bands)
    changed = transforms.approximate_hue(spectrum, 0.25)
    expected = torch.stack(
        [spectrum.values[:, 0], -spectrum.values[:, 3], 0 * spectrum.values[:, 2], spectrum.values[:, 1]], 1
    )
    torch.testing.assert_close(changed.values, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*FORMULAS, "adjust_sharpness"])
def test_factors_that_do_not_fit_are_refused(name: str) -> None:
    spectrum = spectrum_of(photo(2, GRID), "S-24")
    change = getattr(transforms, name)
    with pytest.raises(ValueError, match=r"factor is -0\.5; it must be in \[0, inf\]"):
        change(spectrum, -0.5)
    with pytest.raises(ValueError, match=r"factor is nan"):
        change(spectrum, torch.tensor([1.0, float("nan")]))
    with pytest.raises(ValueError, match=r"\(3,\) numbers for 2 images; give one, or one per image"):
        change(spectrum, torch.ones(3))
    with pytest.raises(ValueError, match=r"hue factor is 0\.6; it must be in \[-0\.5, 0\.5\]"):
        transforms.approximate_hue(spectrum, 0.6)
    with pytest.raises(ValueError, match=r"1 boxes for 2 images; give one per image"):
        transforms.erase(spectrum, torch.zeros(1, 4, dtype=torch.int64))


def test_an_empty_batch_stays_empty() -> None:
    empty = spectrum_of(photo(2, GRID), "S-24")[:0] if hasattr(Spectrum, "__getitem__") else None
    empty = empty or Spectrum.of_coefficients(torch.zeros(0, 24, *GRID), "S-24")
    for name in (*FORMULAS, "adjust_sharpness", "approximate_hue"):
        assert getattr(transforms, name)(empty, 0.5).values.shape == (0, 24, *GRID)


COMPILED = """
import torch
from prepixel import transforms
from prepixel.spectrum import BandSet, Spectrum

bands = BandSet.of("S-24")

def change(values, factors):
    given = Spectrum.of_coefficients(values, bands)
    given = transforms.adjust_saturation(transforms.adjust_contrast(given, factors), factors)
    return transforms.approximate_hue(transforms.adjust_brightness(given, factors), factors - 1).values

values, factors = torch.randn(3, 24, 4, 5), torch.tensor([0.8, 1.0, 1.3])
compiled = torch.compile(change, fullgraph=True, backend="eager")
torch.testing.assert_close(compiled(values, factors), change(values, factors))
"""


def test_compiled_as_one_graph() -> None:
    """In a process of its own, since the type checks of tests cannot be compiled."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)
