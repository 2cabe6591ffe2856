"""Scan a folder in units of files, on a cluster or as parts of a job array, and merge their counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

from prepixel.data.executors import Executor, finish_units
from prepixel.data.jobs.scan import ScanReport, ScanTally, no_image, scan_files
from prepixel.data.units import JobHeader, PartNumber, UnitRecords, find_records, listing_checksum, unit_slice
from prepixel.errors import DatasetError
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files
from prepixel.jpeg import Limits
from prepixel.stores.remote_path import to_path

UNIT_SIZE = 1024


@dataclass(frozen=True)
class ScanUnit:
    """Describe some files to be scanned.

    Attributes:
        records: folder of the records.
        header: of the job.
        number: of the unit.
        first: place of its first file in the listing.
        paths: its files.
        threads: threads to read on; 0 for one per CPU.
        limits: what each file may ask for.
    """

    records: str
    header: JobHeader
    number: int
    first: int
    paths: tuple[str, ...]
    threads: int
    limits: Limits


def scan_unit(unit: ScanUnit) -> int:
    """Count the files of a unit and write its record; return how many files it has."""
    tally = ScanTally()
    numbered = enumerate(unit.paths, start=unit.first)
    for _ in scan_files(numbered, tally, threads=unit.threads, limits=unit.limits):
        pass
    UnitRecords(to_path(unit.records), unit.header).write(unit.number, tally.to_json())
    return len(unit.paths)


def scan_units(
    root: str | os.PathLike[str],
    records: str | os.PathLike[str],
    *,
    part: PartNumber | None = None,
    executor: Executor | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] | None = None,
) -> ScanReport | None:
    """Scan a folder, or one part of it, in units of files; without ``part``, merge them at the end.

    Args:
        root: the folder.
        records: folder for the records of units; every part names the same one.
        part: which part to scan; None for all.
        executor: does the units; None for this process.
        threads: threads of one unit; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with (files done, files in all) after each unit.

    Returns:
        The report of the whole; None for a part.

    Raises:
        DatasetError: as `scan_folder`, or the records are those of another job.
    """
    folder = to_path(root)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {not_a_folder(folder)}; name one that holds images, at any depth")
    paths = list(image_files(folder))
    if not paths:
        raise no_image(folder)
    num_units = -(-len(paths) // UNIT_SIZE)
    header = JobHeader("scan", listing_checksum(paths), num_units, {"root": str(folder)})
    kept = UnitRecords(to_path(records), header)
    kept.begin()
    numbers = range(num_units) if part is None else part.of(range(num_units))
    left = kept.unfinished(numbers)
    total = sum(len(unit_slice(number, UNIT_SIZE, len(paths))) for number in numbers)
    done = total - sum(len(unit_slice(number, UNIT_SIZE, len(paths))) for number in left)

    def units() -> Iterator[ScanUnit]:
        for number in left:
            places = unit_slice(number, UNIT_SIZE, len(paths))
            own = tuple(paths[places.start : places.stop])
            yield ScanUnit(str(records), header, number, places.start, own, threads, limits)

    finish_units(executor, scan_unit, units(), done=done, total=total, progress=progress)
    return merge_scans(records) if part is None else None


def merge_scans(records: str | os.PathLike[str]) -> ScanReport:
    """Merge the records of a scan into its report.

    Raises:
        DatasetError: there are no records of a scan, or units are missing.
    """
    found = find_records(to_path(records))
    if found is None or found.header.job != "scan":
        raise DatasetError(f"{os.fspath(records)}: holds no records of a scan")
    tallies = (ScanTally.from_json(result) for result in found.read_all())
    return reduce(ScanTally.merge, tallies, ScanTally()).report(str(found.header.options["root"]))
