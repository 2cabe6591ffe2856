"""Measure per-channel statistics over training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.readers import SpectrumReader, read_centered, with_path
from prepixel.errors import DatasetError, ReadFailure
from prepixel.jpeg.batch import OnError
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, Spectrum, Statistics
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION, Filter
from prepixel.stores.remote_path import AnyPath

Progress = Callable[[int, int], None]


@runtime_checkable
class ImageFiles(Protocol):
    """List image files, of whatever task: a classification data set, or one of detection."""

    @property
    def root(self) -> AnyPath:
        """Return the folder."""

    @property
    def samples(self) -> Sequence[Any]:
        """Return every sample; each has a ``path``."""

    def __len__(self) -> int: ...

    def sources(self, indices: Sequence[int]) -> Sequence[Source]:
        """Return what samples are read from: paths or bytes."""


def measure_statistics(
    files: ImageFiles,
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    crop_fraction: float = PUBLISHED_CENTER_FRACTION,
    filter: Filter = "bilinear",  # noqa: A002
    max_images: int | None = None,
    batch_size: int = 64,
    threads: int = 0,
    on_error: OnError = "raise",
    progress: Progress | None = None,
    failures: list[ReadFailure] | None = None,
    indexes: IndexChoice = "auto",
) -> Statistics:
    """Measure how each channel is distributed over a data set's centered crops.

    Args:
        files: the images.
        grid: blocks down and across.
        bands: the channels: a band set, or the name of one.
        crop_fraction: side of the crop, as a share of the short side.
        filter: of the resize.
        max_images: of more images, so many are taken, evenly spaced; None for all.
        batch_size: images that are read at once.
        threads: threads to read on; 0 for one per CPU.
        on_error: ``"raise"`` the error of the first file that cannot be read, or ``"skip"`` such files.
        progress: called with images done and images in all.
        failures: takes the files that could not be read, under ``"skip"``.
        indexes: by which crops are decoded without the rest: ``"auto"`` for those of the folder (`prepixel index`) or
            inside the files, a `FolderIndex`, or None. Statistics do not depend on it.

    Raises:
        TypeError: the images are no such data set, but a path or torch's kind of data set.
        PrepixelError, OSError: a file cannot be read; not under ``"skip"``.
        DatasetError: no image could be read.
    """
    if not isinstance(files, ImageFiles):
        raise TypeError(
            f"files is a {type(files).__name__}; give a data set of image files, such as "
            "prepixel.data.open_dataset(folder)"
        )
    bands, found = BandSet.of(bands), PhotoIndexes(indexes, files.root)
    total = min(len(files), max_images or len(files))
    indices = [place * len(files) // total for place in range(total)]
    reader = SpectrumReader(grid, bands, filter)
    statistics = Statistics.empty(bands, grid, source=files.root.name)
    for start in range(0, total, batch_size):
        chunk = indices[start : start + batch_size]
        batch = read_centered(reader, files.sources(chunk), crop_fraction, threads, found.open())
        bad = [with_path(failure, files.samples[chunk[failure.index]].path) for failure in batch.failures]
        if bad and on_error == "raise":
            raise bad[0].error
        if failures is not None:
            failures += bad
        assert isinstance(batch.inputs, Spectrum)
        statistics.update(batch.inputs)
        if progress is not None:
            progress(start + len(chunk), total)
    if not statistics.num_images:
        raise DatasetError(f"{files.root}: none of {total} images can be read; list them with: prepixel scan")
    return statistics
