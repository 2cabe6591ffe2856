"""Geometric changes of a sample, drawn before it is read: the decoder's linear map makes them, at no further cost.

Each class is what ``transform=`` of `prepixel.data.SpectrumDataset` takes. Parameters and distributions are those of
the torchvision v2 transforms of the same names. Sizes are in pixels of torchvision's image and only their proportions
matter: the data set's grid says how many blocks come out. A crop is resampled from the part of the photo under it, so
"resize, then crop" differs from torchvision's in the filter's taps beyond the crop's edge alone, which are not read.

`RandomVerticalFlip`, `RandomQuarterTurn` and `RandomTranslate` are drawn here, too, or change batches on the device.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from prepixel.spectrum.boxes import Box, Padding, PaddingMode, Real
from prepixel.transforms.crop_draws import (
    DEFAULT_AREAS,
    DEFAULT_RATIOS,
    Color,
    CropParams,
    check_probability,
    draw_random_resized_crop,
)

# Height and width in pixels, or one number for both.
Size: TypeAlias = int | tuple[int, int]


@dataclass(frozen=True)
class View:
    """Describe what a sample shows so far: a part of the upright photo as an image of a size of its own.

    Attributes:
        box: the part of the upright photo.
        size: height and width of the image that it has become.
        flipped: it is mirrored left to right.
        turns: quarters by which it is turned counter-clockwise after that, 0..3.
        sized: a transform has said the size.
        padding: what the box shows beyond ``shown``; None: nothing has been padded.
        shown: the part of the photo beyond which padding begins; None for all of it.
    """

    box: Box
    size: tuple[int, int]
    flipped: bool = False
    turns: int = 0
    sized: bool = False
    padding: Padding | None = None
    shown: Box | None = None

    def crop(self, top: Real, left: Real, height: Real, width: Real) -> View:
        """Return the view of a rectangle of the image, of a size of its own."""
        size, rows, columns = (round(height), round(width)), *self.size
        for _ in range(self.turns):  # back to the image before
            top, left, height, width = left, rows - top - height, width, height
            rows, columns = columns, rows
        if self.flipped:
            left = columns - left - width
        down, across = self.box.height / rows, self.box.width / columns
        part = Box(self.box.top + top * down, self.box.left + left * across, height * down, width * across)
        return replace(self, box=part, size=size)

    def pad(self, padding: Padding) -> View:
        """Return the view with padding beyond it, which `crop` may show.

        Raises:
            ValueError: it shows other padding already, or padding that is mirrored.
        """
        shown = self.box if self.shown is None else _common(self.box, self.shown)
        mirrored = padding.mode in ("reflect", "symmetric")
        if shown != self.box and self.padding is not None and (mirrored or padding != self.padding):
            raise ValueError(
                f"{padding} is drawn beyond {self.padding}, and the decoder knows one padding of an image; give both "
                "transforms the same fill, or pad once"
            )
        return replace(self, padding=padding, shown=shown)

    def flip(self) -> View:
        """Return the view mirrored left to right."""
        return replace(self, flipped=not self.flipped, turns=-self.turns % 4)

    def turn(self, quarters: int) -> View:
        """Return the view turned counter-clockwise."""
        size = self.size[::-1] if quarters % 2 else self.size
        return replace(self, size=size, turns=(self.turns + quarters) % 4)

    def params(self, aspect: float) -> CropParams:
        """Return what the decoder is told.

        Raises:
            ValueError: the image has a size of its own, and not the proportions of the output.
        """
        height, width = self.size
        if self.sized and abs(width - aspect * height) >= max(1.0, aspect):
            raise ValueError(
                f"the transforms end with an image of {height} x {width} pixels (height x width), and the grid's "
                f"width / height is {aspect:g}; end with a crop of its proportions, such as CenterCrop"
            )
        if self.padding is None or self.shown is None or self.box.is_inside(self.shown):
            return CropParams(self.box, self.flipped, self.turns)
        return CropParams(self.box, self.flipped, self.turns, self.padding, self.shown)


class GeometricTransform(abc.ABC):
    """Draw which part of a photo a sample shows, and how it is turned."""

    def make_params(self, size: tuple[int, int], aspect: float, generator: np.random.Generator) -> CropParams:
        """Draw for an upright photo of (height, width) and an output of ``aspect`` = width / height.

        Raises:
            ValueError: a crop is larger than the image, or the image that comes out has not the output's proportions.
        """
        whole = View(Box(0.0, 0.0, float(size[0]), float(size[1])), size)
        return self.draw(whole, generator).params(aspect)

    @abc.abstractmethod
    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""


@dataclass(frozen=True)
class ComposeCrops(GeometricTransform):
    """Apply geometric transforms one after the other; together they are one crop, resize and turn.

    Attributes:
        transforms: the first one first.

    Raises:
        TypeError: one of them is no geometric transform of this package.
    """

    transforms: Sequence[GeometricTransform]

    def __post_init__(self) -> None:
        for transform in self.transforms:
            if not isinstance(transform, GeometricTransform):
                raise TypeError(
                    f"{transform!r} cannot be drawn before reading; ComposeCrops takes the geometric transforms of "
                    "prepixel.transforms, and Compose those of batches"
                )

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        for transform in self.transforms:
            view = transform.draw(view, generator)
        return view


@dataclass(frozen=True)
class _OfSize(GeometricTransform):
    """A transform to one size, in pixels."""

    size: Size

    def __post_init__(self) -> None:
        _check_size(self.size)


class Resize(_OfSize):
    """Resize the image.

    Attributes:
        size: height and width; one number is the shorter side, and the proportions stay.

    Raises:
        ValueError: a side is below 1.
    """

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Return what the sample shows afterwards; nothing is random."""
        if isinstance(self.size, int):
            short, long = sorted(view.size)
            longer = int(self.size * long / short)
            size = (longer, self.size) if view.size[0] > view.size[1] else (self.size, longer)
        else:
            size = self.size
        return replace(view, size=size, sized=True)


class CenterCrop(_OfSize):
    """Cut the center.

    Attributes:
        size: height and width, or one number for both; not larger than the image.

    Raises:
        ValueError: a side is below 1.
    """

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Return what the sample shows afterwards; nothing is random."""
        height, width = _fitting(self.size, view.size, "CenterCrop")
        top, left = (round((full - side) / 2) for full, side in zip(view.size, (height, width), strict=True))
        return replace(view.crop(top, left, height, width), sized=True)


@dataclass(frozen=True)
class RandomCrop(_OfSize):
    """Cut a part of one size at a random place, of the image with padding around it.

    Attributes:
        size: height and width, or one number for both; not larger than the image with its padding.
        padding: pixels on all sides; or left and right, top and bottom; or left, top, right, bottom. None for none.
        pad_if_needed: pad an image that is smaller than the crop, by the difference on both sides.
        fill: the color of padding, of 0..255: one level, or R, G and B.
        padding_mode: as `prepixel.spectrum.Padding`.

    Raises:
        ValueError: a side is below 1, or the padding is negative, of a wrong number of sides, or of no known kind.
    """

    padding: int | tuple[int, ...] | None = None
    pad_if_needed: bool = False
    fill: Color = 0
    padding_mode: PaddingMode = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        Padding(self.fill, self.padding_mode)
        sides = self._sides()
        if len(sides) not in (1, 2, 4) or min(sides) < 0:
            raise ValueError(f"padding is {self.padding}; give 1, 2 or 4 numbers of pixels, 0 or greater")

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        sides, size = self._sides(), _pair(self.size)
        left, top, right, bottom = sides * (4 // len(sides))
        height, width = view.size[0] + top + bottom, view.size[1] + left + right
        if self.pad_if_needed:
            down, across = max(0, size[0] - height), max(0, size[1] - width)
            top, left, height, width = top + down, left + across, height + 2 * down, width + 2 * across
        _fitting(self.size, (height, width), "RandomCrop")
        at = [int(generator.integers(full - side + 1)) for full, side in zip((height, width), size, strict=True)]
        padded = view.pad(Padding(self.fill, self.padding_mode)) if (height, width) != view.size else view
        return replace(padded.crop(at[0] - top, at[1] - left, *size), sized=True)

    def _sides(self) -> tuple[int, ...]:
        if self.padding is None or isinstance(self.padding, int):
            return (self.padding or 0,)
        return tuple(self.padding)


@dataclass(frozen=True)
class RandomResizedCrop(GeometricTransform):
    """Cut a part of random area, proportions and place, and resize it.

    Attributes:
        size: height and width that it is resized to, or one number for both; None for the grid's.
        scale: least and largest share of the image's area, in (0, 1].
        ratio: least and largest width / height.

    Raises:
        ValueError: a number is outside its range.
    """

    size: Size | None = None
    scale: tuple[float, float] = DEFAULT_AREAS
    ratio: tuple[float, float] = DEFAULT_RATIOS

    def __post_init__(self) -> None:
        if self.size is not None:
            _check_size(self.size)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is {self.scale}; it must be low <= high, in (0, 1]")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio is {self.ratio}; it must be 0 < low <= high")

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        box = draw_random_resized_crop(*view.size, generator, areas=self.scale, ratios=self.ratio)
        part = view.crop(box.top, box.left, box.height, box.width)
        return replace(part, sized=False) if self.size is None else replace(part, size=_pair(self.size), sized=True)


@dataclass(frozen=True)
class RandomHorizontalFlip(GeometricTransform):
    """Mirror some samples left to right.

    Attributes:
        p: how often.

    Raises:
        ValueError: p is outside [0, 1].
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability("p", self.p)

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        return view.flip() if generator.random() < self.p else view


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _check_size(size: Size) -> None:
    if min(_pair(size)) < 1:
        raise ValueError(f"size is {size}; its sides must be 1 or greater")


def _common(box: Box, other: Box) -> Box:
    """Return the part that two boxes have in common, which may be empty."""
    top, left = max(box.top, other.top), max(box.left, other.left)
    bottom = min(box.top + box.height, other.top + other.height)
    right = min(box.left + box.width, other.left + other.width)
    if bottom <= top or right <= left:
        return Box(0.0, 0.0, 0.0, 0.0)
    return Box(top, left, bottom - top, right - left)


def _fitting(size: Size, image: tuple[int, int], name: str) -> tuple[int, int]:
    """Return a crop's sides.

    Raises:
        ValueError: they are larger than the image.
    """
    height, width = _pair(size)
    if height > image[0] or width > image[1]:
        raise ValueError(
            f"{name}: {height} x {width} pixels of an image of {image[0]} x {image[1]} (height x width); resize the "
            "image before, by Resize, or let RandomCrop pad it"
        )
    return height, width
