"""Data sets by a listing, CSV or JSON lines, with several labels or several numbers for each image."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prepixel.array_types import Float32
from prepixel.data.datasets.folder import Sample, describe_dataset
from prepixel.data.datasets.text_formats import read_lines
from prepixel.errors import DatasetError

TargetKind = Literal["labels", "values"]
LISTING_ENDINGS = (".csv", ".jsonl")
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
        rows = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
        if not rows:
            raise DatasetError(f"{path}: lists no image; {_USAGE}")
        self.root = path.parent
        self.classes = _names(path, rows, class_names)
        paths = [_existing(path.parent, file, where) for where, file, _ in rows]
        self.samples = tuple(Sample(file, 0) for file in paths)
        self.targets: Float32[np.ndarray, "n k"] = np.array(
            [_row(where, values, self.classes, kind) for where, _, values in rows], dtype=np.float32
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return describe_dataset("ListedDataset", len(self), self.root, f"Targets: {len(self.classes)}")

    def sources(self, indices: Sequence[int]) -> list[str]:
        """Return what samples are read from: their paths."""
        return [self.samples[index].path for index in indices]


_Row = tuple[str, str, Mapping[str, Any]]  # where, file, targets by name


def _read_csv(path: Path) -> list[_Row]:
    lines = read_lines(path, "the listing", _USAGE)
    try:
        header, *rows = [row for row in csv.reader(lines, strict=True) if row] or [[]]
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV ({error}); {_USAGE}") from error
    if len(header) < 2 or header[0] != _FILE or len(set(header)) < len(header):
        raise DatasetError(f"{path}: its header is {','.join(header) or 'missing'}; {_USAGE}")
    found: list[_Row] = []
    for number, row in enumerate(rows, start=2):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise DatasetError(f"{where}: has {len(row)} fields, and the header {len(header)}")
        found.append((where, row[0], dict(zip(header[1:], row[1:], strict=True))))
    return found


def _read_json(path: Path) -> list[_Row]:
    found: list[_Row] = []
    for number, line in enumerate(read_lines(path, "the listing", _USAGE), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{where}: is not JSON ({error}); {_USAGE}") from error
        if not isinstance(values, dict) or not isinstance(values.get(_FILE), str):
            raise DatasetError(f"{where}: has no text under 'file'; {_USAGE}")
        file = values.pop(_FILE)
        labels = values.get(_LABELS)
        if isinstance(labels, list):
            if len(values) > 1 or not all(isinstance(name, str) for name in labels):
                raise DatasetError(f"{where}: 'labels' must be a list of names, and stand alone beside 'file'")
            values = dict.fromkeys(labels, 1)
            values[_LABELS] = None
        found.append((where, file, values))
    return found


def _names(path: Path, rows: Sequence[_Row], given: Sequence[str] | None) -> tuple[str, ...]:
    lists = any(_LABELS in values and values[_LABELS] is None for _, _, values in rows)
    seen = dict.fromkeys(name for _, _, values in rows for name in values if not (lists and name == _LABELS))
    if given is not None:
        if unknown := [name for name in seen if name not in given]:
            raise DatasetError(f"{path}: has {unknown[0]!r}, and the network knows {', '.join(list(given)[:5])}, ...")
        return tuple(given)
    if not seen:
        raise DatasetError(f"{path}: names no target; {_USAGE}")
    return tuple(sorted(seen) if lists else seen)


def _row(where: str, values: Mapping[str, Any], names: Sequence[str], kind: TargetKind) -> list[float]:
    if values.get(_LABELS, 0) is None:  # a list of those that are on
        if kind != "labels":
            raise DatasetError(f"{where}: has 'labels', and numbers are wanted: one for each name")
        return [float(name in values) for name in names]
    return [_number(where, name, values.get(name), kind) for name in names]


def _number(where: str, name: str, value: Any, kind: TargetKind) -> float:
    try:
        if value is None or isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {name!r} is {value!r}; it must be a number") from error
    if kind == "labels" and number not in {0.0, 1.0}:
        raise DatasetError(f"{where}: {name!r} is {value}; a label is 0 or 1 (numbers are for task.kind: regression)")
    if not math.isfinite(number) or abs(number) > float(np.finfo(np.float32).max):
        raise DatasetError(f"{where}: {name!r} is {value}; it must be finite, in single precision")
    return number


def _existing(root: Path, file: str, where: str) -> str:
    path = root / file
    if ".." in Path(file).parts or Path(file).is_absolute():
        raise DatasetError(f"{where}: {file} is not below the listing's folder; give a path relative to it")
    if not path.is_file():
        raise DatasetError(f"{where}: {path} is not there; paths are relative to the listing's folder")
    return str(path)
