"""Classifiers of any library on RGB pixels, bytes or fractions: what recipes train, and fold over coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from prepixel.models.batch_norm import run_network
from prepixel.models.input_norm import PixelInput
from prepixel.models.weight_files import check_finite
from prepixel.models.weights import WeightReuse, WeightsMismatch

_SHOWN = 5


class LibraryNetwork(nn.Module):
    """Classify RGB pixels by any network: normalize as it wants, then run it.

    Attributes:
        input: a `PixelInput`; it takes bytes, or floats in 0..1.
        network: what takes normalized pixels, and returns one logit per class.
        name: by which `pixel_network` builds it.
    """

    input: PixelInput

    def __init__(self, normalization: PixelInput, network: nn.Module, name: str) -> None:
        super().__init__()
        self.input = normalization
        self.network = network
        self.name = name

    def forward(self, pixels: Tensor) -> Float[Tensor, "n k"]:
        """Compute one logit per class of pixels (n, 3, y, x).

        Raises:
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        logits: Tensor = run_network(self.network, self.input(pixels), training=self.training)
        return logits


def load_library_weights(network: LibraryNetwork, state_dict: Mapping[str, Any], num_classes: int) -> WeightReuse:
    """Copy weights into a network of a library; a head for another number of classes stays as drawn.

    Args:
        network: what is filled; left as it was if anything does not fit.
        state_dict: the library's names.
        num_classes: of the network: layers with so many outputs are its heads.

    Raises:
        WeightsMismatch: weights are missing, of another size, or of another network.
        ModelError: some are NaN or infinite.
    """
    given = {key.removeprefix("module."): value for key, value in state_dict.items() if isinstance(value, Tensor)}
    check_finite(given, "the checkpoint")
    copied, fresh = [], []
    own = network.network.state_dict()
    problems = [f"{name} has no place in the network" for name in given if name not in own]
    for name, value in own.items():
        source = given.get(name)
        if source is not None and source.shape == value.shape:
            copied.append(name)
        elif value.dim() and len(value) == num_classes and (source is None or source.shape[1:] == value.shape[1:]):
            fresh.append(name)
        elif source is not None or not name.endswith("num_batches_tracked"):
            has = "is missing" if source is None else f"is {tuple(source.shape)}, the network's {tuple(value.shape)}"
            problems.append(f"{name} {has}")
    if problems or not copied:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise WeightsMismatch(f"not the weights of {network.name}: {'; '.join(problems[:_SHOWN])}{more}")
    network.network.load_state_dict({name: given[name] for name in copied}, strict=False)
    return WeightReuse(tuple(copied), (), tuple(fresh), ())
