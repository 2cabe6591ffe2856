"""Data sets by a listing, CSV or JSON lines, with several labels or several numbers for each image."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from prepixel.array_types import Float32
from prepixel.data.datasets.folder import Sample, describe_dataset
from prepixel.data.datasets.text_formats import listed_file, read_lines
from prepixel.errors import DatasetError

TargetKind = Literal["labels", "values"]
_FILE = "file"
_LABELS = "labels"
_USAGE = "it should be CSV with a header 'file,NAME,...', or JSON lines with a key 'file'"


class ListedDataset:
    """List images with targets: for each name a label that is on or off, or a number.

    CSV has a header, whose first column is ``file``, and a number in each other column. JSON lines are one object per
    line, with ``file`` and a number for each name; or, for labels, ``"labels": ["cat", ...]``, those that are on. Paths
    are relative to the listing's folder. docs/formats/labels.md states both.

    Args:
        listing: the file, ``.csv`` or ``.jsonl``.
        kind: ``labels``, 0 or 1, or ``values``, any finite numbers.
        class_names: the names in the order of a network's outputs; None for the order of the listing, or for ``labels``
            lists the sorted order.

    Attributes:
        root: the listing's folder.
        classes: names of the targets, in order.
        samples: every image; their labels say nothing.
        targets: per image and name.

    Raises:
        DatasetError: the listing cannot be read, a line is wrong, or a file is not there; the message names the line.
    """

    def __init__(
        self, listing: str | os.PathLike[str], *, kind: TargetKind, class_names: Sequence[str] | None = None
    ) -> None:
        path = Path(listing)
        read = _READERS.get(path.suffix.lower())
        if read is None:
            raise DatasetError(f"{path}: a listing's name ends in {' or '.join(_READERS)}; {_USAGE}")
        rows = read(path)
        if not rows:
            raise DatasetError(f"{path}: lists no image; {_USAGE}")
        self.root = path.parent
        self.classes = _names(path, rows, class_names)
        self.samples = tuple(Sample(listed_file(path.parent, row.file, row.where, row.file), 0) for row in rows)
        self.targets: Float32[np.ndarray, "n k"] = np.array(
            [_targets(row, self.classes, kind) for row in rows], dtype=np.float32
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return describe_dataset("ListedDataset", len(self), self.root, f"Targets: {len(self.classes)}")

    def sources(self, indices: Sequence[int]) -> list[str]:
        """Return what samples are read from: their paths."""
        return [self.samples[index].path for index in indices]


class _Row(NamedTuple):
    """Store one line of a listing.

    Attributes:
        where: the listing and the line, for messages.
        file: the image's path as the line has it.
        values: targets by name.
        is_list: whether the line lists the labels that are on; all others are off.
    """

    where: str
    file: str
    values: Mapping[str, Any]
    is_list: bool


def _read_csv(path: Path) -> list[_Row]:
    reader = csv.reader(read_lines(path, "the listing", _USAGE), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: is not CSV ({error}); {_USAGE}") from error
    header = rows[0][1] if rows else []
    if len(header) < 2 or header[0] != _FILE or len(set(header)) < len(header):
        raise DatasetError(f"{path}: its header is {','.join(header) or 'missing'}; {_USAGE}")
    found: list[_Row] = []
    for number, row in rows[1:]:
        where = f"{path}, line {number}"
        if len(row) != len(header):
            raise DatasetError(f"{where}: has {len(row)} fields, and the header {len(header)}")
        found.append(_Row(where, row[0], dict(zip(header[1:], row[1:], strict=True)), is_list=False))
    return found


def _read_json(path: Path) -> list[_Row]:
    found: list[_Row] = []
    for number, line in enumerate(read_lines(path, "the listing", _USAGE), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{where}: is not JSON ({error}); {_USAGE}") from error
        if not isinstance(values, dict) or not isinstance(values.get(_FILE), str):
            raise DatasetError(f"{where}: has no text under 'file'; {_USAGE}")
        file = values.pop(_FILE)
        labels = values.get(_LABELS, 0)
        if labels is None:
            raise DatasetError(f"{where}: 'labels' is null; give the list of those that are on, or [] for none")
        if isinstance(labels, list):
            if len(values) > 1 or not all(isinstance(name, str) for name in labels):
                raise DatasetError(f"{where}: 'labels' must be a list of names, and stand alone beside 'file'")
            values = dict.fromkeys(labels, 1)
        found.append(_Row(where, file, values, isinstance(labels, list)))
    return found


_READERS = {".csv": _read_csv, ".jsonl": _read_json}


def _names(path: Path, rows: Sequence[_Row], given: Sequence[str] | None) -> tuple[str, ...]:
    seen = dict.fromkeys(name for row in rows for name in row.values)
    if given is not None:
        if unknown := [name for name in seen if name not in given]:
            raise DatasetError(f"{path}: has {unknown[0]!r}, and the network knows {', '.join(list(given)[:5])}, ...")
        return tuple(given)
    if not seen:
        raise DatasetError(f"{path}: names no target; {_USAGE}")
    return tuple(sorted(seen) if any(row.is_list for row in rows) else seen)


def _targets(row: _Row, names: Sequence[str], kind: TargetKind) -> list[float]:
    if not row.is_list:
        return [_number(row.where, name, row.values.get(name), kind) for name in names]
    if kind != "labels":
        raise DatasetError(f"{row.where}: has 'labels', and numbers are wanted: one for each name")
    return [float(name in row.values) for name in names]


def _number(where: str, name: str, value: Any, kind: TargetKind) -> float:
    try:
        if value is None or isinstance(value, bool):
            raise ValueError
        number = float(value)
    except OverflowError:  # of an integer
        number = math.inf
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {name!r} is {value!r}; it must be a number") from error
    shown = str(value)[:40]
    if kind == "labels" and number not in {0.0, 1.0}:
        raise DatasetError(f"{where}: {name!r} is {shown}; a label is 0 or 1 (numbers are for task.kind: regression)")
    if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
        raise DatasetError(f"{where}: {name!r} is {shown}; it must be finite, in single precision")
    return number
