"""Derive what folds a network: the normalization, the composed stem where there is one, and the costs of both forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from prepixel.models.folding.folded_stem import AxisPlan, FoldedStem, Layout
from prepixel.models.folding.impulse_response import FoldSettings, Form, Probe, TooManyWeights
from prepixel.models.folding.input_trace import CannotFold, CannotRun, ImageUse, watch_image
from prepixel.models.folding.reconstruction import block_pixels, color_shift
from prepixel.models.folding.structure import StemCost
from prepixel.models.input_norm import IMAGENET_MEAN


@dataclass(frozen=True)
class Derivation:
    """Store what folds a network.

    Attributes:
        zero: the color that normalized zeros stand for, as fractions of full scale.
        shift: the coefficient that a normalized 0 stands for, per channel.
        scale: how many coefficient units a normalized 1 is, per channel.
        composed: the layer in the place of the network's first, and how the network uses its image; None for form
            factored.
        cost: of both forms.
    """

    zero: Float64[Tensor, " 3"]
    shift: Float64[Tensor, " f"]
    scale: Float64[Tensor, " f"]
    composed: tuple[FoldedStem, ImageUse] | None
    cost: StemCost


def derive(
    network: nn.Module, on_cpu: nn.Module, settings: FoldSettings, size: int, form: Form | Literal["auto"]
) -> Derivation:
    """Derive what folds a network.

    Args:
        network: in evaluation mode.
        on_cpu: a copy of it on the CPU, in float64.
        settings: what it is folded for; their form is not read.
        size: pixels of a block along an axis.
        form: composed, factored, or auto: the one of fewer multiply-adds, and factored where no layer can be composed.

    Raises:
        CannotRun: the network does not run on its image.
        CannotFold: form is composed, and no single layer takes the image, or what comes before it is not linear.
        ModelError: the grid is too small.
    """
    device, dtype = place_of(network)
    try:
        use = watch_image(network, torch.zeros(1, 3, *settings.pixels, dtype=dtype, device=device))
        probe = Probe(on_cpu, use, settings, size)
        zero, bias = probe.zero_color()
        shift, scale = _normalization(settings, size, zero)
        stem, macs = _derive_stem(probe, use, zero, bias, scale, required=form == "composed")
    except CannotRun:
        raise
    except CannotFold:
        if form == "composed":
            raise
        return _pixels_alone(settings, size)
    cost = _cost(macs, use, settings, size)
    if form == "factored" or stem is None or (form == "auto" and cost.composed > cost.factored):
        return Derivation(zero, shift, scale, None, cost)
    return Derivation(zero, shift, scale, (stem, use), cost)


def place_of(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and dtype of a network's first weights.

    Raises:
        CannotFold: it has none.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    raise CannotFold("the network has no weights")


def _pixels_alone(settings: FoldSettings, size: int) -> Derivation:
    """Return what folds a network whose image goes to more than one layer: the pixels, reconstructed."""
    zero = torch.tensor(settings.mean if any(settings.mean) else IMAGENET_MEAN, dtype=torch.float64)
    shift, scale = _normalization(settings, size, zero)
    return Derivation(zero, shift, scale, None, StemCost(0, 0, _reconstruction_macs(settings, size)))


def _normalization(settings: FoldSettings, size: int, zero: Float64[Tensor, " 3"]) -> tuple[Tensor, Tensor]:
    shift = color_shift(settings.bands, zero)
    return shift, torch.full_like(shift, 255 * sum(settings.std) / 3 * 8 / size)


def _derive_stem(
    probe: Probe, use: ImageUse, zero: Tensor, bias: Tensor, scale: Tensor, *, required: bool
) -> tuple[FoldedStem | None, int]:
    """Derive the composed stem, and count its multiply-adds; None for one that would be too large."""
    try:
        kernel, plans = probe.kernel(zero)
    except TooManyWeights as error:
        if required:
            raise
        return None, error.macs
    stem = _build_stem(kernel * scale[:, None, None], bias, plans, probe.layout)
    probe.check(stem, zero, scale)
    set_trains(stem, use.trains)
    return stem, stem.weight.numel() * math.prod(plan.repetitions(plan.num_outputs) for plan in plans)


def set_trains(stem: FoldedStem, trains: tuple[bool, bool]) -> None:
    """Set whether a stem's weight and bias are trained."""
    stem.weight.requires_grad_(trains[0])
    stem.bias.requires_grad_(trains[1])


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
    return StemCost(pixels, composed, _reconstruction_macs(settings, size) + pixels)


def _reconstruction_macs(settings: FoldSettings, size: int) -> int:
    reaching = int(block_pixels(settings.bands, size, settings.reduction).flatten(1).any(1).sum())
    return settings.grid[0] * settings.grid[1] * reaching * 3 * size * size
