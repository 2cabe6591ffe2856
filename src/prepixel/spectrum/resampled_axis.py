"""One axis of crop, padding, resize and mirror as a matrix on coefficients, in float64: part of the reference."""

from __future__ import annotations

import math
from typing import NamedTuple, get_args

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from prepixel.spectrum.boxes import BOX_SLACK, Filter, PaddingMode, Real
from prepixel.spectrum.dct import BLOCK, dct_basis


class AxisPadding(NamedTuple):
    """What lies beyond the samples ``begin`` to ``end``."""

    mode: PaddingMode
    begin: int
    end: int


class ResampledAxis(NamedTuple):
    """One axis of a crop, in a component's own samples."""

    num_samples: int
    num_blocks: int
    start: Real
    length: Real
    reverse: bool
    padding: AxisPadding | None = None

    def band(self, num_frequencies: int, name: Filter) -> tuple[int, Float64[Tensor, "rows columns"]]:
        """Return the input block that the crop begins with, and the part of the axis's matrix that it touches."""
        check_axis(
            self.num_samples,
            self.num_blocks,
            num_frequencies,
            self.start,
            self.length,
            name,
            padded=self.padding is not None,
        )
        first, weights = self._weights(name)
        if self.reverse:
            weights = weights.flip(0)
        stop = first + weights.shape[1]
        first_block, stop_block = first // BLOCK, -(-stop // BLOCK)
        A = torch.zeros(BLOCK * self.num_blocks, BLOCK * (stop_block - first_block), dtype=torch.float64)
        A[:, first - BLOCK * first_block : stop - BLOCK * first_block] = weights
        basis = dct_basis(BLOCK)
        from_coefficients = A.reshape(-1, BLOCK) @ basis.T
        blocks = from_coefficients.reshape(self.num_blocks, BLOCK, -1)
        return first_block, (basis[:num_frequencies] @ blocks).reshape(self.num_blocks * num_frequencies, -1)

    def _weights(self, name: Filter) -> tuple[int, Float64[Tensor, "outputs taps"]]:
        """Return the first sample that is read, and the weights of it and those after it in each output sample."""
        slack = 0.0 if self.padding is None else BOX_SLACK
        first, stop = math.floor(self.start + slack), math.ceil(self.start + self.length - slack)
        if self.padding is None:
            # Within the slack a crop may lie beside the axis altogether; then the sample at the border stands for it.
            first = min(max(0, first), self.num_samples - 1)
            stop = min(max(first + 1, stop), self.num_samples)
        stop = max(first + 1, stop)
        weights = _resize_weights(first, stop, BLOCK * self.num_blocks, self.start, self.length, name)
        if self.padding is None:
            return first, weights
        places, inside = unpadded(torch.arange(first, stop), self.padding)
        folded = torch.zeros(len(weights), self.num_samples, dtype=torch.float64)
        return 0, folded.index_add_(1, places[inside], weights[:, inside])


def unpadded(
    places: Int64[Tensor, " places"], padding: AxisPadding
) -> tuple[Int64[Tensor, " places"], Bool[Tensor, " places"]]:
    """Return the samples that stand at some places, and whether any does: none does in constant padding."""
    mode, begin, end = padding
    inside, count = (places >= begin) & (places < end), end - begin
    if mode == "constant":
        return places, inside
    if mode == "edge" or count == 1:
        return places.clamp(begin, end - 1), torch.ones_like(inside)
    period = 2 * count - (2 if mode == "reflect" else 0)
    forward = (places - begin) % period
    backward = period - forward - (0 if mode == "reflect" else 1)
    return begin + torch.minimum(forward, backward), torch.ones_like(inside)


def check_axis(
    num_samples: int,
    num_blocks: int,
    num_frequencies: int,
    start: Real,
    length: Real,
    name: Filter,
    *,
    padded: bool = False,
) -> None:
    """Raise ValueError for an argument outside its range, or a crop outside an axis that is not padded."""
    if name not in get_args(Filter):
        raise ValueError(f"no filter {name!r}; there are {', '.join(get_args(Filter))}")
    if num_samples < 1 or num_blocks < 1 or not 1 <= num_frequencies <= BLOCK:
        raise ValueError(
            f"an axis needs at least 1 sample, 1 block and 1..8 frequencies, "
            f"not {num_samples} samples, {num_blocks} blocks, {num_frequencies} frequencies"
        )
    if not (math.isfinite(start) and math.isfinite(length) and length > 0):
        raise ValueError(f"a crop of {length} samples from {start} is empty or not finite")
    if not padded and (start < -BOX_SLACK or start + length > num_samples + BOX_SLACK):
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
