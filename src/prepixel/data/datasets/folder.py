"""Data sets as they lie on disk: which files, which class each is of, in an order that never changes."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from prepixel.data.datasets.text_formats import LISTING_NAME, read_class_names, read_listing
from prepixel.data.read_ahead import map_requests, read_objects
from prepixel.errors import DatasetError
from prepixel.files import EXTENSIONS, image_files
from prepixel.jpeg.source import Source
from prepixel.stores.remote_path import AnyPath, split_folder, to_path

_LISTED_AHEAD = 4096  # images of a class

Layout = Literal["auto", "folders", "listing", "prefix"]


class Sample(NamedTuple):
    """Locate one image file and its class.

    Attributes:
        path: text rather than a Path, since a data set of a million Paths takes half a gigabyte.
        label: index into the data set's classes.
    """

    path: str
    label: int


@runtime_checkable
class ImageDataset(Protocol):
    """List a data set's samples and their classes, and what samples are read from."""

    @property
    def root(self) -> AnyPath:
        """Return the folder."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return class names; a sample's label is an index into them."""

    @property
    def samples(self) -> Sequence[Sample]:
        """Return every sample."""

    def __len__(self) -> int: ...

    def sources(self, indices: Sequence[int]) -> Sequence[Source]:
        """Return what samples are read from: paths or bytes."""


def describe_dataset(kind: str, datapoints: int, root: object | None, *more: str) -> str:
    """Return a data set's representation, in the form of torchvision's."""
    lines = [f"Dataset {kind}", f"Number of datapoints: {datapoints}"]
    lines += [f"Root location: {root}"] if root is not None else []
    return "\n    ".join([*lines, *more])


@dataclass(frozen=True, init=False)
class FolderDataset:
    """List the files of a classification data set, with their classes, sorted by class folder and name.

    Three layouts are read:

    - ``folders``: ``root/CLASS/.../image.jpg``, as ImageNet and torchvision's ImageFolder have it. Deeper folders
      belong to the class at the top. Classes are numbered in sorted order of their names.
    - ``listing``: images in one folder and a text file with one line an image, its path and its class number, as
      `read_listing` has it.
    - ``prefix``: images in one folder, each named ``KEY_anything``, KEY being the first word of a class.

    ``auto`` takes the first of them that the folder fits. Names that start with a dot are passed over, and so are
    files without an image's extension.

    Attributes:
        root: the folder.
        classes: class names; a sample's label is an index into them.
        samples: every image.
    """

    root: AnyPath
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        layout: Layout = "auto",
        class_names: Sequence[str] | str | os.PathLike[str] | None = None,
        listing: str | os.PathLike[str] | None = None,
        extensions: Sequence[str] = EXTENSIONS,
    ) -> None:
        """Read the folder's listing; no image is opened.

        Args:
            root: the folder.
            layout: how files name their classes.
            class_names: the classes in order of their labels, or a text file with one a line. Where given, labels
                follow it, so that a validation folder, or a part of a data set, numbers classes as a network was
                trained to. A class folder or a prefix names a class by the whole line or by its first word.
            listing: the text file of the ``listing`` layout; ``labels.txt`` in the folder where not given.
            extensions: what counts as an image, lower case with the dot; case in file names does not matter.

        Raises:
            DatasetError: the folder is missing or empty, a class has no image, a class is unknown, or a line of a
                listing cannot be read; the message says which and what to do.
        """
        folder = to_path(root)
        _require_folder(folder)
        names = read_class_names(class_names)
        endings = tuple(extension.lower() for extension in extensions)
        listing_path = to_path(listing) if listing is not None else folder / LISTING_NAME
        chosen, class_folders = layout, None
        if listing is not None:
            chosen = "listing"
        elif layout == "auto":
            chosen, class_folders = find_layout(folder, names)
        if chosen == "listing":
            classes, samples = _read_listing(folder, listing_path, names)
        elif chosen == "prefix":
            classes, samples = _read_prefixed(folder, names, endings)
        else:
            classes, found = class_folder_samples(folder, names, endings, class_folders)
            samples = tuple(found)
        object.__setattr__(self, "root", folder)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "samples", samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return describe_dataset("FolderDataset", len(self), self.root, f"Classes: {len(self.classes)}")

    def sources(self, indices: Sequence[int]) -> list[str] | list[bytes]:
        """Return what the samples are read from: their paths; of objects in a store, their bytes, read at once."""
        paths = [self.samples[index].path for index in indices]
        return paths if isinstance(self.root, Path) else read_objects(paths)

    def select(self, indices: Sequence[int]) -> FolderDataset:
        """Return the data set of some of the samples, in the order of the indices, with the same classes."""
        return self._of(self.root, self.classes, (self.samples[index] for index in indices))

    @classmethod
    def _of(cls, root: AnyPath, classes: tuple[str, ...], samples: Iterable[Sample]) -> FolderDataset:
        """Return a data set of samples that are known, without listing the folder."""
        made = object.__new__(cls)
        for name, value in (("root", root), ("classes", classes), ("samples", tuple(samples))):
            object.__setattr__(made, name, value)
        return made

    def num_per_class(self) -> tuple[int, ...]:
        """Count the images of each class."""
        counts = [0] * len(self.classes)
        for sample in self.samples:
            counts[sample.label] += 1
        return tuple(counts)


def holds_images_only(root: AnyPath) -> bool:
    """Return whether a folder holds images and neither a folder, nor a listing, nor shards."""
    if not isinstance(root, Path) or not root.is_dir() or (root / LISTING_NAME).is_file() or _class_folders(root):
        return False
    return any(entry.suffix.lower() in EXTENSIONS for entry in root.iterdir())


def unlabeled_folder(root: AnyPath) -> FolderDataset:
    """Return the images of a folder as a data set of one class, for what does not ask for classes.

    Raises:
        DatasetError: the folder is missing, or holds no image.
    """
    _require_folder(root)
    samples = tuple(Sample(path, 0) for path in image_files(root))
    if not samples:
        raise DatasetError(f"{root}: has no image ({_extensions_seen(root)}); images end in {' '.join(EXTENSIONS)}")
    return FolderDataset._of(root, ("image",), samples)  # noqa: SLF001


def _require_folder(folder: AnyPath) -> None:
    if folder.is_dir():
        return
    if not isinstance(folder, Path):
        raise DatasetError(f"{folder}: no object lies below it; check the path")
    if folder.exists():
        raise DatasetError(f"{folder}: is a file, not a folder; name the folder that holds one folder for each class")
    parent = next((p for p in folder.absolute().parents if p.is_dir()), folder.absolute())
    present = sorted(p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    near = difflib.get_close_matches(folder.name, present, n=3)
    hint = f"; {parent} holds {', '.join(near or present[:8]) or 'no folder'}"
    raise DatasetError(f"{folder}: no such folder{hint}; check the path")


def _class_folders(root: AnyPath) -> list[str]:
    if not isinstance(root, Path):
        return sorted(name for name in split_folder(root)[1] if not name.startswith("."))
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def find_layout(
    root: AnyPath, names: tuple[str, ...] | None, folders: list[str] | None = None
) -> tuple[Layout, list[str] | None]:
    """Return the layout that ``auto`` takes of a folder and, of the layout ``folders``, the names of its folders.

    Args:
        root: the folder.
        names: the classes in order of their labels; None for the folders' names.
        folders: the names of the class folders, where they have been listed.
    """
    if (root / LISTING_NAME).is_file():
        return "listing", None
    folders = _class_folders(root) if folders is None else folders
    if not folders and names is not None:
        return "prefix", None
    return "folders", folders


def _keys(names: tuple[str, ...]) -> dict[str, set[int]]:
    """Map what may stand for a class in a path, its name or the name's first word, to the labels it may mean."""
    keys: dict[str, set[int]] = {}
    for label, name in enumerate(names):
        keys.setdefault(name.split()[0].rstrip(",;:"), set()).add(label)
    # whole names win over another class's first word
    whole: dict[str, set[int]] = {}
    for label, name in enumerate(names):
        whole.setdefault(name, set()).add(label)
    return keys | whole


def _label_of(key: str, keys: dict[str, set[int]], count: int, where: str) -> int:
    labels = sorted(keys.get(key, ()))
    if len(labels) == 1:
        return labels[0]
    if labels:
        raise DatasetError(f"{where}: {key!r} may be any of the classes {labels}; give these names that differ")
    if all(name.isdecimal() for name in keys):
        raise DatasetError(
            f"{where}: {key!r} is none of the {count} classes, which are only numbered; give the network its class "
            "names (prepixel fold --classes FILE), or name the folders by numbers"
        )
    near = difflib.get_close_matches(key, keys, n=3)
    hint = f"nearest: {', '.join(near)}" if near else f"the first are: {', '.join(list(keys)[:4])}"
    raise DatasetError(f"{where}: {key!r} is none of the {count} classes named; {hint}")


def labels_by_name(classes: Sequence[str], names: tuple[str, ...], where: str) -> list[int]:
    """Return each class's label among names, matched by the whole line or by its first word.

    Raises:
        DatasetError: a class is none of them.
    """
    keys = _keys(names)
    return [_label_of(name, keys, len(names), where) for name in classes]


def class_folder_samples(
    root: AnyPath,
    names: tuple[str, ...] | None,
    endings: tuple[str, ...] = EXTENSIONS,
    folders: list[str] | None = None,
) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """Return the classes of a folder of class folders, and an iterator over its images, which are not all in memory.

    Args:
        root: the folder.
        names: the classes in order of their labels; None for the folders' names.
        endings: of images.
        folders: the names of the class folders, where `find_layout` has listed them.

    Raises:
        DatasetError: as `FolderDataset`, about an empty class when the iterator is at it.
    """
    if folders is None:
        _require_folder(root)
        folders = _class_folders(root)
    if not folders:
        _require_folder(root)
        raise _no_class_folder(root, endings)
    classes = names if names is not None else tuple(folders)
    keys = _keys(classes) if names is not None else {name: {label} for label, name in enumerate(folders)}
    labels = [_label_of(name, keys, len(classes), str(root)) for name in folders]

    def begin_listing(name: str) -> tuple[list[str], Iterator[str]]:
        paths = image_files(root / name, extensions=endings)
        return list(itertools.islice(paths, _LISTED_AHEAD)), paths

    def samples() -> Iterator[Sample]:
        listings = map_requests(begin_listing, folders, root)
        for name, label, (first, rest) in zip(folders, labels, listings, strict=True):
            if not first:
                raise DatasetError(
                    f"{root / name}: class {name!r} has no image ({_extensions_seen(root / name)}); "
                    f"images end in {' '.join(endings)}; add one, or remove the folder"
                )
            for path in itertools.chain(first, rest):
                yield Sample(path, label)

    return classes, samples()


def _no_class_folder(root: AnyPath, endings: tuple[str, ...]) -> DatasetError:
    loose = sum(entry.suffix.lower() in endings for entry in root.iterdir())
    if loose:
        return DatasetError(
            f"{root}: holds {loose} images but no class folder; put them in one folder for each class, or add a "
            f"{LISTING_NAME} with lines 'file class-number', or give class_names (prepixel pack --classes) where files "
            "are named CLASS_anything"
        )
    return DatasetError(f"{root}: holds no image and no folder; it should hold one folder for each class")


def _extensions_seen(folder: AnyPath) -> str:
    if not isinstance(folder, Path):
        return "no object there has such a name"
    seen = sorted({p.suffix.lower() or "no extension" for p in folder.rglob("*") if p.is_file()})
    return f"it holds files with {', '.join(seen[:5])}" if seen else "it is empty"


def _read_listing(
    root: AnyPath, listing: AnyPath, names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
    if not isinstance(root, Path) or not isinstance(listing, Path):
        raise DatasetError(f"{listing}: listings are read from folders, not from stores; use a folder for each class")
    samples = [Sample(path, label) for path, label in read_listing(root, listing)]
    largest = max(sample.label for sample in samples)
    if names is not None and largest >= len(names):
        raise DatasetError(f"{listing}: class number {largest}, but only {len(names)} classes are named (from 0)")
    classes = names if names is not None else tuple(str(label) for label in range(largest + 1))
    return classes, tuple(samples)


def _read_prefixed(
    root: AnyPath, names: tuple[str, ...] | None, endings: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
    if names is None:
        raise DatasetError(f"{root}: files named CLASS_anything need class_names, which says what number CLASS has")
    keys = _keys(names)
    samples: list[Sample] = []
    for path in image_files(root, extensions=endings):
        stem = to_path(path).stem
        # the longest prefix that is a class: a key may itself hold underscores
        cuts = [i for i, letter in enumerate(stem) if letter == "_"]
        key = next((stem[:cut] for cut in reversed(cuts) if stem[:cut] in keys), stem.partition("_")[0])
        samples.append(Sample(path, _label_of(key, keys, len(names), path)))
    if not samples:
        raise DatasetError(f"{root}: has no image ({_extensions_seen(root)}); images end in {' '.join(endings)}")
    return names, tuple(samples)
