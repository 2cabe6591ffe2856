"""Pack a data set into shards. Runs in parallel, is verified and resumable, and starts with an estimate.

A shard appears under its name when it is whole, and counts when its index stands beside it. Each of its bytes follows
from the source and the options alone; so a run that was killed is continued by the same call, and ends with the bytes
of one that was not.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import overload

from prepixel.data.datasets.shard_index import (
    CLASSES,
    Manifest,
    Part,
    add_recorded,
    append_finished,
    read_manifest,
    write_manifest,
)
from prepixel.data.datasets.shards import ShardWriter
from prepixel.data.datasets.text_formats import class_lines
from prepixel.data.jobs.estimate import WorkEstimate, estimate_work
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_image import pack_images
from prepixel.data.jobs.pack_options import PackOptions, PackReport
from prepixel.data.jobs.pack_plan import plan_packing, report_packing, shard_numbers, shard_places, unfinished_shards
from prepixel.data.jobs.pack_sources import PackSource
from prepixel.data.units import RECORDS, remove_records
from prepixel.files import make_folder, remove_temporary, write_text
from prepixel.folder_lock import directory_lock
from prepixel.jpeg import Limits
from prepixel.stores.remote_path import AnyPath, to_path


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
    begin, goal = time.perf_counter(), to_path(target)
    make_folder(goal)
    with directory_lock(goal, "packing into"):
        manifest, part = plan_packing(source, goal, options, append)
        remove_temporary(goal)
        manifest = add_recorded(goal, manifest, part, shard_numbers(part))
        left = list(unfinished_shards(goal, manifest, shard_numbers(part)))
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
        remove_records(goal / RECORDS)
    return report_packing(goal, manifest, part, earlier, time.perf_counter() - begin)


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
    goal = to_path(target)
    manifest, part = plan_packing(source, goal, options, append)
    manifest = add_recorded(goal, manifest, part, shard_numbers(part))
    unfinished = list(unfinished_shards(goal, manifest, shard_numbers(part)))
    left = _Unfinished(source.entries, [shard_places(source, part, options, number) for number in unfinished])
    num_bytes, num_bytes_left = left.count_bytes()

    def sizes(entry: PackEntry) -> tuple[int, int]:
        return entry.size, len(options.pack(entry.read(), limits))

    return estimate_work(
        sizes,
        left,
        num_bytes_left=num_bytes_left,
        num_files=len(source.entries),
        num_finished=len(source.entries) - len(left),
        num_bytes=num_bytes,
        threads=threads,
    )


class _Unfinished(Sequence[PackEntry]):
    """The entries of some shards, each read when it is asked for; memory grows with the shards."""

    def __init__(self, entries: Sequence[PackEntry], shards: list[range]) -> None:
        self._entries, self._shards = entries, shards
        self._ends = list(itertools.accumulate(map(len, shards)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> PackEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[PackEntry]: ...
    def __getitem__(self, index: int | slice) -> PackEntry | list[PackEntry]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        shard = bisect.bisect_right(self._ends, index)
        return self._entries[self._shards[shard][index - self._ends[shard]]]

    def count_bytes(self) -> tuple[int, int]:
        """Return the bytes of all entries and of these, by one pass through the listing."""
        total = left = place = 0
        begins = iter([*self._shards, range(len(self._entries), len(self._entries) + 1)])
        shard = next(begins)
        for place, entry in enumerate(self._entries):
            while place >= shard.stop:
                shard = next(begins)
            total += entry.size
            left += entry.size if place >= shard.start else 0
        return total, left


def _pack_shards(
    source: PackSource,
    goal: AnyPath,
    options: PackOptions,
    manifest: Manifest,
    part: Part,
    numbers: list[int],
    threads: int,
    limits: Limits,
) -> Generator[None, None, None]:
    """Write shard after shard; yield after each sample."""
    places = (place for number in numbers for place in shard_places(source, part, options, number))

    first_key = manifest.first_key(part.first_shard)
    images = pack_images(source.entries, first_key, source.classes, options, limits, places, threads)
    with contextlib.closing(images) as results:
        for number in numbers:
            with ShardWriter(goal, number) as writer:
                for _ in shard_places(source, part, options, number):
                    packed = next(results)
                    writer.add(packed.row, packed.image, packed.ending, packed.metadata)
                    yield
                append_finished(goal, number, writer.close())
