"""Photos with a label for every pixel: what data sets of semantic segmentation have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from prepixel.array_types import Integer, UInt8
from prepixel.errors import DatasetError, PrepixelError, reason_of
from prepixel.jpeg.pixel_fallback import read_numbers
from prepixel.jpeg.source import Source
from prepixel.stores.remote_path import AnyPath

# Labels are bytes; this one is of no class: pixels that are neither learned nor scored. VOC's border between objects.
IGNORE = 255
MAX_CLASSES = 255


@runtime_checkable
class LabeledPhotos(Protocol):
    """List photos, and know the label of every pixel."""

    @property
    def root(self) -> AnyPath:
        """Return the folder of the photos."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, by label from 0."""

    @property
    def samples(self) -> Sequence[Any]:
        """Return every sample; each has a ``path``."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what was left out of the annotations, and why."""

    def __len__(self) -> int: ...

    def sources(self, indices: Sequence[int]) -> Sequence[Source]:
        """Return what photos are read from: paths or bytes."""

    def label_map(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """Return the labels of a photo's pixels, upright; `IGNORE` where they are of no class."""


def read_mask(path: str | os.PathLike[str]) -> Integer[np.ndarray, "h w"]:
    """Read a picture whose pixels are numbers: gray values, or places in a palette; upright.

    Raises:
        DatasetError: it cannot be read, or is one in colors.
    """
    try:
        return read_numbers(path)
    except (OSError, PrepixelError) as error:
        raise DatasetError(f"{path}: the mask cannot be read ({reason_of(error)}); fetch it again") from error
