"""The samples of a tar file by WebDataset's rules, with every member accounted for."""

from __future__ import annotations

import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from prepixel.errors import DatasetError, describe_error
from prepixel.files import EXTENSIONS
from prepixel.stores.object_file import ObjectFile
from prepixel.stores.remote_path import ListedObject

_MAX_CLASS_BYTES = 1024
_MAX_LINKS = 16


class TarImage(NamedTuple):
    """Locate one image of a tar file.

    Attributes:
        name: the member's.
        size: its bytes.
        offset: where in the tar they begin.
        class_word: what its KEY.cls holds; None without one.
    """

    name: str
    size: int
    offset: int
    class_word: str | None


@dataclass(frozen=True)
class TarContents:
    """List what a tar file holds.

    Attributes:
        images: in the tar's order.
        others: members that are neither image nor class, counted by kind.
    """

    images: tuple[TarImage, ...]
    others: Mapping[str, int]


class _Place(NamedTuple):
    """Where a member's bytes are."""

    offset: int
    size: int


class _OpenTar(NamedTuple):
    """A tar file whose members have been listed.

    Attributes:
        path: of the file, or its URL.
        file: open for reading.
        places: where each member's bytes are, by its name.
        words: bytes of the members ``KEY.cls``, by where they begin.
    """

    path: Path | ListedObject
    file: IO[bytes] | ObjectFile
    places: Mapping[str, _Place]
    words: Mapping[int, bytes]


def read_tar(path: Path | ListedObject) -> TarContents:
    """List the samples of a tar file, or of one in a store, which is read in ranges: no more than one is in memory.

    The key of a member is its name up to the first dot behind the last slash, and the rest its ending, in lower case.
    Members of one key that follow each other are a sample. Its image has an image's ending without a further dot, so
    ``a.seg.png`` is none; its class is in ``KEY.cls``.

    Raises:
        StoreError: the store does not answer, refuses, or holds another object by now.
        DatasetError: the file cannot be read whole; a link leads to no member; two samples have one key; a sample has
            two images or two classes, an image that its key hides (``22.05.jpg``, of key ``22``), or an empty class.

    Source: WebDataset's documentation, "The WebDataset Format"; its functions base_plus_ext and group_by_keys.
    """
    try:
        with path.open("rb") if isinstance(path, Path) else ObjectFile(path) as file:
            members, words = _members(path, file)
            return _contents(_OpenTar(path, file, _places(path, members), words), members)
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read as a tar file ({error}); unpack compressed ones first") from error
    except OSError as error:
        raise DatasetError(describe_error(error, str(path))) from error


def _contents(tar: _OpenTar, members: list[tarfile.TarInfo]) -> TarContents:
    others: Counter[str] = Counter()
    images: list[TarImage] = []
    seen: set[str] = set()
    for key, sample in _samples(members, others):
        if key in seen:
            raise DatasetError(f"{tar.path}: key {key} is that of two samples; rename the members of one of them")
        seen.add(key)
        image = _image_of(tar, key, sample)
        if image is not None:
            images.append(image)
        used = {"cls", *((image.name,) if image else ())}
        others.update(f".{ending}" for ending, name in sample if ending not in used and name not in used)
    return TarContents(tuple(images), dict(others))


def _members(path: Path | ListedObject, file: IO[bytes] | ObjectFile) -> tuple[list[tarfile.TarInfo], dict[int, bytes]]:
    """List the members and, so that the file is read once, the bytes of their classes."""
    members, words = [], {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            members.append(member)
            if member.isreg() and member.name.lower().endswith(".cls") and member.size <= _MAX_CLASS_BYTES:
                file.seek(member.offset_data)
                words[member.offset_data] = file.read(member.size)
        _check_end(path, file, int(archive.offset))
    sparse = next((member for member in members if member.issparse()), None)
    if sparse is not None:
        raise DatasetError(f"{path}: {sparse.name} is a sparse member; pack the tar again without --sparse")
    return members, words


def _check_end(path: Path | ListedObject, file: IO[bytes] | ObjectFile, place: int) -> None:
    """Raise where the list of members ends before the file does: tarfile takes a damaged header for the end."""
    file.seek(place)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise DatasetError(
            f"{path}, byte {place}: ends without the mark of a tar's end; it is truncated, copy it again"
        )
    while block:
        if block.count(0) != len(block):
            raise DatasetError(
                f"{path}, byte {place}: a damaged header, or further data behind the tar's end; "
                "copy it again, or pack joined tar files one by one"
            )
        place += len(block)
        block = file.read(1 << 20)


def _normal(name: str) -> str:
    return posixpath.normpath(name.lstrip("/"))


def _places(path: Path | ListedObject, members: list[tarfile.TarInfo]) -> dict[str, _Place]:
    """Map members' names to where their bytes are, links followed."""
    files: dict[str, _Place] = {}
    links: dict[str, str] = {}
    for member in members:
        name = _normal(member.name)
        if member.isreg():
            files[name] = _Place(member.offset_data, member.size)
        elif member.islnk():
            links[name] = _normal(member.linkname)
        elif member.issym():
            links[name] = _normal(posixpath.join(posixpath.dirname(member.name), member.linkname))
    for name, target in links.items():
        for _ in range(_MAX_LINKS):
            if target in files or target not in links:
                break
            target = links[target]
        if target in files:
            files.setdefault(name, files[target])
        elif not _is_directory(target, members):
            raise DatasetError(
                f"{path}: {name} is a link to {target[:200]}, which is no file of this tar; store the file"
            )
    return files


def _is_directory(name: str, members: list[tarfile.TarInfo]) -> bool:
    return any((m.isdir() and _normal(m.name) == name) or _normal(m.name).startswith(f"{name}/") for m in members)


def _samples(members: list[tarfile.TarInfo], others: Counter[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each key with its members' endings and names; count members that have no key."""
    current: str | None = None
    sample: list[tuple[str, str]] = []
    for member in members:
        folder, _, base = member.name.rpartition("/")
        stem, dot, ending = base.partition(".")
        if not (member.isreg() or member.islnk() or member.issym()):
            others["folder" if member.isdir() else "device or pipe"] += 1
        elif not stem or not dot:
            others["hidden" if not stem else "without an ending"] += 1
        else:
            key = f"{folder}/{stem}" if folder else stem
            if key != current and sample:
                yield str(current), sample
                sample = []
            current = key
            sample.append((ending.lower(), member.name))
    if sample:
        yield str(current), sample


def _image_of(tar: _OpenTar, key: str, sample: list[tuple[str, str]]) -> TarImage | None:
    path = tar.path
    images = [name for ending, name in sample if f".{ending}" in EXTENSIONS]
    classes = [name for ending, name in sample if ending == "cls"]
    if len(images) > 1 or len(classes) > 1:
        what = "images" if len(images) > 1 else "classes"
        raise DatasetError(
            f"{path}: key {key} has two {what}, {' and '.join((images if len(images) > 1 else classes)[:2])}; "
            "give each sample a key of its own"
        )
    hidden = [name for ending, name in sample if ending.endswith((*EXTENSIONS, ".cls"))]
    if hidden and not images:
        raise DatasetError(
            f"{path}: {hidden[0]} has the key {key}, which ends at the first dot (WebDataset's rule), and is no image "
            "of that sample; rename the members so that names hold no other dot"
        )
    if not images:
        if classes:
            raise DatasetError(f"{path}: {classes[0]} is the class of key {key}, which has no image; add it")
        return None
    place = tar.places.get(_normal(images[0]))
    if place is None:
        raise DatasetError(f"{path}: {images[0]} is a link to a folder; store the file itself")
    word = _class_word(tar, classes[0]) if classes else None
    return TarImage(images[0], place.size, place.offset, word)


def _class_word(tar: _OpenTar, name: str) -> str:
    path, place = tar.path, tar.places.get(_normal(name), _Place(0, 0))
    if place.size > _MAX_CLASS_BYTES:
        raise DatasetError(f"{path}: {name} has {place.size} bytes; a class has {_MAX_CLASS_BYTES} at most")
    contents = tar.words.get(place.offset)
    if contents is None:  # a link to a member of another name
        tar.file.seek(place.offset)
        contents = tar.file.read(place.size)
    try:
        word = contents.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: {name} is not UTF-8 (byte {error.start}); store the class as UTF-8") from error
    if not word:
        raise DatasetError(f"{path}: {name} is empty; it should hold the class's number or name")
    return word
