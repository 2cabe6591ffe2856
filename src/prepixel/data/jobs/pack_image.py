"""Pack one image of a source, or say why it is left out."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

from prepixel.data.datasets.shard_index import ShardRow
from prepixel.data.datasets.shards import stored_ending
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_options import PackOptions
from prepixel.data.jobs.pack_reads import Contents, PlacedEntry, read_entries
from prepixel.data.parallel import map_in_order
from prepixel.errors import JpegError, PrepixelError, UnreadableImage, UnsupportedJpeg, describe_error
from prepixel.jpeg import Limits, read_header, read_image

_SOI = b"\xff\xd8"


class PackedImage(NamedTuple):
    """One image, ready to be written."""

    row: ShardRow
    image: bytes
    ending: str
    metadata: dict[str, Any]


def pack_image(
    key: str,
    entry: PackEntry,
    class_name: str,
    options: PackOptions,
    limits: Limits,
    fetched: Contents = None,
) -> PackedImage:
    """Pack one image; an error in reading it is the image's.

    Args:
        key: of the sample.
        entry: the image.
        class_name: of its class.
        options: what is asked for.
        limits: what it may ask for.
        fetched: what was read ahead of it; None to read it here.
    """
    contents = b""
    try:
        if isinstance(fetched, OSError):
            raise fetched
        contents = entry.read() if fetched is None else fetched
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
        text = describe_error(error, entry.name)
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


def pack_images(
    entries: Sequence[PackEntry],
    first_key: int,
    class_names: Sequence[str],
    options: PackOptions,
    limits: Limits,
    places: Iterable[int],
    threads: int,
) -> Generator[PackedImage, None, None]:
    """Yield the packed images of some entries, in order; those in a store are read ahead.

    Args:
        entries: images.
        first_key: number of the first of them among all samples.
        class_names: by label.
        options: what is asked for.
        limits: what each image may ask for.
        places: which of the entries.
        threads: threads to work on; 0 for one per CPU.
    """

    def work(item: tuple[PlacedEntry, Contents]) -> PackedImage:
        (place, entry), contents = item
        return pack_image(f"{first_key + place:08}", entry, class_names[entry.label], options, limits, contents)

    items = read_entries(entries, places)
    with contextlib.closing(items), contextlib.closing(map_in_order(work, items, threads)) as images:
        yield from images
