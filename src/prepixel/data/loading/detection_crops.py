"""What a detector sees of a photo: a part of it, resized and perhaps mirrored; and where objects are in that frame.

First numbers are drawn, then kernels without chance apply them, to coefficients or to pixels, to boxes and to masks.
A frame is a whole number of blocks; it is filled by the crop exactly, so one factor an axis takes places from the
photo to the frame and back. Box edges are continuous coordinates, as COCO has them: 0 is the outer edge of the first
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prepixel.array_types import Float64, UInt8
from prepixel.data.datasets.coco import Segmentation
from prepixel.data.datasets.coco_masks import resize_mask, run_lengths
from prepixel.data.loading.crops import draw_flip
from prepixel.spectrum.boxes import Box

Boxes = Float64[np.ndarray, "k 4"]


class ResizeParams(NamedTuple):
    """Store the resize and flip of one photo.

    Attributes:
        box: the part of the upright photo that fills the frame, in whole pixels.
        size: height and width of the frame in pixels.
        flipped: the frame is mirrored left to right.
    """

    box: Box
    size: tuple[int, int]
    flipped: bool

    @property
    def factors(self) -> tuple[float, float]:
        """Return how much higher and wider the frame is than the part of the photo."""
        return self.size[0] / self.box.height, self.size[1] / self.box.width


@dataclass(frozen=True)
class FrameSettings:
    """Settings of how photos become frames.

    Attributes:
        min_sizes: the shorter side of the frame in pixels; while training one of them is drawn, in evaluation the last
            is taken. Published: 800.
        max_size: the longer side is never longer; the photo's proportions are kept, to half a block.
        unit: sides of frames are multiples of it: the pixels that a block stands for.
        flip_probability: how often a frame is mirrored while training.
        jitter: while training, low and high end of the factor by which the photo is enlarged beyond what fits into
            max_size x max_size; then a part of at most that size is cut by chance ("large-scale jitter", published:
            .1 to 2); None for no cut.
    """

    min_sizes: tuple[int, ...] = (800,)
    max_size: int = 1333
    unit: int = 4
    flip_probability: float = 0.5
    jitter: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.min_sizes or min(self.min_sizes) < 1 or self.max_size < max(self.min_sizes):
            raise ValueError(f"min_sizes {self.min_sizes}, max_size {self.max_size}: 1 <= every min size <= max size")
        if self.unit < 1 or not 0 <= self.flip_probability <= 1:
            raise ValueError(f"unit {self.unit} is below 1, or flip_probability {self.flip_probability} outside [0, 1]")
        if self.jitter is not None and not 0 < self.jitter[0] <= self.jitter[1]:
            raise ValueError(f"jitter {self.jitter} is not 0 < low <= high; published: (0.1, 2.0)")

    def make_params(self, size: tuple[int, int], generator: np.random.Generator, *, training: bool) -> ResizeParams:
        """Draw for an upright photo of (height, width)."""
        if not training:
            return ResizeParams(_whole(*size), self._fitted(size, self.min_sizes[-1]), flipped=False)
        flipped = draw_flip(generator, self.flip_probability)
        chosen, scale, top, left = generator.random(4).tolist()
        if self.jitter is None:
            short = self.min_sizes[int(chosen * len(self.min_sizes))]
            return ResizeParams(_whole(*size), self._fitted(size, short), flipped)
        low, high = self.jitter
        factor = (low + (high - low) * scale) * self.max_size / max(size)
        sides, places = [], []
        for side, place in zip(size, (top, left), strict=True):
            length = max(1, min(side, round(self.max_size / factor)))
            sides.append(length)
            places.append(int(place * (side - length + 1)))
        box = Box(float(places[0]), float(places[1]), float(sides[0]), float(sides[1]))
        return ResizeParams(box, (self._units(sides[0] * factor), self._units(sides[1] * factor)), flipped)

    def _fitted(self, size: tuple[int, int], short: int) -> tuple[int, int]:
        factor = min(short / min(size), self.max_size / max(size))
        return self._units(size[0] * factor), self._units(size[1] * factor)

    def _units(self, length: float) -> int:
        most = max(1, self.max_size // self.unit)
        return self.unit * min(max(1, round(length / self.unit)), most)


def boxes_in_frame(boxes: Boxes, params: ResizeParams) -> Boxes:
    """Take boxes (x left, y top, x right, y bottom) from the photo to the frame, which they may leave.

    >>> params = ResizeParams(Box(10.0, 20.0, 50.0, 100.0), (100, 100), flipped=True)
    >>> boxes_in_frame(np.array([[20.0, 10.0, 70.0, 60.0]]), params).tolist()
    [[50.0, 0.0, 100.0, 100.0]]
    """
    down, across = params.factors
    moved: Boxes = (boxes - np.tile([params.box.left, params.box.top], 2)) * np.tile([across, down], 2)
    if params.flipped:
        moved[:, [0, 2]] = params.size[1] - moved[:, [2, 0]]
    return moved


def boxes_in_photo(boxes: Boxes, params: ResizeParams) -> Boxes:
    """Take boxes from the frame back to the photo."""
    down, across = params.factors
    moved = np.array(boxes, dtype=np.float64)
    if params.flipped:
        moved[:, [0, 2]] = params.size[1] - moved[:, [2, 0]]
    back: Boxes = moved / np.tile([across, down], 2) + np.tile([params.box.left, params.box.top], 2)
    return back


def mask_in_frame(segmentation: Segmentation, photo: tuple[int, int], params: ResizeParams) -> UInt8[np.ndarray, "h w"]:
    """Draw an object's mask in the photo, where COCO's tools score it, then cut, resize and mirror it.

    Polygons are not drawn in the frame itself: their outlines are up to a pixel wide of the corners, and a pixel
    of the frame is not one of the photo.

    Args:
        segmentation: COCO's; None for an object without a mask, which is nowhere.
        photo: height and width of the upright photo.
        params: the frame.
    """
    if segmentation is None:
        return np.zeros(params.size, dtype=np.uint8)
    box = params.box
    top, left, height, width = (round(x) for x in (box.top, box.left, box.height, box.width))
    part = run_lengths(segmentation, *photo).decode()[top : top + height, left : left + width]
    resized = resize_mask(part, params.size)
    return resized[:, ::-1].copy() if params.flipped else resized


def _whole(height: int, width: int) -> Box:
    return Box(0.0, 0.0, float(height), float(width))
