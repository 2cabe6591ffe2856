"""Write files whole or not at all, lock folders, and list image files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def replace_file(path: Path, contents: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: the path never names a part of the contents."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(contents)
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # a full disk's names no file
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


EXTENSIONS: tuple[str, ...] = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
)


def image_files(
    root: str | os.PathLike[str], *, extensions: Sequence[str] = EXTENSIONS, follow_links: bool = True
) -> Iterator[str]:
    """Yield the paths of the image files below a folder, folder by folder, each folder's names sorted.

    A folder that links lead to twice is read once, so that a link to a parent ends.
    """
    endings = tuple(extension.lower() for extension in extensions)
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


def write_text(path: Path, text: str) -> None:
    """Write a file by a temporary name and a rename."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
