"""Count a network's parameters, and its multiply-adds for one input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum


def count_parameters(network: nn.Module) -> int:
    """Count the numbers that training may change; normalization constants and running statistics are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, example: Spectrum | Tensor) -> int:
    """Count the multiply-adds of convolutions and linear layers for an input of the example's size.

    Nothing is computed: shapes alone run through the network, in a fraction of a second for any size. Norms,
    activations, additions and pooling are not counted, as in the papers' figures. Biases are free.

    Args:
        network: any network that takes the example; left as it is.
        example: an input, best of one image.
    """
    shapes = {name: tensor.detach().to("meta") for name, tensor in _tensors(network)}
    counter = FlopCounterMode(display=False)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()  # in training, batch norm refuses the single value a channel that one small image leaves
    try:
        with torch.no_grad(), counter:
            torch.func.functional_call(network, shapes, (example.to("meta"),))
    finally:
        for module, training in modes:
            module.training = training
    return int(counter.get_total_flops()) // 2


def example_spectrum(bands: BandSet | str, grid: tuple[int, int]) -> Spectrum:
    """Make a spectrum of one image that has a size and no values, for counting."""
    bands = BandSet.of(bands)
    values = torch.empty((1, len(bands), *grid), device="meta")
    return Spectrum.of_coefficients(values, bands)


def example_pixels(size: tuple[int, int]) -> Tensor:
    """Make one RGB image that has a size (height, width) and no values, for counting."""
    return torch.empty((1, 3, *size), device="meta")


def _tensors(network: nn.Module) -> list[tuple[str, Any]]:
    return [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
