"""List image files below a folder of the file system or of a store, in an order that never changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from prepixel.stores.remote_path import AnyPath, RemotePath, is_url, remote_files

EXTENSIONS: tuple[str, ...] = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
)


def not_a_folder(path: AnyPath) -> str:
    """Return what is wrong with a path where a folder is wanted: a file is there, or nothing."""
    return "is a file, not a folder" if isinstance(path, Path) and path.exists() else "no such folder"


def image_files(
    root: str | os.PathLike[str], *, extensions: Sequence[str] = EXTENSIONS, follow_links: bool = True
) -> Iterator[str]:
    """Yield the paths of the image files below a folder, folder by folder, each folder's names sorted.

    Names that begin with a dot are passed over. A folder that links lead to twice is read once, so that a link to a
    parent ends. Of a folder in a store, what is yielded are `ListedObject`, URLs with sizes and ETags.
    """
    endings = tuple(extension.lower() for extension in extensions)
    if is_url(root):
        yield from remote_files(root if isinstance(root, RemotePath) else RemotePath.parse(os.fspath(root)), endings)
        return
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=follow_links):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(endings) and not name.startswith("."):
                yield os.path.join(folder, name)  # noqa: PTH118  (a million Paths cost seconds)
