"""A network on fewer channels starts as the network on more of them, with the others off."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prepixel.models import FoldedNetwork, FrequencyNetwork, WeightsMismatch, fold, frequency_network, slice_channels
from prepixel.models.input_norm import PixelInput
from prepixel.spectrum import BandSet, Spectrum

WIDE, NARROW = BandSet.parse("S-48"), BandSet.parse("L-24")
OWN = BandSet("own", tuple(channel for channel in NARROW.channels if channel in WIDE.channels))


def network_on(bands: BandSet, name: str = "resnet18", seed: int = 3, num_classes: int = 7) -> FrequencyNetwork:
    torch.manual_seed(seed)
    f = len(bands)
    network = frequency_network(name, bands, num_classes, shift=torch.randn(f), scale=torch.rand(f) + 0.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def spectrum_of(bands: BandSet, grid: tuple[int, int] = (5, 7)) -> Spectrum:
    generator = torch.Generator().manual_seed(1)
    return Spectrum.of_coefficients(torch.randn(2, len(bands), *grid, generator=generator), bands)


def with_others_off(network: FrequencyNetwork | FoldedNetwork, spectrum: Spectrum) -> torch.Tensor:
    normalized = network.input(spectrum)
    off = [place for place, channel in enumerate(spectrum.bands.channels) if channel not in OWN.channels]
    normalized[:, off] = 0
    logits: torch.Tensor = network.from_normalized(normalized)
    return logits


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_kept_columns_compute_what_all_do_with_the_others_off(name: str) -> None:
    source, network = network_on(WIDE, name), network_on(OWN, name, seed=5)
    before = copy.deepcopy(source.state_dict())
    reuse = slice_channels(network, source)
    spectrum = spectrum_of(WIDE)
    with torch.no_grad():
        expected = with_others_off(source, spectrum)
        torch.testing.assert_close(network(spectrum.select(OWN)), expected, rtol=1e-4, atol=1e-4)
    assert set(reuse.cut) == {
        *("input.shift", "input.scale", "trunk.layer1.0.conv1.weight", "trunk.layer1.0.downsample.0.weight"),
    }
    assert not reuse.fresh
    assert str(reuse).endswith(
        "input channels kept: input.shift, input.scale, trunk.layer1.0.conv1.weight, trunk.layer1.0.downsample.0.weight"
    )
    after = source.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items() if isinstance(value, torch.Tensor))


def test_depthwise_layer_of_mobilenet_keeps_its_columns() -> None:
    source, network = network_on(WIDE, "mobilenet_v2"), network_on(OWN, "mobilenet_v2", seed=5)
    slice_channels(network, source)
    places = [WIDE.channels.index(channel) for channel in OWN.channels]
    for key in ("trunk.1.conv.0.0.weight", "trunk.1.conv.0.1.running_var"):
        assert torch.equal(network.state_dict()[key], source.state_dict()[key][places])
    projection = source.state_dict()["trunk.1.conv.1.weight"][:, places]
    assert torch.equal(network.state_dict()["trunk.1.conv.1.weight"], projection)


@pytest.mark.parametrize("form", ["composed", "factored"])
def test_folded_networks_keep_columns_too(form: str) -> None:
    def folded(bands: BandSet, seed: int) -> FoldedNetwork:
        torch.manual_seed(seed)
        stem = nn.Conv2d(3, 5, 3, 2, 1)
        pixels = nn.Sequential(PixelInput(), stem, nn.ReLU(), nn.Flatten(), nn.Linear(5 * 12 * 8, 7))
        return fold(pixels, pixels=(24, 16), grid=(6, 4), bands=bands, form=form)  # type: ignore[arg-type]

    bands = BandSet.parse("192")
    source, network = folded(bands, 3), folded(OWN, 5)
    slice_channels(network, source)
    spectrum = spectrum_of(bands, (6, 4))
    with torch.no_grad():
        expected = with_others_off(source, spectrum)
        torch.testing.assert_close(network(spectrum.select(OWN)), expected, rtol=1e-4, atol=1e-4)


def test_a_head_for_other_classes_stays_as_drawn() -> None:
    network = network_on(OWN, num_classes=5)
    drawn = network.head.fc.weight.clone()  # type: ignore[union-attr]
    reuse = slice_channels(network, network_on(WIDE))
    assert reuse.fresh == ("head.fc.weight", "head.fc.bias")
    assert torch.equal(network.head.fc.weight, drawn)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("own", "given", "message"),
    [
        (("resnet18", "L-24"), ("resnet18", "S-24"), "it does not see channels .* of L-24, only those of S-24; choose"),
        (("resnet18", "L-24"), ("resnet50", "192"), "not the weights of this network: .*; and [0-9]+ more"),
        (("resnet18", "S-64"), ("resnet18", "192"), "trunk.layer1.0.downsample.0.weight has no place in the network"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    own: tuple[str, str], given: tuple[str, str], message: str
) -> None:
    network, source = (network_on(BandSet.parse(bands), name) for name, bands in (own, given))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(WeightsMismatch, match=message):
        slice_channels(network, source)
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items() if isinstance(value, torch.Tensor))


def test_another_order_is_named() -> None:
    turned = BandSet("turned", NARROW.channels[::-1])
    with pytest.raises(
        WeightsMismatch, match="it sees the channels of turned in another order; give them in the order"
    ):
        slice_channels(network_on(turned), network_on(NARROW))
