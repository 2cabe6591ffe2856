"""torchvision's detectors on coefficients: exact where folded, blind to padding, trained in every part."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tests.oracles import folded_reference
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d

from prepixel.errors import ModelError
from prepixel.gates import GateSettings, build_gate
from prepixel.models import BatchTooSmall, CannotFold
from prepixel.models.detectors import (
    Detector,
    DetectorKind,
    SpectralBackbone,
    build_detector,
    fold_detector,
    paste_mask,
)
from prepixel.models.pyramid import (
    Levels,
    fold_pyramid,
    freeze_batch_norms,
    frequency_pyramid,
    pixel_pyramid,
)
from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum

ALL, SQUARE = BandSet.parse("192"), BandSet.parse("S-24")
KINDS: list[tuple[DetectorKind, Levels]] = [
    ("faster_rcnn", "rcnn"),
    ("mask_rcnn", "rcnn"),
    ("retinanet", "dense"),
    ("fcos", "dense"),
]


def drawn(grids: Sequence[tuple[int, int]], bands: BandSet, seed: int = 0, multiple: int = 8) -> PaddedSpectrum:
    generator = torch.Generator().manual_seed(seed)
    values = [30 * torch.randn(1, len(bands), *grid, generator=generator) for grid in grids]
    parts = [Spectrum.of_coefficients(one, bands) for one in values]
    return PaddedSpectrum.of(parts, multiple=multiple)


def targets(grids: Sequence[tuple[int, int]], pixels_per_block: int) -> list[dict[str, Tensor]]:
    """Make one object an image."""
    found = []
    for down, across in grids:
        mask = torch.zeros(1, down * pixels_per_block, across * pixels_per_block, dtype=torch.uint8)
        mask[:, 5:37, 3:41] = 1
        found.append({"boxes": torch.tensor([[3.0, 5.0, 41.0, 37.0]]), "labels": torch.tensor([2]), "masks": mask})
    return found


@pytest.mark.parametrize(("kind", "levels"), KINDS)
@pytest.mark.parametrize("trunk", ["published resnet18", "folded mobilenet_v2"])
def test_every_detector_learns_in_every_part_and_detects(kind: DetectorKind, levels: Levels, trunk: str) -> None:
    torch.manual_seed(1)
    if trunk.startswith("folded"):
        pyramid = fold_pyramid(pixel_pyramid("mobilenet_v2", levels=levels, channels=32), SQUARE)
    else:
        pyramid = frequency_pyramid("resnet18", SQUARE, levels=levels, channels=32)
    network = build_detector(kind, pyramid, 3)
    inputs = drawn([(13, 17), (11, 19)], SQUARE)
    losses = network.train()(inputs, targets(inputs.grids, 4))
    assert all(bool(loss.isfinite()) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    with torch.no_grad():
        found = network.eval()(inputs)
    assert [set(one) for one in found] == 2 * [
        {"boxes", "scores", "labels"} | ({"masks"} if network.has_masks else set())
    ]
    for one, (down, across) in zip(found, inputs.grids, strict=True):
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([4.0 * across, 4.0 * down] * 2)).all()
        assert one["labels"].tolist() == [label for label in one["labels"].tolist() if 1 <= label <= 3]


def lively(network: Detector) -> Detector:
    """Draw heads whose scores spread, so that detections are many and differ."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and ("rpn.head" in name or "predictor" in name):
            with torch.no_grad():
                parameter.copy_(parameter.std() * 4 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("pixels_per_block", [4, 8])
@pytest.mark.parametrize("trunk", ["resnet18", "efficientnet_lite0"])
def test_a_folded_detector_is_its_rgb_original(trunk: str, pixels_per_block: int) -> None:
    torch.manual_seed(2)
    pyramid = pixel_pyramid(trunk, channels=24, freeze_norms=True)
    rgb = lively(build_detector("mask_rcnn", pyramid, 4, box_score_thresh=0.0, box_detections_per_img=30)).double()
    folded = fold_detector(rgb, ALL, pixels_per_block=pixels_per_block).eval().double()
    inputs = drawn([(13, 18), (24, 11)], ALL, multiple=32 // pixels_per_block)
    wide = PaddedSpectrum(Spectrum.of_coefficients(inputs.spectrum.values.double(), ALL), inputs.grids)
    images = pixels_of(wide, pixels_per_block)
    with torch.no_grad():
        got = folded(wide)
        expected = rgb(images)
    for ours, theirs in zip(got, expected, strict=True):
        assert len(theirs["boxes"]) > 5
        torch.testing.assert_close(ours["boxes"], theirs["boxes"], rtol=0, atol=1e-5)
        torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=0, atol=1e-7)
        assert torch.equal(ours["labels"], theirs["labels"])
        torch.testing.assert_close(ours["masks"], theirs["masks"], rtol=0, atol=1e-6)


def pixels_of(inputs: PaddedSpectrum, size: int) -> list[Tensor]:
    """Give each image's own pixels: linear, neither rounded nor clamped."""
    return [
        torch.from_numpy(folded_reference.rgb(values[:, :down, :across].numpy(), size, "dct"))
        for values, (down, across) in zip(inputs.spectrum.values, inputs.grids, strict=True)
    ]


def test_padding_and_company_change_nothing_but_rounding() -> None:
    torch.manual_seed(3)
    network = lively(
        build_detector(
            "faster_rcnn", fold_pyramid(pixel_pyramid("resnet18", freeze_norms=True), SQUARE), 3, box_score_thresh=0.0
        )
    )
    inputs = drawn([(16, 24), (16, 24)], SQUARE)
    dirty = inputs.spectrum.values.clone()
    alone = PaddedSpectrum(Spectrum.of_coefficients(dirty[:1], SQUARE), inputs.grids[:1])
    holed = PaddedSpectrum(inputs.spectrum, ((13, 19), (16, 24)))
    blank = dirty.clone()
    blank[0, :, 13:] = network.backbone.input.shift[:, None, None]  # type: ignore[union-attr]
    blank[0, :, :, 19:] = network.backbone.input.shift[:, None, None]  # type: ignore[union-attr]
    clean = PaddedSpectrum(Spectrum.of_coefficients(blank, SQUARE), holed.grids)
    with torch.no_grad():
        together, single = network(inputs)[0], network(alone)[0]
        seen, wanted = network(holed)[0], network(clean)[0]
    for name in ("boxes", "scores", "labels"):
        torch.testing.assert_close(together[name], single[name], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(seen[name], wanted[name], rtol=1e-4, atol=1e-3)


def test_detections_are_given_in_the_originals_pixels() -> None:
    torch.manual_seed(4)
    network = lively(
        build_detector("mask_rcnn", frequency_pyramid("resnet18", SQUARE, channels=16), 2, box_score_thresh=0.0)
    )
    inputs = drawn([(13, 17)], SQUARE)
    with torch.no_grad():
        frame, original = network(inputs)[0], network(inputs, original_sizes=[(104, 170)])[0]
    factors = torch.tensor([2.5, 2.0, 2.5, 2.0])
    torch.testing.assert_close(original["boxes"], frame["boxes"] * factors)
    assert torch.equal(original["masks"], frame["masks"])
    with pytest.raises(ValueError, match="2 original sizes for 1 images; give one an image"):
        network(inputs, original_sizes=[(1, 1), (2, 2)])


def test_a_pasted_mask_is_torchvisions() -> None:
    torch.manual_seed(5)
    mask, box, size = torch.rand(28, 28), torch.tensor([7.3, 2.9, 31.4, 44.0]), (53, 41)
    network = MaskRCNN(frequency_backbone(), 2)
    pasted = network.transform.postprocess.__globals__["paste_masks_in_image"](mask[None, None], box[None], size)
    assert torch.equal(paste_mask(mask, box, size), pasted[0, 0] >= 0.5)
    assert paste_mask(mask, box, size).shape == size


def frequency_backbone() -> SpectralBackbone:
    pyramid = frequency_pyramid("resnet18", SQUARE, channels=16)
    return SpectralBackbone(pyramid.input, pyramid.body, 4, 16)  # type: ignore[arg-type]


def test_a_gate_in_front_sees_each_images_own_blocks() -> None:
    torch.manual_seed(6)
    network = build_detector("faster_rcnn", frequency_pyramid("resnet18", SQUARE, channels=16), 2)
    backbone = network.backbone
    assert isinstance(backbone, SpectralBackbone)
    backbone.gate = build_gate(SQUARE, GateSettings(kind="dynamic", channels=12))
    nn.init.normal_(backbone.gate.pair.weight)  # type: ignore[union-attr]
    single, padded = drawn([(8, 8)], SQUARE), drawn([(8, 8), (24, 16)], SQUARE)
    inputs = padded.spectrum.values.clone()
    inputs[0, :, :8, :8] = single.spectrum.values[0]
    both = PaddedSpectrum(Spectrum.of_coefficients(inputs, SQUARE), padded.grids)
    with torch.no_grad():
        network.eval()(single)
        alone = backbone.choice
        network(both)
        together = backbone.choice
    assert alone is not None
    assert together is not None
    torch.testing.assert_close(alone.log_odds[0], together.log_odds[0], rtol=1e-4, atol=1e-5)
    assert 0 < int(alone.bits.sum()) < 24


def test_weights_are_saved_and_loaded() -> None:
    torch.manual_seed(7)
    first = fold_pyramid(pixel_pyramid("resnet18", channels=16), SQUARE)
    second = fold_pyramid(pixel_pyramid("resnet18", channels=16), SQUARE)
    one, other = (build_detector("faster_rcnn", pyramid, 2).eval() for pyramid in (first, second))
    other.load_state_dict(one.state_dict())
    inputs = drawn([(16, 8)], SQUARE)
    with torch.no_grad():
        for name, value in one(inputs)[0].items():
            assert torch.equal(value, other(inputs)[0][name])


def test_frozen_norms_compute_what_they_computed() -> None:
    torch.manual_seed(8)
    whole = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    whole(torch.randn(4, 3, 9, 7))
    inputs = torch.randn(2, 3, 9, 7)
    expected = whole.eval()(inputs)
    frozen = freeze_batch_norms(whole).train()
    assert isinstance(frozen.get_submodule("1"), FrozenBatchNorm2d)
    torch.testing.assert_close(frozen(inputs), expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="no trunk 'vgg11' for detectors; there are resnet18"):
        pixel_pyramid("vgg11")
    with pytest.raises(ModelError, match="mobilenet_v2 without its stem is no trunk for detectors; take"):
        frequency_pyramid("mobilenet_v2", SQUARE)
    with pytest.raises(ModelError, match="pixels_per_block is 3; it can be 1, 2, 4 or 8"):
        fold_pyramid(pixel_pyramid("resnet18"), SQUARE, pixels_per_block=3)
    with pytest.raises(ModelError, match="efficientnet_lite0 comes with its weights; leave out others"):
        pixel_pyramid("efficientnet_lite0", weights={})
    pyramid = frequency_pyramid("resnet18", SQUARE, channels=16)
    with pytest.raises(ModelError, match="no detector 'yolo'; there are faster_rcnn, mask_rcnn, retinanet, fcos"):
        build_detector("yolo", pyramid, 2)
    with pytest.raises(ModelError, match="num_classes is 0; a detector finds objects of 1 class or more"):
        build_detector("fcos", pyramid, 0)
    spectral = build_detector("faster_rcnn", pyramid, 2)
    with pytest.raises(ModelError, match="the detector is on coefficients already; fold the one on pixels"):
        fold_detector(spectral, SQUARE)
    with pytest.raises(
        CannotFold, match=r"FasterRCNN is no prepixel Detector: build one on pixels by build_detector\(kind"
    ):
        fold_detector(spectral.detector, SQUARE)
    with pytest.raises(TypeError, match="the detector takes a PaddedSpectrum, not list"):
        build_detector("faster_rcnn", pyramid, 2)([torch.zeros(3, 8, 8, dtype=torch.uint8)])


def test_a_single_image_with_batch_norms_says_what_to_do() -> None:
    network = build_detector("fcos", frequency_pyramid("resnet18", SQUARE, levels="dense", channels=32), 2).train()
    inputs = drawn([(8, 8)], SQUARE)
    with pytest.raises(BatchTooSmall, match=r"a single image .*take batches of 2 images or more"):
        network(inputs, targets(inputs.grids, 4))
    two = drawn([(8, 8), (8, 8)], SQUARE)
    assert all(bool(loss.isfinite()) for loss in network(two, targets(two.grids, 4)).values())
    assert len(network.eval()(two)) == 2
