"""Band-limit a folder of JPEGs into another one. Parallel, verified, resumable, with an estimate first.

The target has the source's folders and file names, and a folder ``.prepixel-thin`` with what was asked for
(``options.json``) and a line for each finished file (``files.jsonl``). A file appears under its name when it is whole
and verified, and its line is written after that; so a run that was killed is continued by the same call, and ends with
the bytes of one that was not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

from prepixel.data.jobs.estimate import WorkEstimate, estimate_work
from prepixel.data.jobs.journal import (
    FILES,
    BandlimitReport,
    FinishedFile,
    append_finished,
    read_finished,
    report_files,
    write_finished,
)
from prepixel.data.parallel import map_unordered
from prepixel.errors import DatasetError, JpegError, JpegLimitExceeded
from prepixel.files import (
    AtomicFile,
    image_files,
    make_folder,
    open_regular_file,
    publish_files,
    remove_temporary,
    sync_folder,
    write_json,
)
from prepixel.folder_lock import directory_lock
from prepixel.jpeg import Limits, bandlimit_jpeg
from prepixel.jpeg.bandlimit import Metadata
from prepixel.spectrum import BandSet

STATE_NAME = ".prepixel-thin"
_OPTIONS = "options.json"
# Files that wait for the disk together. A run that is killed repeats at most this many.
_BATCH = 128
_BATCH_SECONDS = 1.0
_SOI = b"\xff\xd8"
_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")

# Names of options in the state that older versions wrote.
_OLDER_OPTIONS = {"others": "non_jpegs", "on_bad": "on_error"}

NonJpegs: TypeAlias = Literal["skip", "copy"]
OnError: TypeAlias = Literal["skip", "copy", "stop"]


@dataclass(frozen=True)
class BandlimitOptions:
    """State how each file is band-limited.

    Attributes:
        bands: the frequencies to keep.
        restart_interval: MCUs between restart markers; 0 for none, None for as many as each file has.
        restart_rows: instead of it, rows of MCUs.
        metadata: which segments go along, as `bandlimit_jpeg` has it.
        non_jpegs: what is done with files that are no JPEG, neither by contents nor by name: left out, or copied.
        on_error: what is done with JPEGs that cannot be band-limited: left out, or copied as they are (both are
            listed), or the first of them ends the run.
    """

    bands: BandSet
    restart_interval: int | None = None
    restart_rows: int = 0
    metadata: Metadata = "all"
    non_jpegs: NonJpegs = "skip"
    on_error: OnError = "skip"

    def bandlimit(self, contents: bytes, limits: Limits) -> bytes:
        """Return one file's bytes, band-limited."""
        return bandlimit_jpeg(
            contents,
            (self.bands.of_component(0), self.bands.of_component(1), self.bands.of_component(2)),
            restart_interval=self.restart_interval,
            restart_rows=self.restart_rows,
            metadata=self.metadata,
            limits=limits,
        )


@dataclass
class _Plan:
    """What is below the source, and what an earlier run has finished."""

    files: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    finished: dict[str, FinishedFile] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


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
    _check(Path(source), Path(target), options)
    plan = _plan(Path(source), Path(target))
    jpegs = [name for name in plan.left if _is_named_jpeg(name)]

    def sizes(name: str) -> tuple[int, int]:
        contents = read_jpeg_file(Path(source) / name, limits)
        return len(contents), len(options.bandlimit(contents, limits))

    return estimate_work(
        sizes,
        jpegs,
        num_bytes_left=sum(plan.sizes[name] for name in jpegs),
        num_files=len(plan.files),
        num_finished=len(plan.finished),
        num_bytes=sum(size for name, size in plan.sizes.items() if _is_named_jpeg(name)),
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
    the run was killed. Names that begin with a dot are passed over.

    Args:
        source: the folder of JPEGs; links are followed.
        target: a folder that is missing, empty, or was begun by a call with the same options.
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
    begin, root, goal = time.perf_counter(), Path(source), Path(target)
    _check(root, goal, options)
    with _locked_state(goal, options) as state:
        plan = _plan(root, goal)
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
    return report_files(rows, earlier, time.perf_counter() - begin)


# -- what there is to do -----------------------------------------------------------------------------------------------


def _check(root: Path, goal: Path, options: BandlimitOptions) -> None:
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; name one that holds JPEGs, at any depth")
    inner, outer = root.resolve(), goal.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DatasetError(f"{goal}: lies inside {root}, or holds it; write into a folder beside it")
    if goal.exists() and not goal.is_dir():
        raise DatasetError(f"{goal}: is a file, not a folder; name another target")
    if next(image_files(root, extensions=("",)), None) is None:
        raise DatasetError(f"{root}: no file below it; name a folder that holds JPEGs, at any depth")
    _check_target(goal, options)


def _plan(root: Path, goal: Path) -> _Plan:
    plan, rows = _Plan(), read_finished(goal / STATE_NAME)
    for path in sorted(image_files(root, extensions=("",))):
        name = Path(path).relative_to(root).as_posix()
        try:
            status = os.stat(path)  # noqa: PTH116  (a million Paths cost seconds)
        except OSError:  # a link that leads nowhere; reading it will report that
            plan.files.append(name)
            plan.left.append(name)
            plan.sizes[name] = 0
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        plan.files.append(name)
        plan.sizes[name] = status.st_size
        row = rows.get(name)
        if row and (row.before, row.modified_ns) == (status.st_size, status.st_mtime_ns) and _stands(goal / name, row):
            plan.finished[name] = row
        else:
            plan.left.append(name)
    return plan


def _stands(target: Path, row: FinishedFile) -> bool:
    """Return whether a line is still true of the target; bad files are tried again."""
    if row.kind == "skipped" or row.error:
        return not row.error
    try:
        return target.stat().st_size == row.after
    except OSError:
        return False


def _to_json(options: BandlimitOptions) -> dict[str, Any]:
    """Return the options that decide a file's bytes, bands as channels."""
    return asdict(options) | {"bands": sorted(options.bands.channels), "name": options.bands.name}


def _check_target(goal: Path, options: BandlimitOptions) -> None:
    state = goal / STATE_NAME / _OPTIONS
    if not state.exists():
        # a state folder alone: a run that was killed before it began
        if goal.exists() and any(entry.name != STATE_NAME for entry in goal.iterdir()):
            raise DatasetError(
                f"{goal}: holds files that no run of this command wrote; name a new folder, or empty this"
            )
        return
    try:
        saved = {_OLDER_OPTIONS.get(key, key): value for key, value in json.loads(state.read_bytes()).items()}
        differing = sorted(key for key, value in _to_json(options).items() if key != "name" and saved[key] != value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{state}: cannot be understood ({error}); write into a new folder") from error
    if differing:
        were = ", ".join(f"{key} {saved['name'] if key == 'bands' else saved[key]}" for key in differing)
        raise DatasetError(f"{goal}: was begun with other options ({were}); use these, or write into a new folder")


@contextlib.contextmanager
def _locked_state(goal: Path, options: BandlimitOptions) -> Iterator[Path]:
    """Make the target, with its options, for this process alone, and yield its state folder."""
    state = goal / STATE_NAME
    make_folder(state)
    with directory_lock(state, "band-limiting into", name=goal):
        _check_target(goal, options)
        if not (state / _OPTIONS).exists():
            write_json(state / _OPTIONS, _to_json(options), indent=None)
        yield state


# -- the work ----------------------------------------------------------------------------------------------------------


class _Result(NamedTuple):
    """What became of one file, and the file that was written for it, still under its temporary name."""

    row: FinishedFile
    written: AtomicFile | None = None


def _bandlimit_all(
    root: Path, goal: Path, names: list[str], options: BandlimitOptions, threads: int, limits: Limits
) -> Generator[FinishedFile, None, None]:
    """Yield what became of each file once it is on the disk, and its line in the journal."""
    work = map_unordered(
        lambda name: _bandlimit_one(root, goal, name, options, limits), names, threads, ahead=_BATCH // 2
    )
    pending: list[_Result] = []
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


def _publish(journal: IO[str], pending: list[_Result]) -> list[FinishedFile]:
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


def _bandlimit_one(root: Path, goal: Path, name: str, options: BandlimitOptions, limits: Limits) -> _Result:
    """Do what is to be done with one file; an error in reading it is the file's, one in writing is raised."""
    before = modified = 0
    smaller: bytes | None = None
    try:
        with open_regular_file(root / name) as file:
            status = os.fstat(file.fileno())
            before, modified = status.st_size, status.st_mtime_ns
            if _is_named_jpeg(name) or file.read(len(_SOI)) == _SOI:
                smaller = options.bandlimit(_read_jpeg(file, limits), limits)
    except RuntimeError as error:  # a defect of ours: loud, and with the file that shows it
        error.add_note(f"file: {root / name}")
        raise
    except (JpegError, OSError) as error:
        if isinstance(error, JpegError):
            error.source = name if options.on_error != "stop" else os.fspath(root / name)
        if options.on_error == "stop":
            raise
        return _handle_bad(
            root / name, goal / name, FinishedFile(name, "bad", before, 0, modified, *_words(name, error)), options
        )
    if smaller is None:
        skipped = FinishedFile(name, "skipped", before, 0, modified)
        return _copy(root / name, goal / name, skipped) if options.non_jpegs == "copy" else _Result(skipped)
    make_folder((goal / name).parent)
    with AtomicFile(goal / name, publish=False) as target:
        target.file.write(smaller)
    return _Result(FinishedFile(name, "bandlimited", before, len(smaller), modified), target)


def read_jpeg_file(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """Read a JPEG's bytes, from a regular file of at most ``limits.max_memory_bytes``.

    Raises:
        JpegLimitExceeded: the file is larger.
        OSError: the file cannot be opened, or is no regular file.
    """
    with open_regular_file(path) as file:
        return _read_jpeg(file, limits)


def _read_jpeg(file: IO[bytes], limits: Limits) -> bytes:
    """Read a file from its start, after a look at its size."""
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_memory_bytes:
        raise JpegLimitExceeded(
            f"a file of {size} bytes is larger than the limit of {limits.max_memory_bytes}",
            hint="Raise Limits.max_memory_bytes if you trust the file",
        )
    file.seek(0)
    return file.read(size)


def _is_named_jpeg(name: str) -> bool:
    return name.lower().endswith(_JPEG_ENDINGS)


def _words(name: str, error: Exception) -> tuple[str, str]:
    """Return an error's kind and text; of the system's, without the path that the source was reached by."""
    text = f"{name}: {error.strerror}" if isinstance(error, OSError) else str(error)
    return type(error).__name__, text


def _handle_bad(source: Path, target: Path, row: FinishedFile, options: BandlimitOptions) -> _Result:
    if options.on_error == "copy" and source.is_file() and os.access(source, os.R_OK):
        return _copy(source, target, row)
    target.unlink(missing_ok=True)  # of a source that was good once
    return _Result(row)


def _copy(source: Path, target: Path, row: FinishedFile) -> _Result:
    make_folder(target.parent)
    with source.open("rb") as contents, AtomicFile(target, publish=False) as written:
        shutil.copyfileobj(contents, written.file)
        size = written.file.tell()
    return _Result(replace(row, kind="copied", after=size), written)
