"""What band-limiting has to do: the files below the source, those finished earlier, and the target's state folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prepixel.data.jobs.bandlimit_file import BandlimitOptions
from prepixel.data.jobs.bandlimit_sources import FileState, SourceFiles, TargetSizes, check_names, list_source
from prepixel.data.jobs.journal import FinishedFile, read_finished
from prepixel.data.read_ahead import map_requests
from prepixel.data.units import RECORDS, find_records
from prepixel.errors import DatasetError
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files, make_folder, write_json
from prepixel.folder_lock import directory_lock
from prepixel.stores.client import list_objects
from prepixel.stores.remote_path import AnyPath, RemotePath

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


def check_folders(root: AnyPath, goal: AnyPath, options: BandlimitOptions) -> None:
    """Raise where the source holds no file, or the target cannot be that of a run with these options.

    Raises:
        DatasetError: it says which.
        StoreError: one of them is in a store that does not answer, refuses, or cannot be written to.
    """
    if isinstance(goal, RemotePath):
        goal.check_writable()
    if not root.is_dir():
        raise DatasetError(f"{root}: {not_a_folder(root)}; name one that holds JPEGs, at any depth")
    if _lie_inside_each_other(root, goal):
        raise DatasetError(f"{goal}: lies inside {root}, or holds it; write into a folder beside it")
    if goal.exists() and not goal.is_dir():
        raise DatasetError(f"{goal}: is a file, not a folder; name another target")
    if next(image_files(root, extensions=("",)), None) is None:
        raise DatasetError(f"{root}: no file below it; name a folder that holds JPEGs, at any depth")
    _check_target(goal, options)


def _lie_inside_each_other(root: AnyPath, goal: AnyPath) -> bool:
    if isinstance(root, Path) and isinstance(goal, Path):
        inner, outer = root.resolve(), goal.resolve()
        return inner.is_relative_to(outer) or outer.is_relative_to(inner)
    if isinstance(root, RemotePath) and isinstance(goal, RemotePath):
        return root.is_relative_to(goal) or goal.is_relative_to(root)
    return False


def plan_bandlimiting(
    files: SourceFiles,
    names: Iterable[str],
    rows: Mapping[str, FinishedFile],
    sizes: TargetSizes,
) -> BandlimitPlan:
    """Divide files into those that are finished and those that are left.

    Args:
        files: the source.
        names: which files of it.
        rows: what an earlier run has finished.
        sizes: of what is in the target.
    """
    plan = BandlimitPlan()
    for name in names:
        try:
            state = files.state(name)
        except OSError:  # a link that leads nowhere; reading it will report that
            plan.files.append(name)
            plan.left.append(name)
            plan.sizes[name] = 0
            continue
        if state is None:
            continue
        plan.files.append(name)
        plan.sizes[name] = state.size
        row = rows.get(name)
        if row and FileState(row.before, row.modified_ns, row.etag) == state and _stands(row, sizes):
            plan.finished[name] = row
        else:
            plan.left.append(name)
    return plan


def plan_all(root: AnyPath, goal: AnyPath) -> tuple[SourceFiles, BandlimitPlan]:
    """List a source, and divide its files by the target's journal and records."""
    files = list_source(root)
    check_names(files, goal)
    return files, plan_bandlimiting(files, files.names, finished_files(goal), TargetSizes(goal))


def _stands(row: FinishedFile, sizes: TargetSizes) -> bool:
    """Return whether a line is still true of the target; bad files are tried again."""
    if row.kind == "skipped" or row.error:
        return not row.error
    return sizes.of(row.path) == row.after


def finished_files(goal: AnyPath) -> dict[str, FinishedFile]:
    """Read what the journal and the records of units say."""
    return {**read_finished(goal / STATE_NAME), **_recorded_files(goal)}


def _recorded_files(goal: AnyPath) -> dict[str, FinishedFile]:
    records = find_records(goal / STATE_NAME / RECORDS)
    if records is None:
        return {}
    with contextlib.closing(map_requests(records.read, sorted(records.present()), records.folder)) as results:
        rows = (row_from(fields) for result in results for fields in result)
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


def _holds_files(goal: AnyPath) -> bool:
    """Return whether something is in a target beside its state folder, which a run that was killed early leaves."""
    if isinstance(goal, Path):
        return goal.exists() and any(entry.name != STATE_NAME for entry in goal.iterdir())
    listed = (RemotePath(goal.bucket, info.key) for info in list_objects(goal.bucket, goal.key))
    return any(path != goal and not path.is_relative_to(goal / STATE_NAME) for path in listed)


def _check_target(goal: AnyPath, options: BandlimitOptions) -> None:
    state = goal / STATE_NAME / _OPTIONS
    if not state.is_file():
        if _holds_files(goal):
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


def begin_state(goal: AnyPath, options: BandlimitOptions) -> AnyPath:
    """Make the target's state folder, with the options in it, and return it; each of several processes may call this.

    Raises:
        DatasetError: the target was begun with other options.
    """
    state = goal / STATE_NAME
    make_folder(state)
    _check_target(goal, options)
    if not (state / _OPTIONS).is_file():
        write_json(state / _OPTIONS, options_to_json(options), indent=None)
    return state
