"""Read weights from torch files, load them into networks, and check that they are finite."""

from __future__ import annotations

import importlib
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prepixel.errors import ModelError

_NESTED = ("state_dict", "model")
_WRAPPERS = frozenset({"module", "_orig_mod"})  # of DataParallel and DistributedDataParallel, and of torch.compile


class Weights(OrderedDict[str, Tensor]):
    """Tensors by name, with the versions of the modules that wrote them where the file states them.

    Modules whose layout has changed, such as torchvision's MNASNet, refuse weights without their version.
    """

    _metadata: dict[str, Any]

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], metadata: Mapping[str, Any] | None) -> Weights:
        """Return weights with the versions of their modules, by the modules' names."""
        made = cls(weights)
        if metadata is not None:
            made._metadata = dict(metadata)
        return made

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """Return the versions of the modules; None where they are not known."""
        return getattr(self, "_metadata", None)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a state dict, from a torch file or one of safetensors (by its ending).

    Only tensors and plain values are unpickled, so no code runs.

    Names that were saved within DataParallel, DistributedDataParallel or torch.compile, around the network or around
    parts of it, are returned without these wrappers.

    Raises:
        ModelError: the file cannot be read, or holds no tensors by name.
    """
    state: Any
    try:
        if os.fspath(path).lower().endswith(".safetensors"):
            state = importlib.import_module("safetensors.torch").load_file(path)  # required by accelerate
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path} cannot be read as a file of torch weights ({_unpickling_reason(error)})") from error
    except Exception as error:  # damaged bytes can make an unpickler raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"{path} cannot be read as a file of torch weights ({reason})") from error
    for key in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: holds no weights by name; save the network's state_dict() there")
    weights = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    stated = getattr(state, "_metadata", None)
    versions = stated if isinstance(stated, dict) and all(isinstance(name, str) for name in stated) else None
    names, modules = _without_wrappers(list(weights), list(versions or ()))
    return Weights.of(
        dict(zip(names, weights.values(), strict=True)),
        None if versions is None else dict(zip(modules, versions.values(), strict=True)),
    )


def _without_wrappers(names: Sequence[str], modules: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop the parts of tensors' and modules' names that are wrappers: `module` or `_orig_mod`, an only child."""
    children: dict[tuple[str, ...], set[str]] = {}
    split = [tuple(name.split(".")) for name in names]
    for parts in split:
        for depth, part in enumerate(parts):
            children.setdefault(parts[:depth], set()).add(part)

    def kept(parts: tuple[str, ...]) -> Iterator[str]:
        for depth, part in enumerate(parts):
            if part not in _WRAPPERS or len(children.get(parts[:depth], ())) > 1:
                yield part

    tensors = [".".join([*kept(parts[:-1]), parts[-1]]) for parts in split]
    return tensors, [".".join(kept(tuple(name.split(".")))) for name in modules]


def load_by_name_or_order(network: nn.Module, weights: Mapping[str, Tensor], name: str, source: str) -> None:
    """Load weights by name; or by order, where another library gave the same tensors other names.

    Args:
        network: changed in place.
        weights: the tensors.
        name: of the network, for messages.
        source: of the weights, for messages.

    Raises:
        ModelError: they are another network's, or hold values that are not finite.
    """
    own = network.state_dict()
    versions = weights.metadata if isinstance(weights, Weights) else None
    if set(own) != set(weights) and [v.shape for v in own.values()] == [v.shape for v in weights.values()]:
        weights, versions = dict(zip(own, weights.values(), strict=True)), None
    if versions is None and set(own) == set(weights):  # in today's layout
        versions = getattr(own, "_metadata", None)
    check_finite(weights, source)
    try:
        network.load_state_dict(Weights.of(weights, versions))
    except (RuntimeError, ValueError) as error:  # ValueError: of modules that ask for their version
        lines = [line.strip() for line in str(error).splitlines()]
        lines = lines[1:] or lines
        raise ModelError(f"{source}: not the weights of {name}: {' '.join(lines)[:300]}") from error


def check_finite(weights: Mapping[str, Any] | nn.Module, source: str) -> None:
    """Check that weights hold neither NaN nor infinity.

    Args:
        weights: tensors by name, or a network with parameters and buffers.
        source: of the weights, for the message.

    Raises:
        ModelError: some do; the message names the first tensor that does.
    """
    for name, value in (weights.state_dict() if isinstance(weights, nn.Module) else weights).items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.is_meta:
            continue
        if not bool(value.isfinite().all()):
            count = int((~value.isfinite()).sum())
            raise ModelError(
                f"{source}: {name} holds {count:,} of {value.numel():,} values that are NaN or infinite; the weights "
                "are damaged, or training diverged: take an earlier checkpoint"
            )


def _unpickling_reason(error: pickle.UnpicklingError) -> str:
    text = " ".join(str(error).split())
    if "Unsupported global" in text or "GLOBAL" in text:
        return "it holds Python objects, which are not loaded as they could run code; save only state_dict() there"
    if "weights_only" in text:  # torch's advice to load the file without its protection
        return "it is of another format; save the network's state_dict() there by torch.save or safetensors"
    return text[:200]
