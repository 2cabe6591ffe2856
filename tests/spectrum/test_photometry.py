"""Color matrices to the digit, of samples and of coefficients."""

from __future__ import annotations

from fractions import Fraction

import torch

from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.photometry import (
    RGB_TO_YCBCR,
    YCBCR_TO_RGB,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)


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
