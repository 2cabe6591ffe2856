"""Other detection data sets written as COCO's: Pascal VOC and Penn-Fudan, whose masks are images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from prepixel.array_types import Integer
from prepixel.data.datasets.coco_masks import coco_masks
from prepixel.data.datasets.text_formats import read_lines
from prepixel.errors import DatasetError
from prepixel.files import replace_file

_VOID = 255  # VOC's pixels between objects


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
        DatasetError: a folder, a listed file or an annotation is missing or cannot be read.
    """
    root = Path(folder)
    for part in ("JPEGImages", "Annotations"):
        if not (root / part).is_dir():
            raise DatasetError(f"{root}: has no folder {part}; give one in Pascal VOC's layout, such as VOC2012")
    if names is None:
        stems = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    else:
        listing = root / "ImageSets" / f"{names}.txt"
        if not listing.is_file():
            raise DatasetError(f"{listing}: no such list; name one below ImageSets, such as Main/train")
        lines = read_lines(listing, "the list", "give one name per line, as in ImageSets/Main/train.txt")
        stems = [words[0] for line in lines if (words := re.findall(r"[^ \t]+", line))]
    images, objects = [], []
    for number, stem in enumerate(stems, start=1):
        tree = _xml(root / "Annotations" / f"{stem}.xml")
        file, height, width = _described(tree, root, stem)
        images.append({"id": number, "file_name": file, "height": height, "width": width})
        objects += [(number, *found) for found in _voc_objects(tree, root, stem, (height, width))]
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
        mask = _picture(root / "PedMasks" / f"{path.stem}_mask.png")
        images.append({"id": number, "file_name": path.name, "height": mask.shape[0], "width": mask.shape[1]})
        people = [mask == value for value in sorted(set(np.unique(mask).tolist()) - {0})]
        objects += [(number, "person", _box_of(person), person, False) for person in people]
    return _write(Path(output), images, objects)


_Found = tuple[str, list[float], Any, bool]


def _voc_objects(tree: ET.Element, root: Path, stem: str, size: tuple[int, int]) -> Iterator[_Found]:
    path = root / "SegmentationObject" / f"{stem}.png"
    mask = _picture(path) if path.is_file() else None
    if mask is not None and mask.shape != size:
        raise DatasetError(f"{path}: is {mask.shape[1]} x {mask.shape[0]} pixels, and its photo {size[1]} x {size[0]}")
    for value, one in enumerate(tree.iterfind("object"), start=1):
        edges = [one.findtext(f"bndbox/{edge}", "") for edge in ("xmin", "ymin", "xmax", "ymax")]
        if not all(re.fullmatch(r"\d+(\.\d+)?", edge) for edge in edges):
            raise DatasetError(f"{root / 'Annotations' / stem}.xml: object {value} has a bndbox of {edges}")
        left, top, right, bottom = map(float, edges)
        box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
        found = None if mask is None else mask == value
        difficult = one.findtext("difficult", "0").strip() == "1"
        yield one.findtext("name", "").strip(), box, None if found is None or not found.any() else found, difficult


def _described(tree: ET.Element, root: Path, stem: str) -> tuple[str, int, int]:
    """Return the photo's file name and size, the size as the file itself has it."""
    name = tree.findtext("filename", f"{stem}.jpg").strip()
    path = root / "JPEGImages" / name
    try:
        with Image.open(path) as picture:
            return name, picture.height, picture.width
    except OSError as error:
        raise DatasetError(f"{path}: the photo of {stem}.xml cannot be opened ({error})") from error


def _xml(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise DatasetError(f"{path}: the annotation cannot be read ({error})") from error


def _picture(path: Path) -> Integer[np.ndarray, "h w"]:
    try:
        with Image.open(path) as picture:
            values = np.array(picture)
    except OSError as error:
        raise DatasetError(f"{path}: the mask cannot be read ({error})") from error
    if values.ndim != 2:
        raise DatasetError(f"{path}: is a picture in colors, not one of object numbers")
    return np.where(values == _VOID, 0, values)


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
