"""Geometric transforms: torchvision's parameters and distributions, and what the reader makes of them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from tests.jpeg.small_files import pixels
from torchvision.transforms import v2

from prepixel import transforms
from prepixel.data import SpectrumDataset
from prepixel.spectrum import Box, read_spectra
from prepixel.transforms import CropParams
from prepixel.transforms.geometric import GeometricTransform

SIZE = (301, 467)


def params(*chain: GeometricTransform, size: tuple[int, int] = SIZE, aspect: float = 1.0, seed: int = 0) -> CropParams:
    return transforms.ComposeCrops(chain).make_params(size, aspect, np.random.default_rng(seed))


@given(st.integers(30, 700), st.integers(30, 700), st.integers(20, 300), st.floats(0.3, 1.0))
@settings(deadline=None, max_examples=60)
def test_resize_and_center_crop_are_torchvisions(height: int, width: int, short: int, fraction: float) -> None:
    """Positions are kept by torchvision's own resize and crop of an image that holds its coordinates."""
    side = max(1, round(fraction * short))
    box, _ = params(transforms.Resize(short), transforms.CenterCrop(side), size=(height, width))
    resized = v2.functional.resize(torch.zeros(1, height, width), [short])
    rows, columns = resized.shape[1:]
    top, left = round((rows - side) / 2), round((columns - side) / 2)
    assert box.top == pytest.approx(top * height / rows)
    assert box.left == pytest.approx(left * width / columns)
    assert (box.height, box.width) == pytest.approx((side * height / rows, side * width / columns))
    box.check_inside((height, width))


def test_random_resized_crop_is_distributed_as_torchvisions() -> None:
    n = 3000
    ours = [params(transforms.RandomResizedCrop(scale=(0.2, 0.9)), seed=seed).box for seed in range(n)]
    torch.manual_seed(0)
    twin = v2.RandomResizedCrop(224, scale=(0.2, 0.9))
    theirs = [twin.make_params([torch.zeros(1, *SIZE)]) for _ in range(n)]
    for name in ("top", "left", "height", "width"):
        told = [p[name] for p in theirs]
        assert stats.ks_2samp([getattr(box, name) for box in ours], told).pvalue > 1e-3


def test_a_random_crop_after_a_resize_is_uniform() -> None:
    boxes = [params(transforms.Resize(64), transforms.RandomCrop(56), seed=seed).box for seed in range(2000)]
    places = [round(box.top * 64 / SIZE[0]) for box in boxes]
    assert stats.chisquare(np.bincount(places, minlength=9)).pvalue > 1e-3
    assert {round(box.height * 64 / SIZE[0], 6) for box in boxes} == {56.0}


def test_flips_are_as_often_as_said_and_two_are_none() -> None:
    flips = [params(transforms.RandomHorizontalFlip(0.3), seed=seed).flipped for seed in range(2000)]
    assert 540 < sum(flips) < 660
    always = transforms.RandomHorizontalFlip(1.0)
    assert params(always).flipped
    assert not params(always, always).flipped


def test_a_crop_after_a_flip_is_of_the_mirrored_image() -> None:
    flip, crop = transforms.RandomHorizontalFlip(1.0), transforms.RandomCrop(60)
    mirrored = params(flip, crop, seed=3)
    generator = np.random.default_rng(3)
    generator.random()
    plain = crop.make_params(SIZE, 1.0, generator)
    assert mirrored.flipped
    assert mirrored.box == Box(plain.box.top, SIZE[1] - plain.box.left - 60.0, 60.0, 60.0)


def test_data_sets_take_them_and_draw_from_torchs_generator() -> None:
    file = io.BytesIO()
    Image.fromarray(pixels(97, 131)).save(file, "jpeg")
    samples = [(file.getvalue(), i) for i in range(4)]
    chain = transforms.ComposeCrops(
        [transforms.RandomResizedCrop(64, scale=(0.3, 1.0)), transforms.RandomHorizontalFlip()]
    )
    dataset = SpectrumDataset(samples, bands="S-24", grid=(7, 7), transform=chain)
    torch.manual_seed(1)
    first = [spectrum.values for spectrum, _ in dataset.__getitems__([0, 1, 2, 3])]
    torch.manual_seed(1)
    seeds = [int(torch.empty((), dtype=torch.int64).random_()) for _ in range(4)]
    drawn = [chain.make_params((97, 131), 1.0, np.random.default_rng(seed)) for seed in seeds]
    boxes = np.array([(p.box.top, p.box.left, p.box.height, p.box.width) for p in drawn])
    flips = np.array([p.flipped for p in drawn])
    read = read_spectra([s for s, _ in samples], grid=(7, 7), bands="S-24", boxes=boxes, flips=flips, threads=1)
    assert torch.equal(torch.cat(first), read.spectrum.values)
    assert len({p.box for p in drawn}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: params(transforms.CenterCrop(302)), "302 x 302 pixels of an image of 301 x 467"),
        (lambda: params(transforms.RandomCrop((9, 468))), "spectra are not padded, so resize the image before"),
        (lambda: params(transforms.Resize(256)), "end with a crop of its proportions, such as CenterCrop"),
        (lambda: params(transforms.RandomResizedCrop((224, 192))), "the transforms end with an image of 224 x 192"),
        (lambda: transforms.Resize(0), "its sides must be 1 or greater"),
        (lambda: transforms.RandomResizedCrop(scale=(0.0, 1.0)), r"scale is \(0.0, 1.0\)"),
        (lambda: transforms.RandomResizedCrop(ratio=(2.0, 1.0)), r"ratio is \(2.0, 1.0\)"),
        (lambda: transforms.RandomHorizontalFlip(1.1), "p is 1.1"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
