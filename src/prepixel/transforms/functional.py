"""Photometric changes of batches of spectra, each image by its own factor: deterministic, linear, never clamped.

A pixel's color is an affine function of its Y, Cb and Cr, and the DCT is linear, so whatever is affine in pixels is
affine in coefficients: all channels of a component scale, and DC knows of an offset. These changes need no neighbor and
no other band, so they are exact for every band set.

Factors are torchvision v2's. Results are coefficients in float32 (float64 where the values are), of shift 0 and unit 1.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.dct import BLOCK, DC_BOUND
from prepixel.spectrum.photometry import RGB_TO_YCBCR
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.crop_draws import Color

# One number for the whole batch, or one for each image.
PerImage: TypeAlias = float | int | Float[Tensor, " _images"]


def adjust_brightness(spectrum: Spectrum, factor: PerImage) -> Spectrum:
    """Multiply every pixel's R, G and B, exactly.

    Args:
        spectrum: any dtype.
        factor: 0 is black, 1 changes nothing.

    Raises:
        ValueError: a factor is negative, or there are not as many as images.
    """
    c = spectrum.coefficients()
    factors = per_image(factor, c, "brightness factor")
    offset = DC_BOUND * (factors - 1)
    return _spectrum(scale_components(c, spectrum.bands, factors, factors, offset), spectrum.bands)


def adjust_contrast(spectrum: Spectrum, factor: PerImage) -> Spectrum:
    """Blend every pixel with the mean luma of its image, exactly.

    torchvision weighs R by .2989 where JFIF has .299, so its mean is lower by a ten-thousandth of the mean of R. In a
    band set without luma's DC the mean counts as mid-gray.

    Args:
        spectrum: any dtype.
        factor: 0 is gray all over, 1 changes nothing.

    Raises:
        ValueError: a factor is negative, or there are not as many as images.
    """
    c = spectrum.coefficients()
    factors = per_image(factor, c, "contrast factor")
    offset = (1 - factors) * mean_luma(c, spectrum.bands)
    return _spectrum(scale_components(c, spectrum.bands, factors, factors, offset), spectrum.bands)


def adjust_saturation(spectrum: Spectrum, factor: PerImage) -> Spectrum:
    """Blend every pixel with its own luma, exactly: chroma scales.

    torchvision's luma differs in the fourth digit; see `adjust_contrast`.

    Args:
        spectrum: any dtype.
        factor: 0 is grayscale, 1 changes nothing.

    Raises:
        ValueError: a factor is negative, or there are not as many as images.
    """
    c = spectrum.coefficients()
    factors = per_image(factor, c, "saturation factor")
    ones = torch.ones_like(factors)
    return _spectrum(scale_components(c, spectrum.bands, ones, factors, torch.zeros_like(factors)), spectrum.bands)


def approximate_hue(spectrum: Spectrum, factor: PerImage) -> Spectrum:
    """Turn every pixel's chroma about gray: red becomes yellow, then green.

    An approximation of `torchvision.transforms.v2.functional.adjust_hue`, which turns the hue of HSV, a hexagon, and
    keeps the largest of R, G and B. This turns Cb and Cr as a circle, keeps luma, and is linear.

    Args:
        spectrum: any dtype. Where Cb and Cr have different frequencies, a missing one counts as 0.
        factor: turns, in [-0.5, 0.5]; 0 changes nothing.

    Raises:
        ValueError: a factor is outside its range, or there are not as many as images.
    """
    c = spectrum.coefficients()
    factors = per_image(factor, c, "hue factor", low=-0.5, high=0.5)
    return _spectrum(turn_chroma(c, spectrum.bands, factors), spectrum.bands)


def to_grayscale(spectrum: Spectrum, which: Bool[Tensor, " n"] | None = None) -> Spectrum:
    """Set chroma to 0, exactly.

    Args:
        spectrum: any dtype.
        which: the images to change; None for all.
    """
    c = spectrum.coefficients()
    kept = torch.zeros(len(c), dtype=c.dtype, device=c.device)
    if which is not None:
        kept = (~which).to(kept)
    return _spectrum(
        scale_components(c, spectrum.bands, torch.ones_like(kept), kept, torch.zeros_like(kept)), spectrum.bands
    )


def invert(spectrum: Spectrum, which: Bool[Tensor, " n"] | None = None) -> Spectrum:
    """Replace every level x of R, G and B by 255 - x, exactly.

    Args:
        spectrum: any dtype.
        which: the images to change; None for all.
    """
    c = spectrum.coefficients()
    signs = -torch.ones(len(c), dtype=c.dtype, device=c.device)
    if which is not None:
        signs = torch.where(which.to(c.device), signs, -signs)
    # 255 - x is -(x - 128) - 1 about the level shift
    offset = BLOCK * (signs - 1) / 2
    return _spectrum(scale_components(c, spectrum.bands, signs, signs, offset), spectrum.bands)


def erase(
    spectrum: Spectrum, boxes: Int64[Tensor, "n 4"], value: Color | str = 0, which: Bool[Tensor, " n"] | None = None
) -> Spectrum:
    """Paint a rectangle of whole blocks of each image in one color, exactly.

    Args:
        spectrum: any dtype.
        boxes: top, left, height and width of each rectangle in blocks; it may stick out, and may be empty.
        value: the color, of 0..255; "mean" for each image's own mean color.
        which: the images to change; None for all.

    Raises:
        ValueError: there are not as many boxes as images, or the color is not one or three numbers.
    """
    c = spectrum.coefficients()
    if len(boxes) != len(c):
        raise ValueError(f"{len(boxes)} boxes for {len(c)} images; give one per image")
    boxes = boxes.to(c.device)
    inside = _in_span(boxes[:, 0], boxes[:, 2], c.shape[2])[:, :, None]
    inside = inside & _in_span(boxes[:, 1], boxes[:, 3], c.shape[3])[:, None, :]
    if which is not None:
        inside = inside & which.to(c.device)[:, None, None]
    if value == "mean":
        is_dc = torch.tensor([(v, u) == (0, 0) for _, v, u in spectrum.bands], device=c.device).to(c)
        color = c.mean((2, 3), keepdim=True) * is_dc[:, None, None]
    else:
        color = flat_color(value, spectrum.bands).to(c)[None, :, None, None]
    return _spectrum(torch.where(inside[:, None], color, c), spectrum.bands)


def per_image(
    factor: PerImage, c: Float[Tensor, "n f bh bw"], name: str, *, low: float = 0.0, high: float = math.inf
) -> Float[Tensor, " n"]:
    """Return one factor per image, on the coefficients' device, in their dtype.

    Raises:
        ValueError: a number is outside its range or not finite, or there are not as many as images. Factors on another
            device than the CPU are not checked, which would wait for it.
    """
    if not isinstance(factor, Tensor):
        if not low <= factor <= high or not math.isfinite(factor):
            raise ValueError(f"{name} is {factor:g}; it must be in [{low:g}, {high:g}]")
        return torch.full((len(c),), float(factor), dtype=c.dtype, device=c.device)
    if factor.shape != (len(c),):
        raise ValueError(f"{name}: {tuple(factor.shape)} numbers for {len(c)} images; give one, or one per image")
    if factor.device.type == "cpu" and not torch.compiler.is_compiling():
        good = (factor >= low) & (factor <= high) & factor.isfinite()
        if not bool(good.all()):
            raise ValueError(f"{name} is {float(factor[~good][0]):g}; it must be in [{low:g}, {high:g}]")
    return factor.to(c, non_blocking=True)


def scale_components(
    c: Float[Tensor, "n f bh bw"],
    bands: BandSet,
    luma: Float[Tensor, " n"],
    chroma: Float[Tensor, " n"],
    dc_offset: Float[Tensor, " n"],
) -> Float[Tensor, "n f bh bw"]:
    """Multiply luma and chroma of each image by a factor, then add an offset to luma's DC."""
    is_chroma = torch.tensor([component > 0 for component, _, _ in bands], device=c.device)
    is_dc = torch.tensor([band == (0, 0, 0) for band in bands], device=c.device).to(c)
    scale = torch.where(is_chroma, chroma[:, None], luma[:, None])
    offset = dc_offset[:, None] * is_dc
    return torch.addcmul(offset[:, :, None, None], c, scale[:, :, None, None])


def turn_chroma(
    c: Float[Tensor, "n f bh bw"], bands: BandSet, turns: Float[Tensor, " n"]
) -> Float[Tensor, "n f bh bw"]:
    """Turn the plane of Cb and Cr of each image by a part of a full turn, from Cb to Cr."""
    places = {channel: place for place, channel in enumerate(bands.channels)}
    partners = [places.get(_partner(channel), -1) for channel in bands.channels]
    # Cb takes -sin of Cr, Cr takes +sin of Cb, luma and chroma without a partner nothing.
    signs = [
        0.0 if partner < 0 else float(2 * component - 3)
        for partner, (component, _, _) in zip(partners, bands, strict=True)
    ]
    is_chroma = torch.tensor([component > 0 for component, _, _ in bands], device=c.device)
    sine = torch.sin(2 * math.pi * turns)[:, None] * torch.tensor(signs, dtype=c.dtype, device=c.device)
    cosine = torch.where(is_chroma, torch.cos(2 * math.pi * turns)[:, None], torch.ones_like(sine))
    other = c[:, torch.tensor([max(partner, 0) for partner in partners], device=c.device)]
    return torch.addcmul(other * sine[:, :, None, None], c, cosine[:, :, None, None])


def mean_luma(c: Float[Tensor, "n f bh bw"], bands: BandSet) -> Float[Tensor, " n"]:
    """Return 8 times the mean of each image's level-shifted luma: the mean of its DC."""
    if 0 not in bands.channels:
        return torch.zeros(len(c), dtype=c.dtype, device=c.device)
    return c[:, bands.channels.index(0)].mean((1, 2))


def flat_color(value: Color | str, bands: BandSet) -> Float[Tensor, " f"]:
    """Return the coefficients of a block of one color, of 0..255: its three DCs.

    Raises:
        ValueError: the color is not one or three numbers.
    """
    if isinstance(value, str):
        raise ValueError(f'a color is one number or three, or "mean" where it is said so, not {value!r}')
    rgb = (value,) * 3 if isinstance(value, int | float) else tuple(value)
    if len(rgb) != 3:
        raise ValueError(f"a color is one number or three, R, G and B, not {len(rgb)}")
    dc = [BLOCK * sum(float(k) * (level - 128) for k, level in zip(row, rgb, strict=True)) for row in RGB_TO_YCBCR]
    return torch.tensor([dc[c] if (v, u) == (0, 0) else 0.0 for c, v, u in bands], dtype=torch.float64)


def _partner(channel: int) -> int:
    """Return the channel of the other chroma component and the same frequency; -1 for luma."""
    return -1 if channel < 64 else channel + 64 if channel < 128 else channel - 64


def _in_span(start: Int64[Tensor, " n"], length: Int64[Tensor, " n"], size: int) -> Bool[Tensor, "n size"]:
    places = torch.arange(size, device=start.device)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


def _spectrum(coefficients: Float[Tensor, "n f bh bw"], bands: BandSet) -> Spectrum:
    return Spectrum.of_coefficients(coefficients, bands)
