from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.toy import Loader, plain_network, run, same
from torch import nn

from prepixel.engine import CheckpointError, load_weights
from prepixel.engine.checkpoint import (
    differences,
    generator_states,
    read_checkpoint,
    restore_generators,
    seed_generators,
    write_checkpoint,
)

STATE = {
    "network": {"weight": torch.arange(30011.0), "counter": torch.tensor(7)},
    "position": {"epoch": 1},
    "none": None,
}


def test_a_state_comes_back_to_the_bit_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_checkpoint(path, {"old": 1})
    write_checkpoint(path, STATE)
    assert same(read_checkpoint(path), {"format": 1, **STATE})
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("when", ["while writing", "before the rename"])
def test_the_old_state_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "last.pt"
    write_checkpoint(path, STATE)

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((torch, "save") if when == "while writing" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, {"new": 1})
    monkeypatch.undo()
    assert same(read_checkpoint(path), {"format": 1, **STATE})
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_bytes_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("sync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (events.append("rename"), replace(path, target))[1])
    write_checkpoint(tmp_path / "last.pt", STATE)
    assert events == ["sync", "rename", "sync"]


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_checkpoint(path, STATE)
    whole = path.read_bytes()
    for position in (len(whole) // 2, len(whole) // 3, 4001):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"last\.pt: not a checkpoint, or a damaged one \(wrong checksum of "):
            read_checkpoint(path)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="A killed run never leaves half a checkpoint; check the disk"):
            read_checkpoint(path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pt: no such checkpoint"):
        read_checkpoint(tmp_path / "absent.pt")
    path = tmp_path / "weights.pt"
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="holds no checkpoint of prepixel; weights alone load by"):
        read_checkpoint(path)
    torch.save({"format": 2}, path)
    with pytest.raises(CheckpointError, match="format 2, and this version of prepixel reads format 1; use the"):
        read_checkpoint(path)
    torch.save({"format": 1, "code": print}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint, or a damaged one"):
        read_checkpoint(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    run(tmp_path, plain_network(), Loader(7), epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    assert load_weights(plain_network(), path).epoch == 1
    with pytest.raises(
        CheckpointError, match=r"last\.pt: the weights are of another network: .*Missing key.*1\.weight"
    ):
        load_weights(nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), path)


def test_generators_go_on_where_they_were() -> None:
    def draw() -> tuple[float, ...]:
        return float(torch.rand(())), random.random(), float(np.random.rand()), float(np.random.randn())  # noqa: NPY002

    device = torch.device("cpu")
    seed_generators(3, 0)
    draw()
    states = generator_states(device)
    drawn = [draw() for _ in range(3)]
    restore_generators(states, device)
    assert [draw() for _ in range(3)] == drawn
    seed_generators(3, 1)
    other = draw()
    seed_generators(3, 0)
    assert all(a != b for a, b in zip(draw(), other, strict=True))


def test_differences_name_each_setting_once() -> None:
    assert differences({"a": 1, "b": 2.5, "c": None}, {"a": 1, "b": 2.0, "d": "x"}) == [
        "b was 2.5, is 2.0",
        "d was None, is 'x'",
    ]


def mutated(value: Any, draw: random.Random) -> Any:
    """Return a state with one value, somewhere in it, missing or of another type or size."""
    strange = (None, -1, 2**70, float("nan"), "x", [], {}, (), torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64))
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        changed = dict(value)
        if draw.random() < 0.2:
            del changed[key]
        else:
            changed[key] = mutated(value[key], draw)
        return changed
    if isinstance(value, list | tuple) and value and draw.random() < 0.7:
        items = list(value)
        place = draw.randrange(len(items))
        items[place] = mutated(items[place], draw)
        return type(value)(items)
    return draw.choice(strange)


def test_a_mutated_checkpoint_is_read_or_refused_by_name(tmp_path: Path) -> None:
    """Whatever value is missing or of another type: an error that names the file, or a run that ends."""
    run(tmp_path, plain_network(), Loader(14), epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    state = {name: value for name, value in read_checkpoint(path).items() if name != "format"}
    refused = 0
    draw = random.Random(7)
    for _ in range(60):
        key = draw.choice(list(state))
        write_checkpoint(path, {**state, key: mutated(state[key], draw)})
        for use in (
            lambda: load_weights(plain_network(), path),
            lambda: run(tmp_path, plain_network(), Loader(14), epochs=1, resume=True),
        ):
            try:
                use()
            except CheckpointError as error:
                refused += str(path) in str(error)
    assert refused > 40


def test_bytes_changed_anywhere_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_checkpoint(path, {"network": {"weight": torch.arange(5.0)}, "position": {"epoch": 1}})
    whole, draw, refused = path.read_bytes(), random.Random(3), 0
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(draw.choice((1, 3))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed))))]))
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            refused += str(path) in str(error)
    assert refused > 200


def test_weights_that_are_not_finite_answer_nothing(tmp_path: Path) -> None:
    run(tmp_path, plain_network(), Loader(7), epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    state = read_checkpoint(path)
    state["average"]["0.bias"][3] = float("nan")
    write_checkpoint(path, {name: value for name, value in state.items() if name != "format"})
    with pytest.raises(CheckpointError, match=r"last\.pt: 0\.bias is not finite; nothing can be predicted with it"):
        load_weights(plain_network(), path)


@pytest.mark.parametrize("key", ["network", "position", "format"])
def test_a_missing_key_is_one_line(tmp_path: Path, key: str) -> None:
    run(tmp_path, plain_network(), Loader(7), epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    del state[key]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"^{path}: ") as refused:
        load_weights(plain_network(), path)
    assert "\n" not in str(refused.value)
    assert key in str(refused.value) or "holds no checkpoint of prepixel" in str(refused.value)
