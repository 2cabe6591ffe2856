"""Semantic segmentation: a label for every pixel; trained by cross-entropy, scored by mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

_IGNORE = 255
_AUX_WEIGHT = 0.5  # torchvision's


@runtime_checkable
class LabelMapBatch(Protocol):
    """Store inputs and one label map for each of them."""

    @property
    def inputs(self) -> Any:
        """Return the network's inputs."""

    @property
    def targets(self) -> Tensor:
        """Return the label maps, (n, y, x), of bytes; 255 for pixels that are neither learned nor scored."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class SegmentationResult:
    """Store the scores of a network on all labeled pixels of a set of images; all are fractions, 0..1, but the loss.

    Attributes:
        images: how many were scored.
        pixels: how many pixels of them, those that are ignored not counted.
        loss: mean cross-entropy of a pixel in nats.
        miou: mean of ``iou`` over the classes that labels or answers have.
        pixel_accuracy: share of pixels whose highest logit is the label's.
        iou: per class, pixels that are of it and taken for it, over those that are either; nan for a class that
            neither labels nor answers have.
        recall: per class, the share of its pixels that are taken for it; nan for a class without pixels.
        confusion: how many pixels of each class (rows) are taken for each class (columns).
    """

    images: int
    pixels: int
    loss: float
    miou: float
    pixel_accuracy: float
    iou: Float64[Tensor, " k"]
    recall: Float64[Tensor, " k"]
    confusion: Int64[Tensor, "k k"]

    def row(self) -> dict[str, float]:
        """Return the numbers of one row of a table."""
        return {"loss": self.loss, "miou": self.miou, "pixel_accuracy": self.pixel_accuracy}

    def class_rows(self, classes: Sequence[str]) -> list[dict[str, str | int | float]]:
        """Return one row per class, in label order.

        Raises:
            ValueError: not as many names as classes.
        """
        if len(classes) != len(self.iou):
            raise ValueError(f"{len(classes)} class names for {len(self.iou)} classes")
        pixels, iou, recall = self.confusion.sum(1).tolist(), self.iou.tolist(), self.recall.tolist()
        return [
            {"class": name, "pixels": pixels[k], "iou": iou[k], "recall": recall[k]} for k, name in enumerate(classes)
        ]


class SegmentationMetrics:
    """Count what a `SegmentationResult` is computed from: all are sums, so parts add up to the whole.

    Args:
        num_classes: classes, 1 or more.
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.loss = torch.zeros((), dtype=torch.float64)
        self.images = torch.zeros((), dtype=torch.int64)

    def update(self, logits: Float[Tensor, "n k y x"], labels: UInt8[Tensor, "n h w"]) -> None:
        """Count a batch; the counters live on its device. Of equal logits the lower class wins.

        Raises:
            ValueError: logits and label maps are of different sizes.
        """
        self._to(logits.device)
        _check_sizes(logits, labels)
        num_classes = logits.shape[1]
        wanted = labels.long()
        counted = wanted != _IGNORE
        cells = (wanted * num_classes + logits.detach().argmax(1))[counted]
        self.confusion += torch.bincount(cells, minlength=num_classes**2).view(num_classes, num_classes)
        losses = functional.cross_entropy(logits.detach().float(), wanted, ignore_index=_IGNORE, reduction="none")
        self.loss += losses.sum(dtype=torch.float64)
        self.images += len(labels)

    def merge(self, other: SegmentationMetrics) -> None:
        """Add what another process, or another part of the images, counted."""
        other._to(self.confusion.device)
        self.confusion += other.confusion
        self.loss += other.loss
        self.images += other.images

    def result(self) -> SegmentationResult:
        """Compute the scores of everything counted so far.

        Raises:
            ValueError: no labeled pixel was counted.
        """
        confusion = self.confusion.cpu()
        pixels = int(confusion.sum())
        if pixels == 0:
            raise ValueError("no labeled pixel was counted, so there is nothing to score")
        hits = confusion.diagonal().double()
        labeled, answered = confusion.sum(1), confusion.sum(0)
        iou = hits / (labeled + answered - confusion.diagonal())
        return SegmentationResult(
            images=int(self.images),
            pixels=pixels,
            loss=float(self.loss) / pixels,
            miou=float(iou.nanmean()),
            pixel_accuracy=float(hits.sum()) / pixels,
            iou=iou,
            recall=hits / labeled,
            confusion=confusion,
        )

    def _to(self, device: torch.device) -> None:
        self.confusion, self.loss, self.images = (
            counter.to(device) for counter in (self.confusion, self.loss, self.images)
        )

    def __getstate__(self) -> Mapping[str, Tensor]:
        """Return counters on the CPU: another process may not have this one's device."""
        return {name: counter.cpu() for name, counter in vars(self).items()}


@dataclass(frozen=True)
class Segmentation:
    """Train by cross-entropy of pixels and score by mean intersection over union.

    Attributes:
        num_classes: labels are 0 .. num_classes - 1, and 255 for pixels that do not count.
        aux_weight: of the auxiliary head's loss, where the network has one.
    """

    num_classes: int
    aux_weight: float = _AUX_WEIGHT

    def __post_init__(self) -> None:
        if not 1 <= self.num_classes <= _IGNORE:
            raise ValueError(f"num_classes is {self.num_classes}; it must be from 1 to {_IGNORE}")
        if self.aux_weight < 0:
            raise ValueError(f"aux_weight is {self.aux_weight}; it must be 0 or greater")

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "miou"

    def loss(self, network: nn.Module, batch: LabelMapBatch) -> Float[Tensor, ""]:
        """Compute the mean cross-entropy of a batch's labeled pixels, in nats; 0 where it has none."""
        logits: Mapping[str, Tensor] = network(batch.inputs)
        loss = self.loss_of(logits["out"], batch.targets)
        return loss + self.aux_weight * self.loss_of(logits["aux"], batch.targets) if "aux" in logits else loss

    def loss_of(self, logits: Float[Tensor, "n k y x"], labels: UInt8[Tensor, "n h w"]) -> Float[Tensor, ""]:
        """Compute the mean cross-entropy of labeled pixels, in nats; 0 where there are none.

        Raises:
            ValueError: logits and label maps are of different sizes.
        """
        _check_sizes(logits, labels)
        wanted = labels.long()
        losses = functional.cross_entropy(logits.float(), wanted, ignore_index=_IGNORE, reduction="sum")
        return losses / (wanted != _IGNORE).sum().clamp(min=1)

    def new_metrics(self) -> SegmentationMetrics:
        """Make metrics that have counted nothing."""
        return SegmentationMetrics(self.num_classes)

    def measure(self, network: nn.Module, batch: LabelMapBatch, metrics: SegmentationMetrics) -> None:
        """Count a batch."""
        metrics.update(network(batch.inputs)["out"], batch.targets)


def _check_sizes(logits: Tensor, labels: Tensor) -> None:
    if logits.shape[2:] != labels.shape[1:]:
        raise ValueError(
            f"logits of {tuple(logits.shape[2:])} pixels and label maps of {tuple(labels.shape[1:])}; make label maps "
            "of the frame's size"
        )
