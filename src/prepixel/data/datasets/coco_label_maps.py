"""Label maps drawn from COCO's annotations of objects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prepixel.array_types import UInt8
from prepixel.data.datasets.coco import CocoDataset, CocoImage, CocoObject, OnError
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.datasets.label_maps import IGNORE, MAX_CLASSES
from prepixel.errors import DatasetError
from prepixel.jpeg.source import Source

BACKGROUND = "background"


@dataclass(frozen=True, init=False)
class CocoLabelMaps:
    """List the photos of a data set in COCO's format, with a label for every pixel.

    Label 0 is the background, and the categories follow in the order of their ids. Crowds count as their category.
    Pixels of two objects of different categories are of no class, and so is the box of an object without a mask as far
    as no mask covers it.

    Attributes:
        photos: the photos and their objects.
    """

    photos: CocoDataset

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        on_error: OnError = "raise",
        one_class: bool = False,
    ) -> None:
        """Read the annotations; no image is opened, but each must be there. Photos without objects are background.

        Args:
            annotations, images, on_error: as `CocoDataset`.
            one_class: take all categories for one, "object".

        Raises:
            DatasetError: as `CocoDataset`; or there are more categories than a byte has labels for.
        """
        photos = CocoDataset(annotations, images, on_error=on_error, one_class=one_class)
        if len(photos.classes) >= MAX_CLASSES:
            raise DatasetError(
                f"{annotations}: lists {len(photos.classes)} categories, and a label map can have {MAX_CLASSES - 1} "
                "beside the background; leave some out, or take them for one"
            )
        object.__setattr__(self, "photos", photos)

    @property
    def root(self) -> Path:
        """Return the folder of the photos."""
        return self.photos.root

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, by label from 0, the background."""
        return (BACKGROUND, *self.photos.classes)

    @property
    def samples(self) -> tuple[CocoImage, ...]:
        """Return every photo, by image id."""
        return self.photos.samples

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what was left out of the annotations, and why."""
        return self.photos.problems

    def __len__(self) -> int:
        return len(self.photos)

    def sources(self, indices: Sequence[int]) -> list[Source]:
        """Return what photos are read from, as `CocoDataset.sources`."""
        return self.photos.sources(indices)

    def label_map(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """Draw the labels of a photo's pixels, where COCO's tools score them."""
        image = self.samples[index]
        return draw_objects(image.objects, image.height, image.width)


def draw_objects(objects: Sequence[CocoObject], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """Draw objects as a label map: see `CocoLabelMaps`."""
    labels = np.zeros((height, width), dtype=np.uint8)
    for one in objects:
        if one.segmentation is None:
            x, y, w, h = one.box
            rows = slice(max(0, int(np.floor(y))), int(np.ceil(y + h)))
            labels[rows, max(0, int(np.floor(x))) : int(np.ceil(x + w))] = IGNORE
    drawn = np.zeros((height, width), dtype=bool)
    for one in objects:
        if one.segmentation is not None:
            mask = run_lengths(one.segmentation, height, width).decode().astype(bool)
            labels[mask & ~drawn] = one.label
            labels[mask & drawn & (labels != one.label)] = IGNORE
            drawn |= mask
    return labels
