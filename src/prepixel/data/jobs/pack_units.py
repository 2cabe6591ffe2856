"""Pack a data set in units of one shard, on a cluster or as parts of a job array, and merge them.

A unit writes its shard, then the shard's index, then its record. Any number of processes may write into one target.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from prepixel.data.datasets.shard_index import (
    CLASSES,
    Manifest,
    Part,
    add_recorded,
    begin_manifest,
    read_manifest,
    shard_name,
    write_manifest,
)
from prepixel.data.datasets.shards import ShardWriter
from prepixel.data.datasets.text_formats import class_lines
from prepixel.data.executors import Executor, LocalExecutor, finish_units
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_image import pack_images
from prepixel.data.jobs.pack_options import PackOptions, PackReport
from prepixel.data.jobs.pack_plan import (
    PackCounts,
    checked_shards,
    plan_packing,
    shard_numbers,
    shard_places,
    unfinished_shards,
)
from prepixel.data.jobs.pack_sources import PackSource
from prepixel.data.parallel import check_wanted
from prepixel.data.units import RECORDS, JobHeader, PartNumber, UnitRecords, remove_records
from prepixel.errors import DatasetError
from prepixel.files import make_folder, remove_temporary, write_text
from prepixel.folder_lock import directory_lock
from prepixel.jpeg import Limits
from prepixel.stores.remote_path import AnyPath, is_url, to_path

# Of units done at a time in one process, one packs while the others are read or written: not all wait together.
_ONE_PACKS = threading.Lock()
_MAX_COUNTED = 1000  # unfinished shards; a damaged manifest may claim any number


@dataclass(frozen=True)
class PackUnit:
    """Describe one shard to be packed.

    Attributes:
        target: the folder of shards.
        header: of the job.
        number: of the shard.
        first_key: number of its first sample among all samples.
        entries: its images.
        classes: class names, by label.
        options: what is asked for.
        threads: threads to work on; 0 for one per CPU.
        limits: what each image may ask for.
    """

    target: str
    header: JobHeader
    number: int
    first_key: int
    entries: tuple[PackEntry, ...]
    classes: tuple[str, ...]
    options: PackOptions
    threads: int
    limits: Limits


def pack_unit(unit: PackUnit) -> int:
    """Write a shard, its index and its record; return how many samples it was made of."""
    goal = to_path(unit.target)

    places = range(len(unit.entries))
    images = pack_images(unit.entries, unit.first_key, unit.classes, unit.options, unit.limits, places, unit.threads)
    with ShardWriter(goal, unit.number) as writer, contextlib.closing(images):
        first = list(itertools.islice(images, 1))  # the others are being read from now on
        with _ONE_PACKS:
            for packed in itertools.chain(first, images):
                check_wanted()  # by an error of another unit, or an interrupt
                writer.add(packed.row, packed.image, packed.ending, packed.metadata)
        summary = writer.close()
    UnitRecords(goal / RECORDS, unit.header).write(unit.number, asdict(summary))
    return len(unit.entries)


def pack_units(
    source: PackSource,
    target: str | os.PathLike[str],
    options: PackOptions,
    *,
    part: PartNumber | None = None,
    executor: Executor | None = None,
    append: bool = False,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] | None = None,
) -> PackReport | None:
    """Pack a source, or one part of it, in units of one shard; without ``part``, merge them at the end.

    Args:
        source: what to pack.
        target: as `pack_source`; every part names the same one.
        options: what is asked for.
        part: which part to pack; None for all.
        executor: does the units; None for this process.
        append: whether a source that the folder does not know yet is added behind those it has.
        threads: threads of one unit; 0 for one per CPU.
        limits: what each image may ask for.
        progress: called with (images done, images in all) after each unit.

    Returns:
        The report of the whole; None for a part.

    Raises:
        DatasetError, PrepixelError, OSError: as `pack_source`.
    """
    begin, goal = time.perf_counter(), to_path(target)
    make_folder(goal)
    manifest, shards = plan_packing(source, goal, options, append)
    begin_manifest(goal, manifest)
    write_text(goal / CLASSES, class_lines(source.classes))
    header = JobHeader("pack", shards.listing, manifest.num_shards)
    UnitRecords(goal / RECORDS, header).begin()
    numbers = shard_numbers(shards) if part is None else part.of(shard_numbers(shards))
    left = list(unfinished_shards(goal, add_recorded(goal, manifest, shards, numbers), numbers))
    total = sum(manifest.num_rows(number) for number in numbers)
    earlier = total - sum(manifest.num_rows(number) for number in left)
    units = _units(source, goal, options, manifest, shards, header, left, threads, limits)
    if executor is None and (is_url(goal) or is_url(source.entries[0].path)):
        executor = LocalExecutor(at_once=2)
    finish_units(executor, pack_unit, units, done=earlier, total=total, progress=progress)
    if part is not None:
        return None
    return replace(merge_packed(goal), num_earlier=earlier, seconds=time.perf_counter() - begin)


def _units(
    source: PackSource,
    goal: AnyPath,
    options: PackOptions,
    manifest: Manifest,
    part: Part,
    header: JobHeader,
    numbers: list[int],
    threads: int,
    limits: Limits,
) -> Iterator[PackUnit]:
    for number in numbers:
        places = shard_places(source, part, options, number)
        entries = tuple(source.entries[places.start : places.stop])
        yield PackUnit(
            target=str(goal),
            header=header,
            number=number,
            first_key=manifest.first_key(number),
            entries=entries,
            classes=source.classes,
            options=options,
            threads=threads,
            limits=limits,
        )


def merge_packed(target: str | os.PathLike[str]) -> PackReport:
    """Merge the records of a folder of shards into its manifest, and remove them.

    Raises:
        DatasetError: the folder holds no shards, or one is not finished or not what was written.
        FolderInUse: another process is packing into it.
    """
    begin, goal = time.perf_counter(), to_path(target)
    manifest = read_manifest(goal)
    if manifest is None:
        raise DatasetError(f"{goal}: holds no parts of a packed data set; name the target that the parts were given")
    with directory_lock(goal, "packing into"):
        for part in manifest.parts:
            manifest = add_recorded(goal, manifest, part, shard_numbers(part))
        counts, last = PackCounts(), shard_numbers(manifest.parts[-1])
        if missing := _missing_shards(goal, manifest, counts, last):
            names = ", ".join(map(shard_name, missing[:4]))
            count = f"more than {_MAX_COUNTED}" if len(missing) > _MAX_COUNTED else len(missing)
            raise DatasetError(
                f"{goal}: {count} of {manifest.num_shards} shards are not finished ({names}"
                f"{', ...' if len(missing) > 4 else ''}); run their parts again, then merge"
            )
        remove_temporary(goal)
        write_manifest(goal, manifest)
        remove_records(goal / RECORDS)
    return counts.report(manifest, manifest.parts[-1], 0, time.perf_counter() - begin)


def _missing_shards(goal: AnyPath, manifest: Manifest, counts: PackCounts, counted: range) -> list[int]:
    """Return the first shards that are not finished, and count the images of some of the others: each is read once."""
    missing: list[int] = []
    with contextlib.closing(checked_shards(goal, manifest, range(manifest.num_shards))) as checked:
        for number, rows in checked:
            if rows is None:
                missing.append(number)
            elif number in counted:
                counts.add(rows)
            if len(missing) > _MAX_COUNTED:
                break
    return missing
