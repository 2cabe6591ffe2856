"""Which indexes a data set reads its photos by."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, TypeAlias

from prepixel.errors import MalformedIndex
from prepixel.jpeg.folder_index import FolderIndex, open_folder_index
from prepixel.jpeg.jpeg_index import IndexWarning
from prepixel.stores.remote_path import AnyPath

IndexChoice: TypeAlias = FolderIndex | Literal["auto"] | None


class PhotoIndexes:
    """Indexes of a data set's photos, of which random crops need but parts.

    A folder's indexes, as `prepixel index` writes them, are looked for when a photo is first read, by each process for
    itself. Where they are damaged, an `IndexWarning` says so, and photos are read without them.
    """

    def __init__(self, choice: IndexChoice, root: AnyPath | None = None) -> None:
        """Choose indexes.

        Args:
            choice: ``"auto"``: those of the folder, and of photos that have none there, those which they hold
                themselves; a `FolderIndex`, likewise; None: none at all.
            root: the folder; None: there is none, or it lies in a store.

        Raises:
            ValueError: ``choice`` is none of these.
        """
        if not (choice is None or isinstance(choice, FolderIndex) or choice == "auto"):
            raise ValueError(f"indexes is {choice!r}; it can be 'auto', None, or what open_folder_index returns")
        self.choice: IndexChoice = choice
        self._root = root if isinstance(root, Path) else None
        self._found: FolderIndex | Literal["auto"] | None = None

    def open(self) -> IndexChoice:
        """Return what `prepixel.spectrum.open_images` takes."""
        if self.choice != "auto" or self._root is None:
            return self.choice
        if self._found is None:
            self._found = _open_if_whole(self._root) or "auto"
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is opened: a process that has it from a pickle looks for itself."""
        return self.__dict__ | {"_found": None}


def _open_if_whole(root: Path) -> FolderIndex | None:
    try:
        return open_folder_index(root)
    except (MalformedIndex, OSError) as error:
        warnings.warn(f"{error} Photos are read without it.", IndexWarning, stacklevel=3)
        return None
