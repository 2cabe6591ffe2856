"""A network on some of another's channels, started from that one's weights for these channels."""

from __future__ import annotations

import torch
from torch import Tensor

from prepixel.models.folding.fold import FoldedNetwork
from prepixel.models.frequency_network import FrequencyNetwork
from prepixel.models.sensitivity import reaching_channels
from prepixel.models.weights import WeightReuse, WeightsMismatch


def slice_channels(network: FrequencyNetwork | FoldedNetwork, source: FrequencyNetwork | FoldedNetwork) -> WeightReuse:
    """Fill a network with another's weights, of those that see the input only its own input channels.

    The normalization's constants come along, since the weights were made for them. In a ResNet, and in a folded
    network, a channel that is left out is a channel whose normalized values are zero, so the filled network computes
    what the source computes with the other channels off. In a MobileNetV2 without stem the first layer is depthwise,
    and a channel of zeros still leaves a constant, which is lost with it. A head for other classes stays as drawn.

    Args:
        network: what is filled; left as it was if anything does not fit.
        source: the same trunk, with at least the same channels; left as it is.

    Raises:
        WeightsMismatch: the source lacks a channel, has the channels in another order, or is another network.
    """
    own, given = network.input.bands, source.input.bands
    if missing := sorted(set(own.channels) - set(given.channels)):
        raise WeightsMismatch(f"it does not see channels {missing} of {own}, only those of {given}; choose from them")
    if len(own) == len(given) and own.channels != given.channels:
        raise WeightsMismatch(f"it sees the channels of {own} in another order; give them in the order of {given}")
    places = {}
    for kept, offered in (
        (own.channels, given.channels),
        (reaching_channels(network, own), reaching_channels(source, given)),
    ):
        places[len(offered), len(kept)] = [offered.index(channel) for channel in kept]
    weights = _parameters(source)
    new: dict[str, Tensor] = {}
    kinds: dict[str, list[str]] = {"copied": [], "cut": [], "fresh": []}
    problems: list[str] = []
    own_weights = _parameters(network)
    for name, value in own_weights.items():
        if name not in weights:
            problems.append(f"{name} is missing")
        elif weights[name].shape == value.shape:
            new[name] = weights[name]
            kinds["copied"].append(name)
        elif isinstance(network, FrequencyNetwork) and name.startswith("head."):
            kinds["fresh"].append(name)
        elif (sliced := _slice_input_channels(weights[name], value, places)) is not None:
            new[name] = sliced
            kinds["cut"].append(name)
        else:
            problems.append(f"{name} is {tuple(weights[name].shape)}, the network's {tuple(value.shape)}")
    problems += [f"{name} has no place in the network" for name in weights if name not in own_weights]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise WeightsMismatch(f"not the weights of this network: {'; '.join(problems[:5])}{more}")
    network.load_state_dict(new, strict=False)
    return WeightReuse(tuple(kinds["copied"]), tuple(kinds["cut"]), tuple(kinds["fresh"]), (), "input channels kept")


def _parameters(network: FrequencyNetwork | FoldedNetwork) -> dict[str, Tensor]:
    """Return parameters and buffers; extra states say which bands a network is of, which slicing must not copy."""
    return {name: value for name, value in network.state_dict().items() if not name.endswith("_extra_state")}


def _slice_input_channels(source: Tensor, target: Tensor, places: dict[tuple[int, int], list[int]]) -> Tensor | None:
    """Return the input channels that a weight keeps, on every axis of channels; None where it does not fit."""
    if source.ndim != target.ndim:
        return None
    for axis, sizes in enumerate(zip(source.shape, target.shape, strict=True)):
        if sizes[0] != sizes[1]:
            kept = places.get(sizes) or _with_features(sizes, places)
            if kept is None:
                return None
            source = source.index_select(axis, torch.tensor(kept, device=source.device))
    return source


def _with_features(sizes: tuple[int, int], places: dict[tuple[int, int], list[int]]) -> list[int] | None:
    """Return what a layer of a DenseNet keeps: its inputs are the channels, then the features of earlier layers."""
    for (offered, wanted), kept in places.items():
        if sizes[0] - offered == sizes[1] - wanted > 0:
            return [*kept, *range(offered, sizes[0])]
    return None
