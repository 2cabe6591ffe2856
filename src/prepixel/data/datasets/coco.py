"""Data sets in COCO's format: which photos, which objects, each checked before it is believed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.datasets.shards import MANIFEST, PackedDataset
from prepixel.errors import DatasetError
from prepixel.jpeg.source import Source

_Find: TypeAlias = Callable[[str], tuple[str, int]]
OnBad: TypeAlias = Literal["raise", "skip"]
Segmentation: TypeAlias = list[list[float]] | dict[str, Any] | None
# Boxes of real data sets stick out of their images by a rounding of their makers; more than that is a mistake.
_SLACK_PIXELS = 1.0
_FAR = 16  # times the photo's longer side


class CocoObject(NamedTuple):
    """Hold one annotated object.

    Attributes:
        label: 1 or more, an index into the data set's classes plus 1.
        box: x of the left edge, y of the top edge, width, height, in pixels of the image; its edges are continuous.
        segmentation: polygons of x, y, x, y, ...; or a run-length code; None without a mask.
        crowd: it stands for many objects, is not learned, and neither rewarded nor punished in scoring.
    """

    label: int
    box: tuple[float, float, float, float]
    segmentation: Segmentation
    crowd: bool


class CocoImage(NamedTuple):
    """Hold one photo and what it shows.

    Attributes:
        image_id: COCO's.
        path: its file; of shards the shard's and the member's.
        height, width: in pixels, upright.
        objects: those that are learned and those that are crowds.
        place: among the samples of shards; 0 for a file.
    """

    image_id: int
    path: str
    height: int
    width: int
    objects: tuple[CocoObject, ...]
    place: int = 0


@dataclass(frozen=True, init=False)
class CocoDataset:
    """Hold a detection data set in COCO's format.

    Attributes:
        root: the folder of the images.
        classes: names by label, the first is label 1, in the order of COCO's category ids.
        samples: every image, by image id.
        category_ids: COCO's ids by label, the first is label 1's.
        problems: what was left out, each with file or id and the reason; none under ``on_bad="raise"``.
        packed: the shards that hold the photos; None where they are files.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[CocoImage, ...]
    category_ids: tuple[int, ...]
    problems: tuple[str, ...]
    packed: PackedDataset | None

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        on_bad: OnBad = "raise",
        with_objects_only: bool = False,
        one_class: bool = False,
    ) -> None:
        """Read the annotations; no image is opened, but each must be there.

        Args:
            annotations: COCO's .json file (``instances_train2017.json``).
            images: the folder that its file names are relative to; or the shards that ``prepixel pack`` made of it.
            on_bad: raise the first mistake that is found; or leave out the image or object that it is about, and list
                it in `problems`.
            with_objects_only: leave out images that show nothing to be learned, as training scripts do. They are not
                problems.
            one_class: take all categories for one, "object": what is asked is where objects are, not which.

        Raises:
            DatasetError: the file cannot be read or is not COCO's; or a mistake was found, under ``raise``.
        """
        path, folder = Path(annotations), Path(images)
        document = _read(path)
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder; name the one that holds the images of {path.name}")
        categories = sorted(document["categories"], key=lambda category: int(category["id"]))
        if any(not isinstance(category.get("name"), str) for category in categories):
            raise DatasetError(f"{path}: a category has no name; give each its own")
        labels = {int(category["id"]): label for label, category in enumerate(categories, start=1)}
        if len(labels) != len(categories) or not categories:
            raise DatasetError(f"{path}: two categories share an id, or there is none; give each its own")
        names = tuple(str(category["name"]) for category in categories)
        if one_class:
            labels, names = dict.fromkeys(labels, 1), ("object",)
        packed = PackedDataset(folder) if (folder / MANIFEST).is_file() else None
        find = _finder(folder) if packed is None else _finder_in_shards(packed)
        reading = _Reading(path, find, labels, on_bad)
        samples = tuple(reading.images(document["images"], document["annotations"]))
        if with_objects_only:
            samples = tuple(s for s in samples if any(not one.crowd for one in s.objects))
        if not samples:
            raise DatasetError(f"{path}: no image is left; problems: {'; '.join(reading.problems[:3]) or 'none'}")
        object.__setattr__(self, "root", folder)
        object.__setattr__(self, "classes", names)
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "category_ids", (1,) if one_class else tuple(labels))
        object.__setattr__(self, "problems", tuple(reading.problems))
        object.__setattr__(self, "packed", packed)

    def __len__(self) -> int:
        return len(self.samples)

    def source(self, image: CocoImage) -> Source:
        """Give what an image is read from: its file's path, or of shards its bytes.

        Raises:
            OSError: its shard cannot be opened.
        """
        return image.path if self.packed is None else self.packed.sources([image.place])[0]

    def num_objects(self) -> int:
        """Count the objects that are learned."""
        return sum(not one.crowd for sample in self.samples for one in sample.objects)

    def ground_truth(self) -> dict[str, Any]:
        """Give the data set as COCO's tools take it: what was read, crowds included, with COCO's category ids."""
        number = iter(range(1, 1 + sum(len(sample.objects) for sample in self.samples)))
        return {
            "images": [{"id": s.image_id, "height": s.height, "width": s.width} for s in self.samples],
            "categories": [
                {"id": id_, "name": name} for id_, name in zip(self.category_ids, self.classes, strict=True)
            ],
            "annotations": [
                {
                    "id": next(number),
                    "image_id": sample.image_id,
                    "category_id": self.category_ids[one.label - 1],
                    "bbox": list(one.box),
                    "area": _area(one, sample.height, sample.width),
                    "iscrowd": int(one.crowd),
                    **({} if one.segmentation is None else {"segmentation": one.segmentation}),
                }
                for sample in self.samples
                for one in sample.objects
            ],
        }


class _Reading:
    """Check images and objects; keep the good ones, and say what is wrong with the others."""

    def __init__(self, path: Path, find: _Find, labels: Mapping[int, int], on_bad: OnBad) -> None:
        self.path, self.find, self.labels, self.on_bad = path, find, labels, on_bad
        self.problems: list[str] = []

    def images(self, images: Sequence[Any], annotations: Sequence[Any]) -> Iterator[CocoImage]:
        """Yield the good images with their good objects, by image id."""
        objects: dict[int, list[Any]] = {}
        seen: set[int] = set()
        for annotation in annotations:
            number = annotation.get("id")
            if number in seen:
                self._note(f"annotation {number}: its id is used twice")
                continue
            seen.add(number)
            if not isinstance(annotation.get("image_id"), int):
                self._note(f"annotation {number}: its image_id is no whole number")
                continue
            objects.setdefault(annotation["image_id"], []).append(annotation)
        known: set[int] = set()
        for image in sorted(images, key=lambda image: int(image["id"])):
            if image["id"] in known:
                self._note(f"image {image['id']}: its id is used twice")
                continue
            known.add(image["id"])
            if (reason := self._fault_of_image(image)) is not None:
                self._note(f"image {image['id']}: {reason}")
                continue
            try:
                file, place = self.find(image["file_name"])
            except FileNotFoundError as error:
                self._note(f"image {image['id']}: there is no file {error}")
                continue
            found = tuple(self._objects(objects.get(image["id"], []), image))
            yield CocoImage(int(image["id"]), file, int(image["height"]), int(image["width"]), found, place)
        for image_id in objects.keys() - known:
            self._note(f"{len(objects[image_id])} annotations are of image {image_id}, which is not listed")

    def _fault_of_image(self, image: Mapping[str, Any]) -> str | None:
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            return "has no file_name"
        sides = [image.get("height"), image.get("width")]
        if not all(isinstance(side, int) and side > 0 for side in sides):
            return f"height and width are {sides}, not whole numbers above 0"
        return None

    def _objects(self, annotations: Sequence[Any], image: Mapping[str, Any]) -> Iterator[CocoObject]:
        height, width = image["height"], image["width"]
        for annotation in annotations:
            crowd = bool(annotation.get("iscrowd", 0))
            box, segmentation = annotation.get("bbox"), annotation.get("segmentation") or None
            category = annotation.get("category_id")
            label = self.labels.get(category) if isinstance(category, int) else None
            reason = "its category_id is not listed" if label is None else _fault_of_box(box, height, width)
            reason = reason or _fault_of_segmentation(segmentation, height, width)
            if reason is not None or label is None:
                self._note(f"annotation {annotation.get('id')} of image {image['id']}: {reason}")
                continue
            x, y, w, h = (float(number) for number in box)
            if isinstance(segmentation, list):
                segmentation = [[float(number) for number in polygon] for polygon in segmentation]
            yield CocoObject(label, (x, y, w, h), segmentation, crowd)

    def _note(self, problem: str) -> None:
        if self.on_bad == "raise":
            raise DatasetError(f"{self.path}: {problem}; mend it, or leave such things out by on_bad skip")
        self.problems.append(f"{self.path}: {problem}")


def _finder(folder: Path) -> _Find:
    def find(name: str) -> tuple[str, int]:
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(path)
        return str(path), 0

    return find


def _finder_in_shards(packed: PackedDataset) -> _Find:
    places = {name: place for place, name in enumerate(packed.names())}

    def find(name: str) -> tuple[str, int]:
        place = places.get(name)
        if place is None:
            raise FileNotFoundError(f"{name} in the shards of {packed.root}")
        return packed.samples[place].path, place

    return find


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: the annotations cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error}); give COCO's instances_*.json") from error
    missing = [name for name in ("images", "annotations", "categories") if not isinstance(_get(document, name), list)]
    if missing:
        raise DatasetError(f"{path}: has no list of {' and '.join(missing)}; give COCO's instances_*.json")
    for name in ("images", "annotations", "categories"):
        for place, entry in enumerate(document[name]):
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                raise DatasetError(f"{path}: entry {place} of {name} has no whole number as id")
    found: dict[str, Any] = document
    return found


def _get(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None


def _fault_of_box(box: Any, height: int, width: int) -> str | None:
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(x, int | float) for x in box)
    if not numbers or not all(map(math.isfinite, box)):
        return f"its bbox is {box}, not x, y, width, height"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return f"its bbox is {box}, and has no area"
    slack = _SLACK_PIXELS
    if min(x, y) < -slack or x + w > width + slack or y + h > height + slack:
        return f"its bbox is {box}, and sticks out of {width} x {height} pixels"
    return None


def _fault_of_segmentation(segmentation: Any, height: int, width: int) -> str | None:
    if segmentation is None:
        return None
    if isinstance(segmentation, dict):
        return _fault_of_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        return "its mask is neither polygons nor a run-length code"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return "a polygon of its mask has fewer than three corners, or half a corner"
        if not all(isinstance(x, int | float) and math.isfinite(x) for x in polygon):
            return "a polygon of its mask has corners that are no numbers"
        # what draws polygons takes memory by their outline
        if max(map(abs, polygon)) > _FAR * max(height, width):
            return "a polygon of its mask has corners far outside the photo"
    return None


def _fault_of_runs(code: Mapping[str, Any], height: int, width: int) -> str | None:
    counts = code.get("counts")
    if code.get("size") != [height, width]:
        return f"its mask is of size {code.get('size')}, and the image of [{height}, {width}]"
    if isinstance(counts, str):
        runs = _decoded_runs(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) and run >= 0 for run in counts):
        runs = counts
    else:
        return "its mask has no counts of pixels"
    if runs is None:
        return "its mask's counts are no compressed run lengths"
    return None if sum(runs) == height * width else f"its mask's runs cover {sum(runs)} pixels of {height * width}"


def _decoded_runs(text: str) -> list[int] | None:
    """Read COCO's compressed run lengths: six bits a letter, least significant first; from the fourth run on,
    differences from the run before the last. None for a text that is none. Source: COCO's mask format.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return None
        value = shift = 0
    return None if shift else runs


def _area(one: CocoObject, height: int, width: int) -> float:
    """Give the area that decides small, medium and large: the mask's, where there is one."""
    if one.segmentation is None:
        return one.box[2] * one.box[3]
    return float(run_lengths(one.segmentation, height, width).area)
