"""Reconstruct a network's pixels from normalized coefficients: one small matrix per block, the same for all.

A grid of g blocks is an image of 8 g pixels; a network that takes P = 8 g / m of them sees 8 / m pixels of each block.
The step from 8 to 8 / m is one of two exact linear maps. ``box``: inverse DCT, then the mean of m x m samples. ``dct``:
inverse DCT of size 8 / m of the lowest 8 / m x 8 / m frequencies, over m, which uses just the block's low corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional

from prepixel.errors import ModelError
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.dct import dct_basis
from prepixel.spectrum.photometry import RGB_TO_YCBCR, YCBCR_TO_RGB, color_matrix

Reduction = Literal["dct", "box"]

_BLOCK = 8
_FULL_SCALE = 255.0
_LEVEL_SHIFT = 128.0


def pixels_per_block(pixels: tuple[int, int], grid: tuple[int, int]) -> int:
    """Return how many of a network's pixels a block covers along each axis: 8, 4, 2 or 1.

    Raises:
        ModelError: the grid's image is not 1, 2, 4 or 8 times the network's; the message names grids that are.

    >>> pixels_per_block((224, 224), (56, 56))
    4
    """
    ratios = {side * _BLOCK / length for side, length in zip(grid, pixels, strict=True)}
    ratio = ratios.pop()
    if ratios or ratio not in {1, 2, 4, 8}:
        fitting = [m for m in (1, 2, 4, 8) if all(m * length % _BLOCK == 0 for length in pixels)]
        grids = ", ".join(f"{m * pixels[0] // _BLOCK} x {m * pixels[1] // _BLOCK}" for m in fitting)
        hint = f"for {pixels[0]} x {pixels[1]} pixels take a grid of {grids}"
        if fitting == [8]:
            near = [round(length / _BLOCK) * _BLOCK for length in pixels]
            hint += f", or give the network {near[0]} x {near[1]} pixels if it takes any size"
        raise ModelError(
            f"a grid of {grid[0]} x {grid[1]} blocks is an image of {8 * grid[0]} x {8 * grid[1]} pixels, which is not "
            f"1, 2, 4 or 8 times the network's {pixels[0]} x {pixels[1]} along both axes; {hint}"
        )
    return int(_BLOCK / ratio)


def default_grid(pixels: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest grid of blocks whose image is at least twice a network's pixels along both axes.

    >>> default_grid((224, 224))
    (56, 56)
    """
    ratio = next(m for m in (2, 4, 8) if m == 8 or all(m * side % _BLOCK == 0 for side in pixels))
    return ratio * pixels[0] // _BLOCK, ratio * pixels[1] // _BLOCK


def block_pixels(bands: BandSet, size: int, reduction: Reduction) -> Float64[Tensor, "f color=3 y x"]:
    """Return what one unit of each channel's coefficient adds to the size x size RGB pixels of its block.

    Args:
        bands: the channels.
        size: pixels of a block along an axis: 8, 4, 2 or 1.
        reduction: how 8 samples become ``size`` pixels.

    Returns:
        As fractions of full scale (255). The level shift, 128 / 255 in each color, is not in it.

    Source: inverse of JFIF's color matrix; ITU-T T.81, A.3.3.
    """
    ratio = _BLOCK // size
    if reduction == "dct":
        axis = torch.zeros(_BLOCK, size, dtype=torch.float64)
        axis[:size] = dct_basis(size) / ratio**0.5
    else:
        axis = dct_basis(_BLOCK).reshape(_BLOCK, size, ratio).mean(2)
    colors = color_matrix(YCBCR_TO_RGB) / _FULL_SCALE
    component, v, u = (torch.tensor(ids) for ids in zip(*bands, strict=True))
    return torch.einsum("kf,fy,fx->fkyx", colors[:, component], axis[v], axis[u])


def color_shift(bands: BandSet, color: Float64[Tensor, " color=3"]) -> Float64[Tensor, " f"]:
    """Return the coefficients of an image of one color, whose R, G and B are fractions of full scale.

    >>> color_shift(BandSet("two", (0, 1)), torch.ones(3, dtype=torch.float64)).round(decimals=9).tolist()
    [1016.0, 0.0]
    """
    components = color_matrix(RGB_TO_YCBCR) @ (color * _FULL_SCALE - _LEVEL_SHIFT)
    values = [_BLOCK * float(components[c]) if v == u == 0 else 0.0 for c, v, u in bands]
    return torch.tensor(values, dtype=torch.float64)


def int8_unit(bands: BandSet, shift: Float[Tensor, " f"]) -> Float[Tensor, " f"]:
    """Return the smallest int8 step per channel for which no image of 0..255 is clipped.

    Source: the ranges of an orthonormal 8 x 8 DCT of samples in [-128, 127].

    >>> bands = BandSet("two", (0, 1))
    >>> int8_unit(bands, torch.tensor([0.0, 0.0])).mul(127).round().tolist()
    [1024.0, 928.0]
    """
    sides = dct_basis(_BLOCK).abs().sum(1)
    largest = torch.tensor([float(128 * sides[v] * sides[u]) for _, v, u in bands], dtype=torch.float64)
    return ((largest + shift.double().abs()) / 127).to(shift.dtype)


class Reconstruction(nn.Module):
    """Compute a network's normalized pixels from normalized frequencies, exactly, by a 1 x 1 convolution.

    Its constants are buffers: training leaves them.

    Args:
        bands: the channels.
        size: pixels of a block along an axis.
        reduction: how 8 samples become ``size`` pixels.
        zero: R, G and B, as fractions of full scale, that a spectrum of normalized zeros stands for; a component whose
            DC is not among the channels has this color's everywhere.
        scale: how many coefficient units a normalized 1 is, per channel.
        mean: subtracted from R, G, B, as fractions of full scale.
        std: divides them.
        dtype: of the constants.
    """

    live: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        bands: BandSet,
        size: int,
        reduction: Reduction,
        *,
        zero: Float64[Tensor, " color=3"],
        scale: Float64[Tensor, " f"],
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.size = size
        spread = torch.tensor(std, dtype=torch.float64)[:, None, None]
        middle = torch.tensor(mean, dtype=torch.float64)[:, None, None]
        columns = block_pixels(bands, size, reduction) / spread
        bias = ((zero[:, None, None] - middle) / spread).expand(3, size, size)
        live = columns.abs().amax((1, 2, 3)).nonzero().flatten()  # the others reach no pixel
        weight = (columns * scale[:, None, None, None])[live].flatten(1).T[:, :, None, None]
        self.num_channels = len(bands)
        self.register_buffer("live", live, persistent=False)
        self.register_buffer("weight", weight.to(dtype).contiguous())
        self.register_buffer("bias", bias.flatten().to(dtype))

    def forward(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n color=3 y x"]:
        """Compute the pixels; neither rounded nor clamped."""
        if len(self.live) < self.num_channels:
            normalized = normalized[:, self.live]
        normalized = normalized.to(self.weight.dtype)
        return functional.pixel_shuffle(functional.conv2d(normalized, self.weight, self.bias), self.size)

    def extra_repr(self) -> str:
        """Return the sizes, for the printed network."""
        reach = f"{self.num_channels} channels ({len(self.live)} reach it)"
        return f"{reach} to 3 x {self.size} x {self.size} pixels per block"
