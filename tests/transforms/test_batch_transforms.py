"""Random transforms of batches: distributions, determinism, labels, and equality with torchvision's."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from tests.transforms.pixel_twin import photo, pixels_of, spectrum_of
from torch.utils.data import default_collate
from torchvision.transforms import v2

from prepixel import transforms
from prepixel.data import SpectrumDataset
from prepixel.spectrum import BandSet, Spectrum
from prepixel.transforms import BatchTransform
from prepixel.transforms.auto_augment import AugmentParams, augment
from prepixel.transforms.color_jitter import jitter
from prepixel.transforms.mixing import draw_beta

GRID = (3, 5)
LABELS = torch.tensor([4, 0, 2, 2])

ALL: list[BatchTransform] = [
    transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
    transforms.RandomGrayscale(0.5),
    transforms.RandomInvert(0.5),
    transforms.GaussianBlur(5),
    transforms.RandomAdjustSharpness(2.0),
    transforms.RandomTranslate((0.3, 0.2)),
    transforms.RandomErasing(0.9),
    transforms.RandomVerticalFlip(),
    transforms.MixUp(num_classes=5),
    transforms.CutMix(num_classes=5),
    transforms.RandAugment(),
    transforms.TrivialAugmentWide(),
    transforms.RandomApply([transforms.RandomInvert(1.0)], 0.5),
    transforms.RandomChoice([transforms.MixUp(num_classes=5), transforms.CutMix(num_classes=5)]),
    transforms.Compose([transforms.RandAugment(), transforms.MixUp(num_classes=5)]),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_draws_depend_on_the_generator_alone(transform: BatchTransform) -> None:
    spectrum = spectrum_of(photo(4, GRID), "S-24")
    before = spectrum.values.clone()
    results = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(7 * len(results))
        changed, labels = transform(spectrum, LABELS, generator=generator(seed))
        assert changed.bands == spectrum.bands
        assert len(changed) == len(labels) == 4
        results.append(changed.coefficients())
    assert torch.equal(results[0], results[1])
    assert any(not torch.equal(results[0], other) for other in results[2:])
    assert torch.equal(spectrum.values, before)
    torch.manual_seed(5)
    first = transform(spectrum, LABELS)[0].values
    torch.manual_seed(5)
    again: BatchTransform = pickle.loads(pickle.dumps(transform))
    assert torch.equal(first, again(spectrum, LABELS)[0].values)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_pixels_are_refused(transform: BatchTransform) -> None:
    with pytest.raises(
        TypeError, match=r"is for batches of spectra, and this is a Tensor; for pixels take torchvision"
    ):
        transform(torch.zeros(2, 3, 8, 8), LABELS)  # type: ignore[call-overload]


# The very draw is torchvision's where the same generator is asked in the same order; elsewhere the distribution is.


def test_jitter_draws_uniform_factors_and_is_the_four_changes_in_any_order() -> None:
    params = transforms.ColorJitter(0.4, (0.9, 1.3), 2.0, 0.1).make_params(4000, generator())
    bounds = [(0.6, 1.4), (0.9, 1.3), (0.0, 3.0), (-0.1, 0.1)]
    for factors, (low, high) in zip(params, bounds, strict=True):
        assert stats.kstest(factors.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    spectrum = spectrum_of(photo(3, GRID))
    few = [factors[:3].double() for factors in params]
    changed = jitter(spectrum, type(params)(*few))
    steps: list[tuple[Callable[..., Spectrum], Any]] = [
        (transforms.adjust_brightness, few[0]),
        (transforms.adjust_contrast, few[1]),
        (transforms.adjust_saturation, few[2]),
        (transforms.approximate_hue, few[3]),
    ]
    for order in ((0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)):
        one_by_one = spectrum
        for place in order:
            change, factors = steps[place]
            one_by_one = change(one_by_one, factors)
        torch.testing.assert_close(changed.values, one_by_one.values, rtol=0, atol=1e-9)


def test_mixup_is_torchvisions() -> None:
    images = photo(4, GRID)
    share = transforms.MixUp(0.4, 5).make_params(generator(3))
    mixed, labels = transforms.MixUp(0.4, 5)(spectrum_of(images), LABELS, generator=generator(3))
    twin = v2.MixUp(alpha=0.4, num_classes=5)
    params = {"lam": share, "labels": LABELS, "batch_size": 4}
    torch.testing.assert_close(pixels_of(mixed), twin.transform(images.clone(), params), rtol=0, atol=1e-9)
    torch.testing.assert_close(labels, twin.transform(LABELS, params))


def test_cutmix_pastes_whole_blocks_and_weighs_labels_by_area() -> None:
    images, changed_boxes = photo(4, GRID), 0
    for seed in range(12):
        (top, left, height, width), kept = transforms.CutMix(1.0, 5).make_params(GRID, generator(seed))
        mixed, labels = transforms.CutMix(1.0, 5)(spectrum_of(images), LABELS, generator=generator(seed))
        twin = v2.CutMix(alpha=1.0, num_classes=5)
        box = (8 * left, 8 * top, 8 * (left + width), 8 * (top + height))
        params = {"box": box, "lam_adjusted": kept, "labels": LABELS, "batch_size": 4}
        torch.testing.assert_close(pixels_of(mixed), twin.transform(images.clone(), params), rtol=0, atol=1e-9)
        torch.testing.assert_close(labels, twin.transform(LABELS, params))
        assert kept == pytest.approx(1 - height * width / (GRID[0] * GRID[1]))
        changed_boxes += 0 < kept < 1
    assert changed_boxes > 4


def test_the_box_of_cutmix_is_torchvisions_moved_to_the_blocks() -> None:
    """Same place and share: torchvision draws the share, x and y in this order, too."""
    ours, theirs = [], []
    pixels = torch.zeros(1, 3, 8 * GRID[0], 8 * GRID[1])
    for seed in range(300):
        (top, left, height, width), kept = transforms.CutMix(0.7).make_params(GRID, generator(seed))
        torch.manual_seed(seed)
        share = draw_beta(0.7, generator(seed))
        twin = v2.CutMix(alpha=0.7, num_classes=2)
        twin._dist = type("Fixed", (), {"sample": lambda self, shape, share=share: share})()
        state = generator(seed)
        draw_beta(0.7, state)
        torch.random.set_rng_state(state.get_state())
        x1, y1, x2, y2 = twin.make_params([pixels])["box"]
        expected = [math.floor(edge / 8 + 0.5) for edge in (y1, x1, y2, x2)]
        assert [top, left, top + height, left + width] == expected
        ours.append(kept)
        theirs.append(1 - (x2 - x1) * (y2 - y1) / (64 * GRID[0] * GRID[1]))
    assert sum(ours) / 300 == pytest.approx(sum(theirs) / 300, abs=0.02)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    source = generator(1)
    shares = [draw_beta(alpha, source) for _ in range(3000)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_erased_rectangles_are_distributed_as_torchvisions() -> None:
    grid, n = (28, 20), 4000
    boxes, which = transforms.RandomErasing(0.3).make_params(n, grid, generator(2))
    assert 0.27 < which.double().mean() < 0.33
    torch.manual_seed(0)
    twin, pixels = v2.RandomErasing(), torch.zeros(3, 8 * grid[0], 8 * grid[1])
    told = [twin.make_params([pixels]) for _ in range(n)]
    theirs = torch.tensor([[math.floor(p[k] / 8 + 0.5) for k in "ij"] + [p["h"] / 8, p["w"] / 8] for p in told])
    for ours, other in zip(boxes.double().unbind(1), theirs.double().unbind(1), strict=True):
        assert float(ours.mean()) == pytest.approx(float(other.mean()), abs=0.35)
        assert float(ours.std()) == pytest.approx(float(other.std()), rel=0.06)


def test_erasing_paints_what_was_drawn() -> None:
    images, transform = photo(6, GRID), transforms.RandomErasing(0.5, value=40.0)
    boxes, which = transform.make_params(6, GRID, generator(4))
    expected = images.clone()
    for image, (top, left, height, width), chosen in zip(expected, boxes.tolist(), which.tolist(), strict=True):
        if chosen:
            image[:, 8 * top : 8 * (top + height), 8 * left : 8 * (left + width)] = 40.0
    assert 0 < int(which.sum()) < 6
    erased = transform(spectrum_of(images), generator=generator(4))
    torch.testing.assert_close(pixels_of(erased), expected, rtol=0, atol=1e-9)


def test_operations_are_torchvisions_on_each_image() -> None:
    """Of pixels that a change by a quarter does not clamp."""
    images = photo(40, GRID, low=110, high=140)
    drawn = transforms.RandAugment(num_ops=1, magnitude=8).make_params(40, GRID, generator(1))
    params = AugmentParams(drawn.operations, drawn.magnitudes.double())
    changed = pixels_of(augment(spectrum_of(images), params))
    twin, names = v2.RandAugment(), transforms.LINEAR_OPERATIONS
    for image, result, operation, magnitude in zip(images, changed, *(p[:, 0].tolist() for p in params), strict=True):
        expected = twin._apply_image_or_video_transform(
            image / 255, names[operation], magnitude, interpolation=v2.InterpolationMode.NEAREST, fill={}
        )
        # torchvision's luma differs in the fourth digit
        limit = 0.02 if names[operation] in ("Contrast", "Color") else 1e-9
        torch.testing.assert_close(result, 255 * expected, rtol=0, atol=limit)
    assert set(params.operations.flatten().tolist()) == set(range(7))


def test_several_operations_are_one_after_the_other() -> None:
    spectrum = spectrum_of(photo(30, GRID), "S-24")
    params = transforms.RandAugment(num_ops=3).make_params(30, GRID, generator(1))
    expected = spectrum
    for place in range(3):
        expected = augment(expected, AugmentParams(*(p[:, place : place + 1] for p in params)))
    torch.testing.assert_close(augment(spectrum, params).values, expected.values, rtol=0, atol=1e-9)
    nothing = transforms.RandAugment(num_ops=0)(spectrum, generator=generator())
    assert torch.equal(nothing.values, spectrum.values)


def test_without_all_frequencies_translations_are_by_whole_blocks() -> None:
    spectrum = spectrum_of(photo(4, GRID), "S-24")
    across = transforms.LINEAR_OPERATIONS.index("TranslateX")
    params = AugmentParams(torch.full((4, 1), across), torch.tensor([[11.0], [13.0], [-13.0], [3.0]]))
    expected = transforms.translate(spectrum, torch.tensor([8, 16, -16, 0]), 0)
    torch.testing.assert_close(augment(spectrum, params).values, expected.values, rtol=0, atol=1e-9)


def test_magnitudes_are_torchvisions() -> None:
    names, grid = transforms.LINEAR_OPERATIONS, (7, 11)
    rand = transforms.RandAugment(magnitude=9).make_params(2000, grid, generator())
    wide = transforms.TrivialAugmentWide().make_params(3000, generator())
    counts = torch.bincount(rand.operations.flatten(), minlength=7)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for place, name in enumerate(names):
        table, signed = v2.RandAugment._AUGMENTATION_SPACE[name]
        got = rand.magnitudes[rand.operations == place]
        expected = 0.0 if name == "Identity" else float(table(31, 56, 88)[9])
        torch.testing.assert_close(got.abs(), torch.full_like(got, expected))
        assert not signed or 0.44 < float((got > 0).double().mean()) < 0.56
        table, _ = v2.TrivialAugmentWide._AUGMENTATION_SPACE[name]
        bins = torch.zeros(1) if name == "Identity" else table(31, 56, 88)
        got = wide.magnitudes[wide.operations == place].abs()
        nearest = (got[:, None] - bins).abs().amin(1)
        assert float(nearest.max()) < 1e-5
        assert name == "Identity" or len(torch.unique(got.round(decimals=4))) == 31


def test_flips_and_quarter_turns_are_those_of_pixels() -> None:
    images = photo(4, GRID)
    flipped = pixels_of(transforms.flip_vertical(spectrum_of(images), torch.tensor([True, False, True, False])))
    expected = torch.stack([images[0].flip(-2), images[1], images[2].flip(-2), images[3]])
    torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-9)
    square = photo(5, (3, 3))
    turned = pixels_of(transforms.quarter_turns(spectrum_of(square), torch.tensor([0, 1, 2, 3, 5])))
    turns = [0, 1, 2, 3, 1]
    expected = torch.stack([image.rot90(k, (-2, -1)) for image, k in zip(square, turns, strict=True)])
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-9)
    whole, few = spectrum_of(square), spectrum_of(square, "S-24")
    some = transforms.quarter_turns(whole, torch.tensor(turns)).select("S-24")
    torch.testing.assert_close(transforms.quarter_turns(few, torch.tensor(turns)).values, some.values)
    drawn = transforms.RandomQuarterTurn((1, 3)).draw_turns(1000, generator())
    assert 440 < int((drawn == 1).sum()) < 560
    assert set(drawn.tolist()) == {1, 3}
    some = transforms.RandomQuarterTurn((1, 3), p=0.3).draw_turns(1000, generator())
    assert 240 < int((some != 0).sum()) < 360


def test_turns_that_need_more_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a grid of 3 x 5 blocks has another shape after a quarter turn"):
        transforms.RandomQuarterTurn()(spectrum_of(photo(2, GRID), "S-24"))
    with pytest.raises(ValueError, match=r"band set lopsided lacks the channels \(component, v, u\) \[\(0, 1, 0\)\]"):
        transforms.RandomQuarterTurn()(spectrum_of(photo(2, (2, 2)), BandSet("lopsided", (0, 1))))
    with pytest.raises(ValueError, match=r"turns is empty"):
        transforms.RandomQuarterTurn(())


def test_a_collate_function_ends_with_mixing() -> None:
    assert SpectrumDataset.__getitems__  # its module teaches default_collate to join spectra
    samples = [(spectrum_of(photo(1, GRID, seed=i), "S-24"), i) for i in range(4)]
    mix = transforms.RandomChoice([transforms.MixUp(num_classes=5), transforms.CutMix(num_classes=5)])
    torch.manual_seed(0)
    spectrum, labels = mix(*default_collate(samples))
    assert len(spectrum) == 4
    assert labels.shape == (4, 5)
    torch.testing.assert_close(labels.sum(1), torch.ones(4))


def test_choices_are_as_often_as_said() -> None:
    spectrum = spectrum_of(photo(1, (1, 1)), "S-6")
    mean = spectrum.values.mean()
    choice = transforms.RandomChoice([transforms.RandomInvert(1.0), transforms.RandomInvert(0.0)], [1.0, 3.0])
    maybe = transforms.RandomApply([transforms.RandomInvert(1.0)], 0.25)
    source = generator()
    for transform in (choice, maybe):
        changed = sum(bool(transform(spectrum, generator=source).values.mean() != mean) for _ in range(800))
        assert 160 < changed < 240


def test_mixing_without_fitting_labels_is_refused() -> None:
    spectrum = spectrum_of(photo(4, GRID), "S-24")
    for kind in (transforms.MixUp, transforms.CutMix):
        with pytest.raises(ValueError, match=r"mixes labels, too; call it with a spectrum and its labels"):
            kind(num_classes=5)(spectrum)
        with pytest.raises(ValueError, match=r"num_classes must say how many classes"):
            kind()(spectrum, LABELS)
        with pytest.raises(ValueError, match=r"labels are of 3 classes, and num_classes is 5"):
            kind(num_classes=5)(spectrum, torch.ones(4, 3))
        with pytest.raises(ValueError, match=r"labels are \(4,\) or \(4, classes\) for 4 images, not \(3,\)"):
            kind(num_classes=5)(spectrum, LABELS[:3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.MixUp(0.0), "alpha is 0.0; it must be above 0"),
        (lambda: transforms.CutMix(1.0, 0), "num_classes is 0"),
        (lambda: transforms.RandomErasing(1.5), r"p is 1.5; it must be in \[0, 1\]"),
        (lambda: transforms.RandomErasing(scale=(0.5, 0.2)), "low <= high"),
        (lambda: transforms.RandomErasing(ratio=(0.0, 1.0)), "ratio is"),
        (lambda: transforms.RandomErasing(value="random"), 'it must be "mean"'),
        (lambda: transforms.ColorJitter(brightness=-1.0), "one number must not be negative"),
        (lambda: transforms.ColorJitter(hue=0.7), r"factors must be ordered, and in \[-0.5, 0.5\]"),
        (lambda: transforms.ColorJitter(contrast=(1.2, 0.8)), "factors must be ordered"),
        (lambda: transforms.GaussianBlur(4), "kernel_size is 4; it must be odd"),
        (lambda: transforms.GaussianBlur(3, (2.0, 1.0)), "low <= high"),
        (lambda: transforms.RandomAdjustSharpness(-1.0), "it must not be negative"),
        (lambda: transforms.RandomTranslate((0.1, 1.2)), "both shares"),
        (lambda: transforms.RandAugment(magnitude=31), "magnitude below num_magnitude_bins, 31"),
        (lambda: transforms.RandAugment(operations=()), "operations are some of Identity, TranslateX"),
        (lambda: transforms.TrivialAugmentWide(num_magnitude_bins=0), "num_magnitude_bins is 0"),
        (lambda: transforms.RandomChoice([]), "there is no transform to choose"),
        (lambda: transforms.RandomChoice([transforms.RandomInvert()], [0.0]), "not all 0"),
        (lambda: transforms.RandomApply([], 2.0), "p is 2.0"),
        (lambda: transforms.RandomGrayscale(-0.1), "p is -0.1"),
        (lambda: transforms.RandomQuarterTurn(p=1.1), "p is 1.1"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
