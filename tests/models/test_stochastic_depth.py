"""Stochastic depth leaves branches out in training alone, at linearly rising rates, whole images at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import StochasticDepth

from prepixel.models import ModelError, frequency_network, pixel_network
from prepixel.models.stochastic_depth import set_stochastic_depth


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


def test_networks_without_residual_branches_are_named() -> None:
    with pytest.raises(ModelError, match="vgg11 has no residual branch"):
        pixel_network("vgg11", 3, stochastic_depth=0.1)
