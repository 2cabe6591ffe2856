"""Measure channel statistics in units of images, on a cluster or as parts of a job array, and merge them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from prepixel.data.datasets.folder import FolderDataset
from prepixel.data.datasets.shards import PackedDataset
from prepixel.data.executors import Executor, run_units
from prepixel.data.loading.channel_statistics import measure_statistics
from prepixel.data.units import JobHeader, PartNumber, UnitRecords, find_records, listing_checksum, unit_slice
from prepixel.errors import DatasetError, ReadFailure
from prepixel.jpeg.batch import OnError
from prepixel.spectrum import BandSet, Statistics
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION
from prepixel.spectrum.statistics_tree import StatisticsTree, statistics_from_json, statistics_to_json
from prepixel.stores.remote_path import to_path

UNIT_SIZE = 1024


@dataclass(frozen=True)
class StatisticsSettings:
    """State what is measured.

    Attributes:
        grid: blocks down and across.
        bands: the channels.
        crop_fraction: side of the crop, as a share of the short side.
        on_error: `"skip"` leaves out files that cannot be read.
    """

    grid: tuple[int, int]
    bands: BandSet
    crop_fraction: float = PUBLISHED_CENTER_FRACTION
    on_error: OnError = "raise"

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {
            "grid": list(self.grid),
            "bands": list(self.bands.channels),
            "crop_fraction": self.crop_fraction,
            "on_error": self.on_error,
        }


@dataclass(frozen=True)
class StatisticsUnit:
    """Describe some images to be measured.

    Attributes:
        number: of the unit.
        files: its images.
        settings: what is measured.
        threads: threads to read on; 0 for one per CPU.
        records: folder of the records; None to keep none.
        header: of the job.
    """

    number: int
    files: FolderDataset | PackedDataset
    settings: StatisticsSettings
    threads: int
    records: str | None
    header: JobHeader


@dataclass(frozen=True)
class MeasuredUnit:
    """Report what became of a unit.

    Attributes:
        number: of the unit.
        num_images: images it has, readable or not.
        statistics: of those that could be read.
    """

    number: int
    num_images: int
    statistics: Statistics


def measure_unit(unit: StatisticsUnit) -> MeasuredUnit:
    """Measure the images of a unit, and write its record if records are kept."""
    settings, failures = unit.settings, list[ReadFailure]()
    try:
        statistics = measure_statistics(
            unit.files,
            grid=settings.grid,
            bands=settings.bands,
            crop_fraction=settings.crop_fraction,
            threads=unit.threads,
            on_error=settings.on_error,
            failures=failures,
        )
    except DatasetError:
        if len(failures) < len(unit.files):
            raise
        statistics = Statistics.empty(settings.bands, settings.grid, source=unit.files.root.name)  # none can be read
    if unit.records is not None:
        UnitRecords(to_path(unit.records), unit.header).write(unit.number, statistics_to_json(statistics))
    return MeasuredUnit(unit.number, len(unit.files), statistics)


def measure_units(
    files: FolderDataset | PackedDataset,
    settings: StatisticsSettings,
    *,
    max_images: int | None = None,
    records: str | os.PathLike[str] | None = None,
    part: PartNumber | None = None,
    executor: Executor | None = None,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics | None:
    """Measure a data set, or one part of it, in units of images, to the same bits wherever units are done.

    Args:
        files: the images.
        settings: what is measured.
        max_images: of more images, so many are taken, evenly spaced; None for all.
        records: folder for the records of units, from which a later call goes on; needed for a part.
        part: which part to measure; None for all.
        executor: does the units; None for this process.
        threads: threads of one unit; 0 for one per CPU.
        progress: called with (images done, images in all) after each unit.

    Returns:
        The statistics of the whole; None for a part.

    Raises:
        PrepixelError, OSError: a file cannot be read; not under ``"skip"``.
        DatasetError: no image could be read, or the records are those of another job.
    """
    total = min(len(files), max_images or len(files))
    indices = [place * len(files) // total for place in range(total)]
    num_units = -(-total // UNIT_SIZE)
    listing = listing_checksum(files.samples[index].path for index in indices) if records else ""
    header = JobHeader("stats", listing, num_units, settings.to_json() | {"num_images": total})
    numbers = range(num_units) if part is None else part.of(range(num_units))
    left, kept = list(numbers), UnitRecords(to_path(records), header) if records else None
    tree = StatisticsTree()
    if kept is not None:
        kept.begin()
        left = kept.unfinished(numbers)
        for number in sorted(set(numbers) - set(left)):
            tree.add(number, statistics_from_json(kept.read(number)))
    share = sum(len(unit_slice(number, UNIT_SIZE, total)) for number in numbers)
    done = share - sum(len(unit_slice(number, UNIT_SIZE, total)) for number in left)

    def units() -> Iterator[StatisticsUnit]:
        for number in left:
            places = unit_slice(number, UNIT_SIZE, total)
            own = files.select(indices[places.start : places.stop])
            yield StatisticsUnit(number, own, settings, threads, str(records) if records else None, header)

    for unit in run_units(
        executor,
        measure_unit,
        units(),
        count=lambda unit: unit.num_images,
        done=done,
        total=share,
        progress=progress,
    ):
        tree.add(unit.number, unit.statistics)
    if part is not None:
        return None
    return _readable(tree.total(), str(files.root), total)


class MergedStatistics(NamedTuple):
    """Store merged statistics and the number of images that were asked for, readable or not."""

    statistics: Statistics
    num_images: int


def merge_statistics(records: str | os.PathLike[str]) -> MergedStatistics:
    """Merge the records of statistics.

    Raises:
        DatasetError: there are no such records, units are missing, or no image could be read.
    """
    found = find_records(to_path(records))
    if found is None or found.header.job != "stats":
        raise DatasetError(f"{os.fspath(records)}: holds no records of statistics")
    tree = StatisticsTree()
    for number, result in enumerate(found.read_all()):
        tree.add(number, statistics_from_json(result))
    total = int(found.header.options["num_images"])
    return MergedStatistics(_readable(tree.total(), os.fspath(records), total), total)


def _readable(statistics: Statistics, where: str, total: int) -> Statistics:
    if not statistics.num_images:
        raise DatasetError(f"{where}: none of {total} images can be read; list them with: prepixel scan")
    return statistics
