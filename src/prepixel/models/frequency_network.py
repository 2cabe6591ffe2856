"""Classifiers on coefficients: torchvision's trunks without their stem, and the same trunks on RGB to compare with.

A network is ``head(trunk(input(x)))``. The trunk's children carry torchvision's names, so its stages can be tapped by
name, and weights move between the frequency network, the RGB one and torchvision's own.

Source: "Learning in the Frequency Domain" (CVPR 2020), section 3; graph and figures in the project's method notes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock

from prepixel.errors import ModelError
from prepixel.models.batch_norm import run_network
from prepixel.models.input_norm import PixelInput, SpectrumInput
from prepixel.models.nearest_name import did_you_mean
from prepixel.models.stem_removal import RESNETS, Parts, family_of
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

RESNET_DEPTHS = (18, 34, 50, 101, 152)
NAMES = (*(f"resnet{depth}" for depth in RESNET_DEPTHS), "mobilenet_v2")
_RESNET_STEM = ("conv1", "bn1", "relu", "maxpool")
_RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


class _Network(nn.Module):
    """Chain an input, a trunk and a head."""

    def __init__(self, normalization: nn.Module, parts: Parts, name: str) -> None:
        super().__init__()
        self.input = normalization
        self.trunk = parts.trunk
        self.head = parts.head
        self.name = name
        self.stem_width = parts.stem_width
        self._trunk_prefix = parts.trunk_prefix

    def _after_input(self, normalized: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(normalized))
        return logits

    def torchvision_key(self, key: str) -> str | None:
        """Translate the name of a weight to torchvision's; None for the input's constants, which it does not have."""
        part, _, rest = key.partition(".")
        return {"trunk": self._trunk_prefix + rest, "head": rest}.get(part)


class FrequencyNetwork(_Network):
    """Classify spectra: normalize, run a trunk that has no stem, then a head.

    Attributes:
        input: a `SpectrumInput`; ``input.bands`` are the channels the network sees.
        trunk: normalized channels to the last feature map.
        head: the last feature map to one logit a class.
        name: the trunk's name.
        stem_width: channels of the maps that the stem made, in whose place the bands are.
    """

    input: SpectrumInput

    def features(self, spectrum: Spectrum) -> Float[Tensor, "n d h w"]:
        """Compute the trunk's last feature map."""
        features: Tensor = self.trunk(self.input(spectrum))
        return features

    def forward(self, spectrum: Spectrum) -> Float[Tensor, "n k"]:
        """Compute one logit per class.

        Raises:
            BandSetMismatch: the spectrum holds other channels than the network's.
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        return self.from_normalized(self.input(spectrum))

    def from_normalized(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n k"]:
        """Compute what comes after the normalization."""
        logits: Tensor = run_network(self._after_input, normalized, training=self.training)
        return logits


class PixelNetwork(_Network):
    """Classify RGB pixels by torchvision's graph, stem included: the baseline that a frequency network is held against.

    Attributes:
        input: a `PixelInput`; it takes bytes, or floats in 0..1.
        trunk: normalized pixels to the last feature map.
        head: the last feature map to one logit a class.
        name: the trunk's name.
    """

    input: PixelInput

    def features(self, pixels: Tensor) -> Float[Tensor, "n d h w"]:
        """Compute the trunk's last feature map."""
        features: Tensor = self.trunk(self.input(pixels))
        return features

    def forward(self, pixels: Tensor) -> Float[Tensor, "n k"]:
        """Compute one logit a class."""
        logits: Tensor = run_network(self._after_input, self.input(pixels), training=self.training)
        return logits


def frequency_network(
    name: str,
    bands: BandSet | str,
    num_classes: int,
    *,
    layer2_stride: int = 2,
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> FrequencyNetwork:
    """Build a frequency network by the name of its trunk.

    Args:
        name: one of `NAMES`, or of another family of `prepixel.models.stem_removal`.
        bands: the channels it sees: a band set, or the name of one.
        num_classes: logits.
        layer2_stride: see `frequency_resnet`; only 2 for trunks that have no layer2.
        shift: normalization, see `SpectrumInput`.
        scale: normalization, see `SpectrumInput`.

    Raises:
        ModelError: no trunk of that name, or a stride that it does not have.
    """
    family = family_of(name)
    if layer2_stride != 2 and name not in RESNETS:
        raise ModelError(f"layer2_stride is {layer2_stride}, but {name} has no layer2; leave it at 2")
    if name in RESNETS:
        return _frequency_resnet(name, bands, num_classes, layer2_stride, shift, scale)
    if family is None:
        return frequency_mobilenet_v2(bands, num_classes, shift=shift, scale=scale)
    bands = BandSet.of(bands)
    return FrequencyNetwork(SpectrumInput(bands, shift, scale), family.build(name, len(bands), num_classes), name)


def frequency_resnet(
    depth: int,
    bands: BandSet | str,
    num_classes: int,
    layer2_stride: int = 2,
    *,
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> FrequencyNetwork:
    """Build a ResNet that starts at layer1, on coefficients.

    conv1, bn1, ReLU and max-pool are gone and nothing replaces them; of the rest only layer1's first block sees the
    number of channels. In ResNet-50, 101 and 152 that block has a projection, which takes them; in 18 and 34 it has
    none, so one (1x1 convolution and batch norm) is added unless there are 64 channels, as its shortcut could not be
    added otherwise. A 448 x 448 image gives the 56 x 56 grid at which layer1 of the 224 x 224 RGB network works.

    Args:
        depth: 18, 34, 50, 101 or 152.
        bands: the channels it sees: a band set, or the name of one.
        num_classes: logits.
        layer2_stride: 2 as in the RGB network; 1 is the graph of the paper's released code, at 3.4 times the
            multiply-adds for ResNet-50.
        shift: normalization, see `SpectrumInput`.
        scale: normalization, see `SpectrumInput`.

    Raises:
        ModelError: no ResNet of that depth, or another stride.
    """
    _check_name(f"resnet{depth}")
    return _frequency_resnet(f"resnet{depth}", bands, num_classes, layer2_stride, shift, scale)


def _frequency_resnet(
    name: str,
    bands: BandSet | str,
    num_classes: int,
    layer2_stride: int,
    shift: Float[Tensor, " f"] | None,
    scale: Float[Tensor, " f"] | None,
) -> FrequencyNetwork:
    bands = BandSet.of(bands)
    if layer2_stride not in {1, 2}:
        raise ModelError(f"layer2_stride is {layer2_stride}; it must be 2, or 1 for the graph of the released code")
    parts = _resnet_parts(name, num_classes, _RESNET_STAGES)
    stages: Any = parts.trunk
    _widen_resnet_input(stages.layer1[0], len(bands))
    if layer2_stride == 1:
        _remove_stride(stages.layer2[0])
    return FrequencyNetwork(SpectrumInput(bands, shift, scale), parts, name)


def frequency_mobilenet_v2(
    bands: BandSet | str,
    num_classes: int,
    *,
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> FrequencyNetwork:
    """Build a MobileNetV2 that starts at its first inverted residual block, on coefficients.

    The first convolution, its batch norm and ReLU6 are gone; the block with expansion 1 has as many channels in its
    depthwise convolution as the bands have. An 896 x 896 image gives the 112 x 112 grid at which that block of the
    224 x 224 RGB network works.
    """
    bands = BandSet.of(bands)
    parts = _mobilenet_parts(num_classes)
    first = InvertedResidual(len(bands), 16, stride=1, expand_ratio=1)
    _initialize(first)
    rest = [(name, child) for name, child in parts.trunk.named_children() if name not in {"0", "1"}]
    trunk = nn.Sequential(OrderedDict([("1", first), *rest]))
    parts = Parts(trunk, parts.head, parts.trunk_prefix, parts.stem_width)
    return FrequencyNetwork(SpectrumInput(bands, shift, scale), parts, "mobilenet_v2")


def rgb_network(name: str, num_classes: int) -> PixelNetwork:
    """Build torchvision's network of a name, to compare with; it normalizes pixels itself by ImageNet's constants.

    Raises:
        ModelError: no trunk of that name.
    """
    _check_name(name)
    if name == "mobilenet_v2":
        return PixelNetwork(PixelInput(), _mobilenet_parts(num_classes), name)
    parts = _resnet_parts(name, num_classes, _RESNET_STEM + _RESNET_STAGES)
    return PixelNetwork(PixelInput(), parts, name)


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ModelError(f"no network {name!r} here{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")


def _resnet_parts(name: str, num_classes: int, names: Sequence[str]) -> Parts:
    whole: Any = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    trunk = nn.Sequential(OrderedDict((name, getattr(whole, name)) for name in names))
    head = nn.Sequential(OrderedDict(avgpool=whole.avgpool, flatten=nn.Flatten(1), fc=whole.fc))
    return Parts(trunk, head, "", 64)


def _mobilenet_parts(num_classes: int) -> Parts:
    whole = torchvision.models.mobilenet_v2(num_classes=num_classes)
    pool = nn.AdaptiveAvgPool2d(1)
    head = nn.Sequential(OrderedDict(avgpool=pool, flatten=nn.Flatten(1), classifier=whole.classifier))
    return Parts(whole.features, head, "features.", 32)


def _widen_resnet_input(block: Any, channels: int) -> None:
    """Let the first block take any number of channels instead of the 64 of the stem that is gone."""
    width = block.conv1.in_channels
    if channels == width:
        return
    old = block.conv1
    block.conv1 = nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
    )
    if isinstance(block, BasicBlock):
        block.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
    else:
        block.downsample[0] = nn.Conv2d(channels, block.downsample[0].out_channels, 1, bias=False)
    _initialize(block.conv1)
    _initialize(block.downsample)


def _remove_stride(block: Any) -> None:
    """Set stride 1 in a stage's first block, in its branch and in its shortcut."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


def _initialize(part: nn.Module) -> None:
    """Draw convolutions as torchvision's constructors do: normal, variance 2 over the outgoing connections."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
