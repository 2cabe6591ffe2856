"""Stochastic depth leaves branches out in training alone, at linearly rising rates, whole images at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.ops import StochasticDepth

from prepixel.models import (
    ModelError,
    allow_build_function,
    build_function,
    frequency_network,
    pixel_model,
    pixel_network,
    pretrained,
)
from prepixel.models.stochastic_depth import set_stochastic_depth

OWN = """
import timm, torchvision
from torch import nn

def residual(num_classes):
    return torchvision.models.resnet18(num_classes=num_classes)

def plain(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

def dropping(num_classes):
    return timm.create_model("test_resnet", num_classes=num_classes, drop_path_rate=0.3)
"""


def rates(network: nn.Module) -> list[float]:
    return [module.p for module in network.modules() if isinstance(module, StochasticDepth)]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "convnext_tiny"])
def test_rates_rise_linearly_and_names_and_evaluation_stay(name: str) -> None:
    network: Any = torchvision.models.get_model(name, weights=None, num_classes=3).eval()
    pixels = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        before, names = network(pixels), list(network.state_dict())
        set_stochastic_depth(network, 0.3, name)
        assert list(network.state_dict()) == names
        assert torch.equal(network(pixels), before)
    found = rates(network)
    assert found == pytest.approx([0.3 * place / (len(found) - 1) for place in range(len(found))])
    assert len(found) > 7


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_branch_is_left_out_per_image_and_scaled_otherwise(name: str) -> None:
    network: Any = torchvision.models.get_model(name, weights=None, num_classes=3)
    plain: Any = torchvision.models.get_model(name, weights=None, num_classes=3)
    plain.load_state_dict(network.state_dict())
    set_stochastic_depth(network, 0.5, name)
    block, same = network.layer3[1].train(), plain.layer3[1].train()
    block.stochastic_depth.p = 0.5
    torch.manual_seed(0)
    maps = torch.rand(64, block.conv1.in_channels, 3, 3)
    added: list[torch.Tensor] = []
    same.relu.register_forward_pre_hook(lambda _module, given: added.append(given[0].clone()))
    same(maps)
    branch = added[-1] - maps
    got = block(maps)
    kept = torch.tensor([not torch.equal(one, shortcut) for one, shortcut in zip(got, maps, strict=True)])
    assert 16 < kept.sum() < 48
    torch.testing.assert_close(got[kept], torch.relu(maps + 2 * branch)[kept])
    block.stochastic_depth.p = 0.0
    torch.testing.assert_close(block(maps), torch.relu(maps + branch))


def test_networks_on_spectra_and_of_timm_take_it() -> None:
    network = frequency_network("resnet18", "S-12", 3)
    set_stochastic_depth(network, 0.2, "resnet18")
    assert max(rates(network)) == pytest.approx(0.2)
    assert rates(pixel_network("resnet18", 3, stochastic_depth=0.1))[-1] == pytest.approx(0.1)
    vit = pixel_network("timm:test_vit", 3, stochastic_depth=0.4)
    assert max(getattr(module, "drop_prob", 0) or 0 for module in vit.modules()) == pytest.approx(0.4)


def test_efficientnet_lite0_takes_it() -> None:
    lite = pixel_network("efficientnet_lite0", 3, stochastic_depth=0.4)
    assert 0.3 < max(getattr(module, "drop_prob", 0) or 0 for module in lite.modules()) <= 0.4


def test_own_networks_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_function, "_allowed", {})
    (tmp_path / "mine.py").write_text(OWN)
    for function in ("residual", "plain", "dropping"):
        allow_build_function(f"{tmp_path / 'mine.py'}:{function}")
    network = pixel_network(f"{tmp_path / 'mine.py'}:residual", 3, (32, 32), stochastic_depth=0.1)
    assert rates(network)[-1] == pytest.approx(0.1)
    with pytest.raises(ModelError, match="plain has no residual branch"):
        pixel_network(f"{tmp_path / 'mine.py'}:plain", 3, (32, 32), stochastic_depth=0.1)
    message = "dropping has timm's DropPath, whose rates its function sets; set network.stochastic_depth to null"
    with pytest.raises(ModelError, match=message):
        pixel_network(f"{tmp_path / 'mine.py'}:dropping", 3, (32, 32), stochastic_depth=0.1)
    with pytest.raises(ModelError, match="timm's DropPath"):
        pixel_model("mine", build=lambda: timm.create_model("test_vit", drop_path_rate=0.3), stochastic_depth=0.1)


@pytest.mark.parametrize("weights", ["none", "DEFAULT"])
def test_networks_of_timm_that_have_no_such_option_are_named(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "_check_hub", lambda _: None)
    message = r"timm:vgg11: timm builds it without stochastic depth \(no drop_path_rate\); set network.stochastic_depth"
    with pytest.raises(ModelError, match=message):
        pixel_model("timm:vgg11", weights=weights, stochastic_depth=0.1)


def test_networks_without_residual_branches_are_named() -> None:
    with pytest.raises(ModelError, match="vgg11 has no residual branch"):
        pixel_network("vgg11", 3, stochastic_depth=0.1)
