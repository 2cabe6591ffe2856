"""JFIF's color matrices, and the photometric changes that are exact on coefficients.

A coefficient scales with its component, and only DC knows of an offset. So brightness, contrast and saturation of a
`Spectrum` change its shift and unit and touch no value, whatever its dtype. Unlike on pixels nothing is clamped.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from prepixel.spectrum.boxes import Real
from prepixel.spectrum.dct import BLOCK
from prepixel.spectrum.spectrum import Spectrum

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


def adjust_brightness(spectrum: Spectrum, offset: Real) -> Spectrum:
    """Add an offset to every pixel's R, G and B, exactly: luma's DC moves by 8 times as much.

    Args:
        spectrum: any dtype; its values are shared, not copied.
        offset: in pixel units, of 0..255.
    """
    return _map_components(spectrum, (1.0, 1.0, 1.0), offset)


def adjust_contrast(spectrum: Spectrum, factor: Real, *, level: Real = 128.0) -> Spectrum:
    """Scale every pixel's R, G and B about one level, exactly: all coefficients scale, luma's DC moves.

    Args:
        spectrum: any dtype; its values are shared, not copied.
        factor: above 0.
        level: the pixel value, of 0..255, that stays. 0 gives what torchvision calls brightness.

    Raises:
        ValueError: the factor is not above 0.
    """
    return _map_components(spectrum, (factor, factor, factor), (1 - factor) * (level - 128))


def adjust_saturation(spectrum: Spectrum, factor: Real) -> Spectrum:
    """Blend every pixel with its own luma, exactly: chroma scales.

    Args:
        spectrum: any dtype; its values are shared, not copied.
        factor: above 0; 1 changes nothing, less is grayer.

    Raises:
        ValueError: the factor is not above 0.
    """
    return _map_components(spectrum, (1.0, factor, factor), 0.0)


def _map_components(spectrum: Spectrum, factors: tuple[Real, Real, Real], luma_offset: Real) -> Spectrum:
    if min(factors) <= 0:
        raise ValueError(f"a photometric factor must be above 0, not {min(factors):g}")
    scale = torch.tensor([factors[c] for c, _, _ in spectrum.bands]).to(spectrum.unit)
    moved = torch.tensor([BLOCK * luma_offset * (band == (0, 0, 0)) for band in spectrum.bands]).to(spectrum.shift)
    return replace(spectrum, shift=spectrum.shift * scale.to(spectrum.shift) + moved, unit=spectrum.unit * scale)
