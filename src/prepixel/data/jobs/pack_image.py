"""Pack one image of a source, or say why it is left out."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from prepixel.data.datasets.shard_index import ShardRow
from prepixel.data.datasets.shards import stored_ending
from prepixel.data.jobs.pack_options import PackOptions
from prepixel.data.jobs.pack_sources import PackEntry
from prepixel.errors import JpegError, PrepixelError, UnreadableImage, UnsupportedJpeg
from prepixel.jpeg import Limits, read_header, read_image

_SOI = b"\xff\xd8"


class PackedImage(NamedTuple):
    """One image, ready to be written."""

    row: ShardRow
    image: bytes
    ending: str
    metadata: dict[str, Any]


def pack_image(key: str, entry: PackEntry, class_name: str, options: PackOptions, limits: Limits) -> PackedImage:
    """Pack one image; an error in reading it is the image's."""
    contents = b""
    try:
        contents = entry.read()
        if _has_coefficients(contents, limits):
            kind, ending, image = "packed", "ppx", options.pack(contents, limits)
        elif options.on_error == "store":
            read_image(contents, limits=limits)  # so that what is stored can be read
            kind, ending, image = "stored", stored_ending(entry.name), contents
        else:
            raise UnreadableImage(f"{entry.name}: has no YCbCr coefficients to pack; convert it to JPEG, or store it")
    except RuntimeError as error:  # a defect of ours: loud, and with the file that shows it
        error.add_note(f"file: {entry.name}")
        raise
    except (PrepixelError, OSError) as error:
        if isinstance(error, JpegError):
            error.source = entry.name
        if options.on_error == "stop":
            raise
        text = f"{entry.name}: {error.strerror}" if isinstance(error, OSError) else str(error)
        row = ShardRow(key, "skipped", entry.name, entry.label, entry.size, error=type(error).__name__, message=text)
        return PackedImage(row, b"", "", {})
    metadata = {
        "label": entry.label,
        "class": class_name,
        "path": entry.name,
        "bytes": len(contents),
        "sha256": hashlib.sha256(contents).hexdigest(),
        **({"coco": dict(entry.annotated)} if entry.annotated else {}),
    }
    row = ShardRow(key, kind, entry.name, entry.label, len(contents))  # type: ignore[arg-type]
    return PackedImage(row, image, ending, metadata)


def _has_coefficients(contents: bytes, limits: Limits) -> bool:
    """Return whether YCbCr coefficients can be read of an image; raise where it is a damaged JPEG."""
    if contents[: len(_SOI)] != _SOI:
        return False
    try:
        return read_header(contents, limits=limits).color in {"gray", "ycbcr", "rgb"}
    except UnsupportedJpeg:
        return False
