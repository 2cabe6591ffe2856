"""Blur, sharpen and translate batches of spectra, each image by its own factor, by linear maps along the two axes.

A filter that is a product of one along columns and one along rows is, on coefficients, `out = L X R^T` with
`L = D A D^T`: A filters the samples of an axis, its border included, and D is the DCT of the axis's blocks. Blocks mix
with their neighbors, and frequencies with each other.

So all 64 frequencies of a component are needed for the very filter of pixels. With fewer, the result is exactly that of
three steps on pixels: make the image of the kept frequencies (the others 0), filter it, keep those frequencies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.dct import BLOCK, dct_basis
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.crop_draws import Color
from prepixel.transforms.functional import PerImage, flat_color, per_image

_AxisMaps: TypeAlias = Callable[[Tensor, int, int, torch.dtype], Tensor]


def gaussian_blur(spectrum: Spectrum, kernel_size: int | Sequence[int], sigma: PerImage | None = None) -> Spectrum:
    """Blur by a Gaussian, with the reflected border of `torchvision.transforms.v2.functional.gaussian_blur`.

    Exact with all 64 frequencies of each component, border included; with fewer, within the kept ones, as this module
    says.

    Args:
        spectrum: any dtype.
        kernel_size: taps, odd; one number, or across and down.
        sigma: standard deviation in pixels; None for torchvision's .15 kernel_size + .35.

    Raises:
        ValueError: a kernel size is not odd or reaches beyond the image, a sigma is not above 0, or there are not as
            many as images.
    """
    c = spectrum.coefficients()
    across, down = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
    for size, blocks in ((across, c.shape[3]), (down, c.shape[2])):
        if size < 1 or size % 2 == 0 or size // 2 >= BLOCK * blocks:
            raise ValueError(
                f"kernel_size is {size}; it must be odd, and half of it less than the image's {BLOCK * blocks} pixels"
            )
    weights = []
    for size in (down, across):
        given = size * 0.15 + 0.35 if sigma is None else sigma
        widths = per_image(given, c, "sigma", low=1e-6)
        weights.append(_gaussian(size, widths))
    return Spectrum.of_coefficients(_filter(c, spectrum.bands, _reflected_maps, weights), spectrum.bands)


def adjust_sharpness(spectrum: Spectrum, factor: PerImage) -> Spectrum:
    """Blend every image with a smoothed one, as `torchvision.transforms.v2.functional.adjust_sharpness`.

    Exact with all 64 frequencies of each component, the outermost pixels, which stay, included; with fewer, within the
    kept ones, as this module says.

    Args:
        spectrum: any dtype.
        factor: 0 is smoothed, 1 changes nothing, 2 is sharper.

    Raises:
        ValueError: a factor is negative, or there are not as many as images.
    """
    c = spectrum.coefficients()
    factors = per_image(factor, c, "sharpness factor")
    return Spectrum.of_coefficients(sharpened(c, spectrum.bands, factors), spectrum.bands)


def sharpened(
    c: Float[Tensor, "n f bh bw"], bands: BandSet, factors: Float[Tensor, " n"]
) -> Float[Tensor, "n f bh bw"]:
    """Apply `adjust_sharpness` to coefficients."""
    # The kernel [1 1 1; 1 5 1; 1 1 1] / 13 is 9/13 of the mean of 3 x 3 and 4/13 of the pixel, inside the border.
    out = c.clone()
    amount = ((1 - factors) * (9 / 13))[:, None, None, None]
    for part in _parts(bands):
        block = _interleaved(c, part)
        mean, inside = (
            [_border_maps(blocks, size, kind, c.dtype, c.device) for blocks, size in part.axes(c)]
            for kind in ("mean", "inside")
        )
        change = mean[0] @ block @ mean[1].mT - inside[0] @ block @ inside[1].mT
        out[:, part.channels(c.device)] += amount * _separated(change, part, c)
    return out


def translate(
    spectrum: Spectrum, across: int | Int64[Tensor, " _images"], down: int | Int64[Tensor, " _images"], fill: Color = 0
) -> Spectrum:
    """Move every image by whole pixels and fill what comes in with one color.

    Exact for every band set where both distances are multiples of 8; else exact with all 64 frequencies of each
    component, and with fewer within the kept ones, as this module says.

    Args:
        spectrum: any dtype.
        across: pixels to the right, negative to the left.
        down: pixels down, negative up.
        fill: the color that comes in, of 0..255.

    Raises:
        ValueError: there are not as many distances as images, or the color is not one or three numbers.
    """
    c = spectrum.coefficients()
    distances = [_distances(distance, c) for distance in (down, across)]
    color = flat_color(fill, spectrum.bands).to(c)[:, None, None]
    moved = translated(c, spectrum.bands, distances[1], distances[0], color)
    return Spectrum.of_coefficients(moved, spectrum.bands)


def translated(
    c: Float[Tensor, "n f bh bw"],
    bands: BandSet,
    across: Int64[Tensor, " n"],
    down: Int64[Tensor, " n"],
    color: Float[Tensor, "f 1 1"],
) -> Float[Tensor, "n f bh bw"]:
    """Apply `translate` to coefficients; ``color`` is that of `flat_color`."""
    return _filter(c - color, bands, _shift_maps, [down, across]) + color


class _Part(NamedTuple):
    """Channels of one component, as places in the batch and in a rectangle of frequencies."""

    places: tuple[int, ...]
    v: tuple[int, ...]
    u: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        return max(self.v) + 1, max(self.u) + 1

    def axes(self, c: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return blocks and frequencies of each axis."""
        return (c.shape[2], self.size[0]), (c.shape[3], self.size[1])

    def channels(self, device: torch.device) -> Tensor:
        return torch.tensor(self.places, device=device)


def _parts(bands: BandSet) -> list[_Part]:
    """Split a band set by component."""
    parts = []
    for component in range(3):
        found = [(place, v, u) for place, (c, v, u) in enumerate(bands) if c == component]
        if found:
            places, v, u = zip(*found, strict=True)
            parts.append(_Part(places, v, u))
    return parts


def _interleaved(c: Float[Tensor, "n f bh bw"], part: _Part) -> Float[Tensor, "n rows columns"]:
    """Lay one component's channels out as X: rows by block row and v, columns by block column and u."""
    n, _, bh, bw = c.shape
    rows, columns = part.size
    chosen = c[:, part.channels(c.device)]
    if list(zip(part.v, part.u, strict=True)) != [(v, u) for v in range(rows) for u in range(columns)]:
        full = c.new_zeros(n, rows * columns, bh, bw)
        full[:, torch.tensor([v * columns + u for v, u in zip(part.v, part.u, strict=True)], device=c.device)] = chosen
        chosen = full
    return chosen.reshape(n, rows, columns, bh, bw).permute(0, 3, 1, 4, 2).reshape(n, bh * rows, bw * columns)


def _separated(
    block: Float[Tensor, "n rows columns"], part: _Part, c: Float[Tensor, "n f bh bw"]
) -> Float[Tensor, "n kept bh bw"]:
    """Undo `_interleaved`."""
    n, _, bh, bw = c.shape
    rows, columns = part.size
    planes = block.reshape(n, bh, rows, bw, columns).permute(0, 2, 4, 1, 3).reshape(n, rows * columns, bh, bw)
    return planes[:, torch.tensor([v * columns + u for v, u in zip(part.v, part.u, strict=True)], device=c.device)]


def _filter(
    c: Float[Tensor, "n f bh bw"], bands: BandSet, maps: _AxisMaps, settings: Sequence[Tensor]
) -> Float[Tensor, "n f bh bw"]:
    """Apply a map along the columns and one along the rows to every component.

    Args:
        c: coefficients.
        bands: their channels.
        maps: makes the maps of an axis.
        settings: for each axis, per image, what `maps` makes them of.
    """
    made: dict[tuple[int, int, int], Tensor] = {}
    out = torch.empty_like(c)
    for part in _parts(bands):
        axes = [(axis, blocks, size) for axis, (blocks, size) in enumerate(part.axes(c))]
        for axis, blocks, size in axes:
            if (axis, blocks, size) not in made:
                made[axis, blocks, size] = maps(settings[axis], blocks, size, c.dtype)
        L, R = (made[axis] for axis in axes)
        out[:, part.channels(c.device)] = _separated(L @ _interleaved(c, part) @ R.mT, part, c)
    return out


def _gaussian(size: int, sigma: Float[Tensor, " n"]) -> Float[Tensor, "n half"]:
    """Return each image's weights of the center and of the samples at distance 1, 2, ..."""
    distances = torch.arange(size // 2 + 1, dtype=sigma.dtype, device=sigma.device)
    weights = torch.exp(-0.5 * (distances / sigma[:, None]) ** 2)
    return weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])


def _reflected_maps(
    weights: Float[Tensor, "n half"], blocks: int, size: int, dtype: torch.dtype
) -> Float[Tensor, "n rows rows"]:
    """Return the map of each image's symmetric filter with a reflected border."""
    taps = _reflected_taps(weights.shape[1], blocks, size, dtype, weights.device)
    return (weights.to(dtype) @ taps.flatten(1)).reshape(len(weights), blocks * size, blocks * size)


@functools.lru_cache(maxsize=32)
def _reflected_taps(
    count: int, blocks: int, size: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "count rows rows"]:
    """Return the maps that add up the two samples at each distance; for distance 0, the sample."""
    last = BLOCK * blocks - 1
    places = torch.arange(last + 1)
    A = torch.zeros(count, last + 1, last + 1, dtype=torch.float64)
    for distance in range(count):
        for place in {0: (places,)}.get(distance, (places - distance, places + distance)):
            mirrored = last - (last - place.abs()).abs()  # without repeating the sample at the edge
            A[distance].index_put_((places, mirrored), torch.ones((), dtype=torch.float64), accumulate=True)
    return _on_coefficients(A, size).to(device, dtype)


@functools.lru_cache(maxsize=32)
def _border_maps(
    blocks: int, size: int, kind: str, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "rows rows"]:
    """Return the map that keeps the samples inside the border, or their means with both neighbors; the border is 0."""
    count = BLOCK * blocks
    A = torch.zeros(count, count, dtype=torch.float64)
    places = torch.arange(1, count - 1)
    for distance in (-1, 0, 1) if kind == "mean" else (0,):
        A[places, places + distance] = 1 / 3 if kind == "mean" else 1.0
    return _on_coefficients(A, size).to(device, dtype)


def _shift_maps(
    distances: Int64[Tensor, " n"], blocks: int, size: int, dtype: torch.dtype
) -> Float[Tensor, "n rows rows"]:
    """Return the map of each image that moves samples towards the end of the axis; what comes in is 0."""
    places = torch.arange(BLOCK * blocks, device=distances.device)
    A = (places[:, None] - places == distances[:, None, None]).to(dtype)
    return _on_coefficients(A, size)


def _on_coefficients(A: Float[Tensor, "*n samples samples"], size: int) -> Float[Tensor, "*n rows rows"]:
    """Return D A D^T: a map of an axis's samples as one of the lowest ``size`` frequencies of its blocks."""
    lead, blocks = A.shape[:-2], A.shape[-1] // BLOCK
    basis = dct_basis(BLOCK)[:size].to(A)
    split = A.reshape(*lead, blocks, BLOCK, blocks, BLOCK)
    mapped = torch.einsum("vi,...aibj,uj->...avbu", basis, split, basis)
    return mapped.reshape(*lead, blocks * size, blocks * size)


def _distances(distance: int | Int64[Tensor, " _images"], c: Float[Tensor, "n f bh bw"]) -> Int64[Tensor, " n"]:
    if not isinstance(distance, Tensor):
        return torch.full((len(c),), distance, dtype=torch.int64, device=c.device)
    if distance.shape != (len(c),):
        raise ValueError(f"{tuple(distance.shape)} distances for {len(c)} images; give one, or one per image")
    return distance.to(c.device)
