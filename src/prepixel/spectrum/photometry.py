"""JFIF's color matrices; changes of light and color on coefficients are in `prepixel.transforms`."""

from __future__ import annotations

from fractions import Fraction

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_KR, _KB = Fraction(299, 1000), Fraction(114, 1000)
_KG = 1 - _KR - _KB

# Rows Y, Cb, Cr by columns R, G, B, of level-shifted samples: luma's row sums to 1 and chroma's to 0, so the shift by
# 128 cancels and the same matrix serves samples and coefficients. Source: JFIF 1.02, p. 3; ITU-R BT.601 luma weights.
RGB_TO_YCBCR: tuple[tuple[Fraction, ...], ...] = (
    (_KR, _KG, _KB),
    tuple(k / (2 * (1 - _KB)) for k in (-_KR, -_KG, 1 - _KB)),
    tuple(k / (2 * (1 - _KR)) for k in (1 - _KR, -_KG, -_KB)),
)
YCBCR_TO_RGB: tuple[tuple[Fraction, ...], ...] = (
    (Fraction(1), Fraction(0), 2 * (1 - _KR)),
    (Fraction(1), -2 * _KB * (1 - _KB) / _KG, -2 * _KR * (1 - _KR) / _KG),
    (Fraction(1), 2 * (1 - _KB), Fraction(0)),
)


def color_matrix(rows: tuple[tuple[Fraction, ...], ...]) -> Float64[Tensor, "3 3"]:
    """Return `RGB_TO_YCBCR` or `YCBCR_TO_RGB` as a tensor, each entry rounded once."""
    return torch.tensor([[float(entry) for entry in row] for row in rows], dtype=torch.float64)


def rgb_to_ycbcr(components: Float[Tensor, "component=3 *rest"]) -> Float[Tensor, "component=3 *rest"]:
    """Convert R, G, B to Y, Cb, Cr: level-shifted samples or coefficients alike, neither rounded nor clamped.

    >>> rgb_to_ycbcr(torch.tensor([100.0, 100.0, 100.0])).round(decimals=4).tolist()
    [100.0, 0.0, 0.0]
    """
    return torch.einsum("ij,j...->i...", color_matrix(RGB_TO_YCBCR).to(components), components)


def ycbcr_to_rgb(components: Float[Tensor, "component=3 *rest"]) -> Float[Tensor, "component=3 *rest"]:
    """Convert Y, Cb, Cr to R, G, B: level-shifted samples or coefficients alike, neither rounded nor clamped."""
    return torch.einsum("ij,j...->i...", color_matrix(YCBCR_TO_RGB).to(components), components)
