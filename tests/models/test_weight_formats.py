"""Weights as they come from Hugging Face and elsewhere: safetensors, and files that hold no weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prepixel import fold
from prepixel.errors import ModelError
from prepixel.models.weight_files import read_weights


def test_safetensors_give_the_same_weights_as_a_torch_file(tmp_path: Path) -> None:
    state = {"module.a.weight": torch.randn(3, 5), "module.a.bias": torch.arange(3.0)}
    save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "net.pt")
    found, expected = read_weights(tmp_path / "net.safetensors"), read_weights(tmp_path / "net.pt")
    assert list(found) == sorted(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert set(found) == {"a.weight", "a.bias"}


@pytest.mark.parametrize("name", ["photo.pt", "photo.safetensors"])
def test_a_file_without_weights_never_advises_unsafe_loading(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 and so on")
    with pytest.raises(ModelError, match="cannot be read as a file of torch weights") as found:
        read_weights(tmp_path / name)
    assert "weights_only" not in str(found.value)
    assert "\n" not in str(found.value)


def test_means_of_bytes_are_refused_by_fold() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Flatten())
    with pytest.raises(ModelError, match=r"mean is \[128, 128, 128\]; give fractions of 255, from 0 to 1"):
        fold(network, pixels=32, mean=(128, 128, 128))
    with pytest.raises(ModelError, match=r"std is \[58\.4, 57\.1, 57\.4\]; give fractions of 255"):
        fold(network, pixels=32, std=(58.4, 57.1, 57.4))
