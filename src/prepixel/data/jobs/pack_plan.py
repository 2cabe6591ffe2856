"""What packing has to do: the manifest that there is to be, the shards that are not finished, and the final report."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

from prepixel.data.datasets.shard_index import (
    CLASSES,
    VERSION,
    Manifest,
    Part,
    ShardRow,
    add_recorded,
    read_index,
    read_manifest,
    shard_name,
)
from prepixel.data.jobs.pack_options import PackOptions, PackReport
from prepixel.data.jobs.pack_sources import PackSource
from prepixel.data.read_ahead import map_requests
from prepixel.errors import DatasetError, ReadFailure, RecordedError
from prepixel.stores.remote_path import AnyPath


class PackCounts:
    """Count what became of a source's images, from the indices of its shards, in order."""

    def __init__(self) -> None:
        """Begin at the source's first image."""
        self._kinds: Counter[str] = Counter()
        self._before, self._after, self._bad = 0, 0, list[ReadFailure]()

    def add(self, rows: Iterable[ShardRow]) -> None:
        """Count the images of the next shard."""
        for index, row in enumerate(rows, start=self._kinds.total()):
            if row.kind == "packed":
                self._before, self._after = self._before + row.before, self._after + row.size
            elif row.kind == "skipped":
                self._bad.append(ReadFailure(index, row.path, RecordedError(row.error, row.message)))
            self._kinds[row.kind] += 1

    def report(self, manifest: Manifest, part: Part, earlier: int, seconds: float) -> PackReport:
        """Report what was counted of a part, all of whose shards were added."""
        return PackReport(
            num_samples=self._kinds.total(),
            num_earlier=earlier,
            num_packed=self._kinds["packed"],
            num_stored=self._kinds["stored"],
            num_shards=part.num_shards,
            bytes_before=self._before,
            bytes_after=self._after,
            bytes_on_disk=sum(manifest.finished[number].tar_bytes for number in shard_numbers(part)),
            seconds=seconds,
            bad=tuple(self._bad),
        )


def report_packing(goal: AnyPath, manifest: Manifest, part: Part, earlier: int, seconds: float) -> PackReport:
    """Report what became of a source, from the indices of its shards."""
    counts = PackCounts()
    indices = map_requests(lambda number: read_index(goal, manifest, number), shard_numbers(part), goal)
    with contextlib.closing(indices) as found:
        for rows in found:
            counts.add(rows)
    return counts.report(manifest, part, earlier, seconds)


# -- what there is to do -----------------------------------------------------------------------------------------------


def plan_packing(source: PackSource, goal: AnyPath, options: PackOptions, append: bool) -> tuple[Manifest, Part]:
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
        if known.num_samples != part.num_samples:
            raise DatasetError(
                f"{goal}: its manifest is damaged: {part.num_samples} images were listed, and it says "
                f"{known.num_samples}; copy it again, or pack into a new folder"
            )
        return manifest, known
    if not append:
        raise DatasetError(
            f"{goal}: was packed from another source, or {source.name} has changed; to add its images behind those "
            "that are there, use --append; else pack into a new folder"
        )
    for known in manifest.parts:
        recorded = add_recorded(goal, manifest, known, shard_numbers(known))
        for shard in unfinished_shards(goal, recorded, shard_numbers(known)):
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


def _check_same(goal: AnyPath, manifest: Manifest, source: PackSource, options: PackOptions) -> None:
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


def unfinished_shards(goal: AnyPath, manifest: Manifest, numbers: Iterable[int]) -> Iterator[int]:
    """Yield those of some shards that are not finished, or no longer what was written."""
    with contextlib.closing(checked_shards(goal, manifest, numbers)) as checked:
        yield from (number for number, rows in checked if rows is None)


def checked_shards(
    goal: AnyPath, manifest: Manifest, numbers: Iterable[int]
) -> Generator[tuple[int, list[ShardRow] | None], None, None]:
    """Yield shards with their indices; None for one that is not finished, or no longer what was written."""

    def check(number: int) -> tuple[int, list[ShardRow] | None]:
        try:
            return number, read_index(goal, manifest, number)
        except DatasetError:
            return number, None

    with contextlib.closing(map_requests(check, numbers, goal)) as checked:
        yield from checked


def shard_numbers(part: Part) -> range:
    """Return the numbers of a part's shards."""
    return range(part.first_shard, part.first_shard + part.num_shards)


def shard_places(source: PackSource, part: Part, options: PackOptions, number: int) -> range:
    """Return the places of a shard's entries."""
    begin = (number - part.first_shard) * options.shard_size
    return range(begin, min(begin + options.shard_size, len(source.entries)))
