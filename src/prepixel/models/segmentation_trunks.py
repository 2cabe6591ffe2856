"""The trunks of segmentation networks: maps that keep their resolution, by dilation in the place of strides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torchvision
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter

from prepixel.errors import ModelError
from prepixel.models.frequency_network import RESNET_DEPTHS, FrequencyNetwork, PixelNetwork
from prepixel.models.input_norm import PixelInput
from prepixel.models.library_network import LibraryNetwork, load_library_weights
from prepixel.models.nearest_name import did_you_mean

SegmenterKind: TypeAlias = Literal["fcn", "deeplabv3", "lraspp"]
MOBILENETS_V3 = ("mobilenet_v3_large", "mobilenet_v3_small")
STEMLESS_TRUNKS = (*(f"resnet{depth}" for depth in RESNET_DEPTHS), "mobilenet_v2")
SEGMENTATION_TRUNKS = (*STEMLESS_TRUNKS, *MOBILENETS_V3)
_NUM_IMAGENET_CLASSES = 1000

# The names of the stages that heads tap, and the first one that is dilated; mobilenet_v2 is tapped before its last
# 1 x 1 convolution, as DeepLab taps it.
_RESNET_TAPS = {"low": "layer2", "aux": "layer3", "high": "layer4"}
_MOBILENET_V2_TAPS = {"low": "6", "aux": "13", "high": "17"}
_MOBILENET_V2_DILATED = range(14, 18)


@dataclass(frozen=True)
class TappedTrunk:
    """Store a trunk that gives maps by name.

    Attributes:
        stages: normalized input to maps: ``out`` and perhaps ``aux``; or for LR-ASPP ``low`` and ``high``.
        widths: channels of each map.
    """

    stages: nn.Module
    widths: Mapping[str, int]


def tap_trunk(network: FrequencyNetwork | PixelNetwork, kind: SegmenterKind, *, aux: bool) -> TappedTrunk:
    """Dilate the last stages of a ResNet or MobileNetV2, in place, and tap them as torchvision's segmenters do.

    The last map of a ResNet is at stride 8 for FCN and DeepLabV3, at stride 16 for LR-ASPP; of MobileNetV2 at 16.

    Args:
        network: a classifier, on pixels or on coefficients; its head is left out.
        kind: of the segmenter.
        aux: whether a map for an auxiliary head is tapped.
    """
    trunk = network.trunk
    if network.name == "mobilenet_v2":
        dilate(trunk.get_submodule(str(place)) for place in _MOBILENET_V2_DILATED)
        return _tapped(trunk, _MOBILENET_V2_TAPS, {"low": 32, "aux": 96, "high": 320}, kind, aux=aux)
    dilated = ("layer4",) if kind == "lraspp" else ("layer3", "layer4")
    dilate(block for name in dilated for block in trunk.get_submodule(name).children())
    deepest = network.head.get_submodule("fc").in_features
    assert isinstance(deepest, int)
    widths = {"low": deepest // 4, "aux": deepest // 2, "high": deepest}
    return _tapped(trunk, _RESNET_TAPS, widths, kind, aux=aux)


def mobilenet_v3_trunk(name: str, kind: SegmenterKind, weights: Mapping[str, Any] | None, *, aux: bool) -> TappedTrunk:
    """Build torchvision's dilated MobileNetV3 on pixels, tapped as its segmenters tap it.

    Args:
        name: one of `MOBILENETS_V3`.
        kind: of the segmenter.
        weights: of the classifier, by torchvision's names; None for random ones.
        aux: whether a map for an auxiliary head is tapped.

    Raises:
        WeightsMismatch: the weights are another network's.
    """
    network = torchvision.models.get_model(name, weights=None, dilated=True)
    if weights is not None:
        load_library_weights(LibraryNetwork(PixelInput(), network, name), weights, _NUM_IMAGENET_CLASSES)
    trunk = network.features
    strided = [place for place, block in enumerate(trunk) if getattr(block, "_is_cn", False)]
    low, high = [0, *strided, len(trunk) - 1][-4], len(trunk) - 1
    taps = {"low": str(low), "aux": str(low), "high": str(high)}
    widths = {name: trunk[int(place)].out_channels for name, place in taps.items()}
    return _tapped(trunk, taps, widths, kind, aux=aux)


def dilate(blocks: Iterable[nn.Module]) -> None:
    """Remove the strides of blocks, and widen what follows by dilation, so that weights see what they saw.

    Args:
        blocks: in the order in which they are applied; changed in place.
    """
    rate = 1
    for block in blocks:
        strided = False
        for conv in block.modules():
            if not isinstance(conv, nn.Conv2d):
                continue
            side = int(conv.kernel_size[0])
            if side > 1:
                own = 2 * rate if strided else rate
                conv.dilation = (own, own)
                conv.padding = (own * (side // 2),) * 2
            if conv.stride != (1, 1):
                conv.stride = (1, 1)
                strided = True
        rate *= 2 if strided else 1


def check_trunk(name: str, known: tuple[str, ...], what: str) -> None:
    """Raise ModelError for a name that is none of the trunks of a kind."""
    if name not in known:
        raise ModelError(f"no trunk {name!r} {what}{did_you_mean(name, known)}; there are {', '.join(known)}")


def _tapped(
    trunk: nn.Module, taps: Mapping[str, str], widths: Mapping[str, int], kind: SegmenterKind, *, aux: bool
) -> TappedTrunk:
    """Tap stages under the names that a head asks for."""
    asked = {"low": "low", "high": "high"} if kind == "lraspp" else {"high": "out"}
    if aux:
        asked["aux"] = "aux"
    stages = IntermediateLayerGetter(trunk, {taps[stage]: name for stage, name in asked.items()})
    return TappedTrunk(stages, {name: widths[stage] for stage, name in asked.items()})
