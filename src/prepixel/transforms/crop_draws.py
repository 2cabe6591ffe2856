"""Which part of an image a sample shows, and how it is turned: random boxes, whole or real numbers, and mirrorings.

Numbers are drawn first, and applied afterwards by a kernel without chance. Knows neither torch nor files.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from prepixel.spectrum.boxes import Box, Padding, Real

DEFAULT_AREAS = (0.08, 1.0)
DEFAULT_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10

# A level of 0..255 for all of R, G and B, or one for each.
Color: TypeAlias = Real | tuple[Real, Real, Real]


class CropParams(NamedTuple):
    """Store the crop parameters of one sample.

    Attributes:
        box: the part of the upright image to keep.
        flipped: mirror that part left to right.
        turns: quarters by which it is turned counter-clockwise after that.
        padding: what lies beyond the image, or beyond the part that is shown; None: the box stays inside.
        shown: the part of the image beyond which padding begins; None for all of it.
    """

    box: Box
    flipped: bool
    turns: int = 0
    padding: Padding | None = None
    shown: Box | None = None


@runtime_checkable
class Crop(Protocol):
    """Choose the part of an image that a sample shows."""

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Draw box and flip for an upright image of (height, width) and an output of ``aspect`` = width / height."""


def draw_flip(generator: np.random.Generator, probability: float = 0.5) -> bool:
    """Draw whether to mirror."""
    return bool(generator.random() < probability)


def draw_random_resized_crop(
    height: int,
    width: int,
    generator: np.random.Generator,
    *,
    areas: tuple[float, float] = DEFAULT_AREAS,
    ratios: tuple[float, float] = DEFAULT_RATIOS,
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
            return _whole_box(int(for_top * (height - h + 1)), int(for_left * (width - w + 1)), h, w)
    w, h = width, height
    if width / height < ratios[0]:
        h = max(1, round(width / ratios[0]))
    elif width / height > ratios[1]:
        w = max(1, round(height * ratios[1]))
    return _whole_box((height - h) // 2, (width - w) // 2, h, w)


def center_box(height: int, width: int, fraction: float, *, aspect: float = 1.0) -> Box:
    """Return the centered box that "resize the short side to R, crop C x C" keeps, with ``fraction`` = C / R.

    The box is in whole pixels of the original, so that coefficients and pixels are cut alike. torchvision resizes
    first and crops afterwards, at whole pixels of the *resized* image; its edges and ours differ by less than one
    pixel of the original and one of the resized image together.

    Args:
        height, width: of the upright image, at least 1.
        fraction: in (0, 1]; published: 224 / 256 = .875, 448 / 512, 896 / 1024.
        aspect: width / height of the output.

    >>> center_box(401, 467, 0.875)
    Box(top=25.0, left=58.0, height=351.0, width=351.0)
    """
    full = min(height, width / aspect)
    h = min(height, max(1, round(full * fraction)))
    w = min(width, max(1, round(full * aspect * fraction)))
    return _whole_box((height - h) // 2, (width - w) // 2, h, w)


def _whole_box(top: int, left: int, height: int, width: int) -> Box:
    return Box(float(top), float(left), float(height), float(width))


def check_probability(name: str, value: Any) -> None:
    """Raise ValueError for a probability outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must be in [0, 1]")
