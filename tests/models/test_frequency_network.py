from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from prepixel.errors import ModelError
from prepixel.models import (
    NAMES,
    count_macs,
    count_parameters,
    example_pixels,
    example_spectrum,
    frequency_mobilenet_v2,
    frequency_network,
    frequency_resnet,
    rgb_network,
)
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

GRID = (5, 3)
BAND_SETS = ("L-24", "S-64", "192")


def _spectrum(bands: BandSet, images: int = 3, grid: tuple[int, int] = GRID) -> Spectrum:
    generator = torch.Generator().manual_seed(7)
    return Spectrum.of_coefficients(torch.randn(images, len(bands), *grid, generator=generator), bands)


@pytest.mark.parametrize("bands", BAND_SETS)
@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_finite_reaches_every_parameter_and_repeats_itself(name: str, bands: str) -> None:
    torch.manual_seed(1)
    network = frequency_network(name, BandSet.parse(bands), 7)
    spectrum = _spectrum(network.input.bands)
    logits = network(spectrum)
    assert logits.shape == (3, 7)
    functional.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
    network.eval()
    with torch.no_grad():
        first = network(spectrum)
        assert first.isfinite().all()
        assert torch.equal(first, network(spectrum))
        assert torch.equal(first, network.head(network.features(spectrum)))


# What method.md section 4 prints, in its own digits, and the same figures in full.
METHOD = [
    ("resnet50", "RGB", "25.557", "4.089", 25_557_032, 4_089_184_256),
    ("resnet50", "S-24", "25.535", "3.931", 25_534_696, 3_931_029_504),
    ("resnet50", "S-32", "25.537", "3.939", 25_537_256, 3_939_057_664),
    ("resnet50", "S-48", "25.542", "3.955", 25_542_376, 3_955_113_984),
    ("resnet50", "S-64", "25.547", "3.971", 25_547_496, 3_971_170_304),
    ("resnet50", "192", "25.588", "4.100", 25_588_456, 4_099_620_864),
    ("resnet50 as released", "S-24", "25.535", "13.5", 25_534_696, 13_526_286_336),
    ("mobilenet_v2", "RGB", "3.504872", ".301", 3_504_872, 300_774_272),
    ("mobilenet_v2", "S-24", "3.503728", ".287", 3_503_728, 287_427_456),
    ("mobilenet_v2", "S-32", "3.503944", ".290", 3_503_944, 289_936_256),
]


@pytest.mark.parametrize(("name", "bands", "millions", "gmacs", "parameters", "macs"), METHOD)
def test_networks_cost_what_the_method_says(
    name: str, bands: str, millions: str, gmacs: str, parameters: int, macs: int
) -> None:
    name, _, released = name.partition(" ")
    with torch.device("meta"):
        if bands == "RGB":
            network: Any = rgb_network(name, 1000)
            example: Any = example_pixels((224, 224))
        else:
            network = frequency_network(name, BandSet.parse(bands), 1000, layer2_stride=1 if released else 2)
            grid = (112, 112) if name == "mobilenet_v2" else (56, 56)
            example = example_spectrum(network.input.bands, grid)
            num_values = network.input.bands.num_values(grid)
            ratio = {"S-24": 0.5, "S-32": 2 / 3, "S-48": 1, "S-64": 4 / 3, "192": 4}[bands]
            assert num_values / (3 * 224 * 224) == pytest.approx(ratio * (4 if name == "mobilenet_v2" else 1))
    counted = count_parameters(network), count_macs(network, example)
    assert counted == (parameters, macs)
    for count, unit, printed in zip(counted, (1e6, 1e9), (millions, gmacs), strict=True):
        assert f"{count / unit:.{len(printed.partition('.')[2])}f}".removeprefix("0") == printed


@pytest.mark.parametrize("name", NAMES)
def test_the_rgb_network_is_torchvisions(name: str) -> None:
    torch.manual_seed(2)
    ours = rgb_network(name, 13).eval()
    whole = getattr(torchvision.models, name)(num_classes=13).eval()
    state = {key: value for ours_key, value in ours.state_dict().items() if (key := ours.torchvision_key(ours_key))}
    whole.load_state_dict(state, strict=True)
    pixels = torch.rand(2, 3, 37, 53)
    normalized = (pixels - ours.input.mean[:, None, None]) / ours.input.std[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), whole(normalized), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("bands", ["S-64", "S-24"])
def test_a_frequency_resnet_is_torchvisions_after_the_stem(depth: int, bands: str) -> None:
    """Run torchvision's forward from layer1 on, with what sees the input replaced in the way the paper tells."""
    torch.manual_seed(3)
    ours = frequency_resnet(depth, BandSet.parse(bands), 13).eval()
    whole: Any = getattr(torchvision.models, f"resnet{depth}")(num_classes=13).eval()
    block = whole.layer1[0]
    channels = len(ours.input.bands)
    if channels != 64:
        block.conv1 = nn.Conv2d(channels, 64, block.conv1.kernel_size, padding=block.conv1.padding, bias=False)
        projected = nn.Conv2d(channels, 256 if depth == 50 else 64, 1, bias=False)
        norm = block.downsample[1] if depth == 50 else nn.BatchNorm2d(64).eval()
        block.downsample = nn.Sequential(projected, norm)
    assert (block.downsample is None) == (depth == 18 and channels == 64)
    state = {key: value for ours_key, value in ours.state_dict().items() if (key := ours.torchvision_key(ours_key))}
    missing = whole.load_state_dict(state, strict=False)
    stem = ("conv1.weight", *(f"bn1.{name}" for name in ("weight", "bias", "running_mean", "running_var")))
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) - {"bn1.num_batches_tracked"} == set(stem)
    whole.conv1 = whole.bn1 = whole.relu = whole.maxpool = nn.Identity()
    spectrum = _spectrum(ours.input.bands, grid=(11, 7))
    with torch.no_grad():
        assert torch.equal(ours(spectrum), whole(spectrum.values))


def test_a_frequency_mobilenet_is_torchvisions_after_the_stem() -> None:
    ours = frequency_mobilenet_v2(BandSet.parse("S-24"), 13).eval()
    assert [name for name, _ in ours.trunk.named_children()] == [str(index) for index in range(1, 19)]
    block: Any = ours.trunk[0]
    depthwise, norm, activation = block.conv[0]
    assert (depthwise.in_channels, depthwise.groups, depthwise.kernel_size) == (24, 24, (3, 3))
    assert (norm.num_features, type(activation)) == (24, nn.ReLU6)
    assert (block.conv[1].in_channels, block.conv[1].out_channels) == (24, 16)
    whole: Any = torchvision.models.mobilenet_v2(num_classes=13).eval()
    whole.features[0] = nn.Identity()
    whole.features[1] = block
    state = {key: value for ours_key, value in ours.state_dict().items() if (key := ours.torchvision_key(ours_key))}
    whole.load_state_dict(state, strict=True)
    spectrum = _spectrum(ours.input.bands, grid=(11, 7))
    with torch.no_grad():
        assert torch.equal(ours(spectrum), whole(spectrum.values))


@pytest.mark.parametrize("name", ["resnet34", "resnet101"])
@pytest.mark.parametrize(("stride", "sizes"), [(2, (13, 7, 4, 2)), (1, (13, 13, 7, 4))])
def test_stages_halve_the_grid_but_the_first_and_the_released_second(
    name: str, stride: int, sizes: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        network = frequency_network(name, BandSet.parse("S-6"), 7, layer2_stride=stride)
        features: Tensor = torch.empty(1, 6, 13, 11)
        for stage, size in zip(network.trunk, sizes, strict=True):
            features = stage(features)
            assert features.shape[2] == size
    assert [stage for stage, _ in network.trunk.named_children()] == ["layer1", "layer2", "layer3", "layer4"]


def test_counting_changes_nothing_and_takes_no_values() -> None:
    network = frequency_resnet(18, BandSet.parse("S-6"), 7).train()
    before = {name: value.clone() for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    counted = count_macs(network, _spectrum(network.input.bands, images=1))
    assert counted == count_macs(network, example_spectrum(network.input.bands, GRID))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert all(module.training for module in network.modules())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    # 3x3 convolution of 5 to 7 channels on 11x13, then 7 to 2: multiplied out by hand.
    small = nn.Sequential(nn.Conv2d(5, 7, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 2))
    assert count_macs(small, torch.zeros(1, 5, 11, 13)) == 9 * 5 * 7 * 11 * 13 + 7 * 2
    assert count_parameters(small) == 9 * 5 * 7 + 7 + 7 * 2 + 2


def test_what_does_not_exist_is_refused() -> None:
    bands = BandSet.parse("S-6")
    meant = (
        r"no network 'resnet19' without its stem \(did you mean resnet18\?\); there are torchvision's ResNet, ResNeXt"
    )
    with pytest.raises(ModelError, match=meant):
        frequency_network("resnet19", bands, 7)
    with pytest.raises(ModelError, match="no network 'vgg' here; there are resnet18, resnet34"):
        rgb_network("vgg", 7)
    with pytest.raises(ModelError, match="layer2_stride is 3; it must be 2, or 1 for the graph of the released code"):
        frequency_resnet(18, bands, 7, 3)
    with pytest.raises(ModelError, match="layer2_stride is 1, but mobilenet_v2 has no layer2; leave it at 2"):
        frequency_network("mobilenet_v2", bands, 7, layer2_stride=1)


def test_a_compiled_network_computes_the_same() -> None:
    network = frequency_network("resnet18", BandSet.parse("S-6"), 7).eval()
    spectrum = _spectrum(network.input.bands)
    compiled = torch.compile(network, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(spectrum), network(spectrum))
