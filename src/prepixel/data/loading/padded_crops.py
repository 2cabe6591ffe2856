"""Frames of one size that show whole photos: what a photo does not fill is padded.

A frame is the box of a photo that is resized to a fixed size, perhaps mirrored. The box may be larger than the photo,
or beyond its edges; there it shows a plain color, whose normalized coefficients are near zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prepixel.spectrum.boxes import MEAN_PADDING, Box, least_box
from prepixel.transforms.crop_draws import CropParams, draw_flip


@dataclass(frozen=True)
class WholePhoto:
    """Show the whole photo, as large as it fits, in the middle of the frame; nothing is random."""

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Return the smallest box of the frame's proportions around the photo, in whole pixels."""
        return _shown(least_box(size, aspect), size, flipped=False)


@dataclass(frozen=True)
class RandomScaledCrop:
    """Show the photo at a random scale and place, as segmenters are trained: a random resize, then a crop or padding.

    Attributes:
        scales: least and largest scale; at 1 the photo just fits into the frame, at 2 a part of half its length does.
        flip_probability: how often it is mirrored left to right, in [0, 1].
    """

    scales: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scales[0] <= self.scales[1] < math.inf:
            raise ValueError(f"scales {self.scales} are not 0 < low <= high; torchvision's are (0.5, 2.0)")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability {self.flip_probability} is outside [0, 1]")

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Draw box and flip for an upright photo of (height, width): four numbers of the generator."""
        flipped = draw_flip(generator, self.flip_probability)
        for_scale, for_top, for_left = generator.random(3).tolist()
        scale = self.scales[0] + (self.scales[1] - self.scales[0]) * for_scale
        least = least_box(size, aspect)
        height, width = (max(1, round(side / scale)) for side in (least.height, least.width))
        top, left = _place(size[0], height, for_top), _place(size[1], width, for_left)
        return _shown(Box(float(top), float(left), float(height), float(width)), size, flipped=flipped)


def _place(side: int, length: int, share: float) -> int:
    """Return where a box begins: inside the photo where it is shorter, else so that the photo is inside the box."""
    return int(share * (side - length + 1)) if length <= side else -int(share * (length - side + 1))


def _shown(box: Box, size: tuple[int, int], *, flipped: bool) -> CropParams:
    whole = Box(0.0, 0.0, float(size[0]), float(size[1]))
    return CropParams(box, flipped, padding=None if box.is_inside(whole) else MEAN_PADDING)
