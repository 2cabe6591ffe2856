"""The weights of an RGB network, reused by the frequency network of the same trunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prepixel.errors import ModelError
from prepixel.models.frequency_network import FrequencyNetwork, PixelNetwork
from prepixel.models.stem_removal import rgb_shapes
from prepixel.models.weight_files import check_finite

_HEADS = {
    f"{layer}.{kind}"
    for layer in ("fc", "classifier", "classifier.1", "classifier.2", "classifier.3")
    for kind in ("weight", "bias")
}


class WeightsMismatch(ModelError):
    """Report weights that are not those of the network that they were meant for."""


@dataclass(frozen=True)
class WeightReuse:
    """Report what became of each weight, by torchvision's names.

    Attributes:
        copied: taken as they are.
        cut: those that see the input, of which the first channels were kept.
        fresh: left at random: those that see the input where it has more channels, and a head for other classes.
        unused: in the checkpoint, but of the stem that a frequency network does not have.
        cutting: what was kept of those that were cut.
    """

    copied: tuple[str, ...]
    cut: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    cutting: str = "the first input channels kept"

    def __str__(self) -> str:
        parts = [f"{len(self.copied)} weights copied"]
        named = ((self.cutting, self.cut), ("left at random", self.fresh), ("left out", self.unused))
        parts += [f"{what}: {', '.join(names)}" for what, names in named if names]
        return "; ".join(parts)


def load_rgb_weights(network: FrequencyNetwork | PixelNetwork, state_dict: Mapping[str, Any]) -> WeightReuse:
    """Copy an RGB network's weights into a network of the same trunk, as the paper's training starts.

    The layers that see the input keep the first of their channels where the bands are fewer than the RGB network's
    channels at that place (64 in a ResNet, 32 in MobileNetV2), are taken untouched where they are as many, and stay
    as drawn where they are more. In a DenseNet they keep the features of earlier layers as well. A head for another
    number of classes, or none, stays as drawn. All the rest is copied.

    Args:
        network: what is filled; left as it was if anything does not fit.
        state_dict: torchvision's names, as ``torchvision.models.resnet50().state_dict()`` gives them.

    Raises:
        WeightsMismatch: weights are missing, of another size, or of another trunk.
        ModelError: some are NaN or infinite.

    Source: "Learning in the Frequency Domain" (CVPR 2020), released code.
    """
    given = {key.removeprefix("module."): value for key, value in state_dict.items() if isinstance(value, Tensor)}
    if not given:
        raise WeightsMismatch(
            f"the checkpoint holds no tensors at its top, only {_some(state_dict)}; give its state_dict entry"
        )
    check_finite(given, "the checkpoint")
    own = {name: (key, value) for key, value in network.state_dict().items() if (name := network.torchvision_key(key))}
    shapes = rgb_shapes(network.name) if isinstance(network, FrequencyNetwork) else {}
    added = frozenset(name for name in own if shapes and name not in shapes)
    seen = frozenset(name for name, (_, value) in own.items() if shapes.get(name, value.shape) != value.shape) - _HEADS
    new: dict[str, Tensor] = {}
    kinds: dict[str, list[str]] = {"copied": [], "cut": [], "fresh": []}
    problems: list[str] = []
    for name, (key, value) in own.items():
        kind, source = _choose(name, value, given, shapes if name in seen else {}, added)
        if kind == "cut" and source is not None and isinstance(network, FrequencyNetwork):
            source = _first_channels(source, value, network)
        if kind in kinds:
            kinds[kind].append(name)
        else:
            problems.append(kind)
        if source is not None:
            new[key] = source
    unused = [name for name in given if name not in own]
    problems += [f"{name} has no place in the network" for name in unused if name not in shapes]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise WeightsMismatch(f"not the weights of a {network.name}: {'; '.join(problems[:5])}{more}")
    network.load_state_dict(new, strict=False)
    return WeightReuse(tuple(kinds["copied"]), tuple(kinds["cut"]), tuple(kinds["fresh"]), tuple(unused))


def _choose(
    name: str, value: Tensor, given: Mapping[str, Tensor], seen: Mapping[str, tuple[int, ...]], added: frozenset[str]
) -> tuple[str, Tensor | None]:
    """Return what becomes of one weight, and what it is filled from; anything but a kind is a problem."""
    source = given.get(name)
    if source is None:
        # Checkpoints older than torch 0.4 lack this counter, and only momentum=None reads it.
        absent = name in added or name in _HEADS or name.endswith("num_batches_tracked")
        return ("fresh" if absent else f"{name} is missing"), None
    if source.shape == value.shape:
        return "copied", source
    if seen.get(name) == tuple(source.shape):
        if all(wanted <= offered for wanted, offered in zip(value.shape, source.shape, strict=True)):
            return "cut", source
        return "fresh", None
    if name in _HEADS:
        return "fresh", None
    return f"{name} is {tuple(source.shape)}, the network's {tuple(value.shape)}", None


def _first_channels(source: Tensor, value: Tensor, network: FrequencyNetwork) -> Tensor:
    """Keep the first of the stem's channels on every axis that has them, and what a DenseNet has behind them."""
    for axis, (offered, wanted) in enumerate(zip(source.shape, value.shape, strict=True)):
        if offered != wanted:
            kept = [*range(wanted - (offered - network.stem_width)), *range(network.stem_width, offered)]
            source = source.index_select(axis, torch.tensor(kept, device=source.device))
    return source


def _some(names: Mapping[str, object], limit: int = 5) -> str:
    shown = ", ".join(list(names)[:limit])
    return f"{shown}, ..." if len(names) > limit else shown or "nothing"
