"""Frames: boxes and masks go with the picture, batches pad with the mean color, mistakes are named."""

from __future__ import annotations

import copy
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.coco_checks import decode_runs
from prepixel.data.datasets.coco_masks import coco_masks, run_lengths
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_coco
from prepixel.data.loading.detection_crops import (
    FrameSettings,
    ResizeParams,
    boxes_in_frame,
    boxes_in_photo,
    mask_in_frame,
)
from prepixel.data.loading.detection_loader import DetectionBatch, DetectionDataset, DetectionLoader
from prepixel.data.loading.detection_readers import PixelFrames, SpectrumFrames
from prepixel.data.loading.loader import TooManyBadFiles
from prepixel.data.random_streams import sample_generator
from prepixel.engine.protocols import Loader
from prepixel.errors import DatasetError
from prepixel.spectrum import BandSet, Box, PaddedSpectrum, Spectrum, open_images
from prepixel.spectrum.dct import dct_basis

SQUARE, ALL = BandSet.parse("S-24"), BandSet.parse("192")
SQUARE_MASK = [[20.0, 10.0, 60.0, 10.0, 60.0, 50.0, 20.0, 50.0]]


def document() -> dict[str, Any]:
    """Describe four photos: two objects, a crowd alone, nothing, and an upright one."""
    sizes = [(96, 128), (80, 120), (64, 72), (131, 83)]
    crowd = {"size": [80, 120], "counts": [400, 800, 80 * 120 - 1200]}
    boxes = [(1, [20.0, 10.0, 40.0, 40.0], SQUARE_MASK, 0), (1, [100.0, 90.0, 1.0, 1.0], None, 0)]
    objects = [*boxes, (2, [5.0, 0.0, 10.0, 80.0], crowd, 1), (4, [3.0, 7.0, 50.0, 120.0], None, 0)]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": h, "width": w} for i, (h, w) in enumerate(sizes, 1)],
        "categories": [{"id": 7, "name": "hat"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 10 + n, "image_id": image, "bbox": box, "category_id": 3 if n % 2 else 7, "iscrowd": is_crowd}
            | ({} if mask is None else {"segmentation": mask})
            for n, (image, box, mask, is_crowd) in enumerate(objects)
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(3)
    for image in document()["images"]:
        small = generator.integers(0, 256, (image["height"] // 8 + 1, image["width"] // 8 + 1, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((image["width"], image["height"]), Image.Resampling.BICUBIC)
        picture.save(tmp_path / image["file_name"], quality=95, subsampling=0)
    return tmp_path


def write(folder: Path, content: Any) -> Path:
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


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


@given(
    size=st.tuples(st.integers(7, 900), st.integers(7, 900)),
    seed=st.integers(0, 10_000),
    unit=st.sampled_from([1, 4, 8]),
    jitter=st.sampled_from([None, (0.1, 2.0), (0.8, 1.25)]),
)
@settings(max_examples=150, deadline=None)
def test_frames_are_whole_units_inside_their_bounds_and_boxes_come_back(
    size: tuple[int, int], seed: int, unit: int, jitter: tuple[float, float] | None
) -> None:
    drawn = FrameSettings((96, 160), 250, unit, jitter=jitter).make_params(
        size, sample_generator(seed, 0, 0), training=True
    )
    assert all(side % unit == 0 and 1 <= side <= 250 for side in drawn.size)
    box = drawn.box
    assert box.top >= 0
    assert box.left >= 0
    assert box.top + box.height <= size[0]
    assert box.left + box.width <= size[1]
    boxes = np.random.default_rng(seed).uniform(-50, 950, (5, 4))
    np.testing.assert_allclose(boxes_in_photo(boxes_in_frame(boxes, drawn), drawn), boxes, atol=1e-9)


def test_proportions_are_kept_and_evaluation_draws_nothing() -> None:
    settings_ = FrameSettings((480, 800), 1333, 4)
    for training in (False,):
        drawn = settings_.make_params((480, 640), sample_generator(0, 0, 0), training=training)
        assert drawn == ResizeParams(Box(0.0, 0.0, 480.0, 640.0), (800, 1068), False)
    assert settings_.make_params((300, 1500), sample_generator(0, 0, 0), training=False).size == (268, 1332)
    sizes = {settings_.make_params((480, 640), sample_generator(0, 0, i), training=True).size for i in range(40)}
    assert sizes == {(480, 640), (800, 1068)}
    flips = [settings_.make_params((480, 640), sample_generator(0, 0, i), training=True).flipped for i in range(400)]
    assert 150 < sum(flips) < 250


def pixels_of_blocks(spectrum: Spectrum) -> Tensor:
    """Give the luma that a spectrum of all channels holds, by the inverse transform."""
    values = spectrum.values[0, :64].double()
    blocks = values.permute(1, 2, 0).reshape(*values.shape[1:], 8, 8)
    basis = dct_basis(8).double()
    samples = basis.T @ blocks @ basis
    return samples.permute(0, 2, 1, 3).reshape(8 * values.shape[1], 8 * values.shape[2]) + 128


@pytest.mark.parametrize("jitter", [None, (0.6, 1.6)])
def test_boxes_masks_and_picture_go_together(folder: Path, jitter: tuple[float, float] | None) -> None:
    """A photo that is black but for its object: what is bright in the frame is the object's mask and box."""
    content = document()
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
    pixels = np.zeros((96, 128, 3), dtype=np.uint8)
    pixels[10:50, 20:60] = 255
    Image.fromarray(pixels).save(folder / "1.jpg", quality=100, subsampling=0)
    images = CocoDataset(write(folder, content), folder)
    frames = FrameSettings((72, 90), 140, 8, jitter=jitter)
    reader = SpectrumFrames(ALL, 8)
    seen = 0
    for seed in range(24):
        rounds = DetectionDataset(images, reader, frames, seed=seed, threads=1, training=True, masks=True)
        batch: DetectionBatch = rounds[0, 0].batch
        target = batch.targets[0]
        if not len(target["boxes"]):
            continue
        seen += 1
        assert isinstance(batch.inputs, PaddedSpectrum)
        grid = batch.inputs.grids[0]
        spectrum = Spectrum.of_coefficients(batch.inputs.spectrum.values[:, :, : grid[0], : grid[1]], ALL)
        bright = pixels_of_blocks(spectrum) > 127.5
        mask = target["masks"][0].bool()
        assert mask.shape == bright.shape
        union = (bright | mask).sum()
        # the JPEG's edges and ours may differ by the pixels that are half inside, along two of four sides
        edge = int(mask.any(0).sum() + mask.any(1).sum())
        assert int((bright ^ mask).sum()) <= edge // 2 + 4
        assert float((bright & mask).sum() / union) > 0.93
        ys, xs = mask.nonzero().T
        inside = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert (target["boxes"][0] - inside).abs().max() <= 0.5 + 1e-6
    assert seen > 12


def rgb_pipeline(segmentation: Any, photo: tuple[int, int], draw: ResizeParams) -> np.ndarray:
    """Draw the mask in the photo, and treat it as the RGB baseline treats the photo: Pillow cuts, resizes, mirrors."""
    full = Image.fromarray(run_lengths(segmentation, *photo).decode().astype(np.float32))
    box = draw.box
    part = full.crop((int(box.left), int(box.top), int(box.left + box.width), int(box.top + box.height)))
    resized = part.resize(draw.size[::-1], Image.Resampling.BILINEAR)
    if draw.flipped:
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(resized) > 0.5 - 1e-4


@pytest.mark.data
def test_masks_of_real_photos_equal_the_pixel_pipelines(photos: Path) -> None:
    root = photos / "coco_mini"
    images = CocoDataset(root / "annotations" / "instances_val.json", root / "val")
    overlaps: list[tuple[int, float]] = []
    for index, image in enumerate(images.samples):
        for frames in (FrameSettings((480, 640, 800), 1333, 4), FrameSettings((640,), 640, 8, jitter=(0.5, 2.0))):
            drawn = frames.make_params((image.height, image.width), sample_generator(1, 0, index), training=True)
            for one in image.objects[:2]:
                photo = (image.height, image.width)
                ours = mask_in_frame(one.segmentation, photo, drawn).astype(bool)
                theirs = rgb_pipeline(one.segmentation, photo, drawn)
                union = int((ours | theirs).sum())
                if union:
                    overlaps.append((union, 1 - int((ours ^ theirs).sum()) / union))
    large = [overlap for union, overlap in overlaps if union >= 400]
    assert len(large) > 200
    least = min(overlap for _, overlap in overlaps)
    print(f"{len(overlaps)} masks, IoU {least:.4f} at least; of 400 pixels or more, {min(large):.4f}")
    assert min(large) >= 0.99  # of fewer, one pixel of the edge, half inside and rounded, is more than a hundredth


def test_both_roads_see_the_same_frames_and_objects(dataset: CocoDataset) -> None:
    frames = FrameSettings((64, 80), 130, 8)
    for training in (False, True):
        options: Any = {"seed": 5, "training": training, "masks": training, "threads": 2}
        keys = [(2, index) for index in (3, 0, 2)]
        spectra = DetectionDataset(dataset, SpectrumFrames(SQUARE, 8), frames, **options).__getitems__(keys)
        pixels = DetectionDataset(dataset, PixelFrames(8), frames, **options).__getitems__(keys)
        assert spectra.failures == pixels.failures == ()
        a, b = spectra.batch, pixels.batch
        assert [image.shape[1:] for image in b.inputs] == [tuple(t["frame_size"].tolist()) for t in b.targets]
        assert [(8 * h, 8 * w) for h, w in a.inputs.grids] == [tuple(image.shape[1:]) for image in b.inputs]
        for ours, theirs in zip(a.targets, b.targets, strict=True):
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert a.targets[2]["boxes"].shape == (0, 4)
        assert ("masks" in a.targets[0]) == training


def test_frames_of_packed_photos_are_those_of_their_files(dataset: CocoDataset, folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "3.jpg") as picture:  # one photo without coefficients is stored as it is
        picture.save(folder / "3.jpg", format="PNG")
    shards = tmp_path / "shards"
    pack_source(open_coco(folder / "instances.json", folder), shards, PackOptions(None, shard_size=3), threads=2)
    packed = CocoDataset(folder / "instances.json", shards)
    assert [image[2:-1] for image in packed.samples] == [image[2:-1] for image in dataset.samples]
    assert packed.samples[3].path == str(shards / "shard-000001.tar" / "00000003.ppx")
    with tarfile.open(shards / "shard-000000.tar") as archive:
        member = json.load(archive.extractfile("00000000.json") or io.BytesIO())
    assert member["coco"]["image_id"] == 1
    assert [one["bbox"] for one in member["coco"]["annotations"]] == [[20, 10, 40, 40], [100, 90, 1, 1]]
    frames = FrameSettings((64, 80), 130, 8, jitter=(0.5, 2.0))
    keys = [(2, index) for index in (3, 0, 2, 1)]
    for reader in (SpectrumFrames(SQUARE, 4), PixelFrames(4)):
        ours, theirs = (
            DetectionDataset(images, reader, frames, seed=5, training=True, threads=2).__getitems__(keys).batch
            for images in (packed, dataset)
        )
        if isinstance(ours.inputs, PaddedSpectrum):
            assert torch.equal(ours.inputs.spectrum.values, theirs.inputs.spectrum.values)
        else:
            assert all(torch.equal(a, b) for a, b in zip(ours.inputs, theirs.inputs, strict=True))
        assert [t["boxes"].tolist() for t in ours.targets] == [t["boxes"].tolist() for t in theirs.targets]
    less = document()
    less["images"][1]["file_name"] = "absent.jpg"
    with pytest.raises(DatasetError, match=r"image 2: there is no file absent.jpg in the shards of"):
        CocoDataset(write(folder, less), shards)


def test_one_pixel_boxes_and_crowds(dataset: CocoDataset) -> None:
    evaluation = DetectionDataset(dataset, PixelFrames(1), FrameSettings((96,), 200, 1), threads=1)
    batch = evaluation.__getitems__([(0, 0), (0, 1)]).batch
    assert batch.targets[0]["boxes"].tolist() == [[20, 10, 60, 50], [100, 90, 101, 91]]
    assert len(batch.targets[1]["boxes"]) == 1
    half = FrameSettings((48,), 200, 1, flip_probability=0.0)
    training = DetectionDataset(dataset, PixelFrames(1), half, threads=1, training=True)
    batch = training.__getitems__([(0, 0), (0, 1)]).batch
    assert batch.targets[0]["boxes"].tolist() == [[10, 5, 30, 25]]  # half a pixel is no object to learn
    assert len(batch.targets[1]["boxes"]) == 0


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


def test_an_object_without_a_mask_is_not_learned_where_masks_are(dataset: CocoDataset) -> None:
    options: Any = {"threads": 1, "training": True}
    frames = FrameSettings((96,), 200, 8, flip_probability=0.0)
    whole = DetectionDataset(dataset, PixelFrames(8), frames, **options)[0, 3].batch.targets[0]
    masked = DetectionDataset(dataset, PixelFrames(8), frames, masks=True, **options)[0, 3].batch.targets[0]
    assert (len(whole["boxes"]), len(masked["boxes"]), len(masked["labels"]), len(masked["masks"])) == (1, 0, 0, 0)


def test_files_of_other_kinds_and_sizes_become_frames(folder: Path, tmp_path: Path) -> None:
    content = document()
    kinds = {
        "1.png": ("RGB", (96, 128)),
        "2.jpg": ("L", (1, 1)),
        "3.jpg": ("CMYK", (64, 72)),
        "4.jpg": ("RGB", (1, 3000)),
    }
    content["annotations"] = []
    for image, (name, (mode, size)) in zip(content["images"], kinds.items(), strict=True):
        Image.new(mode, size[::-1], 7).save(folder / name)
        image |= {"file_name": name, "height": size[0], "width": size[1]}
    images = CocoDataset(write(folder, content), folder)
    for reader in (SpectrumFrames(SQUARE, 8), PixelFrames(8)):
        fetched = DetectionDataset(images, reader, FrameSettings((64,), 128, 8)).__getitems__(
            [(0, i) for i in range(4)]
        )
        assert fetched.failures == ()
        assert [tuple(t["frame_size"].tolist()) for t in fetched.batch.targets] == [
            (64, 88),
            (64, 64),
            (64, 72),
            (8, 128),
        ]


def test_a_batch_of_no_image_is_of_the_same_kind(dataset: CocoDataset) -> None:
    reader = SpectrumFrames(SQUARE, 8, dtype=torch.int8, shift=torch.ones(24), step=torch.full((24,), 8.0))
    empty = reader.read(open_images([]), [], 1).inputs
    assert isinstance(empty, PaddedSpectrum)
    assert (len(empty), empty.spectrum.values.dtype) == (0, torch.int8)
    assert torch.equal(empty.spectrum.shift, torch.ones(24))


def test_padding_is_the_mean_color_and_batches_move(dataset: CocoDataset) -> None:
    shift, step = torch.linspace(-100, 100, 24), torch.full((24,), 8.0)
    reader = SpectrumFrames(SQUARE, 8, dtype=torch.int8, shift=shift, step=step, multiple=4)
    batch = DetectionDataset(dataset, reader, FrameSettings((64,), 128, 8)).__getitems__([(0, 0), (0, 3)]).batch
    assert batch.inputs.spectrum.values.dtype == torch.int8
    assert batch.inputs.spectrum.values.shape[2:] == (16, 12)
    outside = batch.inputs.spectrum.coefficients()[0, :, batch.inputs.grids[0][0] :]
    assert torch.equal(outside, shift[:, None, None].expand_as(outside))
    moved = batch.to("meta")
    assert moved.inputs.spectrum.values.device.type == "meta"
    assert moved.targets[0]["boxes"].device.type == "meta"
    assert len(moved) == 2


def test_batches_are_of_one_kind_and_the_same_for_any_number_of_processes(dataset: CocoDataset) -> None:
    many = copy.copy(dataset)
    object.__setattr__(many, "samples", tuple(dataset.samples[i] for i in (0, 1, 3) for _ in range(7)))
    fetching = DetectionDataset(many, PixelFrames(8), FrameSettings((64,), 128, 8), seed=4, training=True, threads=1)
    whole = DetectionLoader(fetching, batch_size=4)
    assert isinstance(whole, Loader)
    orders = [whole.order(epoch).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(21))
    kinds = ["".join("u" if i >= 14 else "l" for i in orders[0][4 * b : 4 * b + 4]) for b in range(5)]
    assert sorted(kinds[:4]) == ["llll", "llll", "llll", "uuuu"]
    halves = [DetectionLoader(fetching, batch_size=4, rank=rank, world_size=2) for rank in range(2)]
    for batch, *parts in zip(whole.epoch(1, 3), *(half.epoch(1, 3) for half in halves), strict=True):
        ids = [target["image_id"].item() for target in batch.targets]
        assert ids[0::2] == [target["image_id"].item() for target in parts[0].targets]
        assert ids[1::2] == [target["image_id"].item() for target in parts[1].targets]


def test_bad_files_follow_the_policy(dataset: CocoDataset, folder: Path) -> None:
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:300])
    Image.new("RGB", (72, 65)).save(folder / "3.jpg")
    fetching = DetectionDataset(dataset, SpectrumFrames(SQUARE, 8), FrameSettings((64,), 128, 8))
    with pytest.raises(Exception, match=r"2\.jpg"):
        list(DetectionLoader(fetching, batch_size=2).epoch(0))
    loader = DetectionLoader(fetching, batch_size=2, on_error="skip", max_bad_fraction=0.5)
    assert [len(batch) for batch in loader.epoch(0)] == [1, 1]
    assert "is 72 x 65 pixels upright, and annotated as 72 x 64; mend the annotations" in loader.failures[1].message
    for number in (1, 4):
        (folder / f"{number}.jpg").unlink()
    strict = DetectionLoader(fetching, batch_size=2, on_error="skip", max_bad_fraction=0.0)
    with pytest.raises(TooManyBadFiles, match="4 of 4 files cannot be read"):
        list(strict.epoch(0))


def test_arguments_that_do_not_fit_are_refused(dataset: CocoDataset) -> None:
    with pytest.raises(ValueError, match="frames of multiples of 4 pixels, and blocks of 8; give multiples"):
        DetectionDataset(dataset, SpectrumFrames(SQUARE, 8), FrameSettings(unit=4))
    with pytest.raises(ValueError, match="1 <= every min size <= max size"):
        FrameSettings((800,), 600)
    with pytest.raises(ValueError, match="unit 0 is below 1"):
        FrameSettings(unit=0)
    with pytest.raises(ValueError, match="is not 0 < low <= high"):
        FrameSettings(jitter=(2.0, 1.0))
