"""Which part of an image a network sees: drawn first, as numbers, and applied afterwards by a kernel without chance.

Every draw is a function of (seed, epoch, sample index) alone, so it is the same for any number of worker processes,
threads or ranks, and for coefficients and pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION
from prepixel.transforms.crop_draws import (
    DEFAULT_AREAS,
    DEFAULT_RATIOS,
    Crop,
    CropParams,
    center_box,
    draw_flip,
    draw_random_resized_crop,
)

__all__ = ["CenterCrop", "Crop", "CropParams", "RandomCrop", "center_box", "draw_flip", "draw_random_resized_crop"]


@dataclass(frozen=True)
class RandomCrop:
    """Cut a random part, as networks on ImageNet are trained: torchvision's RandomResizedCrop, then a random flip.

    Attributes:
        areas: smallest and largest part of the image's area, each in (0, 1].
        ratios: smallest and largest width / height of the part.
        flip_probability: how often it is mirrored left to right, in [0, 1].
    """

    areas: tuple[float, float] = DEFAULT_AREAS
    ratios: tuple[float, float] = DEFAULT_RATIOS
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.areas[0] <= self.areas[1] <= 1:
            raise ValueError(f"areas {self.areas} are not low <= high within (0, 1]; published: {DEFAULT_AREAS}")
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
