"""torchvision's segmentation networks on coefficients: theirs on pixels, exact where folded, of a stated size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from tests.oracles import folded_reference
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.models import (
    BatchTooSmall,
    CannotFold,
    Segmenter,
    fold,
    fold_segmenter,
    frequency_segmenter,
    pixel_segmenter,
    rgb_network,
)
from prepixel.models.segmentation_trunks import SegmenterKind, dilate
from prepixel.models.segmenters import _check_kind
from prepixel.spectrum import BandSet, Spectrum

ALL, SQUARE = BandSet.parse("192"), BandSet.parse("S-24")


def drawn(bands: BandSet, *shape: int, seed: int = 0) -> Spectrum:
    generator = torch.Generator().manual_seed(seed)
    values = 30 * torch.randn(shape[0], len(bands), *shape[1:], generator=generator)
    return Spectrum.of_coefficients(values, bands)


def with_drawn_norms(network: nn.Module) -> nn.Module:
    """Set the statistics of batch norms to other values than 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn(module.num_features, generator=generator)
            module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "kind", "trunk"),
    [
        ("fcn_resnet50", "fcn", "resnet50"),
        ("deeplabv3_resnet50", "deeplabv3", "resnet50"),
        ("deeplabv3_mobilenet_v3_large", "deeplabv3", "mobilenet_v3_large"),
        ("lraspp_mobilenet_v3_large", "lraspp", "mobilenet_v3_large"),
    ],
)
def test_on_pixels_they_are_torchvisions_networks(name: str, kind: SegmenterKind, trunk: str) -> None:
    aux = kind != "lraspp"
    options: dict[str, Any] = {"aux_loss": True} if aux else {}
    theirs = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3, **options)
    with_drawn_norms(theirs)
    ours = pixel_segmenter(kind, trunk, 3, aux=aux).eval()
    ours.network.load_state_dict(theirs.state_dict())
    pixels = torch.randint(256, (1, 3, 61, 83), dtype=torch.uint8)
    with torch.no_grad():
        found, expected = ours(pixels), theirs(ours.input(pixels))
    assert set(found) == set(expected) == {"out"} | ({"aux"} if aux else set())
    for part, logits in expected.items():
        assert torch.equal(found[part], logits)


@pytest.mark.parametrize("trunk", ["resnet18", "resnet50", "mobilenet_v2"])
def test_dilation_computes_what_strides_computed_and_more_between(trunk: str) -> None:
    torch.manual_seed(2)
    blocks: nn.Module = with_drawn_norms(rgb_network(trunk, 10)).double().trunk
    names = ("11", "12", "13", "14", "15", "16", "17") if trunk == "mobilenet_v2" else ("layer3", "layer4")
    strided = nn.Sequential(*(blocks.get_submodule(name) for name in names))
    width = {"mobilenet_v2": 64, "resnet18": 128, "resnet50": 512}[trunk]
    maps = torch.randn(1, width, 13, 19, dtype=torch.float64)
    with torch.no_grad():
        expected = strided(maps)
        dilate(strided.children() if trunk == "mobilenet_v2" else [b for stage in strided for b in stage.children()])  # type: ignore[attr-defined]
        dense = strided(maps)
    step = 2 if trunk == "mobilenet_v2" else 4
    assert dense.shape[2:] == (13, 19)
    torch.testing.assert_close(dense[:, :, ::step, ::step], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3", "lraspp"])
@pytest.mark.parametrize(
    "trunk", ["removed resnet18", "removed mobilenet_v2", "folded mobilenet_v2", "folded mobilenet_v3_small"]
)
def test_every_part_learns_and_logits_have_the_frames_size(kind: SegmenterKind, trunk: str) -> None:
    torch.manual_seed(1)
    stem, name = trunk.split()
    aux = kind != "lraspp"
    if stem == "folded":
        network = fold_segmenter(pixel_segmenter(kind, name, 3, aux=aux), SQUARE)
    else:
        network = frequency_segmenter(kind, name, SQUARE, 3, aux=aux)
    inputs = drawn(SQUARE, 2, 13, 17)
    logits = network.train()(inputs)
    block = 2 if trunk == "removed mobilenet_v2" else 4
    assert network.pixels_per_block == block
    assert network.frame_size((13, 17)) == (13 * block, 17 * block)
    assert {part: one.shape for part, one in logits.items()} == dict.fromkeys(
        ("out", "aux") if aux else ("out",), (2, 3, 13 * block, 17 * block)
    )
    torch.stack([one.square().mean() for one in logits.values()]).sum().backward()
    assert [part for part, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    assert (network.kind, network.trunk) == (kind, name)


@pytest.mark.parametrize("pixels_per_block", [4, 8])
@pytest.mark.parametrize(("kind", "trunk"), [("lraspp", "mobilenet_v3_small"), ("fcn", "resnet18")])
def test_folded_it_computes_what_it_computes_on_the_pixels_of_the_spectrum(
    kind: SegmenterKind, trunk: str, pixels_per_block: int
) -> None:
    torch.manual_seed(4)
    original = with_drawn_norms(pixel_segmenter(kind, trunk, 3, aux=kind == "fcn")).double()
    assert isinstance(original, Segmenter)
    folded = fold_segmenter(original, ALL, pixels_per_block=pixels_per_block)
    spectrum = drawn(ALL, 1, 5, 7)
    pixels = folded_reference.rgb(spectrum.values[0].double().numpy(), pixels_per_block, "dct")
    with torch.no_grad():
        expected = original(torch.from_numpy(pixels)[None])
        found = folded(spectrum)
    assert found.keys() == expected.keys()
    for part, logits in expected.items():
        assert found[part].shape == (1, 3, 5 * pixels_per_block, 7 * pixels_per_block)
        error = float((found[part] - logits).abs().max() / logits.abs().max())
        assert error < 1e-6  # the normalization's constants are of float32


def test_weights_of_a_classifier_start_the_trunk() -> None:
    classifier = torchvision.models.mobilenet_v2(num_classes=1000)
    for build in (
        lambda weights: pixel_segmenter("lraspp", "mobilenet_v2", 2, weights=weights),
        lambda weights: frequency_segmenter("lraspp", "mobilenet_v2", SQUARE, 2, weights=weights),
    ):
        network = build(classifier.state_dict())
        deep = network.network.get_submodule("backbone.17.conv.2")
        assert torch.equal(deep.weight, classifier.features[17].conv[2].weight)
    third = torchvision.models.mobilenet_v3_small(num_classes=1000)
    network = pixel_segmenter("fcn", "mobilenet_v3_small", 2, weights=third.state_dict())
    assert torch.equal(network.network.get_submodule("backbone.12.0").weight, third.features[12][0].weight)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ModelError, match="no segmenter 'unet'; there are fcn, deeplabv3, lraspp"):
        _check_kind("unet", aux=False)
    with pytest.raises(ModelError, match="lraspp has no auxiliary head; set aux to false, or take fcn or deeplabv3"):
        pixel_segmenter("lraspp", "resnet18", 2, aux=True)
    with pytest.raises(ModelError, match=r"no trunk 'resnet19' for segmentation.*; there are resnet18, "):
        pixel_segmenter("fcn", "resnet19", 2)
    with pytest.raises(ModelError, match="no trunk 'mobilenet_v3_large' without its stem for segmentation"):
        frequency_segmenter("fcn", "mobilenet_v3_large", SQUARE, 2)
    with pytest.raises(ModelError, match="pixels_per_block is 3; it can be 1, 2, 4 or 8"):
        fold_segmenter(pixel_segmenter("fcn", "resnet18", 2), SQUARE, pixels_per_block=3)
    with pytest.raises(CannotFold, match="takes spectra already, of S-24"):
        fold_segmenter(frequency_segmenter("fcn", "resnet18", SQUARE, 2), SQUARE)
    alone = frequency_segmenter("deeplabv3", "resnet18", SQUARE, 2).train()
    with pytest.raises(BatchTooSmall, match="more than one value per channel"):
        alone(drawn(SQUARE, 1, 8, 8))


def test_a_network_of_torchvisions_own_folds_and_its_output_follows_the_grid() -> None:
    theirs = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    folded = fold(theirs, pixels=64, grid=16, bands=SQUARE)
    sizes: list[Tensor] = [folded(drawn(SQUARE, 1, *grid))["out"] for grid in ((16, 16), (11, 13))]
    assert [tuple(one.shape) for one in sizes] == [(1, 21, 64, 64), (1, 21, 44, 52)]
