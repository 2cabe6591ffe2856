"""torchvision's detectors on coefficients: Faster and Mask R-CNN, RetinaNet and FCOS, given a spectrum for an image.

The detectors are torchvision's own, heads, losses and post-processing. Two of their parts are exchanged: the backbone,
which takes a spectrum, and the transform, which has nothing left to do, since loaders resize coefficients. All boxes
are in pixels of the frame: ``pixels_per_block`` times the grid of blocks that an image fills.

Source: "Learning in the Frequency Domain" (CVPR 2020), section 3; torchvision.models.detection.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from prepixel.errors import ModelError
from prepixel.gates import Gate, GateOutput
from prepixel.models.batch_norm import run_network
from prepixel.models.folding.input_trace import CannotFold
from prepixel.models.input_norm import PixelInput, SpectrumInput
from prepixel.models.pyramid import FRAME_MULTIPLE, Pyramid, fold_pyramid
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.padded import PaddedSpectrum

DetectorKind: TypeAlias = Literal["faster_rcnn", "mask_rcnn", "retinanet", "fcos"]
Pixels: TypeAlias = Sequence[UInt8[Tensor, "3 _h _w"] | Float[Tensor, "3 _h _w"]]  # floats are fractions, 0..1
Detections: TypeAlias = list[dict[str, Tensor]]
KINDS: Mapping[str, type[nn.Module]] = {
    "faster_rcnn": FasterRCNN,
    "mask_rcnn": MaskRCNN,
    "retinanet": RetinaNet,
    "fcos": FCOS,
}
_SMALL_PROPOSALS = (("pre", 400), ("post", 200))
_MASK_PREDICTOR_CHANNELS = 256  # what torchvision's mask predictor takes from its head


@dataclass(frozen=True)
class Frames:
    """Represent a batch of images inside torchvision's detectors, which ask it for sizes alone.

    Attributes:
        inputs: what the backbone takes.
        image_sizes: height and width in pixels of each image's frame.
        shape: of the pixels that there would be: n, 3, height and width of the padded frame.
        original_sizes: what detections are scaled to.
    """

    inputs: Any
    image_sizes: list[tuple[int, int]]
    shape: tuple[int, int, int, int]
    original_sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def tensors(self) -> Frames:
        """Return what torchvision takes for the pixels."""
        return self

    def __iter__(self) -> Any:
        """Yield what torchvision takes for each image before it is resized: something of the original's size."""
        return (_Sized((3, *size)) for size in self.original_sizes)


@dataclass(frozen=True)
class _Sized:
    shape: tuple[int, ...]


class FrameTransform(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Pass frames on as they are, and scale boxes back; masks stay in their boxes, see `paste_mask`."""

    def __init__(self) -> None:
        super().__init__(0, 0, [0.0], [1.0])

    def forward(
        self, images: Frames, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[Frames, list[dict[str, Tensor]] | None]:
        """Return the frames unchanged."""
        return images, targets

    def postprocess(
        self, result: Detections, image_shapes: list[tuple[int, int]], original_image_sizes: list[tuple[int, int]]
    ) -> Detections:
        """Scale boxes from frames to originals."""
        if not self.training:
            for found, size, original in zip(result, image_shapes, original_image_sizes, strict=True):
                found["boxes"] = resize_boxes(found["boxes"], list(size), list(original))
                if "masks" in found:
                    found["masks"] = found["masks"].squeeze(1)
        return result

    def __repr__(self) -> str:
        return "FrameTransform()"


class SpectralBackbone(nn.Module):
    """Compute a feature pyramid from coefficients.

    Attributes:
        input: the normalization; ``input.bands`` are the channels it sees.
        gate: what chooses among them; None for no gate.
        body: normalized channels to feature maps by name.
        pixels_per_block: of the frame.
        out_channels: of every feature map.
        choice: which channels the gate let pass in the last batch.
    """

    def __init__(self, normalization: SpectrumInput, body: nn.Module, pixels_per_block: int, out_channels: int) -> None:
        super().__init__()
        self.input = normalization
        self.body = body
        self.gate: Gate | None = None
        self.pixels_per_block = pixels_per_block
        self.out_channels = out_channels
        self.choice: GateOutput | None = None

    def frames(self, inputs: PaddedSpectrum) -> Frames:
        """Return the sizes of a batch's images in pixels."""
        p = self.pixels_per_block
        n, _, rows, columns = inputs.spectrum.values.shape
        return Frames(inputs, [(p * down, p * across) for down, across in inputs.grids], (n, 3, p * rows, p * columns))

    def forward(self, frames: Frames) -> dict[str, Tensor]:
        """Compute the pyramid; outside an image's own grid the mean color is seen, whatever the padding holds."""
        inputs: PaddedSpectrum = frames.inputs
        features: dict[str, Tensor] = self.body(self.see(inputs))
        return features

    def see(self, inputs: PaddedSpectrum) -> Float[Tensor, "n f bh bw"]:
        """Compute what the trunk gets: normalized channels, zeros outside each image, those that the gate lets pass."""
        normalized: Tensor = self.input(inputs.spectrum)
        inside = _inside(inputs.grids, normalized)
        normalized = normalized * inside.to(normalized.dtype)
        if self.gate is not None:
            # the gate's mean is over the whole grid; of what is outside the image it is to see nothing
            filled = inside.flatten(1).to(normalized.dtype).mean(1)
            normalized, self.choice = self.gate(normalized, filled)
        return normalized


class PixelBackbone(nn.Module):
    """Compute a feature pyramid from RGB pixels, to compare with.

    Attributes:
        input: the normalization.
        body: normalized pixels to feature maps by name.
        multiple: frames are padded to multiples of it, by the mean color.
        out_channels: of every feature map.
    """

    def __init__(self, normalization: PixelInput, body: nn.Module, multiple: int, out_channels: int) -> None:
        super().__init__()
        self.input = normalization
        self.body = body
        self.multiple = multiple
        self.out_channels = out_channels

    def frames(self, inputs: Pixels) -> Frames:
        """Return the sizes of a batch's images."""
        sizes = [(int(image.shape[1]), int(image.shape[2])) for image in inputs]
        height, width = (-(-max(sides) // self.multiple) * self.multiple for sides in zip(*sizes, strict=True))
        return Frames(inputs, sizes, (len(sizes), 3, height, width))

    def forward(self, frames: Frames) -> dict[str, Tensor]:
        """Normalize, pad by zeros, which are the mean color, and compute the pyramid."""
        first = frames.inputs[0]
        batch = torch.zeros(frames.shape, dtype=self.input.mean.dtype, device=first.device)
        for place, image in zip(batch, frames.inputs, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = self.input(image[None])[0]
        features: dict[str, Tensor] = self.body(batch)
        return features


class Detector(nn.Module):
    """Find objects in spectra, or in pixels, by one of torchvision's detectors.

    Attributes:
        kind: which.
        detector: torchvision's, with our backbone and transform.
        num_classes: labels are 1 .. num_classes; 0 is the background.
    """

    def __init__(
        self, kind: DetectorKind | str, backbone: SpectralBackbone | PixelBackbone, num_classes: int, **options: Any
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ModelError(f"no detector {kind!r}; there are {', '.join(KINDS)}")
        if num_classes < 1:
            raise ModelError(f"num_classes is {num_classes}; a detector finds objects of 1 class or more")
        self.kind = kind
        self.num_classes = num_classes
        self.detector = KINDS[kind](backbone, num_classes + 1, **options)
        self.detector.transform = FrameTransform()
        self._loss_sums: dict[str, Tensor] = {}
        self._num_losses = 0

    @property
    def backbone(self) -> SpectralBackbone | PixelBackbone:
        """Return the backbone."""
        backbone: SpectralBackbone | PixelBackbone = self.detector.backbone  # type: ignore[assignment]
        return backbone

    @property
    def has_masks(self) -> bool:
        """Return whether it finds masks as well."""
        return self.kind == "mask_rcnn"

    def forward(
        self,
        inputs: PaddedSpectrum | Pixels,
        targets: list[dict[str, Tensor]] | None = None,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Any:
        """Compute losses while training, and detections in evaluation.

        Args:
            inputs: a batch of images.
            targets: while training, for each image ``boxes`` (x left, y top, x right, y bottom, in pixels of its frame,
                each wider and higher than 0), ``labels`` (1 .. num_classes) and for masks ``masks`` (0 or 1, of the
                frame's size).
            original_sizes: height and width that detections are given in; None for those of the frames.

        Returns:
            Losses by name; or for each image ``boxes``, ``scores``, ``labels``, best first, and for masks ``masks``:
            a probability for each of 28 x 28 places of the box, see `paste_mask`.

        Raises:
            BatchTooSmall: in training, a batch norm gets a single value per channel.
        """
        spectral = isinstance(self.backbone, SpectralBackbone)
        if spectral != isinstance(inputs, PaddedSpectrum):
            wanted = "a PaddedSpectrum" if spectral else "a list of images"
            raise TypeError(f"the detector takes {wanted}, not {type(inputs).__name__}")
        frames = self.backbone.frames(inputs)  # type: ignore[arg-type]
        sizes = list(original_sizes) if original_sizes is not None else frames.image_sizes
        if len(sizes) != len(frames.image_sizes):
            raise ValueError(f"{len(sizes)} original sizes for {len(frames.image_sizes)} images; give one an image")
        frames = Frames(frames.inputs, frames.image_sizes, frames.shape, sizes)
        computed = run_network(self.detector, frames, targets, training=self.training)
        if self.training:
            self._note(computed)
        return computed

    def set_progress(self, progress: float) -> None:
        """Take how far training is; nothing here depends on it."""

    def pop_metrics(self) -> dict[str, float]:
        """Return the mean of each loss since the last call, by torchvision's name after ``loss_``."""
        numbers = {name: float(value) / self._num_losses for name, value in self._loss_sums.items()}
        self._loss_sums, self._num_losses = {}, 0
        return numbers

    def _note(self, losses: Mapping[str, Tensor]) -> None:
        self._num_losses += 1
        for name, loss in losses.items():
            full = f"loss_{name.removeprefix('loss_')}"
            self._loss_sums[full] = self._loss_sums.get(full, 0.0) + loss.detach().float()


def paste_mask(
    mask: Float[Tensor, "28 28"], box: Float[Tensor, 4], size: tuple[int, int], threshold: float = 0.5
) -> Bool[Tensor, "h w"]:
    """Lay one detection's mask out over its image, of (height, width) pixels, as torchvision does.

    One at a time, since a hundred masks of a large photo, laid out together, are gigabytes.
    """
    pasted: Tensor = paste_masks_in_image(mask[None, None], box[None], size)
    return pasted[0, 0] >= threshold


def build_detector(kind: DetectorKind | str, pyramid: Pyramid, num_classes: int, **options: Any) -> Detector:
    """Build a detector on a pyramid, see `prepixel.models.pyramid`.

    Args:
        kind: which detector.
        pyramid: on coefficients or on pixels; for RetinaNet and FCOS one of ``dense`` levels.
        num_classes: without the background.
        options: of torchvision's class.

    Raises:
        ModelError: no detector of that kind, or no class.
    """
    return Detector(kind, _backbone(pyramid), num_classes, **options)


def _backbone(pyramid: Pyramid) -> SpectralBackbone | PixelBackbone:
    if isinstance(pyramid.input, SpectrumInput):
        return SpectralBackbone(pyramid.input, pyramid.body, pyramid.pixels_per_block, pyramid.out_channels)
    assert isinstance(pyramid.input, PixelInput)
    return PixelBackbone(pyramid.input, pyramid.body, FRAME_MULTIPLE, pyramid.out_channels)


def fold_detector(detector: Detector | nn.Module, bands: BandSet | str, *, pixels_per_block: int = 4) -> Detector:
    """Fold a detector on pixels over coefficients, exactly: a new one with the same heads.

    Args:
        detector: on pixels; left as it is.
        bands: the channels to keep, a band set or the name of one; with all 192 the folded detector is the given one.
        pixels_per_block: as `prepixel.models.pyramid.fold_pyramid`.

    Raises:
        ModelError: it is on coefficients already.
        CannotFold: it is no `Detector`, or as `fold_pyramid`.
        ModelError: as `fold_pyramid`.
    """
    if not isinstance(detector, Detector):
        raise CannotFold(
            f"{type(detector).__name__} is no prepixel Detector: build one on pixels by build_detector(kind, "
            "pixel_pyramid(...), num_classes), load the weights into its detector, and fold that"
        )
    backbone = detector.backbone
    if not isinstance(backbone, PixelBackbone):
        raise ModelError("the detector is on coefficients already; fold the one on pixels")
    pyramid = Pyramid(backbone.input, backbone.body, backbone.out_channels)
    folded = fold_pyramid(pyramid, bands, pixels_per_block=pixels_per_block)
    made = copy.deepcopy(detector)
    made.detector.backbone = _backbone(folded)
    return made


def small_heads(kind: DetectorKind | str, channels: int) -> dict[str, Any]:
    """Return options that make a detector of torchvision's about a tenth of the work: for small frames and machines.

    Of Faster and Mask R-CNN: 200 proposals an image, 64 of them learned from, one layer for masks, as wide as the
    pyramid. Of RetinaNet and FCOS nothing is made smaller than the pyramid's channels make it.

    Args:
        kind: of detector.
        channels: of the pyramid's maps.
    """
    if not kind.endswith("rcnn"):
        return {}
    proposals = {f"rpn_{when}_nms_top_n_{mode}": n for when, n in _SMALL_PROPOSALS for mode in ("train", "test")}
    options: dict[str, Any] = {**proposals, "box_batch_size_per_image": 64}
    if kind == "mask_rcnn":
        options["mask_head"] = MaskRCNNHeads(channels, (channels, _MASK_PREDICTOR_CHANNELS), 1)
    return options


def _inside(grids: Sequence[tuple[int, int]], values: Tensor) -> Bool[Tensor, "n 1 bh bw"]:
    """Return which blocks belong to an image."""
    rows = torch.arange(values.shape[2], device=values.device)[:, None]
    columns = torch.arange(values.shape[3], device=values.device)[None]
    sizes = torch.tensor(grids, device=values.device)
    return ((rows < sizes[:, 0, None, None]) & (columns < sizes[:, 1, None, None]))[:, None]
