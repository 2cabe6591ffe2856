"""Draws: torchvision's distribution, functions of (seed, epoch, index) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import RandomResizedCrop, functional

from prepixel.data.loading.crops import CenterCrop, RandomCrop, center_box, draw_flip, draw_random_resized_crop
from prepixel.data.random_streams import Stream, draw_order, sample_generator

N = 4000


def ours(height: int, width: int, **options: tuple[float, float]) -> np.ndarray:
    boxes = [draw_random_resized_crop(height, width, sample_generator(0, 0, i), **options) for i in range(N)]
    return np.array([(b.top, b.left, b.height, b.width) for b in boxes])


def torchvisions(height: int, width: int) -> np.ndarray:
    torch.manual_seed(0)
    transform, image = RandomResizedCrop(7), torch.empty(3, height, width)
    drawn = [transform.make_params([image]) for _ in range(N)]
    return np.array([(d["top"], d["left"], d["height"], d["width"]) for d in drawn])


@pytest.mark.parametrize(("height", "width"), [(401, 467), (97, 1009), (1009, 97)])
def test_boxes_are_distributed_as_torchvision_s(height: int, width: int) -> None:
    """Two-sample Kolmogorov-Smirnov distance of each edge and of the area; 1.95 sqrt(2 / n) is its .1 % point."""
    a, b = ours(height, width), torchvisions(height, width)
    for one, other in [*zip(a.T, b.T, strict=True), (a[:, 2] * a[:, 3], b[:, 2] * b[:, 3])]:
        points = np.union1d(one, other)
        distance = np.abs(
            np.searchsorted(np.sort(one), points, "right") / N - np.searchsorted(np.sort(other), points, "right") / N
        ).max()
        assert distance < 1.95 * (2 / N) ** 0.5


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**64 - 1))
def test_boxes_are_whole_pixels_inside_the_image(height: int, width: int, index: int) -> None:
    box = draw_random_resized_crop(height, width, sample_generator(3, 5, index))
    assert all(float(value).is_integer() for value in (box.top, box.left, box.height, box.width))
    assert box.height >= 1
    assert box.width >= 1
    assert 0 <= box.top <= box.top + box.height <= height
    assert 0 <= box.left <= box.left + box.width <= width


@given(st.integers(1, 900), st.integers(1, 900), st.floats(0.1, 1.0), st.sampled_from([1.0, 5 / 3, 0.6]))
def test_centered_boxes_are_centered_inside_the_image(height: int, width: int, fraction: float, aspect: float) -> None:
    box = center_box(height, width, fraction, aspect=aspect)
    assert abs(2 * box.top + box.height - height) <= 1
    assert abs(2 * box.left + box.width - width) <= 1
    assert 1 <= box.height <= height
    assert 1 <= box.width <= width


@given(st.integers(64, 900), st.integers(64, 900))
def test_centered_boxes_are_torchvision_s_but_for_whole_pixels(height: int, width: int) -> None:
    """Resize the short side to 256, crop 224: where that square lies in the original, edge by edge."""
    resized = functional.resize(torch.empty(1, height, width, device="meta"), [256]).shape[-2:]
    box = center_box(height, width, 224 / 256)
    for size, now, start, length in zip(
        (height, width), resized, (box.top, box.left), (box.height, box.width), strict=True
    ):
        scale = size / now
        first = round((now - 224) / 2) * scale  # torchvision's center_crop
        assert abs(start - first) < 1 + scale
        assert abs(start + length - (first + 224 * scale)) < 1 + scale


def test_generators_share_no_number() -> None:
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    drawn = [tuple(sample_generator(*key).random(3)) for key in keys]
    drawn.append(tuple(sample_generator(0, 0, 0, Stream.ORDER).random(3)))
    assert len(set(drawn)) == 5
    assert drawn[2] == tuple(sample_generator(0, 1, 0).random(3))


def test_generator_numbers_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="epoch -1 is outside"):
        sample_generator(0, -1, 0)


def test_orders_are_permutations_that_differ() -> None:
    first, second = draw_order(101, 7, 0), draw_order(101, 7, 1)
    assert sorted(first.tolist()) == list(range(101))
    assert first.tolist() != second.tolist()
    # Half of all pairs stand in their natural order, as in a fair shuffle: 5 sigma of the inversions' spread.
    inversions = sum(int((first[i + 1 :] < first[i]).sum()) for i in range(101))
    assert abs(inversions - 101 * 100 / 4) < 5 * (101 * 100 * 207 / 72) ** 0.5


def test_flips_come_as_often_as_asked() -> None:
    flips = [draw_flip(sample_generator(0, 0, i), 0.25) for i in range(N)]
    assert abs(np.mean(flips) - 0.25) < 5 * (0.25 * 0.75 / N) ** 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"areas": (0.5, 0.2)}, r"areas \(0.5, 0.2\)"),
        ({"ratios": (0.0, 1.0)}, r"ratios \(0.0, 1.0\)"),
        ({"flip_probability": 1.5}, "flip_probability 1.5"),
    ],
)
def test_crops_that_cannot_be_drawn_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RandomCrop(**options)  # type: ignore[arg-type]


def test_center_crop_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fraction 0\.0 is outside"):
        CenterCrop(0.0)


def test_flip_is_drawn_before_the_box_and_both_by_one_generator() -> None:
    a = RandomCrop().make_params((61, 83), 1.0, sample_generator(1, 2, 3))
    b = RandomCrop(flip_probability=0.0).make_params((61, 83), 1.0, sample_generator(1, 2, 3))
    assert a.box == b.box
    assert not b.flipped
