"""Reports on folders, tar files, and COCO annotations from other projects' trackers, replayed with inputs made here."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.data.jobs.test_tar_members import labels, write_tar
from tests.jpeg.small_files import by_pillow
from tests.small_photos import jpeg

from prepixel.data import DatasetError, FolderDataset, scan_folder
from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_loader import DetectionDataset
from prepixel.data.loading.detection_readers import FrameReader, PixelFrames, SpectrumFrames
from prepixel.jpeg import read_size
from prepixel.spectrum import BandSet

JPEG = by_pillow()


def put(root: Path, files: dict[str, bytes]) -> Path:
    """Write files by their paths below a folder, which is returned."""
    for name, contents in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    return root


def names_of(dataset: FolderDataset) -> list[str]:
    return [Path(sample.path).name for sample in dataset.samples]


# -- folders -----------------------------------------------------------------------------------------------------------


def test_endings_in_capitals(tmp_path: Path) -> None:
    """Files .JPG, .Jpeg, and .JPEG count as images, each once.

    Sources: https://github.com/pytorch/vision/issues/552, https://github.com/open-edge-platform/anomalib/issues/3058
    (not found), https://github.com/GaParmar/clean-fid/issues/37 (counted twice where case does not matter).
    """
    put(tmp_path, {f"a/{name}": JPEG for name in ("1.JPG", "2.Jpeg", "3.JPEG", "4.jpg")})
    dataset = FolderDataset(tmp_path)
    assert names_of(dataset) == ["1.JPG", "2.Jpeg", "3.JPEG", "4.jpg"]
    assert scan_folder(tmp_path).num_files == 4


def test_hidden_folders_and_files_are_no_class_and_no_image(tmp_path: Path) -> None:
    """A notebook's .ipynb_checkpoints and the Finder's .DS_Store and ._photo.jpg are passed over.

    Sources: https://github.com/pytorch/vision/issues/2831 (a class more), https://github.com/pytorch/vision/issues/109,
    https://github.com/SanjaySoniLV/ProjectKestrel/pull/58 (AppleDouble files were decoded as photos).
    """
    companion = b"\0\5\x16\7\0\2\0\0Mac OS X        "
    files = {
        "cat/a.jpg": JPEG,
        "dog/b.jpg": JPEG,
        ".ipynb_checkpoints/a.jpg": JPEG,
        "cat/.ipynb_checkpoints/a.jpg": JPEG,
    }
    put(tmp_path, files | {".DS_Store": b"\0", "cat/.DS_Store": b"\0", "cat/._a.jpg": companion})
    dataset = FolderDataset(tmp_path)
    assert (dataset.classes, names_of(dataset)) == (("cat", "dog"), ["a.jpg", "b.jpg"])
    report = scan_folder(tmp_path)
    assert (report.num_files, report.broken) == (2, ())


def test_a_class_without_images(tmp_path: Path) -> None:
    """An empty class folder is named, and never shifts the labels of the classes behind it.

    Source: https://github.com/pytorch/vision/issues/4925.
    """
    put(tmp_path, {"a/1.jpg": JPEG, "c/2.jpg": JPEG})
    (tmp_path / "b").mkdir()
    with pytest.raises(DatasetError, match=r"class 'b' has no image \(it is empty\); .* add one, or remove the folder"):
        FolderDataset(tmp_path)
    (tmp_path / "b").rmdir()
    named = FolderDataset(tmp_path, class_names=["a", "b", "c"])
    assert [sample.label for sample in named.samples] == [0, 2]


def test_a_bitmap_named_jpg(tmp_path: Path) -> None:
    """BMP and PNG contents in .jpg files are read by their contents.

    Source: https://github.com/apple/turicreate/issues/2526 ("Not a JPEG file: starts with 0x42 0x4d").
    """
    for kind in ("BMP", "PNG"):
        path = put(tmp_path, {f"a/{kind}.jpg": jpeg(31, 47, format=kind)}) / f"a/{kind}.jpg"
        assert read_size(path) == (31, 47)
    report = scan_folder(tmp_path)
    assert (report.num_files, report.broken, report.processes) == (2, (), {"pixels": 2})


@pytest.mark.parametrize("name", ["[2024] Images", "two words", "it's", "100%s {x}", "*", "-r"])
def test_folder_names_that_are_patterns_elsewhere(name: str, tmp_path: Path) -> None:
    """Brackets, blanks, quotes, braces, and a leading dash in class names are names.

    Sources: https://github.com/elisemercury/Duplicate-Image-Finder/issues/94 (folders with brackets were skipped),
    https://github.com/hackerb9/lsix/issues/40, https://github.com/derf/feh/issues/77.
    """
    put(tmp_path, {f"{name}/a [1].jpg": JPEG, "z/b.jpg": JPEG})
    dataset = FolderDataset(tmp_path)
    assert dataset.classes == tuple(sorted([name, "z"]))
    assert sorted(names_of(dataset)) == ["a [1].jpg", "b.jpg"]
    assert scan_folder(tmp_path / name).num_files == 1


# -- tar files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_tar_formats(form: int, tmp_path: Path) -> None:
    """PAX tars, with extended headers and long names, hold the same samples as GNU ones.

    Sources: https://github.com/NVIDIA/DALI/issues/3640 (only GNU tars were read),
    https://github.com/webdataset/webdataset/issues/428 (keys above 128 characters were shortened).
    """
    long = f"{'d' * 60}/{'e' * 90}" if form == tarfile.USTAR_FORMAT else f"{'d' * 90}/{'é' * 110}"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name, contents in ((f"{long}.jpg", JPEG), (f"{long}.cls", b"2"), ("b.jpg", JPEG), ("b.cls", b"0")):
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            if form == tarfile.PAX_FORMAT:
                member.mtime = 1234567890.25
                member.pax_headers = {"comment": "x" * 700}
            archive.addfile(member, io.BytesIO(contents))
    source = open_source(tmp_path / "a.tar")
    assert labels(source) == [(f"{long}.jpg", 2), ("b.jpg", 0)]
    assert all(entry.read() == JPEG for entry in source.entries)


def test_members_of_a_sample_that_are_not_neighbors(tmp_path: Path) -> None:
    """A tar in directory order, with all images before all classes, is refused and named, never read as half samples.

    Sources: https://github.com/webdataset/webdataset/issues/11, https://github.com/ray-project/ray/pull/63374
    (fields were lost without a word).
    """
    members = [("0.jpg", JPEG), ("1.jpg", JPEG), ("0.cls", b"0"), ("1.cls", b"1")]
    with pytest.raises(DatasetError, match=r"a\.tar: .*0"):
        open_source(write_tar(tmp_path / "a.tar", *members))


def test_dots_in_the_folders_of_members(tmp_path: Path) -> None:
    """The key ends at the first dot behind the last slash; dots in folder names and ./ do not end it.

    Source: https://github.com/huggingface/datasets/issues/7150.
    """
    members = [("./path/22.0/1.jpg", JPEG), ("./path/22.0/1.cls", b"1"), ("./path/22.1/1.jpg", JPEG)]
    source = open_source(write_tar(tmp_path / "a.tar", *members, ("./path/22.1/1.cls", b"0")))
    assert [entry.label for entry in source.entries] == [1, 0]
    by_folder = open_source(write_tar(tmp_path / "b.tar", ("./v1.0/1.jpg", JPEG), ("./v1.1/1.jpg", JPEG)))
    assert by_folder.classes == ("v1.0", "v1.1")


def test_one_key_in_two_tar_files(tmp_path: Path) -> None:
    """The same key in different tar files of a folder is two samples.

    Source: https://github.com/webdataset/webdataset/issues/157 ("duplicate file name in tar file").
    """
    for name, label in (("a.tar", b"0"), ("b.tar", b"1")):
        write_tar(tmp_path / name, ("dir/base.jpg", JPEG), ("dir/base.cls", label))
    source = open_source(tmp_path)
    assert [(entry.name, entry.label) for entry in source.entries] == [
        ("a.tar/dir/base.jpg", 0),
        ("b.tar/dir/base.jpg", 1),
    ]


# -- COCO --------------------------------------------------------------------------------------------------------------


def coco(root: Path, **changes: Any) -> Path:
    """Write a photo of 47 x 31 pixels, upright, with one object, and COCO's description of it, changed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    put(root, {"a.jpg": jpeg(31, 47, exif=exif), "b.jpg": jpeg(47, 31)})
    document = {
        "images": [{"id": n, "file_name": f"{name}.jpg", "height": 47, "width": 31} for n, name in enumerate("ab", 1)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 5, 20, 40], "iscrowd": 0}],
    }
    path = root / "instances.json"
    path.write_text(json.dumps(document | changes))
    return path


def an_object(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 5, 20, 40], "iscrowd": 0} | changes


@pytest.mark.parametrize("reader", [SpectrumFrames(BandSet.parse("S-24"), 8), PixelFrames(8)], ids=["dct", "rgb"])
def test_boxes_are_those_of_the_upright_photo(reader: FrameReader, tmp_path: Path) -> None:
    """A photo stored lying, EXIF orientation 6, annotated upright: size and boxes agree with the upright photo.

    Sources: https://github.com/open-edge-platform/datumaro/issues/1756, https://github.com/AlexeyAB/Yolo_mark/issues/107.
    """
    dataset = CocoDataset(coco(tmp_path), tmp_path)
    assert read_size(dataset.samples[0].path) == (47, 31)
    frames = FrameSettings((48,), 200, 8)
    item = DetectionDataset(dataset, reader, frames, threads=1)[0, 0]
    assert not item.failures
    box = item.batch.targets[0]["boxes"][0]
    assert box[3] - box[1] > 1.5 * (box[2] - box[0])


def test_photos_without_annotations_stay(tmp_path: Path) -> None:
    """An image that no annotation names has no objects; it is left out on request alone.

    Source: https://github.com/cocodataset/cocoapi/issues/76.
    """
    path = coco(tmp_path)
    assert [len(sample.objects) for sample in CocoDataset(path, tmp_path).samples] == [1, 0]
    assert len(CocoDataset(path, tmp_path, with_objects_only=True)) == 1


def test_category_ids_of_any_size(tmp_path: Path) -> None:
    """Category ids 74673216 and 5 become labels 2 and 1; nothing is allocated by the id.

    Sources: https://github.com/voxel51/fiftyone/issues/4293 (out of memory), https://github.com/roboflow/rf-detr/issues/413
    (index out of bounds).
    """
    categories = [{"id": 74673216, "name": "panel"}, {"id": 5, "name": "roof"}]
    objects = [an_object(category_id=74673216), an_object(id=2, category_id=5, image_id=2)]
    dataset = CocoDataset(coco(tmp_path, categories=categories, annotations=objects), tmp_path)
    assert (dataset.classes, dataset.category_ids) == (("roof", "panel"), (5, 74673216))
    assert [one.label for sample in dataset.samples for one in sample.objects] == [2, 1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"id": 1}, "annotation 1: its id is used twice", id="Unity-Technologies/datasetinsights#217"),
        pytest.param({"bbox": [3, 5, 20, 0]}, r"2 of image 1: its bbox is \[3, 5, 20, 0\]", id="cocoapi#355"),
        pytest.param({"bbox": [3, 5, -4, 9]}, r"annotation 2 of image 1: its bbox is", id="pytracking#18"),
        pytest.param({"segmentation": [[1, 2, 3, 4]]}, "annotation 2 of image 1: ", id="detectron2#1531"),
        pytest.param({"category_id": 34}, "its category_id 34 is not listed", id="detectron2#1531-category"),
    ],
)
def test_a_bad_object_is_named_and_the_others_stay(changes: dict[str, Any], text: str, tmp_path: Path) -> None:
    """Repeated ids, boxes without area, masks of two corners, and unknown categories: by annotation id, never silently.

    Sources: https://github.com/Unity-Technologies/datasetinsights/issues/217,
    https://github.com/cocodataset/cocoapi/issues/355, https://github.com/visionml/pytracking/issues/18,
    https://github.com/facebookresearch/detectron2/issues/1531 (3,677 instances filtered out, none named).
    """
    path = coco(tmp_path, annotations=[an_object(), an_object(id=2) | changes])
    with pytest.raises(DatasetError, match=text):
        CocoDataset(path, tmp_path)
    dataset = CocoDataset(path, tmp_path, on_error="skip")
    assert [len(sample.objects) for sample in dataset.samples] == [1, 0]
    assert len(dataset.problems) == 1
