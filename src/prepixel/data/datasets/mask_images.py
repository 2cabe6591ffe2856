"""Photos with a mask image each, as Pascal VOC and ADE20K have them: gray values or places in a palette."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prepixel.array_types import UInt8
from prepixel.data.datasets.folder import describe_dataset
from prepixel.data.datasets.label_maps import IGNORE, MAX_CLASSES, read_mask
from prepixel.data.datasets.text_formats import check_stems, read_class_names, read_lines
from prepixel.errors import DatasetError
from prepixel.file_listing import image_files, not_a_folder
from prepixel.jpeg.source import Source


class MaskedPhoto(NamedTuple):
    """Name a photo and its mask.

    Attributes:
        path: the photo.
        mask: the picture whose pixels are labels.
    """

    path: str
    mask: str


@dataclass(frozen=True, init=False)
class MaskImageDataset:
    """List photos and their masks: pictures of the same size and name whose pixels are labels.

    A mask is gray or has a palette, which is read by place, not by color; it fits the photo as it is seen, upright.

    Attributes:
        root: the folder of the photos.
        classes: names by label, from 0.
        samples: every photo, by name.
        ignore_label: of pixels that are neither learned nor scored.
        problems: nothing; a photo without its mask is an error.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[MaskedPhoto, ...]
    ignore_label: int
    problems: tuple[str, ...]

    def __init__(
        self,
        photos: str | os.PathLike[str],
        masks: str | os.PathLike[str],
        *,
        classes: Sequence[str] | str | os.PathLike[str],
        names: str | os.PathLike[str] | None = None,
        ignore_label: int = IGNORE,
    ) -> None:
        """List the files; none is opened.

        Args:
            photos: a folder of photos.
            masks: a folder with a picture for each, at the same place below it but for the ending: ``a/1.jpg`` and
                ``a/1.png``.
            classes: names by label, from 0; or a text file of them, one a line.
            names: a text file that lists the photos to take, one a line, without endings, such as VOC's
                ``ImageSets/Segmentation/train.txt``; None for all that have a mask.
            ignore_label: of pixels that are neither learned nor scored.

        Raises:
            DatasetError: a folder or a listed file is missing, no photo has a mask, a mask has no photo, two files have
                one name, or there are too many classes.
        """
        known = read_class_names(classes) or ()
        if not 1 <= len(known) <= MAX_CLASSES or not 0 <= ignore_label <= IGNORE:
            raise DatasetError(
                f"{len(known)} classes and the ignore label {ignore_label}; there can be 1 to {MAX_CLASSES} classes, "
                f"and an ignore label of 0 to {IGNORE}"
            )
        found, drawn = _by_stem(Path(photos)), _by_stem(Path(masks))
        wanted = sorted(drawn) if names is None else _listed(Path(names))
        for stem in wanted:
            for what, files, folder in (("photo", found, photos), ("mask", drawn, masks)):
                if stem not in files:
                    raise DatasetError(f"{folder}: has no {what} {stem}; each photo needs a mask of its name")
        object.__setattr__(self, "root", Path(photos))
        object.__setattr__(self, "classes", tuple(known))
        object.__setattr__(self, "samples", tuple(MaskedPhoto(found[stem], drawn[stem]) for stem in wanted))
        object.__setattr__(self, "ignore_label", ignore_label)
        object.__setattr__(self, "problems", ())

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return describe_dataset("MaskImageDataset", len(self), self.root, f"Classes: {len(self.classes)}")

    def sources(self, indices: Sequence[int]) -> list[Source]:
        """Return the photos' paths."""
        return [self.samples[index].path for index in indices]

    def label_map(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """Read the labels of a photo's pixels; those of the ignore label become `IGNORE`.

        Raises:
            DatasetError: the mask cannot be read, has colors, or labels that are of no class.
        """
        path = self.samples[index].mask
        values = read_mask(path)
        ignored = values == self.ignore_label
        wrong = ~ignored & ((values < 0) | (values >= len(self.classes)))
        if wrong.any():
            raise DatasetError(
                f"{path}: has pixels of label {int(values[wrong][0])}, and there are {len(self.classes)} classes, from "
                f"0, and the ignore label {self.ignore_label}; list all classes, or correct the mask"
            )
        return np.where(ignored, IGNORE, values).astype(np.uint8)


def _by_stem(folder: Path) -> dict[str, str]:
    """Return the image files below a folder by their names below it, without endings."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {not_a_folder(folder)}; name the one that holds the files")
    files: dict[str, str] = {}
    for path in image_files(folder):
        stem = Path(path).relative_to(folder).with_suffix("").as_posix()
        if stem in files:
            raise DatasetError(f"{path}: and {Path(files[stem]).name} are both named {stem}; keep one")
        files[stem] = path
    if not files:
        raise DatasetError(f"{folder}: holds no image file")
    return files


def _listed(path: Path) -> list[str]:
    """Return the names that a list holds, in its order."""
    lines = [line.strip() for line in read_lines(path, "the list of photos", "it should hold a name a line")]
    stems = [line for line in lines if line]
    if not stems:
        raise DatasetError(f"{path}: lists no photo; it should hold a name a line")
    return check_stems(stems, path, "the folder of the photos")
