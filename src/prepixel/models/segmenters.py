"""Semantic segmentation: torchvision's FCN, DeepLabV3 and LR-ASPP, on coefficients, folded, or on pixels.

A segmenter is ``network(input(x))``. Its weights carry torchvision's names (``backbone``, ``classifier``,
``aux_classifier``), so those of torchvision's networks load into it. Logits have the size of the frame in pixels, of
which each block stands for `Segmenter.pixels_per_block` along each axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.models.segmentation.lraspp import LRASPPHead

from prepixel.errors import ModelError
from prepixel.models.batch_norm import run_network
from prepixel.models.folding.fold import fold
from prepixel.models.folding.input_trace import CannotFold
from prepixel.models.frequency_network import frequency_network, rgb_network
from prepixel.models.input_norm import PixelInput, SpectrumInput
from prepixel.models.segmentation_trunks import (
    MOBILENETS_V3,
    SEGMENTATION_TRUNKS,
    STEMLESS_TRUNKS,
    SegmenterKind,
    TappedTrunk,
    check_trunk,
    mobilenet_v3_trunk,
    tap_trunk,
)
from prepixel.models.weights import load_rgb_weights
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

_LRASPP_CHANNELS = 128  # torchvision's
_ATROUS_RATES = (12, 24, 36)  # torchvision's
_FOLDED_SIDE = 64  # pixels of the image that folding is checked on


class MapsToLabels(nn.Module):
    """Compute logits of every pixel from normalized input: a trunk, a head, perhaps an auxiliary one, and a resize.

    Args:
        backbone: input to maps by name.
        classifier: the map ``out``, or for LR-ASPP all maps, to logits.
        aux_classifier: the map ``aux`` to logits; None for no auxiliary head.
        scale: how many times as high and wide as the input the logits are.
    """

    def __init__(
        self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None, scale: int = 1
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier
        self.scale = scale
        self.takes_all_maps = isinstance(classifier, LRASPPHead)

    def forward(self, normalized: Any) -> dict[str, Any]:  # tensors; while it is folded, torch.fx's proxies
        """Compute logits by name: ``out``, and ``aux`` where there is an auxiliary head."""
        size = [normalized.shape[2] * self.scale, normalized.shape[3] * self.scale]
        maps = self.backbone(normalized)
        logits = {"out": self.classifier(maps if self.takes_all_maps else maps["out"])}
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(maps["aux"])
        return {
            name: functional.interpolate(one, size=size, mode="bilinear", align_corners=False)
            for name, one in logits.items()
        }


class Segmenter(nn.Module):
    """Label every pixel of a frame, from spectra or from pixels.

    Args:
        normalization: a `SpectrumInput` or a `PixelInput`.
        network: normalized input to logits by name.
        kind: fcn, deeplabv3 or lraspp.
        trunk: its trunk's name.
        pixels_per_block: pixels of the frame that a block stands for, along an axis; 1 where the input is pixels.

    Attributes:
        input: the normalization; of a network on spectra ``input.bands`` are the channels that it sees.
        network: the rest, from normalized values on.
        kind: fcn, deeplabv3 or lraspp.
        trunk: its trunk's name.
        pixels_per_block: pixels of the frame that a block stands for, along an axis; 1 where the input is pixels.
    """

    def __init__(
        self,
        normalization: SpectrumInput | PixelInput,
        network: nn.Module,
        kind: SegmenterKind,
        trunk: str,
        pixels_per_block: int = 1,
    ) -> None:
        super().__init__()
        self.input = normalization
        self.network = network
        self.kind = kind
        self.trunk = trunk
        self.pixels_per_block = pixels_per_block

    def forward(self, inputs: Spectrum | Tensor) -> dict[str, Float[Tensor, "n k y x"]]:
        """Compute one logit per class and pixel of the frame: ``out``, and ``aux`` where there is an auxiliary head.

        Raises:
            BandSetMismatch: the spectrum holds other channels than the network's.
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        logits: dict[str, Tensor] = self.from_normalized(self.input(inputs))
        return logits

    def from_normalized(self, normalized: Float[Tensor, "n f h w"]) -> Any:
        """Compute what comes after the normalization."""
        return run_network(self.network, normalized, training=self.training)

    def frame_size(self, given: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of the logits for an input's: blocks of a spectrum, or pixels."""
        return given[0] * self.pixels_per_block, given[1] * self.pixels_per_block


def pixel_segmenter(
    kind: SegmenterKind,
    trunk: str,
    num_classes: int,
    *,
    weights: Mapping[str, Any] | None = None,
    aux: bool = False,
) -> Segmenter:
    """Build torchvision's segmentation network on RGB pixels; it normalizes them by ImageNet's constants.

    Args:
        kind: fcn, deeplabv3 or lraspp.
        trunk: a ResNet's name, mobilenet_v2, mobilenet_v3_large or mobilenet_v3_small.
        num_classes: the background included.
        weights: of the RGB classifier of that name, by torchvision's names; None for random ones.
        aux: whether there is an auxiliary head, which fcn and deeplabv3 may have.

    Raises:
        ModelError: no such kind or trunk, or an auxiliary head of lraspp.
        WeightsMismatch: the weights are another trunk's.
    """
    _check_kind(kind, aux=aux)
    check_trunk(trunk, SEGMENTATION_TRUNKS, "for segmentation")
    if trunk in MOBILENETS_V3:
        tapped = mobilenet_v3_trunk(trunk, kind, weights, aux=aux)
    else:
        network = rgb_network(trunk, 1000)
        if weights is not None:
            load_rgb_weights(network, weights)
        tapped = tap_trunk(network, kind, aux=aux)
    return Segmenter(PixelInput(), _with_heads(tapped, kind, num_classes, 1), kind, trunk)


def frequency_segmenter(
    kind: SegmenterKind,
    trunk: str,
    bands: BandSet | str,
    num_classes: int,
    *,
    weights: Mapping[str, Any] | None = None,
    aux: bool = False,
    shift: Float[Tensor, " f"] | None = None,
    scale: Float[Tensor, " f"] | None = None,
) -> Segmenter:
    """Build a segmentation network on coefficients whose trunk has no stem, as the paper's classifiers.

    A block stands for as many pixels as the stem's stride: 4 for a ResNet, 2 for MobileNetV2.

    Args:
        kind, num_classes, aux: as `pixel_segmenter`.
        trunk: a ResNet's name, or mobilenet_v2.
        bands: the channels it sees: a band set, or the name of one.
        weights: of the RGB classifier of that name, reused where they fit, see `load_rgb_weights`.
        shift, scale: of the normalization, see `SpectrumInput`.

    Raises:
        ModelError: no such kind or trunk, or an auxiliary head of lraspp.
        WeightsMismatch: the weights are another trunk's.
    """
    _check_kind(kind, aux=aux)
    check_trunk(trunk, STEMLESS_TRUNKS, "without its stem for segmentation")
    network = frequency_network(trunk, bands, 1000, shift=shift, scale=scale)
    if weights is not None:
        load_rgb_weights(network, weights)
    block = stem_stride(trunk)
    tapped = tap_trunk(network, kind, aux=aux)
    return Segmenter(network.input, _with_heads(tapped, kind, num_classes, block), kind, trunk, block)


def fold_segmenter(segmenter: Segmenter, bands: BandSet | str, *, pixels_per_block: int = 4) -> Segmenter:
    """Fold a segmenter on pixels over coefficients, exactly, without training.

    Args:
        segmenter: on pixels; left as it is.
        bands: the channels to keep, a band set or the name of one; with all 192 it computes what the given one does.
        pixels_per_block: pixels of the frame that a block stands for: 1, 2, 4 or 8. For 4 the frame is half of the
            image that the blocks are made from, along each axis.

    Raises:
        CannotFold: the segmenter is on coefficients already.
        ModelError: pixels_per_block is another number.
    """
    if pixels_per_block not in {1, 2, 4, 8}:
        raise ModelError(f"pixels_per_block is {pixels_per_block}; it can be 1, 2, 4 or 8")
    normalization = segmenter.input
    if not isinstance(normalization, PixelInput):
        raise CannotFold(
            f"{segmenter.kind} on {segmenter.trunk} takes spectra already, of {normalization.bands}: use it as it is"
        )
    folded = fold(
        segmenter.network,
        pixels=_FOLDED_SIDE,
        grid=_FOLDED_SIDE // pixels_per_block,
        bands=bands,
        mean=normalization.mean.tolist(),
        std=normalization.std.tolist(),
    )
    return Segmenter(folded.input, folded.network, segmenter.kind, segmenter.trunk, pixels_per_block).eval()


def stem_stride(trunk: str) -> int:
    """Return the pixels per block of a trunk without its stem."""
    return 2 if trunk == "mobilenet_v2" else 4


def _check_kind(kind: str, *, aux: bool) -> None:
    kinds = get_args(SegmenterKind)
    if kind not in kinds:
        raise ModelError(f"no segmenter {kind!r}; there are {', '.join(kinds)}")
    if aux and kind == "lraspp":
        raise ModelError("lraspp has no auxiliary head; set aux to false, or take fcn or deeplabv3")


def _with_heads(tapped: TappedTrunk, kind: SegmenterKind, num_classes: int, scale: int) -> MapsToLabels:
    widths = tapped.widths
    if kind == "lraspp":
        head: nn.Module = LRASPPHead(widths["low"], widths["high"], num_classes, _LRASPP_CHANNELS)
    elif kind == "fcn":
        head = FCNHead(widths["out"], num_classes)
    else:
        head = DeepLabHead(widths["out"], num_classes, _ATROUS_RATES)
    aux = FCNHead(widths["aux"], num_classes) if "aux" in widths else None
    return MapsToLabels(tapped.stages, head, aux, scale)
