"""Color matrices to the digit; changes of light on coefficients are changes of light on pixels."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.photometry import (
    RGB_TO_YCBCR,
    YCBCR_TO_RGB,
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)
from prepixel.spectrum.spectrum import Spectrum

ALL = BandSet.parse("192")


def test_matrices_are_jfif_s_and_each_other_s_inverse_exactly() -> None:
    printed = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    assert [[round(float(entry), 6) for entry in row] for row in RGB_TO_YCBCR] == printed
    back = [[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]]
    assert [[round(float(entry), 6) for entry in row] for row in YCBCR_TO_RGB] == back
    product = [
        [
            sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0))
            for column in zip(*RGB_TO_YCBCR, strict=True)
        ]
        for row in YCBCR_TO_RGB
    ]
    assert product == [[int(i == j) for j in range(3)] for i in range(3)]
    assert [sum(row) for row in RGB_TO_YCBCR] == [1, 0, 0], "so the level shift cancels"


def test_the_same_matrix_serves_samples_and_coefficients() -> None:
    pixels = torch.rand(3, 5, 7, 8, 8, dtype=torch.float64) * 255
    red, green, blue = pixels
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ycbcr = torch.stack([luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402])
    torch.testing.assert_close(rgb_to_ycbcr(pixels - 128), ycbcr, atol=1e-12, rtol=0)
    torch.testing.assert_close(rgb_to_ycbcr(block_dct(pixels - 128)), block_dct(ycbcr), atol=1e-11, rtol=0)
    torch.testing.assert_close(ycbcr_to_rgb(ycbcr), pixels - 128, atol=1e-12, rtol=0)
    assert rgb_to_ycbcr(pixels.float()).dtype == torch.float32


def spectrum_of(pixels: Tensor) -> Tensor:
    """Give all 192 channels of RGB pixels [n, 3, bh, bw, 8, 8] in 0..255."""
    ycbcr = block_dct(rgb_to_ycbcr(pixels.transpose(0, 1) - 128)).transpose(0, 1)
    return ycbcr.permute(0, 1, 4, 5, 2, 3).reshape(len(pixels), 192, *pixels.shape[2:4])


def saturate(pixels: Tensor) -> Tensor:
    luma = torch.einsum("ncabyx,c->nabyx", pixels, torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64))
    return luma[:, None] + 0.3 * (pixels - luma[:, None])


@pytest.mark.parametrize(
    ("on_coefficients", "on_pixels"),
    [
        (lambda s: adjust_brightness(s, -17), lambda p: p - 17),
        (lambda s: adjust_contrast(s, 1.3), lambda p: 128 + 1.3 * (p - 128)),
        (lambda s: adjust_contrast(s, 0.6, level=0), lambda p: 0.6 * p),
        (lambda s: adjust_contrast(s, 0.6, level=200.0), lambda p: 200 + 0.6 * (p - 200)),
        (lambda s: adjust_saturation(s, 0.3), saturate),
    ],
)
def test_light_on_coefficients_is_light_on_pixels(
    on_coefficients: Callable[[Spectrum], Spectrum], on_pixels: Callable[[Tensor], Tensor]
) -> None:
    pixels = torch.rand(2, 3, 3, 5, 8, 8, dtype=torch.float64) * 255
    adjusted = on_coefficients(Spectrum.of_coefficients(spectrum_of(pixels), ALL))
    # shift and unit are float32, so coefficients of up to 1,000 are known to about 1e-4
    torch.testing.assert_close(adjusted.coefficients(), spectrum_of(on_pixels(pixels)), atol=2e-4, rtol=0)


def test_int8_values_are_shared_and_any_band_order_is_understood() -> None:
    bands = BandSet("own", (129, 64, 3, 0))
    values = torch.randint(-127, 128, (2, 4, 3, 5)).to(torch.int8)
    spectrum = Spectrum(values, bands, torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.ones(4))
    adjusted = adjust_contrast(spectrum, 2.0, level=100.0)
    assert adjusted.values is values
    assert adjusted.shift.tolist() == [2.0, 4.0, 6.0, 8.0 + 8 * 28]
    assert adjusted.unit.tolist() == [2.0] * 4
    assert adjust_saturation(spectrum, 0.5).unit.tolist() == [0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("factor", [0, -1.5])
def test_factors_must_be_above_zero(factor: float) -> None:
    spectrum = Spectrum.of_coefficients(torch.zeros(1, 192, 3, 5), ALL)
    for adjust in (adjust_contrast, adjust_saturation):
        with pytest.raises(ValueError, match=f"factor must be above 0, not {factor:g}"):
            adjust(spectrum, factor)
