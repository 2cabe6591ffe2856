"""Geometric transforms: torchvision's parameters and distributions, and what the reader makes of them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from tests.jpeg.small_files import pixels
from tests.transforms.pixel_twin import pixels_of
from torchvision.transforms import v2

from prepixel import transforms
from prepixel.data import PixelReader, SpectrumDataset, SpectrumReader
from prepixel.spectrum import BandSet, Box, Spectrum, open_images, read_spectra
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
    box = params(transforms.Resize(short), transforms.CenterCrop(side), size=(height, width)).box
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


CHANGES: dict[str, tuple[Callable[[], GeometricTransform], Callable[[torch.Tensor], torch.Tensor]]] = {
    "left to right": (lambda: transforms.RandomHorizontalFlip(1.0), v2.functional.horizontal_flip),
    "top to bottom": (lambda: transforms.RandomVerticalFlip(1.0), v2.functional.vertical_flip),
    "a quarter": (lambda: transforms.RandomQuarterTurn((1,)), lambda x: v2.functional.rotate(x, 90, expand=True)),
    "a half": (lambda: transforms.RandomQuarterTurn((-2,)), lambda x: x.rot90(2, (-2, -1))),
    "three quarters": (lambda: transforms.RandomQuarterTurn((3,)), lambda x: x.rot90(3, (-2, -1))),
    "a crop": (lambda: transforms.CenterCrop((16, 15)), lambda x: v2.functional.center_crop(x, [16, 15])),
    "a small crop": (lambda: transforms.CenterCrop((9, 7)), lambda x: v2.functional.center_crop(x, [9, 7])),
}


@pytest.mark.parametrize("names", list(itertools.product(CHANGES, repeat=3)), ids=", ".join)
def test_flips_turns_and_crops_one_after_the_other_are_those_of_pixels(names: tuple[str, ...]) -> None:
    """No resize: every pixel of the result is one of the image's, so places and colors are compared exactly."""
    pixels = torch.arange(23 * 41).reshape(1, 23, 41)
    expected = pixels
    chain = []
    for name in names:
        make, change = CHANGES[name]
        if "crop" in name and min(expected.shape[1:]) < 16:
            continue
        chain.append(make())
        expected = change(expected)
    drawn = params(*chain, size=(23, 41), aspect=expected.shape[2] / expected.shape[1])
    top, left, height, width = (round(edge) for edge in astuple(drawn.box))
    shown = pixels[:, top : top + height, left : left + width]
    shown = (shown.flip(-1) if drawn.flipped else shown).rot90(drawn.turns, (-2, -1))
    assert torch.equal(shown, expected)


def test_turns_are_as_often_as_said() -> None:
    turns = [params(transforms.RandomQuarterTurn(p=0.6), seed=seed).turns for seed in range(4000)]
    counts = np.bincount(turns, minlength=4)
    assert stats.chisquare(counts, 4000 * np.array([0.55, 0.15, 0.15, 0.15])).pvalue > 1e-3
    vertical = [params(transforms.RandomVerticalFlip(0.2), seed=seed) for seed in range(2000)]
    assert 320 < sum(drawn.turns == 2 and drawn.flipped for drawn in vertical) < 480


def test_readers_of_spectra_and_pixels_turn_alike() -> None:
    """Of a gray image on its own pixels both readers give the same picture, whatever is drawn."""
    file = io.BytesIO()
    Image.fromarray(pixels(40, 24)[..., 0]).save(file, "jpeg", quality=98)
    chain = transforms.ComposeCrops(
        [transforms.CenterCrop((32, 16)), transforms.RandomVerticalFlip(), transforms.RandomQuarterTurn((1, 3))]
    )
    drawn = [chain.make_params((40, 24), 2.0, np.random.default_rng(seed)) for seed in range(12)]
    assert len({(p.flipped, p.turns) for p in drawn}) == 4
    images = open_images([file.getvalue()] * 12)
    by_spectra = SpectrumReader(grid=(2, 4), bands=BandSet.of("192")).read(images, drawn, 1).inputs
    by_pixels = PixelReader((16, 32)).read(images, drawn, 1).inputs
    assert isinstance(by_spectra, Spectrum)
    assert isinstance(by_pixels, torch.Tensor)
    assert (pixels_of(by_spectra) - by_pixels).abs().max() < 1.0  # libjpeg rounds inside its inverse DCT and after it


def test_data_sets_turn_before_reading() -> None:
    file = io.BytesIO()
    Image.fromarray(pixels(97, 131)).save(file, "jpeg")
    turn = transforms.RandomQuarterTurn((1,))
    dataset = SpectrumDataset([(file.getvalue(), 0)], bands="S-24", grid=(7, 5), transform=turn)
    expected = read_spectra([file.getvalue()], grid=(7, 5), bands="S-24", turns=np.array([1]))
    assert torch.equal(dataset[0][0].values, expected.spectrum.values)
    with pytest.raises(TypeError, match="others change the batches that come out"):
        SpectrumDataset([], bands="S-24", grid=(7, 7), transform=transforms.GaussianBlur(3))  # type: ignore[arg-type]
    unchecked = object.__new__(transforms.ComposeCrops)  # types are checked in tests, before the constructor can
    object.__setattr__(unchecked, "transforms", [v2.RandomHorizontalFlip()])
    with pytest.raises(TypeError, match="ComposeCrops takes the geometric transforms"):
        unchecked.__post_init__()


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
