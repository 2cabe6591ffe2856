"""A label for every pixel: drawn from COCO's objects, or read from mask images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.segmentation_files import SIZES, UNLABELED, mask_of, write

from prepixel.data.datasets.coco import CocoObject
from prepixel.data.datasets.coco_label_maps import CocoLabelMaps, draw_objects
from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.datasets.mask_images import MaskImageDataset
from prepixel.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def square(left: int, top: int, side: int) -> list[list[float]]:
    return [[float(x) for x in (left, top, left + side, top, left + side, top + side, left, top + side)]]


def one(label: int, segmentation: Any, box: tuple[float, ...] = (0, 0, 1, 1), *, crowd: bool = False) -> CocoObject:
    return CocoObject(label, tuple(map(float, box)), segmentation, crowd)  # type: ignore[arg-type]


def test_objects_become_labels(folder: Path) -> None:
    photos = CocoLabelMaps(folder / "train.json", folder / "photos")
    assert isinstance(photos, LabeledPhotos)
    assert photos.classes == ("background", "lamp")
    assert (len(photos), photos.problems, photos.root) == (3, (), folder / "photos")
    for index, number in enumerate((1, 2, 3)):
        assert photos.sources([index]) == [str(folder / "photos" / f"{number}.jpg")]
        assert np.array_equal(photos.label_map(index), mask_of(number))
    empty = CocoLabelMaps(folder / "val.json", folder / "photos").label_map(1)
    assert empty.shape == SIZES[UNLABELED]
    assert not empty.any()


def test_pixels_of_several_objects() -> None:
    """Of one category they are of it; of two they are of neither; a box without a mask is unknown; crowds count."""
    labels = draw_objects([one(1, square(0, 0, 4)), one(2, square(2, 2, 4)), one(1, square(3, 0, 3))], 8, 8)
    expected = np.zeros((8, 8), dtype=np.uint8)
    expected[2:6, 2:6] = 2
    expected[0:4, 0:4] = 1
    expected[0:3, 3:6] = 1
    expected[2:4, 2:4] = 255
    expected[2:3, 3:6] = 255
    assert np.array_equal(labels, expected)
    unknown = draw_objects([one(2, None, (1.5, 2, 3, 2)), one(1, square(0, 0, 3), crowd=True)], 6, 7)
    expected = np.zeros((6, 7), dtype=np.uint8)
    expected[2:4, 1:5] = 255
    expected[0:3, 0:3] = 1
    assert np.array_equal(unknown, expected)


def test_categories_may_be_taken_for_one(folder: Path) -> None:
    document = json.loads((folder / "train.json").read_text())
    document["categories"].append({"id": 9, "name": "moon"})
    document["annotations"][1]["category_id"] = 9
    (folder / "two.json").write_text(json.dumps(document))
    assert CocoLabelMaps(folder / "two.json", folder / "photos").label_map(1).max() == 2
    photos = CocoLabelMaps(folder / "two.json", folder / "photos", one_class=True)
    assert photos.classes == ("background", "object")
    assert photos.label_map(1).max() == 1
    document["categories"] += [{"id": 100 + k, "name": str(k)} for k in range(253)]
    (folder / "many.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="lists 255 categories, and a label map can have 254 beside the background"):
        CocoLabelMaps(folder / "many.json", folder / "photos")


def test_masks_are_read_by_place_in_the_palette(folder: Path) -> None:
    photos = MaskImageDataset(folder / "photos", folder / "masks", classes=folder / "classes.txt")
    assert isinstance(photos, LabeledPhotos)
    assert (photos.classes, len(photos)) == (("background", "lamp"), 5)
    for index, number in enumerate(sorted(SIZES)):
        expected = mask_of(number)
        expected[0] = 255
        assert np.array_equal(photos.label_map(index), expected)
    assert repr(photos).startswith("Dataset MaskImageDataset\n    Number of datapoints: 5\n")
    listed = MaskImageDataset(
        folder / "photos", folder / "masks", classes=["background", "lamp"], names=folder / "val.txt"
    )
    assert [Path(sample.path).name for sample in listed.samples] == ["4.jpg", "5.jpg"]


def test_the_ignore_label_may_be_another(folder: Path) -> None:
    gray = np.array([[0, 1, 2], [2, 1, 3]], dtype=np.uint8)
    (folder / "gray").mkdir()
    Image.fromarray(gray).save(folder / "gray" / "1.png")
    known = MaskImageDataset(folder / "photos", folder / "gray", classes=["a", "b", "c", "d"], ignore_label=0)
    assert known.label_map(0).tolist() == [[255, 1, 2], [2, 1, 3]]
    fewer = MaskImageDataset(folder / "photos", folder / "gray", classes=["a", "b", "c"])
    with pytest.raises(DatasetError, match=r"1\.png: has pixels of label 3, and there are 3 classes, from 0, and the"):
        fewer.label_map(0)
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(folder / "gray" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png: the mask cannot be read"):
        fewer.label_map(0)


def test_photos_and_masks_that_do_not_fit_are_refused(folder: Path) -> None:
    def opened(**changes: Any) -> MaskImageDataset:
        given = {"photos": folder / "photos", "masks": folder / "masks", "classes": ["a", "b"]} | changes
        return MaskImageDataset(given.pop("photos"), given.pop("masks"), **given)

    (folder / "other").mkdir()
    for changes, text in (
        ({"photos": folder / "none"}, f"{folder / 'none'}: no such folder"),
        ({"photos": folder / "other"}, f"{folder / 'other'}: holds no image file"),
        ({"classes": [str(k) for k in range(256)]}, "256 classes and the ignore label 255; there can be 1 to 255"),
        ({"ignore_label": 256}, "and an ignore label of 0 to 255"),
    ):
        with pytest.raises(DatasetError, match=re.escape(text)):
            opened(**changes)
    names = folder / "names.txt"
    for content, text in (
        ("1\n\n9\n", "has no photo 9; each photo needs a mask of its name"),
        ("1\n1\n", "lists '1' twice; list each photo once"),
        ("../1\n", "'../1' lies outside the folder of the photos"),
        ("\n", "lists no photo; it should hold a name a line"),
    ):
        names.write_text(content)
        with pytest.raises(DatasetError, match=re.escape(text)):
            opened(names=names)
    (folder / "photos" / "2.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"2\.png: and 2\.jpg are both named 2; keep one"):
        opened()
    (folder / "photos" / "2.png").unlink()
    (folder / "masks" / "7.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="has no photo 7; each photo needs a mask of its name"):
        opened()
