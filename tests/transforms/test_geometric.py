"""Geometric transforms: torchvision's parameters and distributions, and what the reader makes of them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

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
from prepixel.data.loading.readers import crop_pixels
from prepixel.spectrum import BandSet, Box, Padding, Spectrum, open_images, read_spectra
from prepixel.spectrum.boxes import PaddingMode
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


PAD = transforms.RandomCrop((321, 467), padding=(0, 10))
MIRROR = transforms.RandomCrop((321, 467), padding=(0, 10), padding_mode="reflect")
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


def told(transform: v2.RandomCrop, n: int) -> dict[str, list[int]]:
    """Return where torchvision crops, in the coordinates of the image without padding."""
    drawn = [transform.make_params([torch.zeros(1, 40, 31)]) for _ in range(n)]
    left, top = (drawn[0]["padding"][0], drawn[0]["padding"][1]) if drawn[0]["needs_pad"] else (0, 0)
    return {"top": [p["top"] - top for p in drawn], "left": [p["left"] - left for p in drawn]}


@pytest.mark.parametrize(
    "options",
    [{"padding": 4}, {"padding": (3, 8)}, {"padding": (1, 2, 3, 4)}, {"padding": (0, 1), "pad_if_needed": True}],
    ids=str,
)
def test_padded_crops_are_distributed_as_torchvisions(options: dict[str, Any]) -> None:
    n, size = 2000, (43 if "pad_if_needed" in options else 24, 30)
    crop = transforms.RandomCrop(size, **options)
    ours = [params(crop, size=(40, 31), aspect=size[1] / size[0], seed=seed) for seed in range(n)]
    torch.manual_seed(0)
    theirs = told(v2.RandomCrop(size, **options), n)
    for name in ("top", "left"):
        places = [round(getattr(p.box, name)) for p in ours]
        assert {min(places), max(places)} == {min(theirs[name]), max(theirs[name])}
        assert stats.ks_2samp(places, theirs[name]).pvalue > 1e-3


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_padding_translation_flips_and_turns_are_those_of_pixels(mode: PaddingMode) -> None:
    """The same numbers drawn for torchvision: places and colors are compared exactly."""
    image = torch.arange(3 * 23 * 41, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(3, 23, 41)
    for seed in range(60):
        flip, turn = transforms.RandomHorizontalFlip(1.0), transforms.RandomQuarterTurn((seed % 4,))
        pad = transforms.RandomCrop((20, 20), padding=(3, 6), fill=(9, 99, 199), padding_mode=mode)
        chain: list[GeometricTransform] = [transforms.CenterCrop((20, 32)), flip, turn, pad, flip, turn]
        generator = np.random.default_rng(seed)
        expected = v2.functional.center_crop(image, [20, 32])
        generator.random()
        generator.random(), generator.integers(1)
        expected = expected.flip(-1).rot90(seed % 4, (-2, -1))
        top, left = (
            int(generator.integers(s + 1 - 20 + 2 * p)) for s, p in zip(expected.shape[1:], (6, 3), strict=True)
        )
        expected = padded(expected, [3, 6], mode)[:, top : top + 20, left : left + 20]
        generator.random()
        generator.random(), generator.integers(1)
        expected = expected.flip(-1).rot90(seed % 4, (-2, -1))
        if mode == "constant":
            chain.append(transforms.RandomTranslate((0.8, 0.5), fill=(9, 99, 199)))
            across, down = (round(generator.uniform(-share * 20, share * 20)) for share in (0.8, 0.5))
            expected = padded(expected, [20, 20], mode)[:, 20 - down : 40 - down, 20 - across : 40 - across]
        drawn = params(*chain, size=(23, 41), seed=seed)
        assert torch.equal(crop_pixels(image, drawn, (20, 20)), expected), seed


def padded(image: torch.Tensor, padding: list[int], mode: str) -> torch.Tensor:
    """Pad by torchvision, the color channel by channel, since it takes one level for a tensor."""
    larger = [v2.functional.pad(image, padding, fill=level, padding_mode=mode) for level in (9, 99, 199)]
    return torch.stack([larger[c][c] for c in range(3)])


def test_translation_after_a_crop_shows_padding_where_the_crop_ends() -> None:
    chain = (transforms.CenterCrop(100), transforms.RandomTranslate((0.5, 0.5), fill=7))
    for seed in range(20):
        drawn = params(*chain, seed=seed)
        assert drawn.padding == Padding(7)
        assert drawn.shown == params(chain[0]).box
        assert abs(drawn.box.top - drawn.shown.top) <= 50
    assert params(transforms.RandomTranslate((0.0, 0.0))) == params()
    gone = params(transforms.RandomCrop(100, padding=400, fill=7), chain[1], chain[1], seed=1)
    assert gone.padding == Padding(7)


def test_data_sets_pad_before_reading() -> None:
    file = io.BytesIO()
    Image.fromarray(pixels(40, 24)[..., 0]).save(file, "jpeg", quality=98)
    chain = transforms.ComposeCrops(
        [transforms.RandomCrop(32, padding=(4, 0), fill=90), transforms.RandomTranslate((0.3, 0.2), fill=90)]
    )
    dataset = SpectrumDataset([(file.getvalue(), 0)] * 9, bands="192", grid=(4, 4), transform=chain)
    torch.manual_seed(1)
    spectra = torch.cat([spectrum.values for spectrum, _ in dataset.__getitems__(list(range(9)))])
    torch.manual_seed(1)
    seeds = [int(torch.empty((), dtype=torch.int64).random_()) for _ in range(9)]
    drawn = [chain.make_params((40, 24), 1.0, np.random.default_rng(seed)) for seed in seeds]
    by_pixels = PixelReader((32, 32)).read(open_images([file.getvalue()] * 9), drawn, 1).inputs
    assert isinstance(by_pixels, torch.Tensor)
    ours = pixels_of(Spectrum.of_coefficients(spectra, BandSet.of("192")))
    assert (ours - by_pixels).abs().max() < 1.0  # libjpeg rounds
    assert (by_pixels == 90).float().mean() > 0.2


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
        (
            lambda: params(transforms.RandomCrop((9, 468))),
            "by Resize, or let RandomCrop pad it",
        ),
        (lambda: params(transforms.Resize(256)), "end with a crop of its proportions, such as CenterCrop"),
        (lambda: params(transforms.RandomResizedCrop((224, 192))), "the transforms end with an image of 224 x 192"),
        (lambda: transforms.Resize(0), "its sides must be 1 or greater"),
        (lambda: transforms.RandomResizedCrop(scale=(0.0, 1.0)), r"scale is \(0.0, 1.0\)"),
        (lambda: transforms.RandomResizedCrop(ratio=(2.0, 1.0)), r"ratio is \(2.0, 1.0\)"),
        (lambda: transforms.RandomHorizontalFlip(1.1), "p is 1.1"),
        (lambda: transforms.RandomCrop(9, padding=-1), "padding is -1; give 1, 2 or 4 numbers of pixels"),
        (lambda: transforms.RandomCrop(9, padding=(1, 2, 3)), r"padding is \(1, 2, 3\)"),
        (lambda: params(transforms.RandomCrop(320, padding=9)), "320 x 320 pixels of an image of 319 x 485"),
        (lambda: params(PAD, transforms.RandomTranslate((0.9, 0.9), fill=3)), "the decoder knows one padding"),
        (lambda: params(MIRROR, MIRROR), "give both transforms the same fill, or pad once"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
