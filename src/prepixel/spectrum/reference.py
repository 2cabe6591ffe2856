"""Crop, resize, mirror and upsample chroma in one banded linear map per axis, on coefficients: the float64 reference.

For one component, with X its plane of coefficients (rows: block row and v; columns: block column and u),

    out = L X R^T,    L = D_out A D_in^T,

where D_in^T turns coefficients to samples, A resizes the samples inside the box, and D_out keeps the lowest
frequencies of the result's blocks. Decoding, cropping and resizing pixels differs from this only in what it adds: it
rounds and clamps samples, and libjpeg upsamples chroma by a filter of its own first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from prepixel.errors import UnsupportedJpeg
from prepixel.jpeg.image import Component, JpegImage
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import BOX_SLACK, AxisOrder, Box, Filter, Padding, Real, shown_order
from prepixel.spectrum.dct import BLOCK
from prepixel.spectrum.photometry import RGB_TO_YCBCR
from prepixel.spectrum.resampled_axis import AxisPadding, ResampledAxis


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
    first, band = ResampledAxis(num_samples, num_blocks, start, span, flip).band(num_frequencies, filter)
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
    down = ResampledAxis(size[0], grid[0], box.top, box.height, reverse[0])
    across = ResampledAxis(size[1], grid[1], box.left, box.width, reverse[1])
    return _map_plane(coefficients, down, across, frequencies, filter)


def resample(
    image: JpegImage,
    box: Box | None,
    grid: tuple[int, int],
    bands: BandSet | str,
    *,
    flip: bool = False,
    turns: int = 0,
    padding: Padding | None = None,
    shown: Box | None = None,
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
        padding: what lies beyond the image: its samples are padded first, then cropped and resized. A color is padding
            of each component; other modes repeat and mirror the component's own samples. None: the box stays inside.
        shown: the part of the image beyond which padding begins; None for all of it.
        filter: "bilinear" or "bicubic", antialiased; see `axis_matrix`.

    Returns:
        Orthonormal coefficients of level-shifted samples: an unresized image gives back its dequantized coefficients.

    Raises:
        UnsupportedJpeg: the image is CMYK, YCCK, or of unknown color.
        ValueError: the box is empty, or outside the image without padding, the grid is empty, or the filter has no
            such name.
    """
    _check_color(image)
    bands = BandSet.of(bands)
    whole = Box(0, 0, *image.upright_size)
    upright_box, upright_part = whole if box is None else box, whole if shown is None else shown
    if padding is None:
        upright_box.check_inside(image.upright_size)
    elif upright_box.is_inside(upright_part):
        padding = None
    if min(grid) < 1:
        raise ValueError(f"a grid has at least 1 x 1 blocks, not {grid[0]} x {grid[1]}")
    order = shown_order(image.orientation, flip=flip, turns=turns)
    crop = _StoredCrop.of(image, upright_box, grid, order, filter, padding, upright_part)
    out = torch.zeros(len(bands), *grid, dtype=torch.float64)
    for index, component in enumerate(_with_chroma(image.components)):
        weights = [_weight(image, channel, index) for channel in range(3)]
        wanted = [(f, v, u, weights[c]) for f, (c, v, u) in enumerate(bands) if weights[c]]
        if wanted:
            highest = max(v for _, v, _, _ in wanted), max(u for _, _, u, _ in wanted)
            plane = crop.resample(component, (highest[0] + 1, highest[1] + 1), _level(image, index, padding))
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
    padding: Padding | None
    shown: Box

    @classmethod
    def of(
        cls,
        image: JpegImage,
        box: Box,
        grid: tuple[int, int],
        order: AxisOrder,
        name: Filter,
        padding: Padding | None,
        shown: Box,
    ) -> _StoredCrop:
        stored_size = (image.height, image.width)
        return cls(
            box=box.in_stored_axes(stored_size, image.orientation),
            grid=(grid[1], grid[0]) if order.transposed else grid,
            reverse=(order.reverse_rows, order.reverse_columns),
            transposed=order.transposed,
            max_sampling=image.max_sampling,
            filter=name,
            padding=padding,
            shown=shown.in_stored_axes(stored_size, image.orientation),
        )

    def resample(
        self, component: Component, frequencies: tuple[int, int], level: float
    ) -> Float64[Tensor, "v u bh bw"]:
        """Resample a component whose constant padding has a level."""
        coefficients = dequantize(component)
        coefficients[:, :, 0, 0] -= BLOCK * level  # then padding is 0
        down, across = (self._axis(component, axis) for axis in (0, 1))
        out = _map_plane(coefficients, down, across, frequencies[:: -1 if self.transposed else 1], self.filter)
        out[0, 0] += BLOCK * level
        return out.permute(1, 0, 3, 2) if self.transposed else out

    def _axis(self, component: Component, axis: int) -> ResampledAxis:
        def scaled(position: Real) -> float:
            # Multiplied before divided, so that what is whole comes out whole.
            return position * component.sampling[axis] / self.max_sampling[axis]

        num_samples = (component.height, component.width)[axis]
        start, length = ((self.box.top, self.box.height), (self.box.left, self.box.width))[axis]
        begin, extent = ((self.shown.top, self.shown.height), (self.shown.left, self.shown.width))[axis]
        padding = None
        if self.padding is not None:
            first = min(max(0, math.floor(scaled(begin) + BOX_SLACK)), num_samples)
            stop = first if extent == 0 else min(max(first, math.ceil(scaled(begin + extent) - BOX_SLACK)), num_samples)
            if self.padding.mode != "constant":  # at least one sample to repeat
                first = min(first, num_samples - 1)
                stop = max(stop, first + 1)
            padding = AxisPadding(self.padding.mode, first, stop)
        return ResampledAxis(num_samples, self.grid[axis], scaled(start), scaled(length), self.reverse[axis], padding)


def _with_chroma(components: tuple[Component, ...]) -> tuple[Component, ...]:
    """Add a gray image's chroma, which is 0 and as fine as luma."""
    if len(components) > 1:
        return components
    zero = replace(components[0], quantized=np.zeros_like(components[0].quantized))
    return (components[0], zero, zero)


def _level(image: JpegImage, component: int, padding: Padding | None) -> float:
    """Return the level of constant padding in a stored component; level-shifted."""
    if padding is None or padding.mode != "constant":
        return 0.0
    rgb = [level - 128 for level in padding.rgb]
    if image.color == "rgb":
        return rgb[component]
    return sum(float(weight) * level for weight, level in zip(RGB_TO_YCBCR[component], rgb, strict=True))


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


def _map_plane(
    coefficients: Float[Tensor, "bh_in bw_in 8 8"],
    down: ResampledAxis,
    across: ResampledAxis,
    frequencies: tuple[int, ...],
    name: Filter,
) -> Float64[Tensor, "v u bh bw"]:
    first_row, L = down.band(frequencies[0], name)
    first_column, R = across.band(frequencies[1], name)
    active = coefficients[
        first_row : first_row + L.shape[1] // BLOCK, first_column : first_column + R.shape[1] // BLOCK
    ]
    X = active.to(torch.float64).permute(0, 2, 1, 3).reshape(L.shape[1], R.shape[1])
    out = L @ X @ R.T
    return out.reshape(down.num_blocks, frequencies[0], across.num_blocks, frequencies[1]).permute(1, 3, 0, 2)
