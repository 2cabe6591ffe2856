"""A light stem takes blocks in the place of any network's image, and the rest of the network stays as it is."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from prepixel.models import CannotFold, GridMismatch, LightStem, ModelError, light_network, pixel_network
from prepixel.spectrum import BandSet, Spectrum

BANDS = BandSet.of("S-6")


def spectrum(*grid: int) -> Spectrum:
    generator = torch.Generator().manual_seed(1)
    return Spectrum.of_coefficients(torch.randn(2, 6, *grid, generator=generator), BANDS)


@pytest.mark.parametrize("grid", [(8, 12), (16, 24), (32, 48), (64, 96)])
def test_maps_are_as_large_as_the_layer_s_on_any_fitting_grid(grid: tuple[int, int]) -> None:
    network = torchvision.models.resnet18(num_classes=3)
    light = light_network(network, BANDS, pixels=(64, 96), grid=grid)
    maps = light.network.get_submodule("conv1")(torch.zeros(1, 6, *grid))
    assert maps.shape == (1, 64, 32, 48)
    assert light(spectrum(*grid)).shape == (2, 3)


@pytest.mark.parametrize("grid", [(7, 7), (12, 8), (24, 24)])
def test_grids_that_do_not_fit_are_refused(grid: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=f"the 32 x 32 maps of ResNet's first layer .*; {grid[0]} x {grid[1]} blocks"):
        light_network(torchvision.models.resnet18(), BANDS, pixels=(64, 64), grid=grid)


def test_all_but_the_first_layer_is_kept_and_everything_trains() -> None:
    network = pixel_network("timm:test_efficientnet", 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    light = light_network(network, BANDS, pixels=(64, 64), grid=(8, 8))
    kept = light.network.state_dict()
    stem = {name for name in kept if name not in before or kept[name].shape != before[name].shape}
    assert len(stem) == 2  # weight and bias of the convolution over blocks
    assert all(torch.equal(value, before[name]) for name, value in kept.items() if name not in stem)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    light(spectrum(8, 8)).square().sum().backward()
    assert [name for name, value in light.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_networks_and_grids_that_it_cannot_take_are_named() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(CannotFold, match="the image is taken by a linear layer"):
        light_network(flat, BANDS, pixels=(16, 16), grid=(2, 2))
    light = light_network(torchvision.models.resnet18(), BANDS, pixels=(64, 64), grid=(8, 8))
    with pytest.raises(GridMismatch, match="16 x 16"):
        light(spectrum(16, 16))


def test_depth_to_space_places_each_output_beside_its_neighbors() -> None:
    stem = LightStem(1, 1, (2, 2), (4, 4))
    with torch.no_grad():
        stem.conv.weight.zero_()
        stem.conv.bias.copy_(torch.arange(4.0))
    expected = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat(2, 2)
    assert torch.equal(stem(torch.zeros(1, 1, 2, 2))[0, 0], expected)


@pytest.mark.parametrize(("grid", "kernel"), [((4, 4), 1), ((8, 8), 2), ((16, 16), 4)])
def test_patch_embeddings_take_the_blocks_of_a_patch_alone(grid: tuple[int, int], kernel: int) -> None:
    network = pixel_network("timm:vit_tiny_patch16_224", 3, (64, 64))
    light = light_network(network, BANDS, pixels=(64, 64), grid=grid)
    stem = light.network.network.patch_embed.proj
    assert stem.conv.kernel_size == stem.conv.stride == (kernel, kernel)
    values = torch.zeros(1, 6, *grid)
    before = stem(values)
    values[..., 0, 0] = 1  # of the first patch
    changed = (stem(values) != before).any(1)[0]
    assert changed.nonzero().tolist() == [[0, 0]]
    assert light(spectrum(*grid)).shape == (2, 3)
