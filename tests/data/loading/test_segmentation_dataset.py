"""Label maps follow their photos: cropped, resized, mirrored and padded by the same numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.segmentation_files import write
from torchvision.transforms.v2 import RandomHorizontalFlip

from prepixel.data import PixelReader, SpectrumReader
from prepixel.data.datasets.coco_label_maps import CocoLabelMaps
from prepixel.data.datasets.mask_images import MaskImageDataset
from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.label_map_crops import label_map_in_frame, scores_in_photo
from prepixel.data.loading.loader import BatchLoader
from prepixel.data.loading.padded_crops import RandomScaledCrop, WholePhoto
from prepixel.data.loading.readers import crop_pixels
from prepixel.data.loading.segmentation_dataset import SegmentationDataset
from prepixel.data.random_streams import sample_generator
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.boxes import MEAN_PADDING, Box


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("segmentation")
    write(place)
    return place


def by_definition(labels: np.ndarray, params: CropParams, size: tuple[int, int]) -> np.ndarray:
    """Look up each pixel by itself."""
    frame = np.full(size, 255, dtype=np.uint8)
    box = params.box
    for i in range(size[0]):
        for j in range(size[1]):
            y = math.floor(box.top + (i + 0.5) * (box.height / size[0]))
            x = math.floor(box.left + (j + 0.5) * (box.width / size[1]))
            if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]:
                frame[i, size[1] - 1 - j if params.flipped else j] = labels[y, x]
    return frame


@settings(max_examples=50, deadline=None)
@given(
    photo=st.tuples(st.integers(1, 13), st.integers(1, 17)),
    place=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    extent=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    size=st.tuples(st.integers(1, 11), st.integers(1, 13)),
    flipped=st.booleans(),
)
def test_every_pixel_has_the_label_under_its_center(
    photo: tuple[int, int], place: tuple[int, int], extent: tuple[int, int], size: tuple[int, int], flipped: bool
) -> None:
    labels = np.random.default_rng(0).integers(0, 7, photo, dtype=np.uint8)
    before = labels.copy()
    params = CropParams(Box(*map(float, (*place, *extent))), flipped)
    assert np.array_equal(label_map_in_frame(labels, params, size), by_definition(labels, params, size))
    assert np.array_equal(labels, before)


def test_turns_are_those_of_the_photo() -> None:
    labels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    picture = torch.from_numpy(labels).expand(3, 5, 7)
    for turns in range(4):
        for flipped in (False, True):
            params = CropParams(Box(1.0, 2.0, 3.0, 4.0), flipped, turns)
            size = (4, 3) if turns % 2 else (3, 4)
            pixels = crop_pixels(picture, params, size)[0].numpy()
            assert np.array_equal(label_map_in_frame(labels, params, size), pixels)


@pytest.mark.parametrize("kind", ["rgb", "spectrum"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_lie_where_the_network_sees_the_object(folder: Path, kind: str, seed: int) -> None:
    """The object is bright and all else is not: thresholds of the frame, but at edges, are its labels."""
    grid, block = (11, 13), 8
    size = (grid[0] * block, grid[1] * block)
    reader = PixelReader(size) if kind == "rgb" else SpectrumReader(grid, BandSet.parse("192"))
    photos = CocoLabelMaps(folder / "train.json", folder / "photos")
    dataset = SegmentationDataset(photos, reader, size, RandomScaledCrop((0.6, 2.0)), seed=seed, threads=1)
    batch, failures = dataset.__getitems__([(0, 0), (0, 1), (0, 2)])
    assert failures == ()
    assert batch.targets.shape == (3, *size)
    assert batch.targets.dtype == torch.uint8
    for labels, luma in zip(batch.targets.numpy(), _luma(batch.inputs), strict=True):
        wrong = (labels != 255) & ((luma > 160) != (labels == 1))
        assert wrong.mean() < 0.02
        assert (wrong & ~_near_edges(labels)).sum() == 0
        if (labels == 255).any():
            assert abs(float(np.median(luma[labels == 255])) - 118) < 3  # the color of padding


def _luma(inputs: Spectrum | torch.Tensor) -> np.ndarray:
    if isinstance(inputs, torch.Tensor):
        weights = torch.tensor([0.299, 0.587, 0.114])
        return (inputs.float() * weights[:, None, None]).sum(1).numpy()
    basis = torch.tensor(
        [
            [math.sqrt((1 if v == 0 else 2) / 8) * math.cos((2 * y + 1) * v * math.pi / 16) for y in range(8)]
            for v in range(8)
        ]
    )
    blocks = inputs.values[:, :64].reshape(len(inputs.values), 8, 8, *inputs.values.shape[2:])
    samples = torch.einsum("nvuab,vy,ux->naybx", blocks, basis, basis) + 128
    n, a, y, b, x = samples.shape
    return samples.reshape(n, a * y, b * x).numpy()


def _near_edges(labels: np.ndarray) -> np.ndarray:
    """Return the pixels within two of another label."""
    near = np.zeros(labels.shape, dtype=bool)
    padded = np.pad(labels, 2, mode="edge")
    for dy in range(5):
        for dx in range(5):
            near |= padded[dy : dy + labels.shape[0], dx : dx + labels.shape[1]] != labels
    return near


def test_the_whole_photo_is_shown_in_the_middle() -> None:
    generator = sample_generator(0, 0, 0)
    for size, aspect, box in (
        ((5, 9), 1.0, Box(-2.0, 0.0, 9.0, 9.0)),
        ((9, 4), 1.0, Box(0.0, -2.0, 9.0, 9.0)),
        ((6, 6), 2.0, Box(0.0, -3.0, 6.0, 12.0)),
        ((5, 10), 2.0, Box(0.0, 0.0, 5.0, 10.0)),
    ):
        params = WholePhoto().make_params(size, aspect, generator)
        assert (params.box, params.flipped) == (box, False)
        assert params.padding == (None if box.is_inside(Box(0.0, 0.0, *map(float, size))) else MEAN_PADDING)


def test_a_scaled_crop_holds_the_photo_or_lies_in_it() -> None:
    crop = RandomScaledCrop((0.5, 2.0), flip_probability=0.5)
    flips, sides = 0, []
    for index in range(400):
        params = crop.make_params((31, 47), 1.0, sample_generator(7, 0, index))
        box = params.box
        assert box.height == box.width
        for start, length, side in ((box.top, box.height, 31), (box.left, box.width, 47)):
            low, high = min(0.0, start), max(side, start + length)
            assert high - low == max(side, length)  # one holds the other
        flips += params.flipped
        sides.append(box.height)
    assert 150 < flips < 250
    assert (min(sides), max(sides)) == (24.0, 94.0)
    fixed = RandomScaledCrop((1.0, 1.0), flip_probability=0.0).make_params((31, 47), 1.0, sample_generator(1, 0, 0))
    assert (fixed.box.height, fixed.box.left, fixed.flipped) == (47.0, 0.0, False)
    for options in ({"scales": (0.0, 1.0)}, {"scales": (2.0, 1.0)}, {"flip_probability": 1.5}):
        with pytest.raises(ValueError, match=r"are not 0 < low <= high|is outside \[0, 1\]"):
            RandomScaledCrop(**options)  # type: ignore[arg-type]


def test_scores_return_to_the_photo() -> None:
    """By a frame of the photo's own pixels exactly; by a smaller one a ramp stays a ramp."""
    scores = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0))
    params = WholePhoto().make_params((5, 9), 1.0, sample_generator(0, 0, 0))
    torch.testing.assert_close(scores_in_photo(scores, params, (5, 9)), scores[:, 2:7])
    ramp = (torch.arange(8) + 0.5).expand(1, 8, 8) / 8
    photo = scores_in_photo(ramp, CropParams(Box(0.0, 0.0, 40.0, 40.0), flipped=False), (40, 40))
    expected = ((torch.arange(40) + 0.5) / 40).clamp(1 / 16, 15 / 16).expand(1, 40, 40)
    torch.testing.assert_close(photo, expected, rtol=0, atol=1e-6)


def test_batches_do_not_depend_on_threads_and_repeat(folder: Path) -> None:
    photos = MaskImageDataset(folder / "photos", folder / "masks", classes=folder / "classes.txt")
    epochs = []
    for threads, epoch in ((1, 3), (2, 3), (1, 4)):
        dataset = SegmentationDataset(
            photos, SpectrumReader((5, 7), BandSet.parse("S-6")), (20, 28), RandomScaledCrop(), seed=9, threads=threads
        )
        epochs.append(list(BatchLoader(dataset, batch_size=2, training=True).epoch(epoch)))
    assert [len(batches) for batches in epochs] == [2, 2, 2]
    for first, second in zip(*epochs[:2], strict=True):
        assert torch.equal(first.targets, second.targets)
        assert torch.equal(first.inputs.values, second.inputs.values)
        assert torch.equal(first.indices, second.indices)
    assert any(not torch.equal(a.targets, b.targets) for a, b in zip(epochs[0], epochs[2], strict=True))


def test_a_mask_of_another_size_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "own")
    Image.fromarray(np.zeros((3, 4), dtype=np.uint8)).save(tmp_path / "own" / "masks" / "2.png")
    photos = MaskImageDataset(tmp_path / "own" / "photos", tmp_path / "own" / "masks", classes=["background", "lamp"])
    dataset = SegmentationDataset(photos, PixelReader((16, 16)), (16, 16), threads=1)
    batch, failures = dataset.__getitems__([(0, 0), (0, 1), (0, 2)])
    assert batch.indices.tolist() == [0, 2]
    (failure,) = failures
    assert "2.jpg: is 64 x 96 pixels upright, and its labels are for 4 x 3; correct the annotations" in str(
        failure.error
    )
    alone, failures = dataset[0, 1]
    assert (len(alone), alone.targets.shape, len(failures)) == (0, (0, 16, 16), 1)


def test_a_batch_moves_as_a_whole_and_refuses_transforms_of_pixels(folder: Path) -> None:
    photos = CocoLabelMaps(folder / "train.json", folder / "photos")
    for reader in (PixelReader((16, 24)), SpectrumReader((2, 3), BandSet.parse("S-6"))):
        batch, _ = SegmentationDataset(photos, reader, (16, 24), threads=1).__getitems__([(0, 0), (0, 2)])
        assert len(batch) == 2
        moved = batch.to("cpu")
        assert torch.equal(moved.targets, batch.targets)
        assert moved.indices.tolist() == [0, 2]
        with pytest.raises(TypeError, match="a LabelMapBatch holds label maps, which it would leave as they are"):
            RandomHorizontalFlip(1.0)(batch)
