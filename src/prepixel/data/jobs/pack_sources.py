"""Where images to be packed come from: image folders and tar files of images, as one list of entries."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.folder import FolderDataset, read_class_names
from prepixel.errors import DatasetError
from prepixel.files import EXTENSIONS


class PackEntry(NamedTuple):
    """Name one image of a source.

    Attributes:
        name: its path below the source, with forward slashes; for a tar's member, the tar's name in front.
        label: index into the source's classes.
        size: bytes.
        path: the file that holds it.
        offset: where in that file it begins.
        annotated: what is kept with it beside its class.
    """

    name: str
    label: int
    size: int
    path: str
    offset: int
    annotated: Mapping[str, Any] = MappingProxyType({})

    def read(self) -> bytes:
        """Read the image's bytes.

        Raises:
            OSError: the file cannot be opened, or has become shorter.
        """
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            contents = file.read(self.size)
        if len(contents) != self.size:
            raise OSError(None, f"became shorter while it was read ({len(contents)} of {self.size} bytes)", self.path)
        return contents


@dataclass(frozen=True)
class PackSource:
    """Hold what is to be packed, in an order that never changes.

    Attributes:
        name: for messages, and for the list of a target's parts.
        classes: class names; an entry's label is an index into them.
        entries: every image.
    """

    name: str
    classes: tuple[str, ...]
    entries: tuple[PackEntry, ...]


def open_source(
    path: str | os.PathLike[str], *, class_names: Sequence[str] | str | os.PathLike[str] | None = None
) -> PackSource:
    """List the images of a folder, a tar file, or a folder of tar files.

    Args:
        path: a folder in a layout that `FolderDataset` reads; a tar file with members ``KEY.jpg`` (or another image's
            ending) and ``KEY.cls``, the class's number in ASCII, as WebDataset has it; or a folder that holds such
            tar files. Without ``KEY.cls`` the first folder of a member's name is its class.
        class_names: the classes in order of their labels, or a text file with one a line.

    Raises:
        DatasetError: there is no such source, it holds no image, or an image's class is not told.
    """
    root = Path(path)
    tars = [root] if root.is_file() else sorted(p for p in _listing(root) if p.suffix == ".tar")
    if not tars:
        return _of_folder(FolderDataset(root, class_names=class_names))
    return _of_tars(root, tars, read_class_names(class_names))


def open_coco(annotations: str | os.PathLike[str], images: str | os.PathLike[str]) -> PackSource:
    """List the images of a data set in COCO's format, all of one class; what is annotated is kept with each.

    Args:
        annotations: COCO's .json file.
        images: the folder that its file names are relative to.

    Raises:
        DatasetError: the annotations cannot be read, have a mistake, or name a file that is not there.
    """
    dataset = CocoDataset(annotations, images)
    told: dict[int, list[dict[str, Any]]] = {}
    for one in dataset.ground_truth()["annotations"]:
        told.setdefault(one["image_id"], []).append({key: value for key, value in one.items() if key != "image_id"})
    entries = []
    for image in dataset.samples:
        name = Path(image.path).relative_to(dataset.root).as_posix()
        kept: dict[str, Any] = {"image_id": image.image_id, "height": image.height, "width": image.width}
        kept |= {"annotations": told.get(image.image_id, [])}
        entries.append(PackEntry(name, 0, Path(image.path).stat().st_size, image.path, 0, kept))
    return PackSource(f"{Path(annotations).name} of {dataset.root.name}", ("photo",), tuple(entries))


def _listing(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if not p.name.startswith(".")] if root.is_dir() else []


def _of_folder(files: FolderDataset) -> PackSource:
    entries = []
    for path, label in files.samples:
        try:
            size = os.stat(path).st_size  # noqa: PTH116  (a million Paths cost seconds)
        except OSError:  # a link that leads nowhere; reading it will say so
            size = 0
        entries.append(PackEntry(Path(path).relative_to(files.root).as_posix(), label, size, path, 0))
    return PackSource(files.root.name, files.classes, tuple(entries))


def _of_tars(root: Path, tars: list[Path], names: tuple[str, ...] | None) -> PackSource:
    found: list[tuple[PackEntry, str]] = []
    for path in tars:
        found += _members(path)
    if not found:
        raise DatasetError(f"{root}: no image in its tar files; members should be named KEY.jpg and KEY.cls")
    by_number = all(word.isascii() and word.isdigit() for _, word in found)
    if by_number:
        largest = max(int(word) for _, word in found)
        if names is not None and largest >= len(names):
            raise DatasetError(f"{root}: class number {largest}, but only {len(names)} classes are named (from 0)")
        classes = names or tuple(str(label) for label in range(largest + 1))
        numbers: Mapping[str, int] = {word: int(word) for _, word in found}
    else:
        classes = names or tuple(sorted({word for _, word in found}))
        numbers = {name: label for label, name in enumerate(classes)}
    unknown = next((entry.name for entry, word in found if word not in numbers), None)
    if unknown is not None:
        raise DatasetError(f"{unknown}: its class is none of the {len(classes)} named")
    return PackSource(root.name, classes, tuple(entry._replace(label=numbers[word]) for entry, word in found))


def _members(path: Path) -> list[tuple[PackEntry, str]]:
    """List a tar's images with the word that tells their class."""
    images: list[PackEntry] = []
    classes: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, base = member.name.rpartition("/")
                key, _, ending = base.partition(".")
                if not member.isfile() or base.startswith("."):
                    continue
                if ending == "cls":
                    contents = archive.extractfile(member)
                    classes[f"{folder}/{key}"] = (
                        contents.read(64).decode("ascii", "replace").strip() if contents else ""
                    )
                elif ("." + ending.lower()).endswith(EXTENSIONS):
                    name = f"{path.name}/{member.name}"
                    images.append(PackEntry(name, 0, member.size, str(path), member.offset_data))
    except tarfile.TarError as error:
        raise DatasetError(f"{path}: cannot be read as a tar file ({error}); unpack compressed ones first") from error
    told = []
    for entry in images:
        inner = entry.name[len(path.name) + 1 :]
        folder, _, base = inner.rpartition("/")
        word = (
            classes.get(f"{folder}/{base.partition('.')[0]}")
            or inner.removeprefix("./").rpartition("/")[0].split("/")[0]
        )
        if not word:
            raise DatasetError(f"{entry.name}: its class is not told; add KEY.cls, or a folder for each class")
        told.append((entry, word))
    return told
