"""Data sets in COCO's format: photos and their objects, every field checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from prepixel.data.datasets.coco_checks import fault_of_annotation, fault_of_image, is_whole, mask_of, shown
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.datasets.folder import describe_dataset
from prepixel.data.datasets.shard_index import MANIFEST
from prepixel.data.datasets.shards import PackedDataset
from prepixel.errors import DatasetError
from prepixel.file_listing import not_a_folder
from prepixel.files import read_regular_file
from prepixel.jpeg.source import Source
from prepixel.spectrum.strict_json import DuplicateKey, unique_keys

_Find: TypeAlias = Callable[[str], tuple[str, int]]
OnError: TypeAlias = Literal["raise", "skip"]
Segmentation: TypeAlias = list[list[float]] | dict[str, Any] | None
_MAX_BYTES = 1 << 34


class CocoObject(NamedTuple):
    """Describe one annotated object.

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
    """Describe one photo and its objects.

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
    """List the photos and objects of a detection data set in COCO's format.

    Attributes:
        root: the folder of the images.
        classes: names by label, the first is label 1, in the order of COCO's category ids.
        samples: every image, by image id.
        category_ids: COCO's ids by label, the first is label 1's.
        problems: what was left out, each with file or id and the reason; none under ``on_error="raise"``.
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
        on_error: OnError = "raise",
        with_objects_only: bool = False,
        one_class: bool = False,
    ) -> None:
        """Read the annotations; no image is opened, but each must be there.

        Args:
            annotations: COCO's .json file (``instances_train2017.json``).
            images: the folder that its file names are relative to; or the shards that ``prepixel pack`` made of it.
            on_error: raise the first mistake that is found; or leave out the image or object that it is about, and list
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
            raise DatasetError(f"{folder}: {not_a_folder(folder)}; name the one that holds the images of {path.name}")
        categories = _read_categories(path, document["categories"])
        labels = {category: label for label, category in enumerate(categories, start=1)}
        names = tuple(categories.values())
        if one_class:
            labels, names = dict.fromkeys(labels, 1), ("object",)
        packed = PackedDataset(folder) if (folder / MANIFEST).is_file() else None
        find = _finder(folder) if packed is None else _finder_in_shards(packed)
        reading = _Reading(path, find, labels, on_error)
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

    def __repr__(self) -> str:
        more = [f"Classes: {len(self.classes)}", f"Left out: {len(self.problems)}"]
        return describe_dataset("CocoDataset", len(self), self.root, *more)

    def sources(self, indices: Sequence[int]) -> list[Source]:
        """Return what images are read from: their files' paths, or of shards their bytes.

        Raises:
            OSError: a shard cannot be opened.
        """
        samples = [self.samples[index] for index in indices]
        if self.packed is None:
            return [sample.path for sample in samples]
        return list(self.packed.sources([sample.place for sample in samples]))

    def num_objects(self) -> int:
        """Count the objects that are learned."""
        return sum(not one.crowd for sample in self.samples for one in sample.objects)

    def ground_truth(self) -> dict[str, Any]:
        """Return the data set as COCO's tools take it: what was read, crowds included, with COCO's category ids."""
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
    """Check images and objects; keep the good ones, and list what is wrong with the others."""

    def __init__(self, path: Path, find: _Find, labels: Mapping[int, int], on_error: OnError) -> None:
        self.path, self.find, self.labels, self.on_error = path, find, labels, on_error
        self.problems: list[str] = []

    def images(self, images: Sequence[Any], annotations: Sequence[Any]) -> Iterator[CocoImage]:
        """Yield the good images with their good objects, by image id."""
        objects: dict[int, list[Any]] = {}
        for annotation in self._with_ids(annotations, "annotation"):
            image_id = annotation.get("image_id")
            if not is_whole(image_id):
                self._note(
                    f"annotation {annotation['id']}: its image_id {shown(image_id)} is no whole number of 64 bits"
                )
                continue
            objects.setdefault(image_id, []).append(annotation)
        listed = list(self._with_ids(images, "image"))
        for image in sorted(listed, key=lambda image: int(image["id"])):
            if (reason := fault_of_image(image)) is not None:
                self._note(f"image {image['id']}: {reason}")
                continue
            try:
                file, place = self.find(image["file_name"])
            except FileNotFoundError as error:
                self._note(f"image {image['id']}: there is no file {error}")
                continue
            found = tuple(self._objects(objects.get(image["id"], []), image))
            yield CocoImage(image["id"], file, image["height"], image["width"], found, place)
        known = {image["id"] for image in listed}
        for image_id in sorted(objects.keys() - known):
            self._note(f"{len(objects[image_id])} annotations are of image {image_id}, which is not listed")

    def _with_ids(self, entries: Sequence[Any], what: str) -> Iterator[dict[str, Any]]:
        """Yield the entries that have an id of their own."""
        seen: set[int] = set()
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict) or not is_whole(entry.get("id")):
                found = shown(entry.get("id")) if isinstance(entry, dict) else shown(entry)
                of = f" of image {shown(entry.get('image_id'))}" if isinstance(entry, dict) and what != "image" else ""
                self._note(f"{what} in place {place}{of}: its id is {found}, no whole number of 64 bits")
            elif entry["id"] in seen:
                self._note(f"{what} {entry['id']}: its id is used twice")
            else:
                seen.add(entry["id"])
                yield entry

    def _objects(self, annotations: Sequence[Any], image: Mapping[str, Any]) -> Iterator[CocoObject]:
        height, width = image["height"], image["width"]
        for annotation in annotations:
            category = annotation.get("category_id")
            label = self.labels.get(category) if is_whole(category) else None
            reason = f"its category_id {shown(category)} is not listed" if label is None else None
            reason = reason or fault_of_annotation(annotation, height, width)
            if reason is not None or label is None:
                self._note(f"annotation {annotation['id']} of image {image['id']}: {reason}")
                continue
            x, y, w, h = (float(number) for number in annotation["bbox"])
            segmentation = mask_of(annotation)
            if isinstance(segmentation, list):
                segmentation = [[float(number) for number in polygon] for polygon in segmentation]
            yield CocoObject(label, (x, y, w, h), segmentation, bool(annotation.get("iscrowd", 0)))

    def _note(self, problem: str) -> None:
        if self.on_error == "raise":
            raise DatasetError(f"{self.path}: {problem}; correct it, or leave such entries out by on_error skip")
        self.problems.append(f"{self.path}: {problem}")


def _finder(folder: Path) -> _Find:
    def find(name: str) -> tuple[str, int]:
        path = folder / name
        if not os.path.isfile(path):  # noqa: PTH113  (false where the name cannot be one of a file)
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
        document = json.loads(read_regular_file(path, _MAX_BYTES), object_pairs_hook=unique_keys)
    except OSError as error:
        raise DatasetError(f"{path}: the annotations cannot be read ({error.strerror}); check the path") from error
    except DuplicateKey as error:
        raise DatasetError(f"{path}: {error}; keep one of them") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON ({error}); give COCO's instances_*.json") from error
    missing = [name for name in ("images", "annotations", "categories") if not isinstance(_get(document, name), list)]
    if missing:
        raise DatasetError(f"{path}: has no list of {' and '.join(missing)}; give COCO's instances_*.json")
    found: dict[str, Any] = document
    return found


def _read_categories(path: Path, entries: Sequence[Any]) -> dict[int, str]:
    """Return the names of the categories by id, in the order of their ids."""
    names: dict[int, str] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not is_whole(entry.get("id")):
            raise DatasetError(f"{path}: the category in place {place} has no whole number as id")
        if not isinstance(entry.get("name"), str):
            raise DatasetError(f"{path}: category {entry['id']} has no name; give each its own")
        if entry["id"] in names:
            raise DatasetError(f"{path}: two categories have the id {entry['id']}; give each its own")
        names[entry["id"]] = entry["name"]
    if not names:
        raise DatasetError(f"{path}: lists no category; give COCO's instances_*.json")
    return dict(sorted(names.items()))


def _get(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None


def _area(one: CocoObject, height: int, width: int) -> float:
    """Return the area that decides small, medium and large: the mask's, where there is one."""
    if one.segmentation is None:
        return one.box[2] * one.box[3]
    return float(run_lengths(one.segmentation, height, width).area)
