"""Which layers of torchvision's families go where the stem is removed, and how the first layers left take frequencies.

What goes are the layers before the first block of a network that works on the grid of maps that blocks can stand for,
and the first strides with them. Of the rest, only the layers that read the stem's maps change: they get as many input
channels as there are bands. A block whose shortcut added the stem's maps gets a 1 x 1 projection in their place.

| family | what goes | grid for 224 pixels | first layers that see the bands |
|---|---|---|---|
| ResNet, ResNeXt, Wide ResNet | conv1, bn1, relu, maxpool: strides 2, 2 | 56 | layer1.0: conv1, shortcut |
| RegNet | stem, and the stride of the first block: 2, 2 | 56 | trunk_output.block1.block1-0: f.a, proj |
| DenseNet | conv0, norm0, relu0, pool0: 2, 2 | 56 | denseblock1: norm1, conv1 of each layer; transition1 |
| ConvNeXt | features.0, patches of 4: 4 | 56 | features.1.0: all but its last layer; a shortcut is added |
| MobileNetV3-small | features.0, and the stride of features.1: 2, 2 | 56 | features.1: depthwise, squeeze, project |
| MobileNetV2, MobileNetV3-large, EfficientNet | features.0: 2 | 112 | features.1.0: depthwise, squeeze, project |
| EfficientNetV2 | features.0: 2 | 112 | features.1.0: its convolution |

VGG, AlexNet, SqueezeNet, GoogLeNet, Inception, ViT and Swin have no such place: what follows their first layer needs
the features, or tokens, that it makes. They, and MNASNet, ShuffleNet, MaxViT and timm's, fold or take a light stem.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.models.nearest_name import did_you_mean


@dataclass(frozen=True)
class Parts:
    """Store the parts of a torchvision network; names are torchvision's.

    Attributes:
        trunk: from the stem's maps, or the channels in their place, to the last feature map.
        head: from there to the logits.
        trunk_prefix: of the trunk's weights in torchvision's names.
        stem_width: channels of the maps that the stem made.
    """

    trunk: nn.Sequential
    head: nn.Sequential
    trunk_prefix: str
    stem_width: int


@dataclass(frozen=True)
class StemRemoval:
    """State how the stem of a family is removed.

    Attributes:
        family: its name.
        module: of torchvision, whose networks are of it.
        trunk: path of the trunk; "" for the network itself.
        gone: children of the trunk that go.
        head: modules behind the trunk, by torchvision's names; flatten, relu and avgpool may be functions there.
        widen: makes the first layers left of a trunk take any number of channels.
        starts: of the names of its networks, where others of the module are of another family.
    """

    family: str
    module: str
    trunk: str
    gone: tuple[str, ...]
    head: tuple[str, ...]
    widen: Callable[[Any, int, int], None]
    starts: tuple[str, ...] = ("",)

    def has(self, name: str, module: str) -> bool:
        """Return whether a network, of a module of torchvision, is of the family."""
        return module == self.module and name.startswith(self.starts)

    def build(self, name: str, channels: int, num_classes: int) -> Parts:
        """Build a network of the family on a number of channels."""
        whole: Any = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        width = next(layer for layer in whole.modules() if isinstance(layer, nn.Conv2d)).out_channels
        source = whole.get_submodule(self.trunk)
        trunk = nn.Sequential(OrderedDict((key, part) for key, part in source.named_children() if key not in self.gone))
        self.widen(trunk, width, channels)
        head = nn.Sequential(OrderedDict((part, _head_part(whole, part)) for part in self.head))
        return Parts(trunk, head, f"{self.trunk}." if self.trunk else "", width)


def _head_part(whole: Any, name: str) -> nn.Module:
    functions: dict[str, Callable[[], nn.Module]] = {
        "flatten": lambda: nn.Flatten(1),
        "relu": lambda: nn.ReLU(inplace=True),
        "avgpool": lambda: nn.AdaptiveAvgPool2d(1),
    }
    own = whole._modules.get(name)  # noqa: SLF001
    return functions[name]() if own is None else own


def _widen_regnet(trunk: Any, width: int, channels: int) -> None:
    block = trunk.block1[0]
    block.f.a[0] = _resized(block.f.a[0], channels, initialize=_fan_out)
    block.f.b[0].stride = (1, 1)
    block.proj[0] = _resized(block.proj[0], channels, initialize=_fan_out, stride=1)


def _widen_densenet(trunk: Any, width: int, channels: int) -> None:
    """Widen all layers that are given the first maps: DenseNets hand them on to the end of the first block."""
    layers = [(layer, "norm1", "conv1") for layer in trunk.denseblock1.values()]
    for layer, norm, conv in (*layers, (trunk.transition1, "norm", "conv")):
        old = getattr(layer, conv)
        wide = old.in_channels - width + channels
        setattr(layer, norm, nn.BatchNorm2d(wide))
        setattr(layer, conv, _resized(old, wide, initialize=nn.init.kaiming_normal_))


def _widen_convnext(trunk: Any, width: int, channels: int) -> None:
    if channels != width:
        trunk[0][0] = ProjectedBlock(trunk[0][0], channels)


class ProjectedBlock(nn.Module):
    """A ConvNeXt block on another number of channels: as torchvision's, its shortcut a 1 x 1 convolution.

    Args:
        old: the block in whose place it stands.
        channels: that it takes.
    """

    def __init__(self, old: Any, channels: int) -> None:
        super().__init__()
        depthwise, to_last, norm, expand, *rest = old.block
        width = depthwise.in_channels
        widened = nn.Linear(channels, expand.out_features)
        self.block = nn.Sequential(
            _resized(depthwise, channels, channels, groups=channels, initialize=_truncated),
            to_last,
            nn.LayerNorm(channels, eps=norm.eps),
            widened,
            *rest,
        )
        self.layer_scale = old.layer_scale
        self.stochastic_depth = old.stochastic_depth
        self.projection = nn.Conv2d(channels, width, 1)
        for layer in (widened, self.projection):
            _truncated(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the block."""
        result: Tensor = self.stochastic_depth(self.layer_scale * self.block(maps)) + self.projection(maps)
        return result


def _widen_inverted_residual(trunk: Any, width: int, channels: int) -> None:
    """Widen a first block that expands nothing: a depthwise convolution, squeeze and excitation, a projection."""
    first = trunk[0] if hasattr(trunk[0], "block") else trunk[0][0]
    first.block[0][0].stride = (1, 1)
    if channels == width:
        return
    first.use_res_connect = False
    for index, part in enumerate(first.block):
        if index == 0:
            part[0] = _resized(part[0], channels, channels, groups=channels, initialize=_fan_out)
            part[1] = nn.BatchNorm2d(channels, part[1].eps, part[1].momentum)
        elif hasattr(part, "fc1"):
            part.fc1 = _resized(part.fc1, channels, initialize=_fan_out)
            part.fc2 = _resized(part.fc2, part.fc2.in_channels, channels, initialize=_fan_out)
        else:
            part[0] = _resized(part[0], channels, initialize=_fan_out)


def _widen_fused(trunk: Any, width: int, channels: int) -> None:
    first = trunk[0][0]
    if channels != width:
        first.block[0][0] = _resized(first.block[0][0], channels, initialize=_fan_out)
        first.use_res_connect = False


def _resized(
    old: nn.Conv2d,
    channels: int,
    out: int | None = None,
    *,
    initialize: Callable[[Tensor], object],
    groups: int | None = None,
    stride: int | None = None,
) -> nn.Conv2d:
    """Build a convolution like another one, of other channels."""
    new = nn.Conv2d(
        channels,
        old.out_channels if out is None else out,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride if stride is None else stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        groups=old.groups if groups is None else groups,
        bias=old.bias is not None,
    )
    initialize(new.weight)
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new


def _fan_out(weight: Tensor) -> None:
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def _truncated(weight: Tensor) -> None:
    nn.init.trunc_normal_(weight, std=0.02)


_POOLED = ("avgpool", "flatten")
FAMILIES = (
    StemRemoval("RegNet", "regnet", "trunk_output", (), (*_POOLED, "fc"), _widen_regnet),
    StemRemoval(
        "DenseNet",
        "densenet",
        "features",
        ("conv0", "norm0", "relu0", "pool0"),
        ("relu", *_POOLED, "classifier"),
        _widen_densenet,
    ),
    StemRemoval("ConvNeXt", "convnext", "features", ("0",), ("avgpool", "classifier"), _widen_convnext),
    StemRemoval(
        "MobileNetV3-small",
        "mobilenetv3",
        "features",
        ("0",),
        (*_POOLED, "classifier"),
        _widen_inverted_residual,
        ("mobilenet_v3_small",),
    ),
    StemRemoval(
        "MobileNetV3-large",
        "mobilenetv3",
        "features",
        ("0",),
        (*_POOLED, "classifier"),
        _widen_inverted_residual,
        ("mobilenet_v3_large",),
    ),
    StemRemoval(
        "EfficientNet",
        "efficientnet",
        "features",
        ("0",),
        (*_POOLED, "classifier"),
        _widen_inverted_residual,
        ("efficientnet_b",),
    ),
    StemRemoval(
        "EfficientNetV2",
        "efficientnet",
        "features",
        ("0",),
        (*_POOLED, "classifier"),
        _widen_fused,
        ("efficientnet_v2",),
    ),
)

RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    *("resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)
_OWN_CODE = (*RESNETS, "mobilenet_v2")  # of frequency_network


def family_of(name: str) -> StemRemoval | None:
    """Return how the stem of a network of torchvision is removed; None for ResNets and MobileNetV2, built elsewhere.

    Raises:
        ModelError: no such network, or one whose stem cannot be removed; the message says what can.
    """
    if name in _OWN_CODE:
        return None
    known = _modules()
    for family in FAMILIES:
        if family.has(name, known.get(name, "")):
            return family
    meant = "" if name in known else did_you_mean(name, stemless_networks())
    raise ModelError(
        f"no network {name!r} without its stem{meant}; there are torchvision's {', '.join(stemless_families())}. Any "
        "other network of torchvision or timm can be folded or take a light stem: in a recipe, network.stem: folded, "
        "or light"
    )


def stemless_families() -> tuple[str, ...]:
    """Return the families whose stem can be removed."""
    return ("ResNet", "ResNeXt", "Wide ResNet", "MobileNetV2", *(family.family for family in FAMILIES))


def stemless_networks() -> tuple[str, ...]:
    """Return the networks whose stem can be removed, by torchvision's names."""
    return tuple(
        name
        for name, module in _modules().items()
        if name in _OWN_CODE or any(family.has(name, module) for family in FAMILIES)
    )


def _modules() -> dict[str, str]:
    """Return the module of torchvision that each of its classifiers is of."""
    names = torchvision.models.list_models(module=torchvision.models)
    return {name: torchvision.models.get_model_builder(name).__module__.rpartition(".")[2] for name in names}


def rgb_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of a network of torchvision with its stem."""
    try:
        with torch.device("meta"):
            network = torchvision.models.get_model(name, weights=None)
    except NotImplementedError:  # RegNets compute their widths by tensors
        with torch.random.fork_rng(devices=[]):
            network = torchvision.models.get_model(name, weights=None)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}
