"""Band-limit a folder of JPEGs into another one. Parallel, verified, resumable, with an estimate first.

The target has the source's folders and file names, and a folder ``.prepixel-thin`` with what was asked for
(``options.json``) and a line for each finished file (``files.jsonl``). A file appears under its name when it is whole
and verified, and its line is written after that; so a run that was killed is continued by the same call, and ends with
the bytes of one that was not.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import IO

from prepixel.data.jobs.bandlimit_file import BandlimitOptions, FileResult, bandlimit_source, write_outcome
from prepixel.data.jobs.bandlimit_plan import STATE_NAME, check_folders, locked_state, plan_all
from prepixel.data.jobs.bandlimit_sources import FileSource, is_named_jpeg
from prepixel.data.jobs.bandlimit_units import bandlimit_units
from prepixel.data.jobs.estimate import WorkEstimate, estimate_work
from prepixel.data.jobs.journal import (
    FILES,
    BandlimitReport,
    FinishedFile,
    append_finished,
    report_files,
    write_finished,
)
from prepixel.data.parallel import map_unordered
from prepixel.data.units import RECORDS, remove_records
from prepixel.files import publish_files, remove_temporary, sync_folder
from prepixel.jpeg import Limits
from prepixel.stores.remote_path import to_path

# Files that wait for the disk together. A run that is killed repeats at most this many.
_BATCH = 128
_BATCH_SECONDS = 1.0


def estimate_bandlimiting(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: BandlimitOptions,
    *,
    threads: int = 0,
    limits: Limits = Limits(),
) -> WorkEstimate:
    """Estimate from a sample how many bytes will be left and how long it will take; nothing is written.

    Raises:
        DatasetError: as `bandlimit_folder`.
    """
    root, goal = to_path(source), to_path(target)
    check_folders(root, goal, options)
    files, plan = plan_all(root, goal)
    jpegs = [name for name in plan.left if is_named_jpeg(name)]

    def sizes(name: str) -> tuple[int, int]:
        contents = files.read_jpeg(name, limits)
        return len(contents), len(options.bandlimit(contents, limits))

    return estimate_work(
        sizes,
        jpegs,
        num_bytes_left=sum(plan.sizes[name] for name in jpegs),
        num_files=len(plan.files),
        num_finished=len(plan.finished),
        num_bytes=sum(size for name, size in plan.sizes.items() if is_named_jpeg(name)),
        threads=threads,
    )


def bandlimit_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: BandlimitOptions,
    *,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] | None = None,
) -> BandlimitReport:
    """Band-limit every JPEG below a folder into another folder, or resume that where a run was stopped.

    A file counts as finished where its line says so, its source has the size and time of change that it had then, and
    its target has the size that it got. The target ends with the same bytes whatever the threads, and however often
    the run was killed. Names that begin with a dot are passed over. From or to a store, work is done in units; see
    `bandlimit_units`.

    Args:
        source: the folder of JPEGs, or that of a store; links are followed.
        target: a folder that is missing, empty, or was begun by a call with the same options; or that of a store.
        options: what is asked of every file.
        threads: threads to work on; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with (files done, files in all) after each, on the calling thread.

    Raises:
        DatasetError: there is no such source, or no file below it; the folders lie inside each other; the target holds
            other files, was begun with other options, or is being written by another process.
        JpegError: a file cannot be band-limited, under ``on_error="stop"``.
        OSError: a file cannot be written.
    """
    begin, root, goal = time.perf_counter(), to_path(source), to_path(target)
    if not isinstance(root, Path) or not isinstance(goal, Path):  # stores cannot append to a journal
        report = bandlimit_units(root, goal, options, threads=threads, limits=limits, progress=progress)
        assert report is not None
        return report
    check_folders(root, goal, options)
    with locked_state(goal, options) as state:
        _, plan = plan_all(root, goal)
        earlier = len(plan.finished)
        rows = dict(plan.finished)
        if plan.finished or (state / FILES).exists():
            write_finished(state, plan.finished)
            _remove_temporary(goal, plan.left)
        try:
            with contextlib.closing(_bandlimit_all(root, goal, plan.left, options, threads, limits)) as finished:
                for row in finished:
                    rows[row.path] = row
                    if progress is not None:
                        progress(len(rows), len(plan.files))
        except BaseException:
            _remove_temporary(goal, plan.left)
            raise
        write_finished(state, rows)
        remove_records(state / RECORDS)
    return report_files(rows, earlier, time.perf_counter() - begin)


# -- the work ----------------------------------------------------------------------------------------------------------


def _bandlimit_all(
    root: Path, goal: Path, names: list[str], options: BandlimitOptions, threads: int, limits: Limits
) -> Generator[FinishedFile, None, None]:
    """Yield what became of each file once it is on the disk, and its line in the journal."""

    def bandlimit_file(name: str) -> FileResult:
        source = FileSource(root / name)
        return write_outcome(source, goal / name, bandlimit_source(source, name, options, limits))

    work = map_unordered(bandlimit_file, names, threads, ahead=_BATCH // 2)
    pending: list[FileResult] = []
    begin = time.monotonic()
    with (goal / STATE_NAME / FILES).open("a", encoding="ascii") as journal:
        sync_folder(goal / STATE_NAME)  # else a power cut may lose the journal, and with it all that it says
        try:
            with contextlib.closing(work) as results:
                for result in results:
                    pending.append(result)
                    if len(pending) >= _BATCH or time.monotonic() - begin > _BATCH_SECONDS:
                        yield from _publish(journal, pending)
                        begin = time.monotonic()
        finally:
            rows = _publish(journal, pending)
        yield from rows


def _publish(journal: IO[str], pending: list[FileResult]) -> list[FinishedFile]:
    """Sync and rename files, and only then record them in the journal."""
    results, pending[:] = pending[:], []
    publish_files(result.written for result in results if result.written is not None)
    append_finished(journal, (result.row for result in results))
    return [result.row for result in results]


def _remove_temporary(goal: Path, names: Iterable[str]) -> None:
    """Remove what a run that was stopped left below the target."""
    for folder in {(goal / name).parent for name in names}:
        if folder.is_dir():
            remove_temporary(folder)
