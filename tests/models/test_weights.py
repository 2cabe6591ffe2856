from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from prepixel.errors import ModelError
from prepixel.models import (
    NAMES,
    FrequencyNetwork,
    WeightsMismatch,
    frequency_mobilenet_v2,
    frequency_network,
    frequency_resnet,
    load_rgb_weights,
    rgb_network,
)
from prepixel.spectrum.bands import BandSet

STEM = {"conv1.weight", *(f"bn1.{name}" for name in ("weight", "bias", "running_mean", "running_var"))}
STEM |= {"bn1.num_batches_tracked"}


def _rgb(name: str, num_classes: int = 7) -> dict[str, Tensor]:
    """Give torchvision's weights, statistics drawn too so that a copy of one cannot pass for another."""
    torch.manual_seed(3)
    state = dict(getattr(torchvision.models, name)(num_classes=num_classes).state_dict())
    return {key: torch.rand_like(value) if value.ndim == 1 else value for key, value in state.items()}


def _loaded(network: FrequencyNetwork) -> dict[str, Tensor]:
    state = network.state_dict()
    return {key: value for ours, value in state.items() if (key := network.torchvision_key(ours)) is not None}


def _drawn(network: FrequencyNetwork) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in _loaded(network).items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_rgb_network_takes_all(name: str) -> None:
    network, state = rgb_network(name, 7), _rgb(name)
    report = load_rgb_weights(network, state)
    assert set(report.copied) == set(state)
    assert (report.cut, report.fresh, report.unused) == ((), (), ())
    assert str(report) == f"{len(state)} weights copied"


def test_with_64_channels_all_but_the_stem_is_taken_untouched() -> None:
    for depth in (18, 50):
        network, state = frequency_resnet(depth, BandSet.parse("S-64"), 7), _rgb(f"resnet{depth}")
        report = load_rgb_weights(network, state)
        assert set(report.copied) == set(state) - STEM
        assert (report.cut, report.fresh, set(report.unused)) == ((), (), STEM)
        assert all(torch.equal(value, state[key]) for key, value in _loaded(network).items())


def test_with_fewer_channels_the_first_columns_are_kept() -> None:
    network, state = frequency_resnet(50, BandSet.parse("S-24"), 7), _rgb("resnet50")
    report = load_rgb_weights(network, state)
    assert report.cut == ("layer1.0.conv1.weight", "layer1.0.downsample.0.weight")
    assert report.fresh == ()
    loaded = _loaded(network)
    for key in report.cut:
        assert torch.equal(loaded[key], state[key][:, :24])
    assert all(torch.equal(loaded[key], state[key]) for key in report.copied)
    assert set(report.copied) | set(report.cut) == set(loaded)
    assert "the first input channels kept: layer1.0.conv1.weight, layer1.0.downsample.0.weight" in str(report)
    assert "left out: conv1.weight, bn1.weight" in str(report)


def test_with_more_channels_what_sees_them_stays_as_drawn() -> None:
    network, state = frequency_resnet(50, BandSet.parse("192"), 7), _rgb("resnet50")
    before = _drawn(network)
    report = load_rgb_weights(network, state)
    assert report.fresh == ("layer1.0.conv1.weight", "layer1.0.downsample.0.weight")
    assert report.cut == ()
    loaded = _loaded(network)
    assert all(torch.equal(loaded[key], before[key]) for key in report.fresh)
    assert all(torch.equal(loaded[key], state[key]) for key in report.copied)


def test_a_projection_that_the_rgb_network_lacks_stays_as_drawn() -> None:
    network, state = frequency_resnet(18, BandSet.parse("S-24"), 7), _rgb("resnet18")
    before = _drawn(network)
    report = load_rgb_weights(network, state)
    assert report.cut == ("layer1.0.conv1.weight",)
    assert {key.rsplit(".", 1)[0] for key in report.fresh} == {"layer1.0.downsample.0", "layer1.0.downsample.1"}
    loaded = _loaded(network)
    assert all(torch.equal(loaded[key], before[key]) for key in report.fresh)
    assert torch.equal(loaded["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"][:, :24])


@pytest.mark.parametrize(("bands", "kind"), [("S-24", "cut"), ("S-32", "copied"), ("S-48", "fresh")])
def test_mobilenets_first_block_is_cut_copied_or_fresh(bands: str, kind: str) -> None:
    network, state = frequency_mobilenet_v2(BandSet.parse(bands), 7), _rgb("mobilenet_v2")
    before = _drawn(network)
    report = load_rgb_weights(network, state)
    sees = {"features.1.conv.0.0.weight", "features.1.conv.1.weight"}
    sees |= {f"features.1.conv.0.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert sees <= set(getattr(report, kind))
    for other in {"cut", "fresh"} - {kind}:
        assert getattr(report, other) == ()
    assert {key.split(".")[1] for key in report.unused} == {"0"}
    loaded = _loaded(network)
    channels = len(network.input.bands)
    for key in sees:
        source: Any = before[key]
        if kind != "fresh":
            source = state[key][:, :channels] if key.endswith("conv.1.weight") else state[key][:channels]
        assert torch.equal(loaded[key], source), key


def test_a_head_for_other_classes_stays_as_drawn_and_the_parallel_prefix_goes() -> None:
    state = {f"module.{key}": value for key, value in _rgb("resnet18", 11).items() if "num_batches" not in key}
    network = frequency_resnet(18, BandSet.parse("S-64"), 7)
    before = _drawn(network)
    report = load_rgb_weights(network, state)
    assert {key for key in report.fresh if "num_batches" not in key} == {"fc.weight", "fc.bias"}
    assert "left at random: " in str(report)
    assert torch.equal(_loaded(network)["fc.weight"], before["fc.weight"])
    mobile = frequency_mobilenet_v2(BandSet.parse("S-32"), 7)
    assert load_rgb_weights(mobile, _rgb("mobilenet_v2", 11)).fresh == ("classifier.1.weight", "classifier.1.bias")


def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    network = frequency_resnet(50, BandSet.parse("S-24"), 7)
    before = _drawn(network)
    state = _rgb("resnet50")
    cases = [
        ({k: v for k, v in state.items() if k != "layer3.1.conv2.weight"}, r"layer3\.1\.conv2\.weight is missing"),
        ({k: v for k, v in state.items() if "layer1.0.downsample.0" not in k}, r"downsample\.0\.weight is missing"),
        (state | {"layer9.weight": torch.zeros(3)}, r"layer9\.weight has no place in the network"),
        (state | {"layer2.0.bn1.bias": torch.zeros(5)}, r"layer2\.0\.bn1\.bias is \(5,\), the network's \(128,\)"),
        (state | {"layer1.0.conv1.weight": torch.zeros(64)}, r"layer1\.0\.conv1\.weight is \(64,\), the network's"),
        (_rgb("resnet18"), r"not the weights of a resnet50: .*; and \d+ more"),
        (
            {"state_dict": state},
            "the checkpoint holds no tensors at its top, only state_dict; give its state_dict entry",
        ),
    ]
    for given, text in cases:
        with pytest.raises(WeightsMismatch, match=text):
            load_rgb_weights(network, given)
    assert all(torch.equal(value, before[key]) for key, value in _loaded(network).items())


def test_reused_weights_compute() -> None:
    network = frequency_network("resnet18", BandSet.parse("S-12"), 7)
    load_rgb_weights(network, _rgb("resnet18"))
    assert all(value.isfinite().all() for value in _loaded(network).values())


def test_weights_that_are_not_finite_are_refused() -> None:
    state = torchvision.models.resnet18().state_dict()
    state["layer4.1.conv2.weight"][0, 0, 0, 0] = float("nan")
    network = frequency_network("resnet18", BandSet.parse("S-24"), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"the checkpoint: layer4\.1\.conv2\.weight holds 1 of 2,359,296 values"):
        load_rgb_weights(network, state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
