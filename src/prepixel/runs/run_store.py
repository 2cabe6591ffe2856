"""A run's copy in an object store, for machines that lose their disks; docs/formats/runs.md describes it.

The files lie under names that hold their checksums. One object names those that belong together, and is written last: a
copy is the old one or the new one, whole, whenever the process dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from prepixel.errors import RunError, StoreError
from prepixel.files import AtomicFile, json_bytes, make_folder, replace_file
from prepixel.recipes.parsing import AnyRecipe, parse_any_recipe
from prepixel.runs.run_folder import RunFolder
from prepixel.stores.client import list_objects
from prepixel.stores.remote_path import RemotePath, to_path

MANIFEST = "run.json"
LAST = "checkpoints/last.pt"
_FORMAT = "prepixel run 1"
_FILES = (
    *("recipe.yaml", "classes.json", "categories.json", "bands.json", "statistics.json", "targets.json"),
    *("environment.json", "records.jsonl", "checkpoints/best.pt", LAST),  # fetched in this order: the last completes it
)
_MAX_MANIFEST = 1 << 20
_MAX_RECIPE = 1 << 20
_READS = 5  # of a copy whose run goes on meanwhile

Order = tuple[int, int]


class StoredFile(NamedTuple):
    """Describe a file of a copy.

    Attributes:
        size: bytes.
        sha256: of its contents, in hexadecimal digits.
    """

    size: int
    sha256: str


class RunCopy(NamedTuple):
    """Describe a copy of a run.

    Attributes:
        position: epoch and batch that its checkpoint is at; (-1, 0) without a checkpoint.
        files: by name below the run's folder.
    """

    position: Order
    files: Mapping[str, StoredFile]


class RunStore:
    """Name the copy of a run in a store; one process writes it.

    Attributes:
        root: the folder in the store.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        """Take a URL; nothing is requested.

        Raises:
            RunError: it names no place in a store.
            StoreError: the URL cannot be used, or its server cannot be written to.
        """
        root = to_path(url)
        if not isinstance(root, RemotePath):
            raise RunError(f"{root}: is no place in a store; write s3://BUCKET/FOLDER, gs:// or az://")
        self.root = root
        self._manifest: bytes | None = None  # as last read or written here
        self._copy: RunCopy | None = None

    def read(self) -> RunCopy | None:
        """Return what the store holds of the run; None where it holds nothing.

        Raises:
            RunError: the copy's description is damaged.
            StoreError: the store does not answer, or refuses.
        """
        self._manifest = self._read_manifest()
        self._copy = None if self._manifest is None else self._parse(self._manifest)
        return self._copy

    def check_unused(self) -> None:
        """Check that nothing but what a run leaves lies in the folder.

        Raises:
            RunError: something else does.
            StoreError: the store does not answer, or refuses.
        """
        if strange := next((key for key in self._keys() if _name_of(key) is None), None):
            raise RunError(f"{self.root}: holds {strange} but no run; name a new folder of the store")

    def read_recipe(self, copy: RunCopy) -> AnyRecipe:
        """Return the recipe of a copy."""
        text = self._object("recipe.yaml", copy.files["recipe.yaml"]).read_bytes(max_bytes=_MAX_RECIPE).decode("utf-8")
        return parse_any_recipe(text, source=f"{self.root}/recipe.yaml", overrides=(), name=self.root.name)

    def save(self, place: RunFolder, position: Order) -> None:
        """Bring the store to what the run's folder holds; files that it has are not sent again.

        Raises:
            StoreError: the store fails, or another process has written there; the copy is the old one, whole.
        """
        known = {} if self._copy is None else self._copy.files
        files = {name: _describe(place.path / name) for name in _FILES if (place.path / name).is_file()}
        if files == known:
            return
        for name, stored in files.items():
            if known.get(name) != stored:
                with (place.path / name).open("rb") as file:
                    self._object(name, stored).upload(file)
        manifest = {"format": _FORMAT, "position": position, "files": {k: v._asdict() for k, v in files.items()}}
        written = json_bytes(manifest, indent=1) + b"\n"
        if self._read_manifest() != self._manifest:
            raise StoreError(f"{self.root}: another process keeps a run there, too; end it")
        replace_file(self.root / MANIFEST, written)
        self._manifest, self._copy = written, RunCopy(position, files)
        for name, stored in known.items():
            if files.get(name) != stored:
                self._object(name, stored).unlink()

    def remove_leftovers(self) -> None:
        """Remove the files that processes left which died while they saved."""
        files = {} if self._copy is None else self._copy.files
        kept = {f"{name}/{stored.sha256}" for name, stored in files.items()}
        for key in self._keys():
            if _name_of(key) is not None and key != MANIFEST and key not in kept:
                (self.root / key).unlink()

    def fetch(self, folder: Path) -> RunCopy:
        """Write the copy's files into a folder, compare them with their checksums, and remove what the copy lacks.

        The checkpoint is written after all others, so that a fetch that was interrupted is repeated.

        Raises:
            RunError: there is no run, or a file of it is missing or damaged.
            StoreError: the store does not answer, or refuses.
            OSError: a file cannot be written.
        """
        for attempt in range(_READS):
            copy = self.read()
            if copy is None:
                raise RunError(f"{self.root}: holds no run; name what prepixel train --store was given")
            try:
                self._fetch(copy, folder)
            except FileNotFoundError as error:
                if attempt + 1 < _READS and self._read_manifest() != self._manifest:
                    continue  # its run went on, and removed what it replaced
                raise RunError(
                    f"{self.root}: lacks {error.filename}, which its {MANIFEST} names; was it copied whole?"
                ) from error
            return copy
        raise AssertionError("unreachable")

    def _fetch(self, copy: RunCopy, folder: Path) -> None:
        make_folder(folder / "checkpoints")
        for name in _FILES:
            if name not in copy.files:
                (folder / name).unlink(missing_ok=True)
        for name in _FILES:
            target, stored = folder / name, copy.files.get(name)
            if stored is None or (target.is_file() and _describe(target) == stored):
                continue
            digest, size = hashlib.sha256(), 0
            with AtomicFile(target) as written:
                for part in self._object(name, stored).read_parts():
                    written.file.write(part)
                    digest.update(part)
                    size += len(part)
                if StoredFile(size, digest.hexdigest()) != stored:
                    raise RunError(f"{self.root}/{name}: is not what was saved (its checksum differs); save it again")

    def _object(self, name: str, stored: StoredFile) -> RemotePath:
        return self.root / f"{name}/{stored.sha256}"

    def _keys(self) -> Iterator[str]:
        for info in list_objects(self.root.bucket, self.root.key):
            yield info.key[len(self.root.key) :].lstrip("/")

    def _read_manifest(self) -> bytes | None:
        try:
            return (self.root / MANIFEST).read_bytes(max_bytes=_MAX_MANIFEST)
        except FileNotFoundError:
            return None

    def _parse(self, manifest: bytes) -> RunCopy:
        try:
            values = json.loads(manifest)
            if values["format"] != _FORMAT:
                raise ValueError(f"its format is {values['format']!r}, and {_FORMAT!r} is read")
            files = {name: StoredFile(**stored) for name, stored in values["files"].items()}
            epoch, batch = values["position"]
            for name, stored in files.items():
                if (
                    name not in _FILES
                    or not re.fullmatch("[0-9a-f]{64}", stored.sha256)
                    or type(stored.size) is not int
                ):
                    raise ValueError(f"{name!r} is described wrongly")
            if "recipe.yaml" not in files or type(epoch) is not int or type(batch) is not int:
                raise ValueError("it has no recipe, or no position")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{self.root}/{MANIFEST}: describes no run, or is damaged ({type(error).__name__}: {error}); name "
                "another place, or write it again from the run's folder"
            ) from error
        return RunCopy((epoch, batch), files)


def fetch_run(url: str | os.PathLike[str], folder: str | os.PathLike[str]) -> RunFolder:
    """Fetch a run from the store that `run` keeps it in, into a new folder.

    Args:
        url: such as ``s3://BUCKET/FOLDER``.
        folder: missing, or empty.

    Raises:
        RunError: the store holds no run there, or a damaged one, or the folder holds something.
        StoreError: the store does not answer, or refuses.
        OSError: a file cannot be written.
    """
    place, store = RunFolder.at(folder), RunStore(url)
    if place.path.exists() and (not place.path.is_dir() or any(place.path.iterdir())):
        raise RunError(f"{place.path}: exists and is not empty; name a new folder")
    store.fetch(place.path)
    return place


class KeptRun:
    """Keep a run's folder and its copy in a store together, while the run is trained.

    Args:
        place: the run's folder.
        store: the copy; None for a run that is in its folder alone, for which nothing is done.
    """

    def __init__(self, place: RunFolder, store: RunStore | None) -> None:
        self.place, self._store = place, store

    def check_free(self, recipe: AnyRecipe, *, resume: bool) -> None:
        """Check that a run may start, or be resumed, in the store; as `RunFolder.check_free`.

        Raises:
            RunError: the store holds a run and ``resume`` is false, or another run or no run at all.
        """
        if self._store is None:
            return
        self._store.root.check_writable()
        copy = self._store.read()
        if copy is None:
            self._store.check_unused()
        if copy is None or LAST not in copy.files:
            return
        if not resume:
            raise RunError(
                f"{self._store.root}: holds a run already; resume it with --resume, or give another place by --store"
            )
        self.place.check_same(self._store.read_recipe(copy), recipe, str(self._store.root), "--store")

    def bring_back(self, position: Callable[[], Order]) -> None:
        """Fetch the copy where it is ahead of the folder.

        Args:
            position: returns where the folder's run is.
        """
        copy = None if self._store is None else self._store.read()
        if self._store is None or copy is None:
            return
        if copy.position > position() or not self.place.recipe.is_file():
            self._store.fetch(self.place.path)

    def begin(self, position: Order) -> None:
        """Note in the folder where its copy is, save what is there, and remove what killed processes left."""
        if self._store is None:
            return
        self.place.write_store(str(self._store.root))
        self.save(position)
        self._store.remove_leftovers()

    def save(self, position: Order) -> None:
        """Bring the store to what the folder holds.

        Raises:
            StoreError: it cannot be; the message says where the run's only copy is.
        """
        if self._store is None:
            return
        try:
            self._store.save(self.place, position)
        except StoreError as error:
            text = f"{error}. The run is saved in {self.place.path} alone: --resume continues it there"
            raise type(error)(text) from error


def _describe(path: Path) -> StoredFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredFile(file.tell(), digest)


def _name_of(key: str) -> str | None:
    """Return which file of a run an object's key below its folder is of; None for another's."""
    name, _, digest = key.rpartition("/")
    if key == MANIFEST or (name in _FILES and re.fullmatch("[0-9a-f]{64}", digest)):
        return name or key
    return None
