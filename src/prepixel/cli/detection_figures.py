"""Draw images with the objects that detectors found and those that are annotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prepixel.array_types import Bool
from prepixel.cli.console import percent
from prepixel.data.datasets.coco import CocoDataset, CocoImage
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.loading.readers import read_rgb
from prepixel.runs import FoundInPhoto


@dataclass(frozen=True)
class DrawnObject:
    """One object to draw.

    Attributes:
        box: x left, y top, width, height, in pixels of the photo.
        words: the label beside it.
        mask: of the photo's size; None for a box alone.
    """

    box: tuple[float, float, float, float]
    words: str
    mask: Bool[np.ndarray, "h w"] | None


@dataclass(frozen=True)
class Annotated:
    """Annotations of images.

    Attributes:
        classes: names by label, from label 1.
        photos: by their files.
    """

    classes: tuple[str, ...]
    photos: Mapping[Path, CocoImage]

    @classmethod
    def read(cls, annotations: Path, folder: Path) -> Annotated:
        """Read COCO's annotations of the images of a folder; wrong entries are left out.

        Raises:
            DatasetError: it cannot be read, or annotates no image of the folder.
        """
        images = CocoDataset(annotations, folder, on_error="skip")
        return cls(images.classes, {Path(image.path).resolve(): image for image in images.samples})

    def objects(self, photo: FoundInPhoto) -> list[DrawnObject] | None:
        """Return an image's objects, crowds included; None if it is not annotated, or with another size."""
        image = self.photos.get(Path(photo.source).resolve())
        if image is None or (image.height, image.width) != photo.size:
            return None
        return [
            DrawnObject(
                one.box,
                self.classes[one.label - 1] + (" (crowd)" if one.crowd else ""),
                None if one.segmentation is None else run_lengths(one.segmentation, *photo.size).decode().astype(bool),
            )
            for one in image.objects
        ]


def found_objects(photo: FoundInPhoto, names: Mapping[int, str]) -> list[DrawnObject]:
    """Return what a detector found, best first."""
    drawn = []
    for one in photo.found:
        mask = None
        if "segmentation" in one:
            mask = run_lengths(one["segmentation"], *photo.size).decode().astype(bool)
        words = f"{names[one['category_id']]} {percent(one['score'])}"
        drawn.append(DrawnObject(tuple(one["bbox"]), words, mask))
    return drawn


def draw_photo(photo: FoundInPhoto, panels: Sequence[tuple[str, Sequence[DrawnObject]]], output: Path) -> None:
    """Draw an image once for each list of objects, side by side."""
    from prepixel.reports import Shown, plot_detections

    pixels = read_rgb(photo.source).permute(1, 2, 0).numpy()
    shown = {}
    for place, (title, objects) in enumerate(panels):
        boxes = np.array([one.box for one in objects], dtype=np.float64).reshape(len(objects), 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = [np.zeros(photo.size, dtype=bool) if one.mask is None else one.mask for one in objects]
        name = title + " " * place  # two runs may have one name
        shown[name] = Shown(pixels, boxes, [one.words for one in objects], masks)
    columns = min(len(panels), 4)
    plot_detections(shown, output, columns=columns, width_inches=8.0 if columns == 1 else 5.0 * columns)
