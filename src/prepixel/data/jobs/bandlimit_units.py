"""Band-limit a folder in units of files, on a cluster or as parts of a job array, and merge them.

A unit writes its files, then its record, which has a line's fields for each of them. Any number of processes may write
into one target.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from prepixel.data.executors import Executor, LocalExecutor, finish_units
from prepixel.data.jobs.bandlimit_file import (
    BandlimitOptions,
    FileOutcome,
    FileResult,
    bandlimit_source,
    upload_outcome,
    write_outcome,
)
from prepixel.data.jobs.bandlimit_plan import (
    STATE_NAME,
    BandlimitPlan,
    begin_state,
    check_folders,
    finished_files,
    options_to_json,
    plan_bandlimiting,
    row_from,
)
from prepixel.data.jobs.bandlimit_sources import (
    Source,
    SourceFiles,
    TargetSizes,
    check_names,
    list_source,
    read_sources,
)
from prepixel.data.jobs.journal import BandlimitReport, FinishedFile, report_files, write_finished
from prepixel.data.parallel import map_unordered
from prepixel.data.read_ahead import read_ahead
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
from prepixel.stores.remote_path import AnyPath, ListedObject, RemotePath, to_path

UNIT_SIZE = 512
_BATCH = 128
_Result = TypeVar("_Result")


# Of units done at a time in one process, one works while the others are read or written: not all wait together.
_ONE_WORKS = threading.Lock()


@dataclass(frozen=True)
class BandlimitUnit:
    """Describe some files to be band-limited.

    Attributes:
        source: the folder of JPEGs.
        target: the folder to write into.
        header: of the job.
        number: of the unit.
        left: its files that are not finished, below the source.
        objects: the same in a store, with what their listing said; none of a folder.
        finished: what is known of those that are finished.
        options: what is asked for.
        threads: threads to work on; 0 for one per CPU.
        limits: what each file may ask for.
    """

    source: str
    target: str
    header: JobHeader
    number: int
    left: tuple[str, ...]
    objects: tuple[ListedObject, ...]
    finished: tuple[FinishedFile, ...]
    options: BandlimitOptions
    threads: int
    limits: Limits


def bandlimit_unit(unit: BandlimitUnit) -> int:
    """Write the files of a unit that are left, and its record; return how many these were."""
    rows = {row.path: row for row in unit.finished}
    goal = to_path(unit.target)
    written = _write_files(unit, goal) if isinstance(goal, Path) else _upload_files(unit, goal)
    with contextlib.closing(written):
        first = list(itertools.islice(written, 1))  # the others are being read from now on
        with _ONE_WORKS:
            rows.update((row.path, row) for row in itertools.chain(first, written))
    records = UnitRecords(goal / STATE_NAME / RECORDS, unit.header)
    records.write(unit.number, [asdict(row) for _, row in sorted(rows.items())])
    return len(unit.left)


def _bandlimit_each(
    unit: BandlimitUnit, finish: Callable[[Source, str, FileOutcome], _Result]
) -> Generator[_Result, None, None]:
    """Yield what ``finish`` makes of each file, on the threads that work on the files."""

    def work(item: tuple[str, Source]) -> _Result:
        name, source = item
        return finish(source, name, bandlimit_source(source, name, unit.options, unit.limits))

    sources = read_sources(to_path(unit.source), unit.left, unit.objects, unit.limits)
    with contextlib.closing(sources), contextlib.closing(map_unordered(work, sources, unit.threads)) as results:
        yield from results


def _write_files(unit: BandlimitUnit, goal: Path) -> Generator[FinishedFile, None, None]:
    """Yield each file's line once it is on the disk."""
    pending: list[FileResult] = []

    def publish() -> list[FinishedFile]:
        results, pending[:] = pending[:], []
        publish_files(result.written for result in results if result.written is not None)
        return [result.row for result in results]

    written = _bandlimit_each(unit, lambda source, name, outcome: write_outcome(source, goal / name, outcome))
    try:
        with contextlib.closing(written) as results:
            for result in results:
                pending.append(result)
                if len(pending) >= _BATCH:
                    yield from publish()
        yield from publish()
    except BaseException:
        for result in pending:
            if result.written is not None:
                result.written.discard()
        raise


def _upload_files(unit: BandlimitUnit, goal: RemotePath) -> Generator[FinishedFile, None, None]:
    """Yield each file's line once it is in the store; many are on their way at once."""

    def upload(item: tuple[Source, str, FileOutcome]) -> FinishedFile:
        source, name, outcome = item
        return upload_outcome(source, goal / name, outcome)

    outcomes = _bandlimit_each(unit, lambda *item: item)
    uploads = read_ahead(outcomes, upload, lambda item: len(item[2].contents or b""))
    with contextlib.closing(outcomes), contextlib.closing(uploads):
        for _, row in uploads:
            yield row


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

    Objects of a store are read ahead, and written many at a time. A source that was replaced after it was listed ends
    the run.

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
        StoreError: a store does not answer, or refuses.
    """
    begin, root, goal = time.perf_counter(), to_path(source), to_path(target)
    check_folders(root, goal, options)
    files = list_source(root)
    check_names(files, goal)
    state, names = begin_state(goal, options), files.names
    num_units = -(-len(names) // UNIT_SIZE)
    header = JobHeader("bandlimit", listing_checksum(names), num_units, options_to_json(options))
    records = UnitRecords(state / RECORDS, header)
    records.begin()
    rows, sizes = finished_files(goal), TargetSizes(goal)
    plans = {}
    for number in range(num_units) if part is None else part.of(range(num_units)):
        places = unit_slice(number, UNIT_SIZE, len(names))
        plans[number] = plan_bandlimiting(files, names[places.start : places.stop], rows, sizes)
    recorded, earlier = records.present(), sum(len(plan.finished) for plan in plans.values())
    if part is None and not recorded and earlier == len(names) == len(rows):  # nothing to merge either
        return report_files(rows, earlier, time.perf_counter() - begin)
    units = [  # one with a bad file is tried again
        _unit(files, goal, header, number, plan, options, threads, limits)
        for number, plan in plans.items()
        if plan.left or number not in recorded
    ]
    total = sum(len(plan.files) for plan in plans.values())
    if executor is None and not (isinstance(root, Path) and isinstance(goal, Path)):
        executor = LocalExecutor(at_once=2)
    finish_units(executor, bandlimit_unit, units, done=earlier, total=total, progress=progress)
    if part is not None:
        return None
    return replace(merge_bandlimited(goal), num_earlier=earlier, seconds=time.perf_counter() - begin)


def _unit(
    files: SourceFiles,
    goal: AnyPath,
    header: JobHeader,
    number: int,
    plan: BandlimitPlan,
    options: BandlimitOptions,
    threads: int,
    limits: Limits,
) -> BandlimitUnit:
    return BandlimitUnit(
        source=str(files.root),
        target=str(goal),
        header=header,
        number=number,
        left=tuple(plan.left),
        objects=tuple(files.objects[name] for name in plan.left) if files.objects else (),
        finished=tuple(plan.finished.values()),
        options=options,
        threads=threads,
        limits=limits,
    )


def merge_bandlimited(target: str | os.PathLike[str]) -> BandlimitReport:
    """Merge the records of a band-limited folder into its journal, and remove them.

    Raises:
        DatasetError: there are no records, or units are missing.
        FolderInUse: another process is writing into the folder.
    """
    begin, goal = time.perf_counter(), to_path(target)
    state = goal / STATE_NAME
    records = find_records(state / RECORDS)
    if records is None:
        raise DatasetError(f"{goal}: holds no parts of a band-limited folder; name the target of the parts")
    with directory_lock(state, "band-limiting into", name=goal):
        found = [row_from(fields) for result in records.read_all() for fields in result]
        rows = {row.path: row for row in found}
        for folder in {(goal / name).parent for name in rows} if isinstance(goal, Path) else ():
            if folder.is_dir():
                remove_temporary(folder)
        write_finished(state, rows)
        remove_records(state / RECORDS)
    return report_files(rows, 0, time.perf_counter() - begin)
