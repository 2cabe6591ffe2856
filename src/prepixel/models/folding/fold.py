"""Folding: a network on RGB pixels becomes the same network on JPEG's coefficients, in closed form, untrained.

From coefficients to the output of a network's first layer everything is linear: inverse DCT, YCbCr to RGB, the step
from the block grid's resolution to the network's, mean and std, the layer itself. So there is one linear map from a
neighborhood of blocks to that output, the same everywhere. It is read off by sending unit coefficients down the linear
road, in float64, and becomes a convolution over blocks (`FoldedStem`); the rest of the network stays as it is.

Values are normalized so that zero is the color that the network's own zero padding stands for. Then padding blocks
with zeros is padding pixels with zeros, and the borders are exact as well.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prepixel.errors import RecipeError
from prepixel.models.folding.folded_stem import AxisPlan, FoldedStem, Layout
from prepixel.models.folding.graph_surgery import replace_stem
from prepixel.models.folding.impulse_response import FoldSettings, Form, Probe, TooManyWeights, random_spectrum
from prepixel.models.folding.input_trace import CannotFold, ImageUse, watch_image
from prepixel.models.folding.reconstruction import (
    Reconstruction,
    Reduction,
    block_pixels,
    color_shift,
    pixels_per_block,
)
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD, SpectrumInput
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Real
from prepixel.spectrum.spectrum import Spectrum


@dataclass(frozen=True)
class StemCost:
    """Hold the multiply-adds of one image's way to the stem's output.

    Attributes:
        pixels: the network's own first layer, on pixels that exist already.
        composed: one convolution over blocks.
        factored: low-frequency inverse DCT to the network's pixels, then the network's own first layer.
    """

    pixels: int
    composed: int
    factored: int


class FoldedNetwork(nn.Module):
    """Compute on a spectrum what a pixel network computes on the pixels that the spectrum stands for.

    Attributes:
        input: normalizes; its zero is the color that the pixel network pads with.
        network: the rest, from normalized frequencies on.
        settings: what it was folded for.
        cost: multiply-adds to the stem's output, per form.
    """

    def __init__(
        self, normalization: SpectrumInput, network: nn.Module, settings: FoldSettings, cost: StemCost
    ) -> None:
        super().__init__()
        self.input = normalization
        self.network = network
        self.settings = settings
        self.cost = cost

    @property
    def bands(self) -> BandSet:
        """Name the channels that the network takes."""
        return self.settings.bands

    def forward(self, spectrum: Spectrum) -> Any:
        """Compute whatever the pixel network gives.

        Raises:
            BandSetMismatch: the spectrum holds other channels.
            RecipeError: its grid is not one that the network can take.
        """
        return self.from_normalized(self.input(spectrum))

    def from_normalized(self, normalized: Float[Tensor, "n f bh bw"]) -> Any:
        """Compute what comes after the normalization."""
        return self.network(normalized)


def fold(
    network: nn.Module,
    *,
    pixels: int | tuple[int, int] = 224,
    grid: int | tuple[int, int] = 56,
    bands: BandSet | str = "S-24",
    mean: Sequence[Real] = IMAGENET_MEAN,
    std: Sequence[Real] = IMAGENET_STD,
    reduction: Reduction = "dct",
    form: Form | Literal["auto"] = "auto",
) -> FoldedNetwork:
    """Turn a network on RGB pixels into the same network on coefficients, exactly, without training.

    With all 192 channels the result equals the pixel network on the pixels of the same spectrum, reduced by the same
    linear map, neither rounded nor clamped: to 1e-8 of the largest logit in float64, to 1e-4 in float32. With fewer, it
    equals the pixel network on an image of which those frequencies alone are left.

    Args:
        network: any module that takes normalized RGB, (n, 3, y, x), and hands it to one convolution or linear layer,
            perhaps after steps that are affine (its own normalization, padding, patches). Left as it is.
        pixels: height and width that it takes.
        grid: blocks down and across; their image must be 1, 2, 4 or 8 times as large as ``pixels``. 56 is an image of
            448 pixels, twice 224, so 4 x 4 of a block's 8 x 8 frequencies are what the network can see.
        bands: the channels to keep.
        mean: what the network's user subtracts from R, G and B, as fractions of 255; 0 where the network does it.
        std: what divides them, as fractions of 255; 1 where the network does it, 1 / 255 where it takes 0..255.
        reduction: ``dct`` or ``box``, see `prepixel.models.folding.reconstruction`.
        form: ``composed``: one convolution over blocks. ``factored``: a 1 x 1 convolution to pixels, then the network
            as it was, whose own first layer stays trainable. ``auto``: the one of fewer multiply-adds.

    Returns:
        In evaluation mode, in the network's dtype, derived in float64.

    Raises:
        CannotFold: the network uses its image otherwise; the message says how.
        RecipeError: pixels and grid do not fit; the message names grids that do.
    """
    settings = FoldSettings(
        _pair(pixels),
        _pair(grid),
        BandSet.parse(bands) if isinstance(bands, str) else bands,
        _triple("mean", mean),
        _triple("std", std),
        reduction,
        "composed",
    )
    size = pixels_per_block(settings.pixels, settings.grid)
    if not block_pixels(settings.bands, size, reduction).any():
        raise RecipeError(
            f"none of the channels of {settings.bands} reaches the {size} x {size} pixels of a block that the network "
            f"takes; keep lower frequencies, or take a smaller grid"
        )
    device, dtype = _place(network)
    network = copy.deepcopy(network).eval()
    image = torch.zeros(1, 3, *settings.pixels, dtype=dtype, device=device)
    use = watch_image(network, image)
    probe = Probe(copy.deepcopy(network).to("cpu", torch.float64), use, settings, size)
    zero, bias = probe.zero_color()
    shift = color_shift(settings.bands, zero)
    scale = torch.full_like(shift, 255 * sum(settings.std) / 3 * 8 / size)
    try:
        kernel, plans = probe.kernel(zero)
    except TooManyWeights as error:
        if form == "composed":
            raise
        stem, macs = None, error.macs
    else:
        stem = _build_stem(kernel * scale[:, None, None], bias, plans, probe.layout)
        probe.check(stem, shift, scale)
        macs = stem.weight.numel() * math.prod(plan.repetitions(plan.num_outputs) for plan in plans)
    cost = _cost(macs, use, settings, size)
    if form == "auto":
        form = "composed" if stem is not None and cost.composed <= cost.factored else "factored"
    settings = FoldSettings(**{**vars(settings), "form": form})
    constants: Any = {"mean": settings.mean, "std": settings.std, "dtype": dtype}
    front = Reconstruction(settings.bands, size, reduction, shift=shift, scale=scale, **constants).to(device)
    rest = (
        replace_stem(copy.deepcopy(network), use, stem.to(device, dtype))
        if form == "composed" and stem is not None
        else nn.Sequential(front, copy.deepcopy(network))
    )
    folded = FoldedNetwork(_input(settings.bands, shift, scale, dtype).to(device), rest, settings, cost).eval()
    _check_whole(folded, nn.Sequential(front, network))
    return folded


def _input(bands: BandSet, shift: Tensor, scale: Tensor, dtype: torch.dtype) -> SpectrumInput:
    """Build the normalization; double networks get its constants in double."""
    normalization = SpectrumInput(bands, shift, scale)
    if dtype == torch.float64:
        normalization.double()
        normalization.shift.copy_(shift)
        normalization.scale.copy_(scale)
    return normalization


def _build_stem(
    kernel: Float64[Tensor, "d i j f bh bw"],
    bias: Float64[Tensor, " d"],
    plans: tuple[AxisPlan, AxisPlan],
    layout: Layout,
) -> FoldedStem:
    d, i, j, f = kernel.shape[:4]
    live = kernel.abs().amax((0, 1, 2, 4, 5)).nonzero().flatten().tolist() or [0]
    weight = kernel[:, :, :, live].reshape(d * i * j, len(live), *kernel.shape[4:]).contiguous()
    return FoldedStem(weight, bias.repeat_interleave(i * j), tuple(live), f, plans, layout)


def _cost(composed: int, use: ImageUse, settings: FoldSettings, size: int) -> StemCost:
    pixels = use.weight.numel() * (use.output.numel() // use.weight.shape[0])
    reaching = int(block_pixels(settings.bands, size, settings.reduction).flatten(1).any(1).sum())
    return StemCost(pixels, composed, settings.grid[0] * settings.grid[1] * reaching * 3 * size * size + pixels)


def _check_whole(folded: FoldedNetwork, rgb_pipeline: nn.Module) -> None:
    """Hold the whole folded network against the pixel network on a random spectrum.

    Raises:
        CannotFold: they differ by more than rounding.
    """
    shift = folded.input.shift
    values = random_spectrum(folded.settings.bands, folded.settings.grid, torch.float64).to(shift)
    with torch.no_grad():
        outputs = [pytree.tree_leaves(road(values)) for road in (folded.network, rgb_pipeline)]
    tolerance = 1e-8 if shift.dtype == torch.float64 else 1e-2
    for got, expected in zip(*outputs, strict=True):
        if not isinstance(got, Tensor) or not got.is_floating_point():
            continue
        error = float((got - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
        if got.shape != expected.shape or not error <= tolerance:
            raise CannotFold(
                f"the folded network's output differs from the pixel network's by {error:.1e} of its largest value, "
                "though their first layers agree: the network uses the size or the values of its image elsewhere"
            )


def _place(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    raise CannotFold("the network has no weights")


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else (value[0], value[1])
    if min(pair) < 1:
        raise RecipeError(f"pixels and grid must be 1 or greater, not {pair[0]} x {pair[1]}")
    return pair


def _triple(name: str, values: Sequence[Real]) -> tuple[float, float, float]:
    if len(values) != 3 or (name == "std" and min(values) <= 0):
        raise RecipeError(
            f"{name} is {list(values)}; give one number{' above 0' * (name == 'std')} each for R, G and B"
        )
    return float(values[0]), float(values[1]), float(values[2])
