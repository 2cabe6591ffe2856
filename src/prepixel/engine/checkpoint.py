"""Checkpoints: the state of a run on disk, written atomically, checked when read."""

from __future__ import annotations

import dataclasses
import random
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prepixel.errors import PrepixelError
from prepixel.files import AtomicFile

FORMAT = 1
LAST = "last.pt"
BEST = "best.pt"
_DAMAGED = "the file is damaged, or was not written by training; take another checkpoint or train again"


class CheckpointError(PrepixelError, ValueError):
    """Report a checkpoint that cannot be read, or that is of another run."""


@dataclass
class Position:
    """Store how far a run is.

    Attributes:
        epoch: the epoch being trained, from 0; the number of epochs once the run is finished.
        batch: batches of it already used; all of them where only the epoch's evaluation is still to be done.
        step: optimizer steps taken.
        best_score: the best so far; None before the first evaluation.
        best_epoch: the epoch it was reached in, from 0; -1 before.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float | None = None
    best_epoch: int = -1


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state atomically and durably.

    Whatever happens on the way, a power cut included, ``path`` holds the old state or the new one, whole.

    Raises:
        OSError: the disk is full, or the file cannot be written; the error names ``path``.
    """
    with AtomicFile(path) as target:
        torch.save({"format": FORMAT, **state}, target.file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a state that `write_checkpoint` wrote; only plain values and tensors are unpickled, so no code runs.

    Raises:
        CheckpointError: the file is missing, damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not compare checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes can make zipfile and the unpickler raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({reason}). A killed run never leaves half a checkpoint; "
            "check the disk, and how the file was copied"
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{path}: holds no checkpoint of prepixel; weights alone load by load_state_dict")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: format {state['format']}, and this version of prepixel reads format {FORMAT}; "
            "use the version that wrote it"
        )
    return dict(state)


def check_weights(state: Mapping[str, Any], path: Path) -> None:
    """Check that a checkpoint holds weights and a position, of the right types.

    Raises:
        CheckpointError: something is missing or of another type.
    """
    for name in ("network", "average"):
        weights = state.get(name)
        if weights is None and name == "average":
            continue
        if not isinstance(weights, Mapping) or not all(isinstance(key, str) for key in weights):
            raise CheckpointError(f"{path}: {name} is not a table of weights by name; {_DAMAGED}")
        if strange := [key for key, value in weights.items() if not isinstance(value, torch.Tensor)]:
            raise CheckpointError(f"{path}: {name}.{strange[0]} is not a tensor; {_DAMAGED}")
    read_position(state, path)


def read_position(state: Mapping[str, Any], path: Path) -> Position:
    """Return where a checkpoint's run is.

    Raises:
        CheckpointError: it is missing, or of another type or range.
    """
    fields = state.get("position")
    names = {field.name for field in dataclasses.fields(Position)}
    if not isinstance(fields, Mapping) or set(fields) != names:
        raise CheckpointError(f"{path}: position does not have the keys {', '.join(sorted(names))}; {_DAMAGED}")
    for name, least in (("epoch", 0), ("batch", 0), ("step", 0), ("best_epoch", -1)):
        if type(fields[name]) is not int or not least <= fields[name] < 2**62:
            raise CheckpointError(f"{path}: position.{name} is {fields[name]!r}, not a whole number; {_DAMAGED}")
    if not isinstance(fields["best_score"], float | None):
        raise CheckpointError(f"{path}: position.best_score is {fields['best_score']!r}, not a number; {_DAMAGED}")
    return Position(**fields)


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Report as a `CheckpointError` what goes wrong when a checkpoint's values are put back.

    Values of a wrong type or shape make torch, numpy and random raise errors of many types.
    """
    try:
        yield
    except (PrepixelError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be resumed ({type(error).__name__}: {reason}); {_DAMAGED}") from error


def load_weights(network: nn.Module, path: Path, *, averaged: bool = True) -> Position:
    """Fill a network from a checkpoint.

    Args:
        network: built as in training.
        path: ``best.pt`` or ``last.pt`` of a run.
        averaged: whether to take the moving average where the run kept one.

    Returns:
        Where the run was.

    Raises:
        CheckpointError: the file cannot be read, is of another network, or has weights that are not finite.
    """
    state = read_checkpoint(path)
    check_weights(state, path)
    weights = state["average"] if averaged and state.get("average") is not None else state["network"]
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckpointError(f"{path}: {name} is not finite; nothing can be predicted with it, train again")
    fill_network(network, weights, path)
    return read_position(state, path)


def seed_generators(seed: int, rank: int) -> None:
    """Seed the generators that code inside a network may draw from, differently on each process."""
    torch.manual_seed(seed + rank)
    random.seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)  # noqa: NPY002


def generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators that code inside a network may draw from."""
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Set the generators back, at the block's end, to where they were at its start."""
    states = generator_states(device)
    try:
        yield
    finally:
        restore_generators(states, device)


def restore_generators(states: Mapping[str, Any], device: torch.device) -> None:
    """Set the generators to the states that `generator_states` returned."""
    torch.set_rng_state(states["torch"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def differences(saved: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """List the settings that differ, as text; one that a side lacks differs."""
    names = sorted({*saved, *settings})
    return [
        f"{name} was {saved.get(name)!r}, is {settings.get(name)!r}"
        for name in names
        if saved.get(name) != settings.get(name)
    ]


def position_state(position: Position) -> dict[str, Any]:
    """Return a position as plain values."""
    return dataclasses.asdict(position)


def fill_network(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Fill a network with the weights of a checkpoint.

    Raises:
        CheckpointError: they are of another network.
    """
    state = OrderedDict(weights)
    # Saved by the same modules, some of which, such as torchvision's MNASNet, ask for their version.
    state._metadata = getattr(network.state_dict(), "_metadata", {})  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise CheckpointError(f"{path}: the weights are of another network: {reasons}") from error
