"""Pixels of spectra and spectra of pixels in float64, by the formulas of JFIF and the oracle's DCT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tests.oracles.pixel_reference import decode_plane, encode_plane
from torch import Tensor

from prepixel.spectrum import BandSet, Spectrum

ALL = BandSet.of("192")


def photo(n: int, grid: tuple[int, int], *, low: float = 90.0, high: float = 150.0, seed: int = 0) -> Tensor:
    """Return smooth random RGB images with some noise, inside [low, high], where mild changes do not clamp."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 3, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(coarse, (8 * grid[0], 8 * grid[1]), mode="bicubic")
    noise = torch.rand(smooth.shape, generator=generator, dtype=torch.float64)
    mixed = (smooth + 0.3 * noise).flatten(1)
    least, most = mixed.amin(1, keepdim=True), mixed.amax(1, keepdim=True)
    return (low + (high - low) * (mixed - least) / (most - least)).reshape(smooth.shape)


def spectrum_of(rgb: Tensor, bands: BandSet | str = ALL) -> Spectrum:
    """Encode RGB images of 0..255 as a float64 spectrum."""
    r, g, b = (rgb[:, i].numpy() for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    planes = (y - 128, (b - y) / 1.772, (r - y) / 1.402)
    coefficients = [[encode_plane(plane[i]).reshape(64, *_grid(rgb)) for plane in planes] for i in range(len(rgb))]
    values = torch.from_numpy(np.array(coefficients)).reshape(len(rgb), 192, *_grid(rgb))
    return Spectrum.of_coefficients(values, ALL).select(bands)


def pixels_of(spectrum: Spectrum) -> Tensor:
    """Decode a spectrum to RGB images of 0..255, neither rounded nor clamped; missing frequencies are 0."""
    c = spectrum.coefficients().double()
    n, _, bh, bw = c.shape
    full = np.zeros((n, 3, 8, 8, bh, bw))
    for place, (component, v, u) in enumerate(spectrum.bands):
        full[:, component, v, u] = c[:, place].numpy()
    planes = [
        [decode_plane(full[i, component].transpose(2, 3, 0, 1), 8 * bh, 8 * bw) for component in range(3)]
        for i in range(n)
    ]
    y, cb, cr = torch.from_numpy(np.array(planes)).reshape(n, 3, 8 * bh, 8 * bw).unbind(1)
    y = y + 128
    r, b = y + 1.402 * cr, y + 1.772 * cb
    return torch.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], 1)


def encoded(spectrum: Spectrum, dtype: torch.dtype) -> Spectrum:
    """Return the same coefficients under a shift and a unit that are not 0 and 1, rounded where the dtype is int8."""
    f = len(spectrum.bands)
    shift = torch.linspace(-30, 50, f) * torch.tensor([(v, u) == (0, 0) for _, v, u in spectrum.bands])
    unit = torch.linspace(9, 11, f)
    values = spectrum.normalized(shift, unit)
    values = values.round().clamp(-127, 127).to(dtype) if dtype == torch.int8 else values.to(dtype)
    return replace(spectrum, values=values, shift=shift, unit=unit)


def _grid(rgb: Tensor) -> tuple[int, int]:
    return rgb.shape[2] // 8, rgb.shape[3] // 8
