"""Crop, resize, mirror and upsample chroma in one banded linear map per axis, on coefficients: the float64 reference.

For one component, with X its plane of coefficients (rows: block row and v; columns: block column and u),

    out = L X R^T,    L = D_out A D_in^T,

where D_in^T turns coefficients to samples, A resizes the samples inside the box, and D_out keeps the lowest
frequencies of the result's blocks. Decoding, cropping and resizing pixels differs from this only in what it adds: it
rounds and clamps samples, and libjpeg upsamples chroma by a filter of its own first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from prepixel.errors import UnsupportedJpeg
from prepixel.jpeg.image import Component, JpegImage
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import BOX_SLACK, AxisOrder, Box, Filter, Real, shown_order
from prepixel.spectrum.dct import BLOCK, dct_basis
from prepixel.spectrum.photometry import RGB_TO_YCBCR


def axis_matrix(
    num_samples: int,
    num_blocks: int,
    num_frequencies: int = BLOCK,
    *,
    start: Real = 0.0,
    length: Real | None = None,
    flip: bool = False,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
) -> Float64[Tensor, "rows columns"]:
    """Build the map from one axis of coefficients to the lowest frequencies of its cropped and resized version.

    Args:
        num_samples: true samples of the component along the axis; the padding that fills the last block is not read.
        num_blocks: blocks of the output, g; it has 8 g samples.
        num_frequencies: frequencies kept of each output block, 1..8.
        start: where the crop begins, in samples; sample j covers [j, j + 1).
        length: how many samples the crop spans; None for all from ``start``.
        flip: mirror the output.
        filter: "bilinear" (triangle) or "bicubic" (Catmull-Rom, a = -1/2), both antialiased: the support grows with
            length / (8 g) where that is above 1. Only samples that overlap the crop are read; weights sum to 1.

    Returns:
        num_blocks * num_frequencies rows (block by block) by 8 * ceil(num_samples / 8) columns. Zero outside the
        blocks that the crop touches, and banded inside.

    Raises:
        ValueError: an argument is outside its range, or the crop is outside the axis.

    >>> matrix = axis_matrix(16, 2)  # neither crop nor resize: the identity
    >>> torch.allclose(matrix, torch.eye(16, dtype=torch.float64), atol=1e-14)
    True
    """
    span = num_samples - start if length is None else length
    first, band = _axis_band(num_samples, num_blocks, num_frequencies, start, span, flip, filter)
    matrix = torch.zeros(band.shape[0], BLOCK * -(-num_samples // BLOCK), dtype=torch.float64)
    matrix[:, BLOCK * first : BLOCK * first + band.shape[1]] = band
    return matrix


def resample_plane(
    coefficients: Float[Tensor, "bh_in bw_in 8 8"],
    size: tuple[int, int],
    box: Box,
    grid: tuple[int, int],
    frequencies: tuple[int, int] = (BLOCK, BLOCK),
    *,
    reverse: tuple[bool, bool] = (False, False),
    filter: Filter = "bilinear",  # noqa: A002
) -> Float64[Tensor, "v u bh bw"]:
    """Crop and resize one component's coefficients, in float64, without making pixels.

    Args:
        coefficients: ceil(size / 8) blocks.
        size: true samples (down, across).
        box: in this component's own samples.
        grid: output blocks (down, across).
        frequencies: how many of the lowest to form (v, u).
        reverse: mirror the output (top to bottom, left to right).
        filter: as `axis_matrix`.

    Returns:
        Orthonormal coefficients, frequency first.

    Raises:
        ValueError: as `axis_matrix`; or the blocks do not fit the size.
    """
    expected = (-(-size[0] // BLOCK), -(-size[1] // BLOCK))
    if tuple(coefficients.shape[:2]) != expected:
        raise ValueError(
            f"{size[0]} x {size[1]} samples fill {expected[0]} x {expected[1]} blocks, "
            f"not {coefficients.shape[0]} x {coefficients.shape[1]}"
        )
    first_row, L = _axis_band(size[0], grid[0], frequencies[0], box.top, box.height, reverse[0], filter)
    first_column, R = _axis_band(size[1], grid[1], frequencies[1], box.left, box.width, reverse[1], filter)
    active = coefficients[
        first_row : first_row + L.shape[1] // BLOCK, first_column : first_column + R.shape[1] // BLOCK
    ]
    X = active.to(torch.float64).permute(0, 2, 1, 3).reshape(L.shape[1], R.shape[1])
    out = L @ X @ R.T
    return out.reshape(grid[0], frequencies[0], grid[1], frequencies[1]).permute(1, 3, 0, 2)


def resample(
    image: JpegImage,
    box: Box | None,
    grid: tuple[int, int],
    bands: BandSet | str,
    *,
    flip: bool = False,
    turns: int = 0,
    filter: Filter = "bilinear",  # noqa: A002
) -> Float64[Tensor, "f bh bw"]:
    """Convert any box of an image to a grid of blocks of chosen frequencies, in float64, without making pixels.

    Orientation is applied by mapping the upright box to the stored axes, so it is exact for odd sizes and subsampled
    chroma as well. Chroma goes straight to luma's grid: its samples are centered in the luma pixels they cover.

    Args:
        image: gray (chroma becomes 0), YCbCr, or RGB. RGB becomes YCbCr by JFIF's matrix after resampling; the map is
            linear, and the level shift cancels because luma's weights sum to 1 and chroma's to 0. So it is exact.
        box: luma pixels of the upright image; None for all of it.
        grid: output blocks (down, across) of the result, after flip and turns; 8 x 8 pixels each.
        bands: the channels to form: a band set, or the name of one.
        flip: mirror the box left to right.
        turns: quarters by which it is turned counter-clockwise after that.
        filter: "bilinear" or "bicubic", antialiased; see `axis_matrix`.

    Returns:
        Orthonormal coefficients of level-shifted samples: an unresized image gives back its dequantized coefficients.

    Raises:
        UnsupportedJpeg: the image is CMYK, YCCK, or of unknown color.
        ValueError: the box is empty or outside the image, the grid is empty, or the filter has no such name.
    """
    _check_color(image)
    bands = BandSet.of(bands)
    upright_box = Box(0, 0, *image.upright_size) if box is None else box
    upright_box.check_inside(image.upright_size)
    if min(grid) < 1:
        raise ValueError(f"a grid has at least 1 x 1 blocks, not {grid[0]} x {grid[1]}")
    order = shown_order(image.orientation, flip=flip, turns=turns)
    crop = _StoredCrop.of(image, upright_box, grid, order, filter)
    out = torch.zeros(len(bands), *grid, dtype=torch.float64)
    for index, component in enumerate(image.components):
        weights = [_weight(image, channel, index) for channel in range(3)]
        wanted = [(f, v, u, weights[c]) for f, (c, v, u) in enumerate(bands) if weights[c]]
        if wanted:
            highest = max(v for _, v, _, _ in wanted), max(u for _, _, u, _ in wanted)
            plane = crop.resample(component, (highest[0] + 1, highest[1] + 1))
            for f, v, u, weight in wanted:
                out[f] += weight * plane[v, u]
    return out


def _check_color(image: JpegImage) -> None:
    if image.color in ("cmyk", "ycck"):
        raise UnsupportedJpeg(
            f"a {image.color.upper()} image has no YCbCr coefficients, and no linear map leads to them",
            hint="read it by prepixel.jpeg.read_image, which converts its pixels",
        )
    if image.color == "unknown":
        raise UnsupportedJpeg(
            f"an image of {len(image.components)} components has no colors that any convention names",
            hint="use its components one by one, by resample_plane",
        )


@dataclass(frozen=True)
class _StoredCrop:
    """A request in axes of the result, expressed in stored ones."""

    box: Box
    grid: tuple[int, int]
    reverse: tuple[bool, bool]
    transposed: bool
    max_sampling: tuple[int, int]
    filter: Filter

    @classmethod
    def of(cls, image: JpegImage, box: Box, grid: tuple[int, int], order: AxisOrder, name: Filter) -> _StoredCrop:
        return cls(
            box=box.in_stored_axes((image.height, image.width), image.orientation),
            grid=(grid[1], grid[0]) if order.transposed else grid,
            reverse=(order.reverse_rows, order.reverse_columns),
            transposed=order.transposed,
            max_sampling=image.max_sampling,
            filter=name,
        )

    def resample(self, component: Component, frequencies: tuple[int, int]) -> Float64[Tensor, "v u bh bw"]:
        (v, h), (v_max, h_max) = component.sampling, self.max_sampling
        # Multiplied before divided, so that what is whole comes out whole.
        box = Box(
            self.box.top * v / v_max,
            self.box.left * h / h_max,
            self.box.height * v / v_max,
            self.box.width * h / h_max,
        )
        out = resample_plane(
            dequantize(component),
            (component.height, component.width),
            box,
            self.grid,
            (frequencies[1], frequencies[0]) if self.transposed else frequencies,
            reverse=self.reverse,
            filter=self.filter,
        )
        return out.permute(1, 0, 3, 2) if self.transposed else out


def dequantize(component: Component) -> Float64[Tensor, "bh bw 8 8"]:
    """Multiply a component's quantized coefficients by their table, exactly.

    Returns:
        Orthonormal coefficients of level-shifted samples.

    Source: ITU-T T.81, A.3.4.
    """
    return torch.from_numpy(component.quantized * component.quantization.astype(np.float64))


def _weight(image: JpegImage, channel: int, component: int) -> float:
    """Return the weight of a stored component in one of Y, Cb, Cr."""
    if image.color == "rgb":
        return float(RGB_TO_YCBCR[channel][component])
    return float(channel == component)


def _axis_band(
    num_samples: int, num_blocks: int, num_frequencies: int, start: Real, length: Real, flip: bool, name: Filter
) -> tuple[int, Float64[Tensor, "rows columns"]]:
    """Return the input block that the crop begins with, and the part of the axis's matrix that it touches."""
    _check_axis(num_samples, num_blocks, num_frequencies, start, length, name)
    # Within the slack a crop may lie beside the axis altogether; then the sample at the border stands for it.
    first = min(max(0, math.floor(start)), num_samples - 1)
    stop = min(max(first + 1, math.ceil(start + length)), num_samples)
    weights = _resize_weights(first, stop, BLOCK * num_blocks, start, length, name)
    if flip:
        weights = weights.flip(0)
    first_block, stop_block = first // BLOCK, -(-stop // BLOCK)
    A = torch.zeros(BLOCK * num_blocks, BLOCK * (stop_block - first_block), dtype=torch.float64)
    A[:, first - BLOCK * first_block : stop - BLOCK * first_block] = weights
    basis = dct_basis(BLOCK)
    from_coefficients = A.reshape(-1, BLOCK) @ basis.T
    blocks = from_coefficients.reshape(num_blocks, BLOCK, -1)
    return first_block, (basis[:num_frequencies] @ blocks).reshape(num_blocks * num_frequencies, -1)


def _check_axis(
    num_samples: int, num_blocks: int, num_frequencies: int, start: Real, length: Real, name: Filter
) -> None:
    if name not in get_args(Filter):
        raise ValueError(f"no filter {name!r}; there are {', '.join(get_args(Filter))}")
    if num_samples < 1 or num_blocks < 1 or not 1 <= num_frequencies <= BLOCK:
        raise ValueError(
            f"an axis needs at least 1 sample, 1 block and 1..8 frequencies, "
            f"not {num_samples} samples, {num_blocks} blocks, {num_frequencies} frequencies"
        )
    if not (math.isfinite(start) and math.isfinite(length) and length > 0):
        raise ValueError(f"a crop of {length} samples from {start} is empty or not finite")
    if start < -BOX_SLACK or start + length > num_samples + BOX_SLACK:
        raise ValueError(f"a crop from {start:g} to {start + length:g} is outside an axis of {num_samples} samples")


def _resize_weights(
    first: int, stop: int, num_outputs: int, start: Real, length: Real, name: Filter
) -> Float64[Tensor, "outputs taps"]:
    """Return the antialiased weights of samples first..stop-1 in each output; each row sums to 1.

    Source: house convention; the same as torch's interpolate(antialias=True) for whole crops.
    """
    step = length / num_outputs
    centers = start + (torch.arange(num_outputs, dtype=torch.float64) + 0.5) * step
    positions = torch.arange(first, stop, dtype=torch.float64) + 0.5
    distances = (positions[None, :] - centers[:, None]).abs() / max(1.0, step)
    weights = _triangle(distances) if name == "bilinear" else _catmull_rom(distances)
    return weights / weights.sum(1, keepdim=True)


def _triangle(distance: Float64[Tensor, "*any"]) -> Float64[Tensor, "*any"]:
    return (1 - distance).clamp(min=0)


def _catmull_rom(distance: Float64[Tensor, "*any"]) -> Float64[Tensor, "*any"]:
    """Evaluate Keys's cubic kernel for a = -1/2. Source: Keys 1981, equation 15."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))
