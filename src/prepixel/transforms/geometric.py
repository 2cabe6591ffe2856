"""Geometric changes of a sample, drawn before it is read: the decoder's linear map makes them, at no further cost.

Each class is what ``transform=`` of `prepixel.data.SpectrumDataset` takes. Parameters and distributions are those of
the torchvision v2 transforms of the same names. Sizes are in pixels of torchvision's image and only their proportions
matter: the data set's grid says how many blocks come out. A crop is resampled from the part of the photo under it, so
"resize, then crop" differs from torchvision's in the filter's taps beyond the crop's edge alone, which are not read.

`RandomVerticalFlip` and `RandomQuarterTurn` are drawn here, too, or change batches on the device.
Padding cannot be drawn either, since the decoder's maps read inside the image and normalize their weights there:
translation with padding is `translate` and `RandomTranslate`, on the device.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from prepixel.spectrum.boxes import Box, Real
from prepixel.transforms.crop_draws import (
    DEFAULT_AREAS,
    DEFAULT_RATIOS,
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
    """

    box: Box
    size: tuple[int, int]
    flipped: bool = False
    turns: int = 0
    sized: bool = False

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
        return CropParams(self.box, self.flipped, self.turns)


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
        height, width = _fitting(self.size, view, "CenterCrop")
        top, left = (round((full - side) / 2) for full, side in zip(view.size, (height, width), strict=True))
        return replace(view.crop(top, left, height, width), sized=True)


class RandomCrop(_OfSize):
    """Cut a part of one size at a random place; without padding.

    Attributes:
        size: height and width, or one number for both; not larger than the image.

    Raises:
        ValueError: a side is below 1.
    """

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        height, width = _fitting(self.size, view, "RandomCrop")
        top, left = (
            int(generator.integers(full - side + 1)) for full, side in zip(view.size, (height, width), strict=True)
        )
        return replace(view.crop(top, left, height, width), sized=True)


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


def _fitting(size: Size, view: View, name: str) -> tuple[int, int]:
    """Return a crop's sides.

    Raises:
        ValueError: they are larger than the image.
    """
    height, width = _pair(size)
    if height > view.size[0] or width > view.size[1]:
        raise ValueError(
            f"{name}: {height} x {width} pixels of an image of {view.size[0]} x {view.size[1]} (height x width); "
            "spectra are not padded, so resize the image before, by Resize"
        )
    return height, width
