"""What band-limiting has to do: the files below the source, those finished earlier, and the target's state folder."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prepixel.data.jobs.bandlimit_file import BandlimitOptions
from prepixel.data.jobs.journal import FinishedFile, read_finished
from prepixel.data.units import RECORDS, find_records
from prepixel.errors import DatasetError
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files, make_folder, write_json
from prepixel.folder_lock import directory_lock
from prepixel.jpeg.folder_index import SIDECAR_NAME

STATE_NAME = ".prepixel-thin"
_OPTIONS = "options.json"

# Names of options in the state that older versions wrote.
_OLDER_OPTIONS = {"others": "non_jpegs", "on_bad": "on_error"}


@dataclass
class BandlimitPlan:
    """What is below the source, and what an earlier run has finished."""

    files: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    finished: dict[str, FinishedFile] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def check_folders(root: Path, goal: Path, options: BandlimitOptions) -> None:
    """Raise where the source holds no file, or the target cannot be that of a run with these options.

    Raises:
        DatasetError: it says which.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: {not_a_folder(root)}; name one that holds JPEGs, at any depth")
    inner, outer = root.resolve(), goal.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DatasetError(f"{goal}: lies inside {root}, or holds it; write into a folder beside it")
    if goal.exists() and not goal.is_dir():
        raise DatasetError(f"{goal}: is a file, not a folder; name another target")
    if next(image_files(root, extensions=("",)), None) is None:
        raise DatasetError(f"{root}: no file below it; name a folder that holds JPEGs, at any depth")
    _check_target(goal, options)


def source_names(root: Path) -> list[str]:
    """List the names of all files below the source, sorted, without its own index, which fits no other file."""
    names = (Path(path).relative_to(root).as_posix() for path in sorted(image_files(root, extensions=("",))))
    return [name for name in names if name != SIDECAR_NAME]


def plan_bandlimiting(
    root: Path, goal: Path, names: Iterable[str] | None = None, rows: Mapping[str, FinishedFile] | None = None
) -> BandlimitPlan:
    """Divide files into those that are finished and those that are left.

    Args:
        root: the source.
        goal: the target.
        names: which files of the source; None for all.
        rows: what an earlier run has finished; None to read the journal and the records of units.
    """
    plan = BandlimitPlan()
    rows = {**read_finished(goal / STATE_NAME), **recorded_files(goal)} if rows is None else rows
    for name in source_names(root) if names is None else names:
        path = f"{root}{os.sep}{name}"
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


def recorded_files(goal: Path) -> dict[str, FinishedFile]:
    """Read what the records of units say."""
    records = find_records(goal / STATE_NAME / RECORDS)
    if records is None:
        return {}
    rows = (row_from(fields) for number in sorted(records.present()) for fields in records.read(number))
    return {row.path: row for row in rows}


def row_from(fields: Any) -> FinishedFile:
    """Return a file of a unit's record.

    Raises:
        DatasetError: it is none.
    """
    try:
        return FinishedFile(**fields)
    except TypeError as error:
        raise DatasetError(
            f"a record of a unit holds {str(fields)[:80]!r}; remove it, and run its part again"
        ) from error


def options_to_json(options: BandlimitOptions) -> dict[str, Any]:
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
        differing = sorted(
            key for key, value in options_to_json(options).items() if key != "name" and saved[key] != value
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{state}: cannot be understood ({error}); write into a new folder") from error
    if differing:
        were = ", ".join(f"{key} {saved['name'] if key == 'bands' else saved[key]}" for key in differing)
        raise DatasetError(f"{goal}: was begun with other options ({were}); use these, or write into a new folder")


@contextlib.contextmanager
def locked_state(goal: Path, options: BandlimitOptions) -> Iterator[Path]:
    """Make the target, with its options, for this process alone, and yield its state folder."""
    state = goal / STATE_NAME
    make_folder(state)
    with directory_lock(state, "band-limiting into", name=goal):
        begin_state(goal, options)
        yield state


def begin_state(goal: Path, options: BandlimitOptions) -> Path:
    """Make the target's state folder, with the options in it, and return it; each of several processes may call this.

    Raises:
        DatasetError: the target was begun with other options.
    """
    state = goal / STATE_NAME
    make_folder(state)
    _check_target(goal, options)
    if not (state / _OPTIONS).exists():
        write_json(state / _OPTIONS, options_to_json(options), indent=None)
    return state
