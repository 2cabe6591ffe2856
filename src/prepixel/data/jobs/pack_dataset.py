"""Pack a data set into shards. Runs in parallel, is verified and resumable, and starts with an estimate.

A shard appears under its name when it is whole, and counts when its index stands beside it. Each of its bytes follows
from the source and the options alone; so a run that was killed is continued by the same call, and ends with the bytes
of one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from prepixel.data.datasets.shard_index import (
    CLASSES,
    VERSION,
    Manifest,
    Part,
    ShardRow,
    append_finished,
    read_index,
    read_manifest,
    shard_name,
    write_manifest,
)
from prepixel.data.datasets.shards import ShardWriter, stored_ending
from prepixel.data.datasets.text_formats import class_lines
from prepixel.data.jobs.estimate import WorkEstimate, estimate_work
from prepixel.data.jobs.pack_options import PackOptions, PackReport
from prepixel.data.jobs.pack_sources import PackEntry, PackSource
from prepixel.data.parallel import map_unordered
from prepixel.errors import (
    DatasetError,
    JpegError,
    PrepixelError,
    ReadFailure,
    RecordedError,
    UnreadableImage,
    UnsupportedJpeg,
)
from prepixel.files import make_folder, remove_temporary, write_text
from prepixel.folder_lock import directory_lock
from prepixel.jpeg import Limits, read_header, read_image

_SOI = b"\xff\xd8"


class _Packed(NamedTuple):
    """One image, ready to be written."""

    place: int
    row: ShardRow
    image: bytes
    ending: str
    metadata: dict[str, Any]


def pack_source(
    source: PackSource,
    target: str | os.PathLike[str],
    options: PackOptions,
    *,
    append: bool = False,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] | None = None,
) -> PackReport:
    """Pack a source into a folder of shards, or resume that where a run was stopped.

    Args:
        source: what to pack.
        target: a folder that is missing, empty, or was begun by a call with the same options.
        options: what is asked for.
        append: whether a source that the folder does not know yet is added behind those it has.
        threads: threads to work on; 0 for one per CPU.
        limits: what each image may ask for.
        progress: called with (images done, images in all) after each, on the calling thread.

    Raises:
        DatasetError: the target holds other files, was begun with other options, from another source (without
            ``append``) or with other classes, or is being written by another process.
        PrepixelError: an image cannot be packed, under ``on_error="stop"``.
        OSError: a file cannot be written.
    """
    begin, goal = time.perf_counter(), Path(target)
    make_folder(goal)
    with directory_lock(goal, "packing into"):
        manifest, part = _plan(source, goal, options, append)
        remove_temporary(goal)
        left = _unfinished(goal, manifest, part)
        finished = {number: summary for number, summary in manifest.finished.items() if number not in left}
        manifest = replace(manifest, finished=finished)
        write_text(goal / CLASSES, class_lines(source.classes))
        write_manifest(goal, manifest)
        earlier = len(source.entries) - sum(manifest.num_rows(number) for number in left)
        done = earlier
        with contextlib.closing(_pack_shards(source, goal, options, manifest, part, left, threads, limits)) as packed:
            for _ in packed:
                done += 1
                if progress is not None:
                    progress(done, len(source.entries))
        manifest = replace(manifest, finished=(read_manifest(goal) or manifest).finished)
        write_manifest(goal, manifest)
    return _report(goal, manifest, part, earlier, time.perf_counter() - begin)


def estimate_packing(
    source: PackSource,
    target: str | os.PathLike[str],
    options: PackOptions,
    *,
    append: bool = False,
    threads: int = 0,
    limits: Limits = Limits(),
) -> WorkEstimate:
    """Estimate from a sample how many bytes packing will leave and how long it will take; nothing is written.

    Raises:
        DatasetError: as `pack_source`.
    """
    goal = Path(target)
    manifest, part = _plan(source, goal, options, append)
    left = [
        source.entries[place]
        for number in _unfinished(goal, manifest, part)
        for place in _places(source, part, options, number)
    ]

    def sizes(entry: PackEntry) -> tuple[int, int]:
        return entry.size, len(options.pack(entry.read(), limits))

    return estimate_work(
        sizes,
        left,
        num_bytes_left=sum(entry.size for entry in left),
        num_files=len(source.entries),
        num_finished=len(source.entries) - len(left),
        num_bytes=sum(entry.size for entry in source.entries),
        threads=threads,
    )


def _report(goal: Path, manifest: Manifest, part: Part, earlier: int, seconds: float) -> PackReport:
    rows = [row for number in _numbers(part) for row in read_index(goal, manifest, number)]
    packed = [row for row in rows if row.kind == "packed"]
    return PackReport(
        num_samples=len(rows),
        num_earlier=earlier,
        num_packed=len(packed),
        num_stored=sum(row.kind == "stored" for row in rows),
        num_shards=part.num_shards,
        bytes_before=sum(row.before for row in packed),
        bytes_after=sum(row.size for row in packed),
        bytes_on_disk=sum(manifest.finished[number].tar_bytes for number in _numbers(part)),
        seconds=seconds,
        bad=tuple(
            ReadFailure(index, row.path, RecordedError(row.error, row.message))
            for index, row in enumerate(rows)
            if row.kind == "skipped"
        ),
    )


# -- what there is to do -----------------------------------------------------------------------------------------------


def _plan(source: PackSource, goal: Path, options: PackOptions, append: bool) -> tuple[Manifest, Part]:
    """Return the manifest that there is to be, and the part of it that the source is."""
    if goal.exists() and not goal.is_dir():
        raise DatasetError(f"{goal}: is a file, not a folder; name another target")
    if not source.entries:
        raise DatasetError(f"{source.name}: holds no image to pack")
    part = Part(source.name, _listing(source), len(source.entries), 0, -(-len(source.entries) // options.shard_size))
    manifest = read_manifest(goal)
    if manifest is None:
        if goal.exists() and any(not entry.name.startswith(".") and entry.name != CLASSES for entry in goal.iterdir()):
            raise DatasetError(f"{goal}: holds files that packing did not write; name a new folder, or empty this one")
        return Manifest(options.to_manifest(), source.classes, (part,)), part
    _check_same(goal, manifest, source, options)
    known = next((known for known in manifest.parts if known.listing == part.listing), None)
    if known is not None:
        return manifest, known
    if not append:
        raise DatasetError(
            f"{goal}: was packed from another source, or {source.name} has changed; to add its images behind those "
            "that are there, use --append; else pack into a new folder"
        )
    for known in manifest.parts:
        for shard in _unfinished(goal, manifest, known):
            raise DatasetError(f"{goal}: {shard_name(shard)} is not finished; let that run come to its end first")
    part = replace(part, first_shard=manifest.num_shards)
    return replace(manifest, parts=(*manifest.parts, part)), part


def _listing(source: PackSource) -> str:
    """Return a checksum of what a source lists."""
    listing = hashlib.sha256()
    for entry in source.entries:
        annotated = f"\0{json.dumps(dict(entry.annotated), sort_keys=True)}" if entry.annotated else ""
        listing.update(f"{entry.name}\0{entry.size}\0{entry.label}{annotated}\n".encode(errors="surrogatepass"))
    return listing.hexdigest()


def _check_same(goal: Path, manifest: Manifest, source: PackSource, options: PackOptions) -> None:
    were, asked = manifest.options, options.to_manifest()
    differing = [key for key in asked if key != "bands" and were.get(key) != asked[key]]
    if differing:
        words = ", ".join(
            f"bands {were.get('bands')}" if key == "frequencies" else f"{key} {were.get(key)}" for key in differing
        )
        raise DatasetError(f"{goal}: was begun with other options ({words}); use these, or pack into a new folder")
    if manifest.version < VERSION:
        raise DatasetError(f"{goal}: was packed by an earlier version, without checksums; pack into a new folder")
    if manifest.classes != source.classes:
        raise DatasetError(
            f"{goal}: its {len(manifest.classes)} classes are not the {len(source.classes)} of {source.name}; "
            f"name them by --classes {goal / CLASSES}"
        )


def _unfinished(goal: Path, manifest: Manifest, part: Part) -> list[int]:
    """List a part's shards that are not finished, or no longer what was written."""
    left = []
    for number in _numbers(part):
        try:
            read_index(goal, manifest, number)
        except DatasetError:
            left.append(number)
    return left


def _numbers(part: Part) -> range:
    return range(part.first_shard, part.first_shard + part.num_shards)


def _places(source: PackSource, part: Part, options: PackOptions, number: int) -> range:
    """Return the places of a shard's entries."""
    begin = (number - part.first_shard) * options.shard_size
    return range(begin, min(begin + options.shard_size, len(source.entries)))


# -- the work ----------------------------------------------------------------------------------------------------------


def _pack_shards(
    source: PackSource,
    goal: Path,
    options: PackOptions,
    manifest: Manifest,
    part: Part,
    numbers: list[int],
    threads: int,
    limits: Limits,
) -> Generator[None, None, None]:
    """Write shard after shard; yield after each sample."""
    places = (place for number in numbers for place in _places(source, part, options, number))

    def work(place: int) -> _Packed:
        entry = source.entries[place]
        key = f"{manifest.first_key(part.first_shard) + place:08}"
        return _pack_one(place, key, entry, source.classes[entry.label], options, limits)

    with contextlib.closing(map_unordered(work, places, threads)) as unordered:
        results = _in_order(
            unordered, (place for number in numbers for place in _places(source, part, options, number))
        )
        for number in numbers:
            with ShardWriter(goal, number) as writer:
                for _ in _places(source, part, options, number):
                    packed = next(results)
                    writer.add(packed.row, packed.image, packed.ending, packed.metadata)
                    yield
                append_finished(goal, number, writer.close())


def _in_order(results: Iterable[_Packed], places: Iterable[int]) -> Iterator[_Packed]:
    """Yield results in the order of their places."""
    waiting: dict[int, _Packed] = {}
    source = iter(results)
    for place in places:
        while place not in waiting:
            result = next(source)
            waiting[result.place] = result
        yield waiting.pop(place)


def _pack_one(place: int, key: str, entry: PackEntry, class_name: str, options: PackOptions, limits: Limits) -> _Packed:
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
        return _Packed(place, row, b"", "", {})
    metadata = {
        "label": entry.label,
        "class": class_name,
        "path": entry.name,
        "bytes": len(contents),
        "sha256": hashlib.sha256(contents).hexdigest(),
        **({"coco": dict(entry.annotated)} if entry.annotated else {}),
    }
    row = ShardRow(key, kind, entry.name, entry.label, len(contents))  # type: ignore[arg-type]
    return _Packed(place, row, image, ending, metadata)


def _has_coefficients(contents: bytes, limits: Limits) -> bool:
    """Return whether YCbCr coefficients can be read of an image; raise where it is a damaged JPEG."""
    if contents[: len(_SOI)] != _SOI:
        return False
    try:
        return read_header(contents, limits=limits).color in {"gray", "ycbcr", "rgb"}
    except UnsupportedJpeg:
        return False
