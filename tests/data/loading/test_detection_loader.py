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
from tests.data.coco_files import document, write, write_photos
from torch import Tensor

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_coco
from prepixel.data.loading.block_shuffle import BlockShuffle
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(folder: Path) -> CocoDataset:
    return CocoDataset(write(folder, document()), folder)


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
        levels = pixels_of_blocks(spectrum)
        bright, sure = levels > 127.5, (levels - 127.5).abs() > 0.01  # half of a pixel: float32 rounding decides
        mask = target["masks"][0].bool()
        assert mask.shape == bright.shape
        union = (bright | mask).sum()
        # the JPEG's edges and ours may differ by the pixels that are half inside, along two of four sides
        edge = int(mask.any(0).sum() + mask.any(1).sum())
        assert int(((bright ^ mask) & sure).sum()) <= edge // 2 + 4
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


def test_both_pipelines_see_the_same_frames_and_objects(dataset: CocoDataset) -> None:
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
    fetching = DetectionDataset(dataset, SpectrumFrames(SQUARE, 8), FrameSettings(unit=8))
    with pytest.raises(ValueError, match="block_shuffle: batches of detectors"):
        DetectionLoader(fetching, batch_size=2, block_shuffle=BlockShuffle(4, 4))
