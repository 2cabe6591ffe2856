"""COCO's figures of detections against what was annotated, by faster-coco-eval, and its formats of both.

A detection of COCO's is a dict: ``image_id``, ``category_id``, ``bbox`` (x left, y top, width, height in pixels),
``score`` and, for masks, ``segmentation`` (a run-length code).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool

from prepixel.files import replace_file
from prepixel.optional import missing_extra

Found: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["box", "mask"]
# In the order of COCO's summary: precisions over IoU .5 to .95, then recalls by detections an image and by size.
FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
_COCO_NAMES: Mapping[Kind, str] = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True)
class GroundTruth:
    """Store the annotations of each image in COCO's format.

    Attributes:
        categories: COCO's, by label: the first is label 1.
        images: COCO's entries by image id.
        annotations: the objects of each image, crowds included, by image id.
    """

    categories: tuple[Mapping[str, Any], ...]
    images: Mapping[int, Mapping[str, Any]]
    annotations: Mapping[int, tuple[Mapping[str, Any], ...]]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> GroundTruth:
        """Take COCO's document apart; every annotation needs ``bbox``, ``area`` and ``iscrowd``."""
        objects: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            objects[annotation["image_id"]].append(annotation)
        return cls(
            tuple(document["categories"]),
            {image["id"]: image for image in document["images"]},
            {image_id: tuple(found) for image_id, found in objects.items()},
        )

    def only(self, image_ids: Iterable[int]) -> GroundTruth:
        """Return the part that is about some of the images."""
        kept = sorted(image_ids)
        images, objects = {i: self.images[i] for i in kept}, {i: self.annotations[i] for i in kept}
        return GroundTruth(self.categories, images, objects)

    def join(self, other: GroundTruth) -> GroundTruth:
        """Add other images of the same data set."""
        return GroundTruth(self.categories, {**self.images, **other.images}, {**self.annotations, **other.annotations})

    def num_objects(self) -> int:
        """Count the objects that are looked for: all but crowds."""
        return sum(not one["iscrowd"] for objects in self.annotations.values() for one in objects)


@dataclass(frozen=True)
class Scores:
    """Store COCO's figures, 0..1; nan where the images have no object that a figure is about.

    Attributes:
        figures: by name, see `FIGURES`.
        class_ap: average precision by COCO's category id.
    """

    figures: Mapping[str, float]
    class_ap: Mapping[int, float]


def score_detections(truth: GroundTruth, found: Sequence[Found], kind: Kind) -> Scores:
    """Compute COCO's twelve figures, those of pycocotools.

    A mask's size, small to large, is its own area, as that of an annotation is; COCO's ``loadRes`` takes its box's
    where a file of results holds both.

    Args:
        truth: exactly the images that were looked at.
        found: detections in them; at most the 100 best of an image count.
        kind: whether boxes or masks are compared.

    Raises:
        MissingDependency: faster-coco-eval is not installed.
        ValueError: masks are asked for, and an annotation or a detection has none.
    """
    coco, evaluation, _ = _coco_tools()
    objects = [one for annotated in truth.annotations.values() for one in annotated]
    for one in (*objects, *found) if kind == "mask" else ():
        if one.get("segmentation") is None:
            which = f"annotation {one['id']}" if "id" in one else "a detection"
            raise ValueError(f"{which} of image {one['image_id']} has no mask; score boxes, or give every object one")
    expected, given = (
        _indexed(coco, truth, annotations)
        for annotations in ([dict(one) for one in objects], _annotations(found, kind))
    )
    scorer = evaluation(expected, given, _COCO_NAMES[kind])
    scorer.evaluate()
    scorer.accumulate()
    scorer.summarize()
    figures = {name: _known(value) for name, value in zip(FIGURES, scorer.stats[:12], strict=True)}
    precision = scorer.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class; all sizes, 100 detections
    return Scores(
        figures,
        {
            int(category): float(values[values > -1].mean()) if (values > -1).any() else float("nan")
            for category, values in zip(scorer.params.catIds, np.moveaxis(precision, 2, 0), strict=True)
        },
    )


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """Return a mask's run-length code, fit for JSON.

    Raises:
        MissingDependency: faster-coco-eval is not installed.
    """
    code = _coco_tools().masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def write_detections(path: str | os.PathLike[str], found: Sequence[Found], kind: Kind) -> None:
    """Write COCO's file of results, of boxes or of masks, by a temporary name and a rename.

    One kind a file: from a file of both COCO's tools take a mask's size from its box.

    Raises:
        OSError: the file cannot be written.
    """
    left_out = "segmentation" if kind == "box" else "bbox"
    rows = [{name: value for name, value in one.items() if name != left_out} for one in found]
    replace_file(Path(path), json.dumps(rows).encode())


def _annotations(found: Sequence[Found], kind: Kind) -> list[dict[str, Any]]:
    """Return detections as pycocotools keeps them."""
    areas = [one["bbox"][2] * one["bbox"][3] for one in found]
    if kind == "mask":
        masks = _coco_tools().masks
        areas = [float(masks.area(one["segmentation"])) for one in found]
    rows = zip(found, areas, strict=True)
    return [{**one, "area": area, "iscrowd": 0, "id": number} for number, (one, area) in enumerate(rows, start=1)]


def _indexed(coco: Any, truth: GroundTruth, annotations: list[dict[str, Any]]) -> Any:
    held = coco()
    held.dataset = {
        "images": list(truth.images.values()),
        "categories": list(truth.categories),
        "annotations": annotations,
    }
    held.createIndex()
    return held


def _known(value: float) -> float:
    return float("nan") if value == -1 else float(value)


class _CocoTools(NamedTuple):
    coco: Any
    evaluation: Any
    masks: Any


def _coco_tools() -> _CocoTools:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
        from faster_coco_eval.core import mask
    except ModuleNotFoundError as error:
        raise missing_extra("faster_coco_eval", "detection") from error
    return _CocoTools(COCO, COCOeval_faster, mask)
