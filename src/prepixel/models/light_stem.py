"""A light stem: a small trained convolution over blocks in the place of the layer that takes a network's image."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from prepixel.errors import ModelError
from prepixel.models.batch_norm import run_network
from prepixel.models.folding.derivation import place_of
from prepixel.models.folding.folded_stem import GridMismatch
from prepixel.models.folding.graph_surgery import replace_stem
from prepixel.models.folding.input_trace import CannotFold, watch_image
from prepixel.models.input_norm import SpectrumInput
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

_KERNEL = 3


class LightStem(nn.Module):
    """Compute maps of a network's first layer from blocks: a convolution, then depth to space if they are larger.

    The convolution is 3 x 3; for a patch embedding, whose patches do not overlap, it takes each block, or each square
    of blocks that make a patch, alone.

    Args:
        channels: of the spectrum.
        features: of the network's first layer.
        grid: blocks down and across.
        output: rows and columns of the layer's maps.
        name: of the network, for messages.
        patches: whether the layer is a patch embedding.

    Raises:
        ModelError: the maps are no whole multiple of the grid, nor the grid of the maps.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        grid: tuple[int, int],
        output: tuple[int, int],
        name: str = "the network",
        *,
        patches: bool = False,
    ) -> None:
        super().__init__()
        ratio, across = (Fraction(out, blocks) for blocks, out in zip(grid, output, strict=True))
        if ratio != across or 1 not in {ratio.numerator, ratio.denominator}:
            raise ModelError(
                f"a light stem makes the {output[0]} x {output[1]} maps of {name}'s first layer of a grid that is as "
                f"large, or a whole number of times larger or smaller; {grid[0]} x {grid[1]} blocks are not"
            )
        self.grid = grid
        self.up = ratio.numerator
        kernel, padding = (ratio.denominator, 0) if patches else (_KERNEL, _KERNEL // 2)
        self.conv = nn.Conv2d(channels, features * self.up**2, kernel, ratio.denominator, padding)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="linear")
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n d y x"]:
        """Compute the maps.

        Raises:
            GridMismatch: the grid is not the one that the network was built for.
        """
        if tuple(normalized.shape[2:]) != self.grid:
            raise GridMismatch(
                f"the light stem is made for a grid of {self.grid[0]} x {self.grid[1]} blocks, got "
                f"{normalized.shape[2]} x {normalized.shape[3]}; read the spectra on that grid"
            )
        maps: Tensor = self.conv(normalized)
        return functional.pixel_shuffle(maps, self.up) if self.up > 1 else maps


class LightNetwork(nn.Module):
    """Classify spectra by a pixel network whose first layer is a `LightStem`.

    Attributes:
        input: a `SpectrumInput`; ``input.bands`` are the channels that the network sees.
        network: the rest, from normalized frequencies on.
    """

    input: SpectrumInput

    def __init__(self, normalization: SpectrumInput, network: nn.Module) -> None:
        super().__init__()
        self.input = normalization
        self.network = network

    def forward(self, spectrum: Spectrum) -> Float[Tensor, "n k"]:
        """Compute one logit per class.

        Raises:
            BandSetMismatch: the spectrum holds other channels than the network's.
            GridMismatch: its grid is another.
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        logits: Tensor = self.from_normalized(self.input(spectrum))
        return logits

    def from_normalized(self, normalized: Float[Tensor, "n f bh bw"]) -> Any:
        """Compute what comes after the normalization."""
        return run_network(self.network, normalized, training=self.training)


def light_network(
    network: nn.Module,
    bands: BandSet | str,
    *,
    pixels: tuple[int, int],
    grid: tuple[int, int],
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> LightNetwork:
    """Replace the first layer of a network on RGB pixels by a small convolution over blocks, which must be trained.

    All other weights are kept. Where `fold` derives the layer from the network's own and costs as much, this costs
    ``9 f`` multiply-adds per value of the layer (``f`` times the blocks of a patch for a patch embedding), and means
    nothing until it is trained.

    Args:
        network: takes RGB, (n, 3, y, x), and passes it to one convolution, perhaps after steps of its own, which go.
        bands: the channels it sees: a band set, or the name of one.
        pixels: height and width that the network takes.
        grid: blocks down and across.
        shift: normalization, see `SpectrumInput`.
        scale: normalization, see `SpectrumInput`.

    Raises:
        CannotFold: the network uses its image otherwise; the message says how.
        ModelError: the grid does not fit the layer.
    """
    bands = BandSet.of(bands)
    network = copy.deepcopy(network)
    training = network.training
    device, dtype = place_of(network.eval())
    use = watch_image(network, torch.zeros(1, 3, *pixels, dtype=dtype, device=device))
    if use.layer != "conv2d" or use.output.dim() != 4:
        raise CannotFold("the image is taken by a linear layer, and a light stem stands for a convolution; fold it")
    name = type(network).__name__
    output = use.output.shape[2], use.output.shape[3]
    patches = tuple(use.weight.shape[2:]) == use.stride and not any(use.padding or ())
    stem = LightStem(len(bands), use.output.shape[1], grid, output, name, patches=patches)
    network = replace_stem(network, use, stem.to(device, dtype), max(1, pixels[0] // grid[0]))
    return LightNetwork(SpectrumInput(bands, shift, scale).to(device), network).train(training)
