"""Band-limit a folder in units of files, on a cluster or as parts of a job array, and merge them.

A unit writes its files, then its record, which has a line's fields for each of them. Any number of processes may write
into one target.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prepixel.data.executors import Executor, finish_units
from prepixel.data.jobs.bandlimit_file import BandlimitOptions, FileResult, bandlimit_file
from prepixel.data.jobs.bandlimit_plan import (
    STATE_NAME,
    begin_state,
    check_folders,
    options_to_json,
    plan_bandlimiting,
    recorded_files,
    row_from,
    source_names,
)
from prepixel.data.jobs.journal import BandlimitReport, FinishedFile, read_finished, report_files, write_finished
from prepixel.data.parallel import map_unordered
from prepixel.data.units import (
    RECORDS,
    JobHeader,
    PartNumber,
    UnitRecords,
    find_records,
    listing_checksum,
    remove_records,
    unit_slice,
)
from prepixel.errors import DatasetError
from prepixel.files import publish_files, remove_temporary
from prepixel.folder_lock import directory_lock
from prepixel.jpeg import Limits

UNIT_SIZE = 512
_BATCH = 128


@dataclass(frozen=True)
class BandlimitUnit:
    """Describe some files to be band-limited.

    Attributes:
        source: the folder of JPEGs.
        target: the folder to write into.
        header: of the job.
        number: of the unit.
        names: its files, below the source.
        finished: what is known of those that are finished.
        options: what is asked for.
        threads: threads to work on; 0 for one per CPU.
        limits: what each file may ask for.
    """

    source: str
    target: str
    header: JobHeader
    number: int
    names: tuple[str, ...]
    finished: tuple[FinishedFile, ...]
    options: BandlimitOptions
    threads: int
    limits: Limits


def bandlimit_unit(unit: BandlimitUnit) -> int:
    """Write the files of a unit and its record; return how many files it has."""
    root, goal = Path(unit.source), Path(unit.target)
    plan = plan_bandlimiting(root, goal, unit.names, {row.path: row for row in unit.finished})
    rows = dict(plan.finished)
    pending: list[FileResult] = []

    def publish() -> None:
        results, pending[:] = pending[:], []
        publish_files(result.written for result in results if result.written is not None)
        rows.update((result.row.path, result.row) for result in results)

    work = map_unordered(
        lambda name: bandlimit_file(root, goal, name, unit.options, unit.limits), plan.left, unit.threads
    )
    try:
        with contextlib.closing(work) as results:
            for result in results:
                pending.append(result)
                if len(pending) >= _BATCH:
                    publish()
        publish()
    except BaseException:
        for result in pending:
            if result.written is not None:
                result.written.discard()
        raise
    records = UnitRecords(goal / STATE_NAME / RECORDS, unit.header)
    records.write(unit.number, [asdict(row) for _, row in sorted(rows.items())])
    return len(unit.names)


def bandlimit_units(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: BandlimitOptions,
    *,
    part: PartNumber | None = None,
    executor: Executor | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] | None = None,
) -> BandlimitReport | None:
    """Band-limit a folder, or one part of it, in units of files; without ``part``, merge them at the end.

    Args:
        source: as `bandlimit_folder`.
        target: as `bandlimit_folder`; every part names the same one.
        options: what is asked of every file.
        part: which part to do; None for all.
        executor: does the units; None for this process.
        threads: threads of one unit; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with (files done, files in all) after each unit.

    Returns:
        The report of the whole; None for a part.

    Raises:
        DatasetError, JpegError, OSError: as `bandlimit_folder`.
    """
    begin, root, goal = time.perf_counter(), Path(source), Path(target)
    check_folders(root, goal, options)
    state, names = begin_state(goal, options), source_names(root)
    num_units = -(-len(names) // UNIT_SIZE)
    header = JobHeader("bandlimit", listing_checksum(names), num_units, options_to_json(options))
    records = UnitRecords(state / RECORDS, header)
    records.begin()
    numbers = range(num_units) if part is None else part.of(range(num_units))
    units = list(_units(root, goal, header, names, numbers, options, threads, limits))
    total = sum(len(unit_slice(number, UNIT_SIZE, len(names))) for number in numbers)
    earlier = total - sum(len(unit.names) for unit in units)
    finish_units(executor, bandlimit_unit, units, done=earlier, total=total, progress=progress)
    if part is not None:
        return None
    return replace(merge_bandlimited(goal), num_earlier=earlier, seconds=time.perf_counter() - begin)


def _units(
    root: Path,
    goal: Path,
    header: JobHeader,
    names: list[str],
    numbers: range,
    options: BandlimitOptions,
    threads: int,
    limits: Limits,
) -> Iterator[BandlimitUnit]:
    """Yield the units that are not finished; one with a bad file is tried again."""
    rows = {**read_finished(goal / STATE_NAME), **recorded_files(goal)}
    recorded = UnitRecords(goal / STATE_NAME / RECORDS, header).present()
    for number in numbers:
        places = unit_slice(number, UNIT_SIZE, len(names))
        own = names[places.start : places.stop]
        plan = plan_bandlimiting(root, goal, own, rows)
        if number in recorded and not plan.left:
            continue
        finished = tuple(plan.finished.values())
        yield BandlimitUnit(str(root), str(goal), header, number, tuple(own), finished, options, threads, limits)


def merge_bandlimited(target: str | os.PathLike[str]) -> BandlimitReport:
    """Merge the records of a band-limited folder into its journal, and remove them.

    Raises:
        DatasetError: there are no records, or units are missing.
        FolderInUse: another process is writing into the folder.
    """
    begin, goal = time.perf_counter(), Path(target)
    state = goal / STATE_NAME
    records = find_records(state / RECORDS)
    if records is None:
        raise DatasetError(f"{goal}: holds no parts of a band-limited folder; name the target of the parts")
    with directory_lock(state, "band-limiting into", name=goal):
        found = [row_from(fields) for result in records.read_all() for fields in result]
        rows = {row.path: row for row in found}
        for folder in {(goal / name).parent for name in rows}:
            if folder.is_dir():
                remove_temporary(folder)
        write_finished(state, rows)
        remove_records(state / RECORDS)
    return report_files(rows, 0, time.perf_counter() - begin)
