"""Where images to be packed come from: image folders and tar files of images, as one list of entries."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from prepixel.array_types import Int64
from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.folder import FolderDataset, find_layout
from prepixel.data.datasets.text_formats import MAX_CLASSES, read_class_names
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.saved_listing import list_images
from prepixel.data.jobs.tar_members import TarContents, read_tar
from prepixel.data.parallel import map_in_order
from prepixel.data.random_streams import draw_order
from prepixel.errors import DatasetError
from prepixel.stores.remote_path import AnyPath, ListedObject, RemotePath, split_folder, to_path

_TARS_AT_ONCE = 8
_COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")


@dataclass(frozen=True)
class PackSource:
    """List what is to be packed, in an order that never changes.

    Attributes:
        name: for messages, and for the list of a target's parts.
        classes: class names; an entry's label is an index into them.
        entries: every image.
        other_members: of tar files, members that are no image and no class, counted by kind.
    """

    name: str
    classes: tuple[str, ...]
    entries: Sequence[PackEntry]
    other_members: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _ReorderedEntries(Sequence[PackEntry]):
    """Entries in another order; each is read when it is asked for."""

    entries: Sequence[PackEntry]
    order: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> PackEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PackEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> PackEntry | tuple[PackEntry, ...]:
        if isinstance(index, slice):
            return tuple(self.entries[place] for place in self.order[index].tolist())
        return self.entries[int(self.order[index])]


def open_source(
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | str | os.PathLike[str] | None = None,
    listing: str | os.PathLike[str] | None = None,
) -> PackSource:
    """List the images of a folder, a tar file, or a folder of tar files.

    Args:
        path: a folder in a layout that `FolderDataset` reads; a tar file; or a folder that holds tar files. Each may be
            in a store, and a tar file on an HTTP server. In tar files, WebDataset's rules hold: members of a sample
            follow each other and share a key, the name up to the first dot behind the last slash. ``KEY.jpg`` (or
            another image's ending) is the image and ``KEY.cls`` its class: a number or, where not all are numbers, a
            name. In tar files without any ``KEY.cls`` the first folder of a member's name is its class. Links are
            followed to members of the same tar.
        class_names: the classes in order of their labels, or a text file with one a line.
        listing: of a folder of class folders in a store, the file that its listing is saved in, or read from if it is
            there; None to list the folder. A reused listing makes packing end where an image was replaced since.

    Raises:
        StoreError: the store that holds it does not answer, or refuses.
        DatasetError: there is no such source, or it holds no image; a tar file is damaged; a sample of a tar file has
            no class while others have, two images, or a key that another sample has; ``listing`` is given of a source
            whose listing is not saved.
    """
    root = to_path(path)
    if not isinstance(root, Path):
        return _of_store(root, read_class_names(class_names), listing)
    if listing is not None:
        raise DatasetError(f"{root}: is no folder in a store, and only such a listing is saved; leave --listing out")
    if root.is_file():
        return _of_tars(root, [root], read_class_names(class_names))
    found = _listing(root)
    tars = sorted(p for p in found if p.suffix.lower() == ".tar")
    if not tars:
        return _of_folder(FolderDataset(root, class_names=class_names))
    _refuse_compressed(found)
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
    annotated: dict[int, list[dict[str, Any]]] = {}
    for one in dataset.ground_truth()["annotations"]:
        annotated.setdefault(one["image_id"], []).append(
            {key: value for key, value in one.items() if key != "image_id"}
        )
    entries = []
    for image in dataset.samples:
        name = Path(image.path).relative_to(dataset.root).as_posix()
        kept: dict[str, Any] = {"image_id": image.image_id, "height": image.height, "width": image.width}
        kept |= {"annotations": annotated.get(image.image_id, [])}
        entries.append(PackEntry(name, 0, Path(image.path).stat().st_size, image.path, 0, kept))
    return PackSource(f"{Path(annotations).name} of {dataset.root.name}", ("photo",), tuple(entries))


def shuffle_source(source: PackSource, seed: int) -> PackSource:
    """Return a source with its images in random order, a function of their number and the seed.

    Training that shuffles by blocks of shards (`BlockShuffle`) has neighbors of any classes then.

    Raises:
        ValueError: the seed is outside [0, 2**64).
    """
    return replace(source, entries=_ReorderedEntries(source.entries, draw_order(len(source.entries), seed, 0)))


def _of_store(root: RemotePath, names: tuple[str, ...] | None, listing: str | os.PathLike[str] | None) -> PackSource:
    folders: list[str] | None = None
    if listing is None or not to_path(listing).is_file():
        tars, folders = _tars_in_store(root)
        if tars and listing is None:
            return _of_tars(root, tars, names)
        layout, folders = find_layout(root, names, folders)
        if listing is not None and (tars or layout != "folders"):
            what = "holds tar files" if tars else "holds no class folders"
            raise DatasetError(f"{root}: {what}, and only a listing of class folders is saved; leave --listing out")
        if layout != "folders":
            return _of_folder(FolderDataset(root, layout=layout, class_names=names))
    classes, images = list_images(root, names, listing, folders)
    return PackSource(root.name, classes, images)


def _tars_in_store(root: RemotePath) -> tuple[list[ListedObject], list[str]]:
    """Return the tar file that a path is, or those right below it; and the names of the folders there."""
    if root.suffix.lower() == ".tar":
        if (tar := _listed(root)) is not None:
            return [tar], []
        if root.bucket.startswith("http"):  # which cannot be listed
            raise DatasetError(f"{root}: there is no such file; check the URL")
    objects, folders = split_folder(root)
    if not objects and not folders and root.key and (tar := _listed(root)) is not None:
        return [tar], []
    found = [ListedObject.of(root.bucket, info) for info in objects]
    found = [path for path in found if not path.place.name.startswith(".")]
    tars = [path for path in found if path.lower().endswith(".tar")]
    if tars:
        _refuse_compressed(found)
    return tars, [name for name in folders if not name.startswith(".")]


def _listed(path: RemotePath) -> ListedObject | None:
    try:
        return path.listed()
    except FileNotFoundError:
        return None


def _refuse_compressed(paths: Sequence[Path | ListedObject]) -> None:
    packed = next((path for path in paths if str(path).lower().endswith(_COMPRESSED)), None)
    if packed is not None:
        raise DatasetError(f"{packed}: a compressed tar file beside plain ones; unpack it, or move it away")


def _listing(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if not p.name.startswith(".")] if root.is_dir() else []


def _of_folder(files: FolderDataset) -> PackSource:
    entries = []
    for path, label in files.samples:
        if isinstance(path, ListedObject):
            name = path[len(str(files.root)) :].lstrip("/")
            entries.append(PackEntry(name, label, path.info.size, path, 0))
            continue
        try:
            size = os.stat(path).st_size  # noqa: PTH116  (a million Paths cost seconds)
        except OSError:  # a link that leads nowhere; reading it will say so
            size = 0
        entries.append(PackEntry(Path(path).relative_to(files.root).as_posix(), label, size, path, 0))
    return PackSource(files.root.name, files.classes, tuple(entries))


def _of_tars(root: AnyPath, tars: Sequence[Path | ListedObject], names: tuple[str, ...] | None) -> PackSource:
    found: list[tuple[PackEntry, str | None]] = []
    others: Counter[str] = Counter()
    for path, contents in _read_tars(tars):
        others.update(contents.others)
        place, name = (str(path), path.name) if isinstance(path, Path) else (path, path.place.name)
        for image in contents.images:
            entry = PackEntry(f"{name}/{image.name}", 0, image.size, place, image.offset)
            found.append((entry, image.class_word))
    if not found:
        raise DatasetError(f"{root}: no image in its tar files; members should be named KEY.jpg and KEY.cls")
    words = _class_words(root, found)
    classes, labels = _numbered(root, words, names)
    entries = tuple(entry._replace(label=labels[word]) for (entry, _), word in zip(found, words, strict=True))
    return PackSource(root.name, classes, entries, MappingProxyType(dict(others)))


def _read_tars(
    tars: Sequence[Path | ListedObject],
) -> Generator[tuple[Path | ListedObject, TarContents], None, None]:
    """Yield tar files with what they hold, in order; of a store, several are read at once."""
    if not isinstance(tars[0], ListedObject):
        yield from ((path, read_tar(path)) for path in tars)
        return
    threads = min(_TARS_AT_ONCE, len(tars))
    with contextlib.closing(map_in_order(lambda path: (path, read_tar(path)), tars, threads, ahead=1)) as read:
        yield from read


def _class_words(root: AnyPath, found: list[tuple[PackEntry, str | None]]) -> list[str]:
    """Return each image's class: what its KEY.cls says or, where no image has one, its first folder."""
    without = [entry.name for entry, word in found if word is None]
    if without and len(without) < len(found):
        raise DatasetError(
            f"{root}: {len(without)} of {len(found)} images have no KEY.cls, the first is {without[0]}; "
            "add what is missing, or take these images out"
        )
    if not without:
        return [word for _, word in found if word is not None]
    words = []
    for entry, _ in found:
        folders = [part for part in entry.name.split("/")[1:-1] if part not in {"", "."}]
        if not folders:
            raise DatasetError(f"{entry.name}: has no class; add KEY.cls, or a folder for each class")
        words.append(folders[0])
    return words


def _numbered(
    root: AnyPath, words: list[str], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """Return the classes, and the label of each word; numbers stay what they are, whatever classes are absent."""
    if all(word.isascii() and word.isdigit() for word in words):
        largest = max(words, key=lambda word: (len(word.lstrip("0")), word.lstrip("0")))
        if len(largest.lstrip("0")) > 9 or int(largest) >= (MAX_CLASSES if names is None else len(names)):
            limit = f"are {MAX_CLASSES} at most" if names is None else f"are {len(names)} names, counted from 0"
            raise DatasetError(f"{root}: class number {largest[:30]}, and there {limit}")
        return names or tuple(map(str, range(int(largest) + 1))), {word: int(word) for word in words}
    classes = names or tuple(sorted(set(words)))
    labels = {name: label for label, name in enumerate(classes)}
    unknown = next((word for word in words if word not in labels), None)
    if unknown is not None:
        raise DatasetError(f"{root}: class {unknown[:60]!r} is none of the {len(classes)} named")
    return classes, labels
