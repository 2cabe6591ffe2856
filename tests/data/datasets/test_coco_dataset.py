"""COCO annotations: what is read, left out or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.coco_files import document, write, write_photos

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.coco_checks import decode_runs
from prepixel.data.datasets.coco_masks import coco_masks
from prepixel.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(folder: Path) -> CocoDataset:
    return CocoDataset(write(folder, document()), folder)


def test_classes_labels_and_crowds_are_read(dataset: CocoDataset) -> None:
    assert dataset.classes == ("cat", "hat")
    assert dataset.category_ids == (3, 7)
    assert [len(sample.objects) for sample in dataset.samples] == [2, 1, 0, 1]
    assert [one.label for one in dataset.samples[0].objects] == [2, 1]
    assert dataset.samples[1].objects[0].crowd
    assert dataset.num_objects() == 3
    assert dataset.problems == ()


def test_ground_truth_is_what_pycocotools_reads(dataset: CocoDataset, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    path = tmp_path / "truth.json"
    path.write_text(json.dumps(dataset.ground_truth()))
    truth = COCO(str(path))
    assert truth.getCatIds() == [3, 7]
    assert truth.getImgIds() == [1, 2, 3, 4]
    found = truth.loadAnns(truth.getAnnIds(imgIds=[1, 2]))
    assert [one["iscrowd"] for one in found] == [0, 0, 1]
    assert [one["area"] for one in found] == [40 * 40, 1, 800]


def test_images_without_objects_are_left_out_where_asked(folder: Path) -> None:
    path = write(folder, document())
    assert [s.image_id for s in CocoDataset(path, folder, with_objects_only=True).samples] == [1, 4]


def test_all_categories_are_one_where_asked(folder: Path) -> None:
    images = CocoDataset(write(folder, document()), folder, one_class=True)
    assert (images.classes, images.category_ids, images.num_objects()) == (("object",), (1,), 3)
    assert {one.label for sample in images.samples for one in sample.objects} == {1}
    truth = images.ground_truth()
    assert truth["categories"] == [{"id": 1, "name": "object"}]
    assert {one["category_id"] for one in truth["annotations"]} == {1}


@pytest.mark.parametrize(
    ("where", "key", "value", "reason"),
    [
        (("annotations", 0), "bbox", [1, 2, 3], r"annotation 10 of image 1: its bbox is \[1, 2, 3\], not x, y"),
        (("annotations", 0), "bbox", [1.0, 2.0, 0.0, 4.0], "and has no area"),
        (("annotations", 0), "bbox", [100.0, 2.0, 40.0, 4.0], "and sticks out of 128 x 96 pixels"),
        (("annotations", 0), "bbox", [1.0, 2.0, float("nan"), 4.0], "not x, y, width, height"),
        (("annotations", 0), "category_id", 5, "annotation 10 of image 1: its category_id 5 is not listed"),
        (("annotations", 0), "segmentation", [[1, 2, 3, 4]], "fewer than three corners, or half a corner"),
        (("annotations", 0), "segmentation", [[1, 2, 3, 4, 5, "x"]], "corners that are no numbers"),
        (("annotations", 2), "segmentation", {"size": [8, 9], "counts": []}, r"of size \[8, 9\], and the image of"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": [7]}, "runs cover 7 pixels of 9600"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": [-4, 9604]}, "has no counts of pixels"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": 9600}, "has no counts of pixels"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": "~"}, "are no compressed run lengths"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": "Zé"}, "are no compressed run lengths"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": "`<P"}, "are no compressed run lengths"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": "`<"}, "runs cover 400 pixels of 9600"),
        (("annotations", 0), "segmentation", 7, "its mask is neither polygons nor a run-length code"),
        (("annotations", 0), "segmentation", [[1e9, 2, 3, 4, 5, 6]], "corners far outside the photo"),
        (("annotations", 0), "category_id", [3], r"its category_id \[3\] is not listed"),
        (("annotations", 0), "image_id", [1], r"annotation 10: its image_id \[1\] is no whole number of 64 bits"),
        (("annotations", 1), "id", 10, "annotation 10: its id is used twice"),
        (("annotations", 0), "image_id", 99, "1 annotations are of image 99, which is not listed"),
        (("images", 0), "file_name", "x.jpg", "image 1: there is no file .*x.jpg"),
        (("images", 0), "file_name", 3, "image 1: has no file_name"),
        (("images", 0), "height", 0, r"image 1: height and width are \[0, 128\], not whole numbers above 0"),
        (("images", 1), "id", 1, "image 1: its id is used twice"),
        (("images", 0), "id", 2**63 + 5, "image in place 0: its id is 9223372036854775813, no whole number of 64 bits"),
        (("images", 0), "id", True, "image in place 0: its id is True, no whole number"),
        (("images", 0), "height", 10**4000, "height and width are "),
        (("images", 0), "height", True, r"height and width are \[True, 128\], not whole numbers"),
        (("images", 0), "width", 70_000, r"height and width are \[96, 70000\]; there can be 65535 each"),
        (("images", 0), "file_name", "../1.jpg", "image 1: its file_name '../1.jpg' lies outside the folder"),
        (("images", 0), "file_name", "a/../../1.jpg", "lies outside the folder of the images"),
        (("images", 0), "file_name", "/etc/passwd", "lies outside the folder of the images"),
        (("images", 0), "file_name", "a\0.jpg", "lies outside the folder of the images"),
        (("images", 0), "file_name", "x" * 300, "image 1: there is no file"),
        (("annotations", 0), "id", None, "annotation in place 0 of image 1: its id is None, no whole number"),
        (("annotations", 0), "id", 2**63, "annotation in place 0 of image 1: its id is 9223372036854775808, no whole"),
        (("annotations", 0), "image_id", 2**63, "annotation 10: its image_id 9223372036854775808 is no whole number"),
        (("annotations", 0), "category_id", True, "annotation 10 of image 1: its category_id True is not listed"),
        (("annotations", 0), "iscrowd", "0", "annotation 10 of image 1: its iscrowd is '0', not 0 or 1"),
        (("annotations", 0), "iscrowd", "false", "its iscrowd is 'false', not 0 or 1"),
        (("annotations", 0), "iscrowd", 2, "its iscrowd is 2, not 0 or 1"),
        (("annotations", 0), "iscrowd", None, "its iscrowd is None, not 0 or 1"),
        (("annotations", 0), "iscrowd", 1.0, "its iscrowd is 1.0, not 0 or 1"),
        (("annotations", 0), "bbox", [1, 2, True, 4], "not x, y, width, height"),
        (("annotations", 0), "bbox", [1, 2, 10**400, 4], "not x, y, width, height"),
        (("annotations", 0), "bbox", {"x": 1}, "not x, y, width, height"),
        (("annotations", 0), "segmentation", [[1, 2, 3, 4, 5, 10**400]], "corners that are no numbers"),
        (("annotations", 0), "segmentation", [[1, 2, 3, 4, 5, True]], "corners that are no numbers"),
        (("annotations", 0), "segmentation", [[0, 0, 1, 1] * 70_000], "have more than 131072 corners"),
        (
            ("annotations", 0),
            "segmentation",
            [[0, 0, 900, 900] * 900],
            "outline of its mask is longer than 1048576",
        ),
        (("annotations", 0), "segmentation", {}, r"of size None, and the image of"),
        (
            ("annotations", 2),
            "segmentation",
            {"size": [80.0, 120.0], "counts": [9600]},
            r"of size \[80.0, 120.0\]",
        ),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": [True, 9599]}, "has no counts of pixels"),
        (("annotations", 2), "segmentation", {"size": [80, 120], "counts": [10**400]}, "has no counts of pixels"),
    ],
)
def test_a_mistake_is_raised_or_left_out_and_listed(
    folder: Path, where: tuple[str, int], key: str, value: Any, reason: str
) -> None:
    wrong = document()
    wrong[where[0]][where[1]][key] = value
    path = write(folder, wrong)
    with pytest.raises(DatasetError, match=rf"instances.json: .*{reason}.*leave such entries out by on_error skip"):
        CocoDataset(path, folder)
    read = CocoDataset(path, folder, on_error="skip")
    assert any(reason.replace("\\", "").split(".*")[-1] in problem for problem in read.problems)
    assert read.num_objects() + sum(one.crowd for s in read.samples for one in s.objects) >= 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "has no list of images and annotations and categories"),
        ('{"images": [], "annotations": [], "categories": [7]}', "the category in place 0 has no whole number as id"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "category 1 has no name; give each its own"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no category"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}',
            "no image is left; problems: none",
        ),
    ],
)
def test_files_that_are_not_cocos_are_named(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=rf"x\.json: {reason}"):
        CocoDataset(path, tmp_path)
    with pytest.raises(DatasetError, match=r"no such folder; name the one that holds the images of x\.json"):
        CocoDataset(write(tmp_path, document()).rename(path), tmp_path / "y")


def test_compressed_run_lengths_are_what_cocos_tools_read(dataset: CocoDataset, folder: Path) -> None:
    generator = np.random.default_rng(8)
    for _ in range(40):
        mask = np.asfortranarray((generator.random((80, 120)) < generator.random()).astype(np.uint8))
        code = coco_masks().encode(mask)
        text = code["counts"].decode("ascii")
        runs = decode_runs(text)
        assert runs is not None
        expected = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.flatten(), [2]]))).tolist()
        assert np.cumsum(runs).tolist() == expected
