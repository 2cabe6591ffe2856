"""A folder of JPEGs and other files, to be band-limited."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tests.jpeg.small_files import by_cjpeg, by_pillow, pixels

from prepixel.data.jobs.bandlimit_folder import STATE_NAME

JPEGS = ("cat/a.jpg", "cat/deeper/b.JPEG", "dog/c.jpg", "dog/named.dat")


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, "png")
    return file.getvalue()


def write_source(root: Path) -> Path:
    """Write four JPEGs, one of them named .dat, a PNG, a list, and hidden files; return the folder."""
    for name, contents in {
        "cat/a.jpg": by_pillow(subsampling=2),
        "cat/deeper/b.JPEG": by_pillow("L"),
        "dog/c.jpg": by_pillow(progressive=True),
        "dog/named.dat": by_cjpeg(),  # a JPEG by its contents
        "dog/d.png": png(),
        "labels.txt": b"cat/a.jpg 0\n",
        ".hidden/e.jpg": by_pillow(),
        ".f.jpg": by_pillow(),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Return every file's bytes but for the state folder's."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: contents for name, contents in found.items() if not name.startswith(STATE_NAME)}
