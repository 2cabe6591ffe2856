"""Other detection data sets written as COCO's: Pascal VOC and Penn-Fudan, whose masks are images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from prepixel.data.datasets.coco_masks import coco_masks
from prepixel.data.datasets.voc import read_object_numbers, read_voc
from prepixel.errors import DatasetError
from prepixel.files import replace_file


def coco_from_voc(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], *, names: str | None = None
) -> dict[str, Any]:
    """Write a data set in Pascal VOC's layout as COCO's annotations.

    Boxes are VOC's, whose pixels count from 1 and include both ends. Objects that VOC calls difficult become crowds:
    neither learned nor scored. Photos with a picture in ``SegmentationObject`` get masks as well, matched to boxes by
    VOC's own rule: the n-th object is of value n.

    Args:
        folder: holds ``JPEGImages``, ``Annotations`` and perhaps ``SegmentationObject``.
        output: the .json file to write, whole or not at all. File names in it are relative to ``JPEGImages``.
        names: a list of ``ImageSets`` such as ``Main/train`` or ``Segmentation/val``; None for all annotations.

    Returns:
        What was written.

    Raises:
        DatasetError: a folder, a listed file or an annotation is missing or cannot be read; a photo is listed or
            annotated twice; an annotation is for another size of its photo; an object has no name, a box without area
            or outside its photo, or a field twice.
    """
    images, objects = [], []
    for number, photo in enumerate(read_voc(Path(folder), names), start=1):
        image = {"id": number, "file_name": photo.file_name, "height": photo.height, "width": photo.width}
        images.append(image)
        objects += [(number, *found) for found in photo.objects]
    return _write(Path(output), images, objects)


def coco_from_penn_fudan(folder: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the Penn-Fudan pedestrians as COCO's annotations: one class, a mask and its box for each person.

    Args:
        folder: holds ``PNGImages`` and ``PedMasks``, in which the pixels of the n-th person are n.
        output: the .json file to write, whole or not at all. File names in it are relative to ``PNGImages``.

    Returns:
        What was written.

    Raises:
        DatasetError: a folder or a mask is missing or cannot be read.
    """
    root = Path(folder)
    for part in ("PNGImages", "PedMasks"):
        if not (root / part).is_dir():
            raise DatasetError(f"{root}: has no folder {part}; give the folder PennFudanPed")
    images, objects = [], []
    for number, path in enumerate(sorted((root / "PNGImages").iterdir()), start=1):
        mask = read_object_numbers(root / "PedMasks" / f"{path.stem}_mask.png")
        images.append({"id": number, "file_name": path.name, "height": mask.shape[0], "width": mask.shape[1]})
        people = [mask == value for value in sorted(set(np.unique(mask).tolist()) - {0})]
        objects += [(number, "person", _box_of(person), person, False) for person in people]
    return _write(Path(output), images, objects)


def _box_of(mask: np.ndarray) -> list[float]:
    ys, xs = mask.nonzero()
    return [float(xs.min()), float(ys.min()), float(np.ptp(xs) + 1), float(np.ptp(ys) + 1)]


def _write(output: Path, images: list[dict[str, Any]], objects: list[tuple[Any, ...]]) -> dict[str, Any]:
    names = sorted({name for _, name, *_ in objects})
    tools = coco_masks()
    annotations = []
    for number, (image, name, box, mask, crowd) in enumerate(objects, start=1):
        entry = {"id": number, "image_id": image, "category_id": 1 + names.index(name), "bbox": box}
        entry |= {"iscrowd": int(crowd), "area": box[2] * box[3] if mask is None else int(mask.sum())}
        if mask is not None:
            code = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
            entry["segmentation"] = {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}
        annotations.append(entry)
    categories = [{"id": place, "name": name} for place, name in enumerate(names, start=1)]
    document = {"images": images, "categories": categories, "annotations": annotations}
    replace_file(output, json.dumps(document).encode("utf-8"))
    return document
