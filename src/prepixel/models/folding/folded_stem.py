"""The folded first layer: a convolution over blocks, from normalized coefficients to the output of a network's stem."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.fx.node import has_side_effect
from torch.nn import functional

from prepixel.errors import ModelError


class GridMismatch(ModelError):
    """Report a grid of blocks that a folded network cannot take."""


@has_side_effect
def check_grid(values: Tensor, grid: tuple[int, int], name: str) -> None:
    """Check that coefficients are on the folded grid, where traced code holds for no other.

    Raises:
        GridMismatch: they are not.
    """
    if tuple(values.shape[2:]) != tuple(grid):
        raise GridMismatch(
            f"folded for a grid of {grid[0]} x {grid[1]} blocks, got {values.shape[2]} x {values.shape[3]}: the code "
            f"of {name} uses its image's size in a way that is known for that grid alone; fold it for this grid, or "
            "take form factored"
        )


Count: TypeAlias = Any
"""A whole number, or a symbol of one while torch.export traces."""


# by name, as traced code and its copies in pickles refer to them
_DECISIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.pos, operator.index),
        *(bool, int, float, hash, round, math.ceil, math.floor),
    )
}


@has_side_effect
def check_decision(function: str, args: tuple[Any, ...], result: Any, name: str) -> None:
    """Check that a function of the image's size gives what it gave when the network was folded.

    Raises:
        GridMismatch: it does not.
    """
    if _DECISIONS[function](*args) != result:
        sizes = " and ".join(str(one) for one in args)
        raise GridMismatch(
            f"the code of {name} decides by its image's size ({function} of {sizes}), "
            "and was folded for a grid where it decided otherwise; fold it for this grid, or take form factored"
        )


Layout = Literal["maps", "tokens", "last", "vector"]


@dataclass(frozen=True)
class AxisPlan:
    """Describe how blocks become outputs along one axis.

    Outputs repeat every ``steps`` blocks, ``outputs`` at a time: those of repetition J see blocks
    ``J * steps + first`` to ``J * steps + first + reach - 1``.

    Attributes:
        grid: blocks.
        num_outputs: of that grid.
        pixels: of a block.
        stride: pixels between outputs.
        slack: pixels that the grid could grow by, less one, before one more output appears; None where only whole
            strides are known to be good.
        first: the first block seen, as seen from the repetition's own first; 0 or below, usually.
        reach: blocks seen.
    """

    grid: int
    num_outputs: int
    pixels: int
    stride: int
    slack: int | None
    first: int = 0
    reach: int = 1

    @property
    def steps(self) -> int:
        """Count the blocks after which everything repeats."""
        return math.lcm(self.pixels, self.stride) // self.pixels

    @property
    def outputs(self) -> int:
        """Count the outputs of one repetition."""
        return math.lcm(self.pixels, self.stride) // self.stride

    def outputs_of(self, grid: Count) -> Count:
        """Count the outputs of any grid.

        Raises:
            GridMismatch: the layer is not known to be the same for that grid.
        """
        more = (grid - self.grid) * self.pixels
        if self.slack is None and more % self.stride:
            raise GridMismatch(
                f"folded for {self.grid} blocks along an axis, got {grid}: this network pads by its image's size, so "
                f"grids must differ by whole strides of {self.stride} pixels; fold it for {grid} blocks"
            )
        return self.num_outputs + (more + (self.slack or 0)) // self.stride

    def repetitions(self, num_outputs: Count) -> Count:
        """Count the repetitions that a number of outputs needs; the last one may be cropped."""
        return -(-num_outputs // self.outputs)

    def padding(self, grid: Count, num_outputs: Count) -> tuple[Count, Count]:
        """Count the blocks to pad before and after a grid; negative numbers crop."""
        last = (self.repetitions(num_outputs) - 1) * self.steps + self.first + self.reach - 1
        return -self.first, last - (grid - 1)


class FoldedStem(nn.Module):
    """Compute a stem's output from normalized frequencies: a convolution over blocks, then depth to space.

    Args:
        weight: (outputs of a repetition down and across, features) x live channels x reach down x reach across.
        bias: one value per feature, for each output of a repetition.
        live: indices of the channels that the stem responds to; the others cannot reach it.
        num_channels: of the input.
        plans: how blocks become outputs, down and across.
        layout: of the stem's output: maps (n, d, h, w), last (n, h, w, d), tokens (n, h w, d), vector (n, d).
    """

    live: Tensor

    def __init__(
        self,
        weight: Float[Tensor, "dij f bh bw"],
        bias: Float[Tensor, " dij"],
        live: tuple[int, ...],
        num_channels: int,
        plans: tuple[AxisPlan, AxisPlan],
        layout: Layout,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.num_channels = num_channels
        self.plans = plans
        self.layout = layout
        self.register_buffer("live", torch.tensor(live), persistent=False)

    def forward(self, normalized: Float[Tensor, "n f bh bw"]) -> Tensor:
        """Compute the output of the pixel network's stem for the pixels that these frequencies represent.

        Raises:
            GridMismatch: the grid is not one that this stem can take.
        """
        down, across = self.plans
        grid = (normalized.shape[2], normalized.shape[3])
        height, width = down.outputs_of(grid[0]), across.outputs_of(grid[1])
        top, bottom = down.padding(grid[0], height)
        left, right = across.padding(grid[1], width)
        if len(self.live) < self.num_channels:
            normalized = normalized[:, self.live]
        normalized = normalized.to(self.weight.dtype)
        stride = (down.steps, across.steps)
        if top == bottom >= 0 and left == right >= 0:
            steps = functional.conv2d(normalized, self.weight, self.bias, stride, (top, left))
        else:
            padded = functional.pad(normalized, (left, right, top, bottom))
            steps = functional.conv2d(padded, self.weight, self.bias, stride)
        maps = _depth_to_space(steps, down.outputs, across.outputs)[:, :, :height, :width]
        if self.layout == "maps":
            return maps
        last = maps.permute(0, 2, 3, 1)
        if self.layout == "last":
            return last
        return last.flatten(1, 2) if self.layout == "tokens" else last.flatten(1)

    def extra_repr(self) -> str:
        """Return the sizes, for the printed network."""
        down, across = self.plans
        return (
            f"{self.num_channels} channels ({len(self.live)} reach it), {down.reach} x {across.reach} blocks, "
            f"stride {down.steps} x {across.steps}, {down.outputs} x {across.outputs} outputs a step"
        )


def _depth_to_space(steps: Float[Tensor, "n dij h w"], down: int, across: int) -> Float[Tensor, "n d hi wj"]:
    if down == across:
        return functional.pixel_shuffle(steps, down) if down > 1 else steps
    n, _, h, w = steps.shape
    parts = steps.reshape(n, -1, down, across, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, -1, h * down, w * across)
