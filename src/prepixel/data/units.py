"""Units of a distributed job: contiguous pieces of its listing, and the records of those that are finished.

A job over n items is n / unit_size units. Doing a unit is a pure function of the listing and the options: it may be
repeated, by any process, and leaves the same bytes. A unit counts as finished when its record exists, a small JSON
file that is written last and atomically. Records of all units are merged into the result of one undisturbed run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prepixel.data.read_ahead import map_requests
from prepixel.errors import DatasetError, reason_of
from prepixel.files import make_folder, read_regular_file, remove_temporary, replace_file
from prepixel.stores.remote_path import AnyPath

RECORDS = ".prepixel-parts"
_FORMAT = "prepixel unit 1"
_MAX_BYTES = 1 << 30
_MAX_NAMED = 8
_MAX_UNITS = 1 << 40


@dataclass(frozen=True)
class PartNumber:
    """Name one of several equal parts of a job, as ``--part 3/16`` does.

    Attributes:
        index: counted from 1.
        count: how many parts there are.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"part {self.index}/{self.count}: parts count from 1 to {self.count}")

    def of(self, items: range) -> range:
        """Return this part of a range; the parts are contiguous, disjoint and differ in length by at most one."""
        begin, end = (len(items) * place // self.count for place in (self.index - 1, self.index))
        return items[begin:end]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class JobHeader:
    """Identify a job, so that records of different jobs are never merged.

    Attributes:
        job: the command's name.
        listing: SHA-256 of what the source lists.
        num_units: units of the whole job.
        options: whatever else decides a unit's result; must survive JSON.
    """

    job: str
    listing: str
    num_units: int
    options: Mapping[str, Any] = field(default_factory=dict)


class UnitRecords:
    """Write and read the records of finished units, each a file in a folder."""

    def __init__(self, folder: AnyPath, header: JobHeader) -> None:
        """Name the folder, which need not exist yet, and the job whose records it holds."""
        self.folder, self.header = folder, header

    def write(self, number: int, result: Any) -> None:
        """Record that a unit is finished; everything that the record vouches for must be durable already."""
        fields = {"format": _FORMAT, "unit": number, **vars(self.header), "result": result}
        replace_file(self.folder / _record_name(number), json.dumps(fields, allow_nan=False).encode("ascii") + b"\n")

    def begin(self) -> None:
        """Make the folder; call it once before units are done.

        Raises:
            DatasetError: it holds records of another job.
        """
        make_folder(self.folder)
        for number in itertools.islice(recorded_units(self.folder), 1):
            self.read(number)

    def present(self) -> set[int]:
        """List the units that have a record."""
        return set(recorded_units(self.folder))

    def read(self, number: int) -> Any:
        """Return the result that a unit's record holds.

        Raises:
            DatasetError: the record cannot be read, or is that of another job.
        """
        path = self.folder / _record_name(number)
        header, result = _read_record(path, number)
        if header != self.header:
            raise DatasetError(
                f"{path}: belongs to another run ({_difference(header, self.header)}); give every part the same source "
                f"and options, or remove {self.folder}"
            )
        return result

    def unfinished(self, numbers: Iterable[int]) -> list[int]:
        """List those of some units that have no record.

        Raises:
            DatasetError: a record cannot be read, or is that of another job.
        """
        present, numbers = self.present(), list(numbers)
        for _ in map_requests(self.read, (number for number in numbers if number in present), self.folder):
            pass
        return [number for number in numbers if number not in present]

    def read_all(self) -> Iterator[Any]:
        """Check that all units are finished, and return an iterator over their results, in order.

        Raises:
            DatasetError: units are missing, or a record cannot be read or is that of another job.
        """
        numbers, present = range(self.header.num_units), self.present()
        if num_missing := len(numbers) - sum(number in numbers for number in present):
            missing = list(itertools.islice((number for number in numbers if number not in present), _MAX_NAMED + 1))
            raise DatasetError(
                f"{self.folder}: {num_missing} of {len(numbers)} units are not finished "
                f"({_numbers_in_words(missing)}); run their parts again, then merge"
            )
        return map_requests(self.read, numbers, self.folder)


def recorded_units(folder: AnyPath) -> Iterable[int]:
    """Yield the numbers of the units that have a record in a folder; none where there is no folder."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        begin, _, number = name.removesuffix(".json").rpartition("-")
        if begin == "unit" and name.endswith(".json") and number.isdigit():
            yield int(number)


def find_records(folder: AnyPath) -> UnitRecords | None:
    """Return the records in a folder, whatever job they are of; None where there are none.

    Raises:
        DatasetError: the first of them cannot be read.
    """
    number = next(iter(recorded_units(folder)), None)
    if number is None:
        return None
    header, _ = _read_record(folder / _record_name(number), number)
    return UnitRecords(folder, header)


def remove_records(folder: AnyPath) -> None:
    """Remove all records and their folder, after their merged result is durable."""
    if not folder.is_dir():
        return
    remove_temporary(folder)  # of workers that were killed
    paths = [folder / _record_name(number) for number in recorded_units(folder)]
    for _ in map_requests(lambda path: path.unlink(missing_ok=True), paths, folder):
        pass
    try:
        folder.rmdir()
    except OSError:  # other files are in it, or another process has removed it
        return


def listing_checksum(lines: Iterable[str]) -> str:
    """Return the SHA-256 of a listing, one line per item."""
    checksum = hashlib.sha256()
    for line in lines:
        checksum.update(f"{line}\n".encode(errors="surrogatepass"))
    return checksum.hexdigest()


def unit_slice(number: int, unit_size: int, num_items: int) -> range:
    """Return the places of a unit's items."""
    return range(number * unit_size, min((number + 1) * unit_size, num_items))


def _record_name(number: int) -> str:
    return f"unit-{number:08}.json"


def _read_record(path: AnyPath, number: int) -> tuple[JobHeader, Any]:
    try:
        fields = json.loads(read_regular_file(path, _MAX_BYTES))
        if fields["format"] != _FORMAT or fields["unit"] != number:
            raise ValueError(f"format {str(fields['format'])[:40]!r}, unit {str(fields['unit'])[:20]}")
        header = JobHeader(*(fields[name] for name in ("job", "listing", "num_units", "options")))
        if not isinstance(header.num_units, int) or not number < header.num_units <= _MAX_UNITS:
            raise ValueError(f"num_units is {str(header.num_units)[:20]}")
        return header, fields["result"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: is no record of a unit ({reason_of(error)}); remove it, and run its part again"
        ) from error


def _difference(found: JobHeader, asked: JobHeader) -> str:
    names = [name for name, value in vars(asked).items() if value != getattr(found, name)]
    return f"another {' and '.join('number of units' if name == 'num_units' else name for name in names)}"


def _numbers_in_words(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MAX_NAMED]))
    return f"{shown}, ..." if len(numbers) > _MAX_NAMED else shown
