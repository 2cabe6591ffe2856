"""Detection: boxes, labels and perhaps masks; trained by the detector's own losses, scored by COCO's AP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from prepixel.errors import DatasetError
from prepixel.gates import GateOutput
from prepixel.tasks.average_precision import (
    Found,
    GroundTruth,
    Kind,
    Scores,
    encode_mask,
    score_detections,
)

_MASK_THRESHOLD = 0.5


@runtime_checkable
class DetectionBatch(Protocol):
    """Store images, and for each of them its targets and where its frame lies in the photo."""

    @property
    def inputs(self) -> Any:
        """Return the network's inputs."""

    @property
    def targets(self) -> list[dict[str, Tensor]]:
        """Return ``boxes``, ``labels``, ``masks``, ``image_id``, ``original_size``, ``crop``, ``flipped``."""


@dataclass(frozen=True)
class DetectionResult:
    """Store a detector's detections in a set of images, and their COCO figures.

    Attributes:
        images: how many were looked at.
        objects: how many objects they have, crowds not counted.
        scores: COCO's figures of boxes, and of masks where there are some.
        found: all detections, as COCO has them.
        channels_on: mean number of channels that a gate left on for an image; None without a gate.
        budget: how many there should be; None for no such number.
    """

    images: int
    objects: int
    scores: Mapping[Kind, Scores]
    found: tuple[Found, ...] = field(repr=False)
    channels_on: float | None = None
    budget: float | None = None

    def row(self) -> dict[str, float]:
        """Return the numbers of one row of a table: ``box_ap``, ``mask_ap50``, ...; those without objects are left out.

        ``budget_score``, where there is a budget, is the AP of the masks, else of the boxes, less one for each channel
        more than one above it.
        """
        row = {
            f"{kind}_{name}": value
            for kind, scores in self.scores.items()
            for name, value in scores.figures.items()
            if not math.isnan(value)
        }
        if self.channels_on is not None:
            row["channels_on"] = self.channels_on
            if self.budget is not None:
                best = row["mask_ap" if "mask" in self.scores else "box_ap"]
                row["budget_score"] = best - max(0.0, self.channels_on - self.budget - 1)
        return row

    def class_rows(self, categories: Sequence[Mapping[str, Any]]) -> list[dict[str, str | float]]:
        """Return one row per class, in label order: its name and its AP, nan for a class without objects."""
        return [
            {
                "class": str(category["name"]),
                **{f"{kind}_ap": scores.class_ap[category["id"]] for kind, scores in self.scores.items()},
            }
            for category in categories
        ]


class DetectionMetrics:
    """Collect detections, with what was annotated in the images that they are of, and nothing of other images.

    Args:
        truth: what was annotated.
        kinds: what is scored.
        budget: channels that should be on.
    """

    def __init__(self, truth: GroundTruth, kinds: Sequence[Kind], budget: float | None = None) -> None:
        self.truth, self.kinds, self.budget = truth, tuple(kinds), budget
        self.found: dict[int, list[Found]] = {}
        self.channels_on: float | None = None

    def update(self, image_id: int, found: list[Found]) -> None:
        """Count an image and what was found in it.

        Raises:
            ValueError: the image was counted before, or was never annotated.
        """
        if image_id in self.found:
            raise ValueError(f"image {image_id} was counted twice; each image counts once")
        if image_id not in self.truth.images:
            raise ValueError(f"image {image_id} is not one of the {len(self.truth.images)} annotated images")
        self.found[image_id] = found

    def count(self, choice: GateOutput) -> None:
        """Count the channels that a gate let pass in a batch."""
        self.channels_on = (self.channels_on or 0.0) + float(choice.bits.detach().sum())

    def merge(self, other: DetectionMetrics) -> None:
        """Add what another process, or another part of the images, counted."""
        self.truth = self.truth.join(other.truth)
        for image_id, found in other.found.items():
            self.update(image_id, found)
        if other.channels_on is not None:
            self.channels_on = (self.channels_on or 0.0) + other.channels_on

    def result(self) -> DetectionResult:
        """Compute the scores of everything counted so far.

        Raises:
            DatasetError: no image was counted, or none that shows an object.
        """
        truth = self.truth.only(self.found)
        if not truth.num_objects():
            raise DatasetError(
                f"the {len(self.found)} images that were counted show no object, so nothing can be scored; validate on "
                "images with objects, and fetch those again that could not be read"
            )
        found = tuple(one for image_id in sorted(self.found) for one in self.found[image_id])
        return DetectionResult(
            images=len(self.found),
            objects=truth.num_objects(),
            scores={kind: score_detections(truth, found, kind) for kind in self.kinds},
            found=found,
            channels_on=None if self.channels_on is None else self.channels_on / len(self.found),
            budget=self.budget,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the annotations of other images behind: processes send this to each other."""
        return {**vars(self), "truth": self.truth.only(self.found)}


@dataclass(frozen=True)
class Detection:
    """Train by the sum of a detector's losses, and a gate's if it has one; score by COCO's AP.

    Attributes:
        truth: what was annotated in the images of the evaluation, in pixels of the photos.
        masks: whether masks are scored as well, and are what decides.
        budget: channels that a gate should leave on; None for no such number.
    """

    truth: GroundTruth
    masks: bool = False
    budget: float | None = None

    @property
    def score(self) -> str:
        """Name the number that decides which weights are best."""
        return "budget_score" if self.budget is not None else "mask_ap" if self.masks else "box_ap"

    def loss(self, network: nn.Module, batch: DetectionBatch) -> Float[Tensor, ""]:
        """Compute the sum of the losses of a batch that has samples."""
        losses: Mapping[str, Tensor] = network(batch.inputs, batch.targets)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        gate, choice = _gate_and_choice(network)
        return total if gate is None else total + gate.penalty(choice)

    def new_metrics(self) -> DetectionMetrics:
        """Make metrics that have counted nothing."""
        return DetectionMetrics(self.truth, ("box", "mask") if self.masks else ("box",), self.budget)

    def measure(self, network: nn.Module, batch: DetectionBatch, metrics: DetectionMetrics) -> None:
        """Count a batch of whole photos.

        Raises:
            ValueError: a frame is a part of its photo or mirrored; or masks are scored, and the network finds none.
        """
        if self.masks and not getattr(network, "has_masks", False):
            raise ValueError(f"masks are scored, and this {type(network).__name__} finds none; take a mask_rcnn")
        sizes = [_whole_size(target) for target in batch.targets]
        detections = network(batch.inputs, original_sizes=sizes)
        identifiers = [category["id"] for category in self.truth.categories]
        for target, size, one in zip(batch.targets, sizes, detections, strict=True):
            image_id = int(target["image_id"])
            metrics.update(image_id, coco_detections(one, image_id, size, identifiers, masks=self.masks))
        gate, choice = _gate_and_choice(network)
        if gate is not None:
            metrics.count(choice)


def coco_detections(
    detections: Mapping[str, Tensor],
    image_id: int,
    size: tuple[int, int],
    category_ids: Sequence[int],
    *,
    masks: bool,
) -> list[Found]:
    """Return one image's detections in COCO's format.

    Masks are laid out one at a time, since a hundred of a large photo together are gigabytes.

    Args:
        detections: ``boxes`` (x left, y top, x right, y bottom in pixels of the photo), ``scores``, ``labels`` and,
            for masks, ``masks``: a probability for each of 28 x 28 places of the box.
        image_id: COCO's.
        size: height and width of the photo.
        category_ids: COCO's by label, the first is label 1's.
        masks: whether masks are given.
    """
    on_host = {name: value.detach().cpu() for name, value in detections.items()}
    boxes = on_host["boxes"].double()
    found: list[Found] = [
        {
            "image_id": image_id,
            "category_id": category_ids[label - 1],
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
        }
        for (left, top, right, bottom), label, score in zip(
            boxes.tolist(), on_host["labels"].tolist(), on_host["scores"].tolist(), strict=True
        )
    ]
    if masks:
        for one, mask, box in zip(found, on_host["masks"].float(), on_host["boxes"].float(), strict=True):
            pasted = paste_masks_in_image(mask[None, None], box[None], size)[0, 0] >= _MASK_THRESHOLD
            one["segmentation"] = encode_mask(pasted.numpy())
    return found


def _whole_size(target: Mapping[str, Tensor]) -> tuple[int, int]:
    height, width = target["original_size"].tolist()
    if bool(target["flipped"]) or target["crop"].tolist() != [0, 0, height, width]:
        raise ValueError(
            f"image {int(target['image_id'])}: the frame is a part of the photo, or mirrored; evaluate on whole photos"
        )
    return height, width


def _gate_and_choice(network: nn.Module) -> tuple[Any, Any]:
    """Return a detector's gate, and its output for the last batch; None for no gate."""
    backbone = getattr(network, "backbone", None)
    return getattr(backbone, "gate", None), getattr(backbone, "choice", None)
