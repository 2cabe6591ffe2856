"""Photos with a label for every pixel: what data sets of semantic segmentation have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from prepixel.array_types import UInt8
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
