"""Folding: turn a network on RGB pixels into the same network on JPEG coefficients, in closed form, without training.

From coefficients to the output of a network's first layer everything is linear: inverse DCT, YCbCr to RGB, the change
from the block grid's resolution to the network's, mean and std, the layer itself. One linear map, the same at every
place, therefore leads from a neighborhood of blocks to that output. It is measured as the response to unit coefficients
in float64 and becomes a convolution over blocks (`FoldedStem`); the rest of the network stays as it is.

Values are normalized so that zero is the color that the network's own zero padding represents. Padding blocks with
zeros is then padding pixels with zeros, and the borders are exact as well.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from prepixel.errors import ModelError
from prepixel.models.batch_norm import run_network
from prepixel.models.folding.derivation import derive, place_of, set_trains
from prepixel.models.folding.folded_stem import FoldedStem
from prepixel.models.folding.graph_surgery import replace_stem
from prepixel.models.folding.impulse_response import FoldSettings, Form, random_spectrum
from prepixel.models.folding.input_trace import CannotFold, ImageUse, watch_image
from prepixel.models.folding.reconstruction import (
    Reconstruction,
    Reduction,
    block_pixels,
    default_grid,
    pixels_per_block,
)
from prepixel.models.folding.structure import FoldStructure, StemCost, StemStructure
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD, SpectrumInput
from prepixel.models.input_size import input_size
from prepixel.models.weight_files import check_finite
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Real
from prepixel.spectrum.spectrum import Spectrum

_DEFAULT_PIXELS = 224
_HALF = {torch.float16, torch.bfloat16}


class FoldedNetwork(nn.Module):
    """Compute on a spectrum what a pixel network computes on the pixels that the spectrum represents.

    Attributes:
        input: the normalization; its zero is the color that the pixel network pads with.
        network: the rest, from normalized frequencies on.
        settings: what it was folded for.
        structure: what rebuilds it from the pixel network, see `rebuild_folded`.
    """

    def __init__(
        self, normalization: SpectrumInput, network: nn.Module, settings: FoldSettings, structure: FoldStructure
    ) -> None:
        super().__init__()
        self.input = normalization
        self.network = network
        self.settings = settings
        self.structure = structure

    @property
    def bands(self) -> BandSet:
        """Return the channels that the network takes."""
        return self.settings.bands

    @property
    def cost(self) -> StemCost:
        """Return the multiply-adds to the stem's output, per form."""
        return self.structure.cost

    def forward(self, spectrum: Spectrum) -> Any:
        """Compute whatever the pixel network computes.

        Raises:
            BandSetMismatch: the spectrum holds other channels.
            GridMismatch: its grid is not one that the network can take.
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        return self.from_normalized(self.input(spectrum))

    def from_normalized(self, normalized: Float[Tensor, "n f bh bw"]) -> Any:
        """Compute what comes after the normalization."""
        return run_network(self.network, normalized, training=self.training)


def fold(
    network: nn.Module,
    *,
    pixels: int | tuple[int, int] | None = None,
    grid: int | tuple[int, int] | None = None,
    bands: BandSet | str = "S-24",
    mean: Sequence[Real] = IMAGENET_MEAN,
    std: Sequence[Real] = IMAGENET_STD,
    reduction: Reduction = "dct",
    form: Form | Literal["auto"] = "auto",
) -> FoldedNetwork:
    """Turn a network on RGB pixels into the same network on coefficients, exactly, without training.

    With all 192 channels the result equals the pixel network on the pixels of the same spectrum, reduced by the same
    linear map, neither rounded nor clamped: to 1e-8 of the largest logit in float64, to 1e-4 in float32. With fewer, it
    equals the pixel network on an image that holds those frequencies alone.

    Args:
        network: any module that takes normalized RGB, (n, 3, y, x); for form ``composed`` one that passes it to one
            convolution or linear layer, perhaps after affine steps (its own normalization, padding, patches). Left as
            it is.
        pixels: height and width that it takes; None for the size that it states (timm's networks, vision
            transformers), or 224.
        grid: blocks down and across; their image must be 1, 2, 4 or 8 times as large as ``pixels``. None for the
            smallest that is at least twice as large: 56 for 224 pixels is an image of 448, so 4 x 4 of a block's 8 x 8
            frequencies are what the network can see.
        bands: the channels to keep.
        mean: what the network's user subtracts from R, G and B, as fractions of 255; 0 where the network does it.
        std: what divides them, as fractions of 255; 1 where the network does it, 1 / 255 where it takes 0..255.
        reduction: ``dct`` or ``box``, see `prepixel.models.folding.reconstruction`.
        form: ``composed``: one convolution over blocks. ``factored``: a 1 x 1 convolution to pixels, then the network
            as it was, whatever it does with its image. ``auto``: the one of fewer multiply-adds, and factored where
            there is no layer to compose with. In both, the first layer trains if it did before.

    Returns:
        In evaluation mode, in the network's dtype, derived in float64.

    Raises:
        CannotFold: the network takes spectra already, does not run on its image, or cannot be copied; or form is
            composed, and it uses its image otherwise. The message says how.
        TypeError: it is no module, or a grid is no whole numbers.
        ModelError: pixels and grid do not fit (the message names grids that do), or weights are not finite.
    """
    network, dtype = _prepare(network)
    if pixels is None:
        pixels = input_size(network) or _DEFAULT_PIXELS
    size = _pair("pixels", pixels)
    settings = FoldSettings(
        size,
        _pair("grid", default_grid(size) if grid is None else grid),
        BandSet.of(bands),
        _triple("mean", mean),
        _triple("std", std),
        reduction,
        "composed",
    )
    folded = _fold(network, settings, form)
    if dtype in _HALF:
        folded.network.to(dtype)  # the normalization stays float32; the first layer casts
    return folded


def _fold(network: nn.Module, settings: FoldSettings, form: Form | Literal["auto"]) -> FoldedNetwork:
    """Fold a network that is ours to keep, in evaluation mode and of one dtype, float32 or float64."""
    size = pixels_per_block(settings.pixels, settings.grid)
    if not block_pixels(settings.bands, size, settings.reduction).any():
        raise ModelError(
            f"none of the channels of {settings.bands} reaches the {size} x {size} pixels of a block that the network "
            f"takes; keep lower frequencies, or take a smaller grid"
        )
    device, dtype = place_of(network)
    derived = derive(network, _copy(network).to("cpu", torch.float64), settings, size, form)
    shift, scale = derived.shift, derived.scale
    constants: Any = {"mean": settings.mean, "std": settings.std, "dtype": dtype}
    front = Reconstruction(settings.bands, size, settings.reduction, zero=derived.zero, scale=scale, **constants).to(
        device
    )
    composed = None if derived.composed is None else _compose(network, *derived.composed, size, form)
    if composed is None or derived.composed is None:
        settings, plan = dataclasses.replace(settings, form="factored"), None
        rest: nn.Module = nn.Sequential(front, _copy(network))
    else:
        settings, plan = dataclasses.replace(settings, form="composed"), _stem_structure(*derived.composed)
        rest = composed
    structure = FoldStructure(derived.cost, plan)
    normalization = _input(settings.bands, shift, scale, dtype).to(device)
    folded = FoldedNetwork(normalization, rest, settings, structure).eval()
    _check_whole(folded, nn.Sequential(front, network))
    return folded


def _compose(
    network: nn.Module, stem: FoldedStem, use: ImageUse, size: int, form: Form | Literal["auto"]
) -> nn.Module | None:
    """Return a copy of a network with its first layer replaced; None where its code cannot be, and need not."""
    try:
        return replace_stem(_copy(network), use, stem.to(*place_of(network)), size)
    except CannotFold:
        if form == "composed":
            raise
        return None


def rebuild_folded(network: nn.Module, settings: FoldSettings, structure: FoldStructure) -> FoldedNetwork:
    """Rebuild a folded network from its pixel network, without deriving its weights.

    The result takes the state dict of the network that was folded; until then its first layer means nothing. Nothing
    is traced, unless the network's own code touches its image.

    Args:
        network: as the one that was folded; changed in place.
        settings: it was folded for.
        structure: of the folded network.

    Raises:
        ModelError: the network is not built as that one was.
    """
    network = network.eval()
    device, dtype = place_of(network)
    bands = settings.bands
    zeros = torch.zeros(len(bands), dtype=torch.float64)
    size = pixels_per_block(settings.pixels, settings.grid)
    plan = structure.stem
    if plan is None:
        constants: Any = {"mean": settings.mean, "std": settings.std, "dtype": dtype}
        black = torch.zeros(3, dtype=torch.float64)
        front = Reconstruction(bands, size, settings.reduction, zero=black, scale=zeros + 1, **constants).to(device)
        rest: nn.Module = nn.Sequential(front, network)
    else:
        weight = torch.zeros(plan.weight_shape, dtype=dtype, device=device)
        stem = FoldedStem(weight, weight.new_zeros(len(weight)), plan.live, len(bands), plan.plans, plan.layout)
        set_trains(stem, plan.trains)
        rest = _put_back(network, plan, stem.to(device), settings, size)
    normalization = _input(bands, zeros, zeros + 1, dtype).to(device)
    return FoldedNetwork(normalization, rest, settings, structure).eval()


def _put_back(
    network: nn.Module, plan: StemStructure, stem: FoldedStem, settings: FoldSettings, size: int
) -> nn.Module:
    """Put a stem where it was folded."""
    known = dict(network.named_modules())
    for path in (plan.path, *plan.preparations, *plan.touched):
        if path not in known:
            raise ModelError(f"the network has no module {path!r}, so it is not built as the one that was folded")
    if not plan.touched and plan.is_module and plan.path and "" not in plan.preparations:
        for path in plan.preparations:
            network.set_submodule(path, nn.Identity())
        network.set_submodule(plan.path, stem)
        return network
    device, dtype = place_of(network)
    use = watch_image(network, torch.zeros(1, 3, *settings.pixels, dtype=dtype, device=device))
    found = (use.stem, use.is_module, use.preparations, use.touched)
    if found != (plan.path, plan.is_module, plan.preparations, plan.touched):
        raise ModelError("the network uses its image otherwise than the one that was folded: another version, perhaps")
    return replace_stem(network, use, stem, size)


def _prepare(network: Any) -> tuple[nn.Module, torch.dtype]:
    """Copy a network for folding: in evaluation mode, half precision widened to float32.

    Returns:
        The copy, and the dtype of the original.
    """
    if not isinstance(network, nn.Module):
        by_name = f"; for one by name, prepixel.pixel_model({network!r}).network" if isinstance(network, str) else ""
        raise TypeError(f"network is a {type(network).__name__}; give a torch.nn.Module{by_name}")
    own = getattr(network, "input", None)
    if isinstance(own, SpectrumInput):
        raise CannotFold(f"the network takes spectra already, of {own.bands}: use it as it is")
    if isinstance(network, torch.jit.ScriptModule):
        raise CannotFold(
            "the network is a ScriptModule, whose code is compiled already; fold the Python module instead"
        )
    if hasattr(network, "_orig_mod"):
        raise CannotFold("the network is compiled by torch.compile already; fold it first, then compile the result")
    check_finite(network, "the network")
    dtypes = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    network = _copy(network).eval()
    if not dtypes & _HALF:
        return network, place_of(network)[1]
    if len(dtypes) > 1:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise CannotFold(f"the network's weights are {names}; fold it in one dtype: network.float() first, then cast")
    return network.float(), dtypes.pop()


def _copy(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except (RuntimeError, TypeError, pickle.PickleError) as error:
        reason = str(error).partition("\n")[0]
        raise CannotFold(f"the network cannot be copied ({reason}), and folding leaves the one it is given") from error


def _stem_structure(stem: FoldedStem, use: ImageUse) -> StemStructure:
    d, f, rows, columns = stem.weight.shape
    live = tuple(stem.live.tolist())
    return StemStructure(
        use.stem,
        use.is_module,
        use.preparations,
        use.touched,
        (d, f, rows, columns),
        live,
        stem.plans,
        stem.layout,
        use.trains,
    )


def _input(bands: BandSet, shift: Tensor, scale: Tensor, dtype: torch.dtype) -> SpectrumInput:
    """Build the normalization; double networks get its constants in double."""
    normalization = SpectrumInput(bands, shift, scale)
    if dtype == torch.float64:
        normalization.double()
        normalization.shift.copy_(shift)
        normalization.scale.copy_(scale)
    return normalization


def _check_whole(folded: FoldedNetwork, rgb_pipeline: nn.Module) -> None:
    """Compare the whole folded network with the pixel network on a random spectrum.

    Raises:
        CannotFold: they differ by more than rounding.
    """
    shift = folded.input.shift
    values = random_spectrum(folded.settings.bands, folded.settings.grid, torch.float64).to(shift)
    with torch.no_grad():
        outputs = [pytree.tree_leaves(pipeline(values)) for pipeline in (folded.network, rgb_pipeline)]
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


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(side, int) for side in pair):
        raise TypeError(f"{name} is {value!r}; give one whole number for both sides, or two: (down, across)")
    if min(pair) < 1:
        raise ModelError(f"pixels and grid must be 1 or greater, and {name} is {pair[0]} x {pair[1]}")
    return pair[0], pair[1]


def _triple(name: str, values: Sequence[Real]) -> tuple[float, float, float]:
    if len(values) != 3 or (name == "std" and min(values) <= 0):
        raise ModelError(f"{name} is {list(values)}; give one number{' above 0' * (name == 'std')} each for R, G and B")
    if not all(0 <= value <= 1 for value in values):
        raise ModelError(f"{name} is {list(values)}; give fractions of 255, from 0 to 1: 0.5 for 127.5")
    return float(values[0]), float(values[1]), float(values[2])
