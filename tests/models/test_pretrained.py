"""Pixel networks by name: built, filled, normalized as their users do; what is not to be had is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from prepixel.errors import ModelError
from prepixel.models import imagenet_classes, pixel_model
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD


def test_torchvisions_networks_by_name() -> None:
    model = pixel_model("resnet18", num_classes=7)
    assert isinstance(model.network, torchvision.models.ResNet)
    assert not model.network.training
    assert (model.mean, model.std, model.num_classes, model.classes) == (IMAGENET_MEAN, IMAGENET_STD, 7, ())
    assert pixel_model("googlenet").network.transform_input


def test_shipped_weights_are_those_of_imagenet() -> None:
    model = pixel_model("efficientnet_lite0")
    assert model.mean == (127 / 255,) * 3
    assert model.std == (128 / 255,) * 3
    assert model.classes == imagenet_classes()
    assert model.classes[985] == "daisy"
    assert float(model.network.bn1.running_var.std()) > 0.1  # trained ones differ from channel to channel
    random = pixel_model("efficientnet_lite0", weights="none")
    assert float(random.network.bn1.running_var.std()) == 0


def test_number_of_classes_is_that_of_the_weights(tmp_path: Path) -> None:
    source = torchvision.models.squeezenet1_1(num_classes=13)
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "weights.pt")
    model = pixel_model("squeezenet1_1", weights=str(tmp_path / "weights.pt"))
    assert model.num_classes == 13
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_timm_and_recipes_networks() -> None:
    model = pixel_model("timm:vit_tiny_patch16_224", num_classes=5)
    assert model.mean == (0.5, 0.5, 0.5)
    with torch.no_grad():
        assert model.network(torch.zeros(1, 3, 224, 224)).shape == (1, 5)
    own = pixel_model("prepixel:resnet18", num_classes=5)
    assert own.mean == (0.0, 0.0, 0.0)
    with torch.no_grad():
        assert own.network(torch.zeros(1, 3, 40, 56)).shape == (1, 5)


OWN = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def number():
    return 7
"""


def test_own_networks_from_a_file_or_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_this_test.py").write_text(OWN)
    model = pixel_model(f"{tmp_path / 'mine_of_this_test.py'}:build")
    assert isinstance(model.network, nn.Sequential)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(pixel_model("mine_of_this_test:build").network, nn.Sequential)
    for function in ("number", "missing"):
        with pytest.raises(ModelError, match=f"has no function {function} that returns a torch.nn.Module"):
            pixel_model(f"mine_of_this_test:{function}")
    monkeypatch.delitem(sys.modules, "mine_of_this_test")


def test_what_is_not_to_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(message: str, name: str, weights: str | None = None) -> None:
        with pytest.raises(ModelError, match=message):
            pixel_model(name, weights=weights)

    refused("no network 'resnet17'; there are efficientnet_lite0, torchvision's", "resnet17")
    refused("timm has no network 'nothing'", "timm:nothing")
    refused("no module nowhere can be imported", "nowhere:build")
    refused("no such file; give FILE.py:FUNCTION", str(tmp_path / "none.py:build"))
    refused("weights: W1 is no file, and resnet18 has no weights of that name", "resnet18", "W1")
    refused("is no file, and timm:vit_tiny_patch16_224 has no weights", "timm:vit_tiny_patch16_224", "W1")
    torch.save({"x": 3}, tmp_path / "empty.pt")
    refused("holds no weights by name", "resnet18", str(tmp_path / "empty.pt"))
    (tmp_path / "text.pt").write_text("no")
    refused("cannot be read as a file of torch weights", "resnet18", str(tmp_path / "text.pt"))
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "other.pt")
    refused("not the weights of resnet18: Missing key", "resnet18", str(tmp_path / "other.pt"))
    monkeypatch.setitem(sys.modules, "timm", None)
    refused("efficientnet_lite0 needs the package timm; install it: pip install timm", "efficientnet_lite0")
