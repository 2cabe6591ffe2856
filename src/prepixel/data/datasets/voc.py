"""Annotations of Pascal VOC's layout, every field checked: what is unclear is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

from prepixel.array_types import Bool, Integer
from prepixel.data.datasets.coco_checks import fault_of_box
from prepixel.data.datasets.label_maps import IGNORE, read_mask
from prepixel.data.datasets.text_formats import check_stems, leaves_folder, read_lines
from prepixel.errors import DatasetError, PrepixelError, reason_of
from prepixel.files import read_regular_file
from prepixel.jpeg.pixel_fallback import read_size

_MAX_BYTES = 1 << 24
_EDGES = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    """Describe one annotated object.

    Attributes:
        name: of its class.
        box: x of the left edge, y of the top edge, width, height; edges are continuous and count from 0.
        mask: true where it is; None without a mask.
        difficult: VOC neither trains nor scores it.
    """

    name: str
    box: list[float]
    mask: Bool[np.ndarray, "h w"] | None
    difficult: bool


class VocPhoto(NamedTuple):
    """Describe one photo.

    Attributes:
        file_name: relative to ``JPEGImages``.
        height, width: in pixels, upright, as the file itself says.
        objects: in the order of its annotation.
    """

    file_name: str
    height: int
    width: int
    objects: tuple[VocObject, ...]


def read_voc(root: Path, names: str | None) -> Iterator[VocPhoto]:
    """Yield the photos of a list below ``ImageSets``, or of all annotations.

    Raises:
        DatasetError: a folder, list, photo, mask or annotation is missing, or a field of one is unclear.
    """
    for part in ("JPEGImages", "Annotations"):
        if not (root / part).is_dir():
            raise DatasetError(f"{root}: has no folder {part}; give one in Pascal VOC's layout, such as VOC2012")
    photos: dict[str, str] = {}
    for stem in _stems(root, names):
        photo = _read_photo(root, stem)
        if photo.file_name in photos:
            raise DatasetError(
                f"{root / 'Annotations'}: {photos[photo.file_name]}.xml and {stem}.xml both annotate "
                f"{photo.file_name}; keep one, or correct its filename"
            )
        photos[photo.file_name] = stem
        yield photo


def _stems(root: Path, names: str | None) -> list[str]:
    if names is None:
        stems = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
        if not stems:
            raise DatasetError(f"{root / 'Annotations'}: holds no .xml file; give the folder that holds them")
        return stems
    listing = root / "ImageSets" / f"{names}.txt"
    if not listing.is_file():
        raise DatasetError(f"{listing}: no such list; name one below ImageSets, such as Main/train")
    lines = read_lines(listing, "the list", "give one name per line, as in ImageSets/Main/train.txt")
    stems = [words[0] for line in lines if (words := re.findall(r"[^ \t]+", line))]
    if not stems:
        raise DatasetError(f"{listing}: the list is empty; give one name per line")
    return check_stems(stems, listing, "Annotations")


def _read_photo(root: Path, stem: str) -> VocPhoto:
    path = root / "Annotations" / f"{stem}.xml"
    tree = _xml(path)
    name = _text(tree, "filename", path) or f"{stem}.jpg"
    if leaves_folder(name):
        raise DatasetError(f"{path}: its filename {name!r} lies outside JPEGImages; name a file below it")
    photo = root / "JPEGImages" / name
    try:
        height, width = read_size(photo)
    except (OSError, PrepixelError) as error:
        raise DatasetError(
            f"{photo}: the photo of {stem}.xml cannot be opened ({reason_of(error)}); correct its filename, or fetch "
            "it again"
        ) from error
    _check_size(tree, path, (height, width))
    return VocPhoto(name, height, width, tuple(_objects(tree, path, root, stem, (height, width))))


def _check_size(tree: ET.Element, path: Path, size: tuple[int, int]) -> None:
    """Refuse boxes that were drawn on a picture of another size. A size of 0, as some tools write, says nothing."""
    said = [_text(tree, f"size/{side}", path) for side in ("height", "width")]
    if not all(said) or "0" in said:
        return
    if not all(re.fullmatch(r"\d{1,9}", side) for side in said):
        raise DatasetError(f"{path}: its size is {said[0]} x {said[1]} (height x width), not whole numbers")
    if (found := (int(said[0]), int(said[1]))) != size:
        turned = " (the photo is turned by its Exif orientation)" if found == size[::-1] else ""
        raise DatasetError(
            f"{path}: its boxes are for {said[0]} x {said[1]} pixels (height x width), and the photo has "
            f"{size[0]} x {size[1]}, upright{turned}; annotate the photo as it is"
        )


def _objects(tree: ET.Element, path: Path, root: Path, stem: str, size: tuple[int, int]) -> Iterator[VocObject]:
    numbers = root / "SegmentationObject" / f"{stem}.png"
    mask = read_object_numbers(numbers) if numbers.is_file() else None
    if mask is not None and mask.shape != size:
        raise DatasetError(
            f"{numbers}: is {mask.shape[1]} x {mask.shape[0]} pixels, and its photo {size[1]} x {size[0]}"
        )
    objects = tree.findall("object")
    for number, one in enumerate(objects, start=1):
        where = f"{path}: object {number}"
        name = _text(one, "name", where)
        if not name:
            raise DatasetError(f"{where} has no name; name its class")
        if (difficult := _text(one, "difficult", where) or "0") not in {"0", "1"}:
            raise DatasetError(f"{where} is difficult {difficult!r}, not 0 or 1")
        found = None if mask is None else mask == number
        box = _box(one, where, size)
        yield VocObject(name, box, None if found is None or not found.any() else found, difficult == "1")
    if mask is not None and (most := int(mask.max(initial=0))) > len(objects):
        raise DatasetError(f"{numbers}: has an object {most}, and {path.name} lists {len(objects)}")


def _box(one: ET.Element, where: str, size: tuple[int, int]) -> list[float]:
    """Return a box as COCO has it: VOC's pixels count from 1, and both ends belong to it."""
    edges = [_text(one, f"bndbox/{edge}", where) for edge in _EDGES]
    if not all(re.fullmatch(r"\d{1,9}(\.\d+)?", edge) for edge in edges):
        raise DatasetError(f"{where} has a bndbox of {edges}; give xmin, ymin, xmax and ymax as numbers from 1")
    left, top, right, bottom = map(float, edges)
    box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    if (fault := fault_of_box(box, *size)) is not None:
        raise DatasetError(f"{where} has a bndbox of {edges}: as COCO's, {fault}")
    return box


def _text(element: ET.Element, tag: str, where: Path | str) -> str:
    """Return the text of a field, without blanks at its ends; empty where there is no such field."""
    found = element.findall(tag)
    if len(found) > 1:
        raise DatasetError(f"{where} has {len(found)} fields {tag}; leave one")
    return (found[0].text or "").strip() if found else ""


class _NoDoctype(ET.TreeBuilder):
    """Refuse document types, whose entities may stand for any text of any length; VOC has none."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise ValueError(f"it declares a document type, {name}, which VOC's annotations do not have")


def _xml(path: Path) -> ET.Element:
    try:
        return ET.fromstring(read_regular_file(path, _MAX_BYTES), ET.XMLParser(target=_NoDoctype()))
    except (OSError, ValueError, LookupError, ET.ParseError) as error:
        raise DatasetError(f"{path}: the annotation cannot be read ({reason_of(error)}); give VOC's XML") from error


def read_object_numbers(path: Path) -> Integer[np.ndarray, "h w"]:
    """Read a picture whose pixels are the numbers of objects; VOC's border between objects becomes 0.

    Raises:
        DatasetError: it cannot be read, or is one in colors.
    """
    values = read_mask(path)
    return np.where(values == IGNORE, 0, values)
