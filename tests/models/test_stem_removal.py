"""Families of torchvision without their stem: what goes, what sees the bands, and that the rest is torchvision's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from prepixel.errors import ModelError
from prepixel.models import (
    count_macs,
    count_parameters,
    example_pixels,
    example_spectrum,
    frequency_network,
    load_rgb_weights,
    slice_channels,
)
from prepixel.models.stem_removal import family_of, stemless_networks
from prepixel.spectrum import BandSet, Spectrum

# A small member of each family, blocks for 224 pixels, and which of its modules see the bands.
MEMBERS = {
    "resnext50_32x4d": (56, {"layer1.0.conv1", "layer1.0.downsample.0"}),
    "wide_resnet50_2": (56, {"layer1.0.conv1", "layer1.0.downsample.0"}),
    "regnet_x_400mf": (56, {"block1.block1-0.f.a.0", "block1.block1-0.proj.0"}),
    "regnet_y_400mf": (56, {"block1.block1-0.f.a.0", "block1.block1-0.proj.0"}),
    "densenet121": (
        56,
        {f"denseblock1.denselayer{layer}.{part}" for layer in range(1, 7) for part in ("norm1", "conv1")}
        | {"transition1.norm", "transition1.conv"},
    ),
    "convnext_tiny": (56, {"1.0.block.0", "1.0.block.2", "1.0.block.3", "1.0.projection"}),
    "mobilenet_v3_small": (
        56,
        {"1.block.0.0", "1.block.0.1", "1.block.1.fc1", "1.block.1.fc2", "1.block.2.0"},
    ),
    "mobilenet_v3_large": (112, {"1.block.0.0", "1.block.0.1", "1.block.1.0"}),
    "efficientnet_b0": (
        112,
        {"1.0.block.0.0", "1.0.block.0.1", "1.0.block.1.fc1", "1.0.block.1.fc2", "1.0.block.2.0"},
    ),
    "efficientnet_v2_s": (112, {"1.0.block.0.0"}),
}


def spectrum(bands: str, grid: tuple[int, int], images: int = 3) -> Spectrum:
    generator = torch.Generator().manual_seed(7)
    chosen = BandSet.parse(bands)
    return Spectrum.of_coefficients(torch.randn(images, len(chosen), *grid, generator=generator), chosen)


def without_values(name: str) -> torch.device:
    """Return where networks of a name are built when their weights do not matter; RegNets compute widths by tensors."""
    return torch.device("cpu" if "regnet" in name else "meta")


@pytest.mark.parametrize("name", MEMBERS)
def test_what_sees_the_bands_is_what_the_table_says(name: str) -> None:
    with without_values(name):
        few, many = (
            dict(frequency_network(name, BandSet.parse(bands), 7).trunk.named_parameters()) for bands in ("S-12", "192")
        )
    assert few.keys() == many.keys()
    changed = {key.rpartition(".")[0] for key in few if few[key].shape != many[key].shape}
    assert changed == MEMBERS[name][1]


@pytest.mark.parametrize("name", MEMBERS)
def test_the_grid_gives_every_map_of_the_rgb_network_from_there_on(name: str) -> None:
    def shapes(network: nn.Module, example: Any) -> list[tuple[int, ...]]:
        found = []
        handles = [
            module.register_forward_hook(lambda _module, _given, made: found.append(tuple(made.shape)))
            for module in network.modules()
            if isinstance(module, nn.Conv2d)
        ]
        count_macs(network, example)
        for handle in handles:
            handle.remove()
        return found

    with without_values(name):
        whole = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
        network = frequency_network(name, "S-24", 7).eval()
    blocks = MEMBERS[name][0]
    own = shapes(network, example_spectrum(BandSet.parse("S-24"), (blocks, blocks)))
    theirs = shapes(whole, example_pixels((224, 224)))
    assert len(theirs) > 15
    assert own[-15:] == theirs[-15:]


@pytest.mark.parametrize("bands", ["S-12", "192"])
@pytest.mark.parametrize(
    "name",
    ["regnet_y_400mf", "densenet121", "convnext_tiny", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"],
)
def test_every_family_is_finite_and_reaches_every_parameter(name: str, bands: str) -> None:
    torch.manual_seed(1)
    network = frequency_network(name, BandSet.parse(bands), 7)
    for module in network.modules():
        if hasattr(module, "layer_scale"):  # drawn so small that gradients behind it vanish
            nn.init.ones_(module.layer_scale)
        if isinstance(module, torchvision.ops.StochasticDepth):
            module.p = 0.0
    logits = network(spectrum(bands, (19, 17), images=4))
    assert logits.shape == (4, 7)
    functional.cross_entropy(logits, torch.tensor([0, 3, 6, 1])).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


# torchvision's module from the stem's maps on, run on as many bands as the stem has features
AFTER = {
    "resnext50_32x4d": ("S-64", ("conv1", "bn1", "relu", "maxpool"), ()),
    "densenet121": ("S-64", ("features.conv0", "features.norm0", "features.relu0", "features.pool0"), ()),
    "regnet_x_400mf": ("S-32", ("stem",), ("trunk_output.block1.0.f.b.0", "trunk_output.block1.0.proj.0")),
    "mobilenet_v3_large": ("zigzag-16-0-0", ("features.0",), ()),
    "mobilenet_v3_small": ("zigzag-16-0-0", ("features.0",), ("features.1.block.0.0",)),
    "efficientnet_b0": ("S-32", ("features.0",), ()),
    "efficientnet_v2_s": ("S-24", ("features.0",), ()),
    "convnext_tiny": ("zigzag-64-16-16", ("features.0",), ()),
}


@pytest.mark.parametrize("name", AFTER)
def test_on_as_many_channels_as_the_stem_made_it_is_torchvisions_after_the_stem(name: str) -> None:
    bands, gone, unstrided = AFTER[name]
    torch.manual_seed(3)
    whole: Any = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    ours = frequency_network(name, BandSet.parse(bands), 7).eval()
    report = load_rgb_weights(ours, whole.state_dict())
    assert (report.cut, report.fresh) == ((), ())
    assert all(key.startswith(gone) for key in report.unused)
    for path in gone:
        whole.set_submodule(path, nn.Identity())
    for path in unstrided:
        module = whole
        for part in path.split("."):
            module = module[int(part)] if part.isdecimal() and not hasattr(module, part) else getattr(module, part)
        module.stride = (1, 1)
    values = spectrum(bands, (19, 17))
    with torch.no_grad():
        assert torch.equal(ours(values), whole(values.values))


@pytest.mark.parametrize("name", ["regnet_y_400mf", "densenet121", "mobilenet_v3_small", "efficientnet_v2_s"])
def test_rgb_weights_keep_the_first_channels_and_a_slice_of_a_run_the_chosen(name: str) -> None:
    torch.manual_seed(4)
    whole: Any = torchvision.models.get_model(name, weights=None, num_classes=7)
    state: dict[str, Tensor] = {
        key: torch.rand_like(value) + 0.5 if value.ndim == 1 else value for key, value in whole.state_dict().items()
    }
    network = frequency_network(name, "S-12", 7).eval()
    report = load_rgb_weights(network, state)
    assert report.cut
    assert report.fresh == ()
    width = network.stem_width
    loaded = {network.torchvision_key(key): value for key, value in network.state_dict().items()}
    for key in report.cut:
        source = state[key]
        for axis, size in enumerate(loaded[key].shape):
            if size != source.shape[axis]:
                kept = [*range(12), *range(width, source.shape[axis])]
                source = source.index_select(axis, torch.tensor(kept))
        assert torch.equal(loaded[key], source), key
    if name == "densenet121":
        assert loaded["features.denseblock1.denselayer3.conv1.weight"].shape[1] == 12 + 2 * 32
    if "mobilenet" in name:  # depthwise: channels of zeros leave constants
        return
    few = frequency_network(name, BandSet("pair", network.input.bands.channels[3:8]), 7).eval()
    slice_channels(few, network)
    values = spectrum("S-12", (19, 17))
    off = values.values.clone()
    off[:, [*range(3), *range(8, 12)]] = 0
    with torch.no_grad():
        expected = network.from_normalized(off)
        got = few.from_normalized(off[:, 3:8])
    if name != "densenet121":  # its norms see the channels of zeros
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_costs_are_those_of_the_rgb_network_without_its_stem() -> None:
    whole = torchvision.models.regnet_x_400mf(num_classes=1000)
    network = frequency_network("regnet_x_400mf", "S-24", 1000)
    stem = 3 * 32 * 9 + 2 * 32
    first = (32 - 24) * 32 * 2  # of f.a and proj
    assert count_parameters(network) == count_parameters(whole) - stem - first
    with_stem = count_macs(whole.eval(), example_pixels((224, 224)))
    removed = 112 * 112 * (3 * 32 * 9 + 32 * 32) - 56 * 56 * 24 * 32 + 56 * 56 * (32 - 24) * 32
    assert count_macs(network, example_spectrum(BandSet.parse("S-24"), (56, 56))) == with_stem - removed


def test_networks_that_keep_their_stem_are_refused_with_what_is_possible() -> None:
    for name in ("vgg11", "vit_b_16", "maxvit_t"):
        with pytest.raises(
            ModelError,
            match=f"no network '{name}' without its stem; there are torchvision's ResNet.*"
            "network.stem: folded, or light",
        ):
            frequency_network(name, "S-24", 7)
    with pytest.raises(ModelError, match="layer2_stride is 1, but densenet121 has no layer2"):
        frequency_network("densenet121", "S-24", 7, layer2_stride=1)


def test_every_network_that_is_listed_is_built() -> None:
    names = stemless_networks()
    assert len(names) == 10 + 1 + 15 + 4 + 4 + 2 + 8 + 3
    for name in names:
        family_of(name)
        if "regnet" not in name:
            with torch.device("meta"):
                frequency_network(name, "S-24", 7)
