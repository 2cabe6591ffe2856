"""Which part of an image a network sees: drawn first, as numbers, and applied afterwards by a kernel without chance.

Every draw is a function of (seed, epoch, sample index) alone, so it is the same for any number of worker processes,
threads or ranks, and for coefficients and pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION, Box, center_box, whole_box

_DEFAULT_AREAS = (0.08, 1.0)
_DEFAULT_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10


class CropParams(NamedTuple):
    """Store the crop parameters of one sample.

    Attributes:
        box: the part of the upright image to keep.
        flipped: mirror that part left to right.
    """

    box: Box
    flipped: bool


def draw_flip(generator: np.random.Generator, probability: float = 0.5) -> bool:
    """Draw whether to mirror."""
    return bool(generator.random() < probability)


def draw_random_resized_crop(
    height: int,
    width: int,
    generator: np.random.Generator,
    *,
    areas: tuple[float, float] = _DEFAULT_AREAS,
    ratios: tuple[float, float] = _DEFAULT_RATIOS,
) -> Box:
    """Draw a box as torchvision's RandomResizedCrop does: whole pixels, the same distribution, another generator.

    Area uniform, ratio of width to height uniform in its logarithm, ten tries to fit; else the largest centered box
    whose ratio is inside the bounds.

    Args:
        height, width: of the upright image, at least 1.
        generator: advanced by four numbers a try.
        areas: smallest and largest part of the image's area.
        ratios: smallest and largest width / height.

    Source: torchvision.transforms.v2.RandomResizedCrop.make_params.
    """
    low, high = math.log(ratios[0]), math.log(ratios[1])
    for _ in range(_TRIES):
        # four uniforms a try, wanted or not: what comes later does not hang on which tries fitted
        for_area, for_ratio, for_top, for_left = generator.random(4).tolist()
        area = height * width * (areas[0] + (areas[1] - areas[0]) * for_area)
        ratio = math.exp(low + (high - low) * for_ratio)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return whole_box(int(for_top * (height - h + 1)), int(for_left * (width - w + 1)), h, w)
    w, h = width, height
    if width / height < ratios[0]:
        h = max(1, round(width / ratios[0]))
    elif width / height > ratios[1]:
        w = max(1, round(height * ratios[1]))
    return whole_box((height - h) // 2, (width - w) // 2, h, w)


@runtime_checkable
class Crop(Protocol):
    """Choose the part of an image that a sample shows."""

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Draw box and flip for an upright image of (height, width) and an output of ``aspect`` = width / height."""


@dataclass(frozen=True)
class RandomCrop:
    """Cut a random part, as networks on ImageNet are trained: torchvision's RandomResizedCrop, then a random flip.

    Attributes:
        areas: smallest and largest part of the image's area, each in (0, 1].
        ratios: smallest and largest width / height of the part.
        flip_probability: how often it is mirrored left to right, in [0, 1].
    """

    areas: tuple[float, float] = _DEFAULT_AREAS
    ratios: tuple[float, float] = _DEFAULT_RATIOS
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.areas[0] <= self.areas[1] <= 1:
            raise ValueError(f"areas {self.areas} are not low <= high within (0, 1]; published: {_DEFAULT_AREAS}")
        if not 0 < self.ratios[0] <= self.ratios[1] < math.inf:
            raise ValueError(f"ratios {self.ratios} are not 0 < low <= high; published: (3/4, 4/3)")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability {self.flip_probability} is outside [0, 1]; published: 0.5")

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Draw box and flip; ``aspect`` plays no part, as in torchvision."""
        flipped = draw_flip(generator, self.flip_probability)
        return CropParams(draw_random_resized_crop(*size, generator, areas=self.areas, ratios=self.ratios), flipped)


@dataclass(frozen=True)
class CenterCrop:
    """Cut the centered part that evaluation sees; nothing is random.

    Attributes:
        fraction: of the short side, in (0, 1]; see `center_box`.
    """

    fraction: float = PUBLISHED_CENTER_FRACTION

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} is outside (0, 1]; published: {PUBLISHED_CENTER_FRACTION}")

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Return the centered box; the generator is not touched."""
        return CropParams(center_box(*size, self.fraction, aspect=aspect), flipped=False)
