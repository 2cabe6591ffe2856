"""Measure per-channel statistics over training images."""

from __future__ import annotations

from collections.abc import Callable

from prepixel.data.datasets.folder import ImageDataset
from prepixel.data.loading.crops import CenterCrop
from prepixel.data.loading.loader import CropDataset
from prepixel.data.loading.readers import SpectrumReader
from prepixel.errors import DatasetError, ReadFailure
from prepixel.spectrum import BandSet, Statistics
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION, Filter

Progress = Callable[[int, int], None]


_CHUNK = 64


def measure_statistics(
    files: ImageDataset,
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    crop_fraction: float = PUBLISHED_CENTER_FRACTION,
    filter: Filter = "bilinear",  # noqa: A002
    max_images: int | None = None,
    threads: int = 0,
    skip_bad: bool = False,
    progress: Progress | None = None,
    failures: list[ReadFailure] | None = None,
) -> Statistics:
    """Measure how each channel is distributed over a data set's centered crops.

    Args:
        files: the images.
        grid: blocks down and across.
        bands: the channels: a band set, or the name of one.
        crop_fraction: side of the crop, as a share of the short side.
        filter: of the resize.
        max_images: of more images, so many are taken, evenly spaced; None for all.
        threads: threads to read on; 0 for one per CPU.
        skip_bad: whether files that cannot be read are left out.
        progress: called with images done and images in all.
        failures: takes the files that could not be read, under ``skip_bad``.

    Raises:
        PrepixelError, OSError: a file cannot be read; not with ``skip_bad``.
        DatasetError: no image could be read.
    """
    bands = BandSet.of(bands)
    total = min(len(files), max_images or len(files))
    indices = [place * len(files) // total for place in range(total)]
    reader = SpectrumReader(grid, bands, filter)
    dataset = CropDataset(files, reader, CenterCrop(crop_fraction), 0, threads)
    statistics = Statistics.empty(bands, grid, source=files.root.name)
    for start in range(0, total, _CHUNK):
        chunk = indices[start : start + _CHUNK]
        batch, bad = dataset.__getitems__([(0, index) for index in chunk])
        if bad and not skip_bad:
            raise bad[0].error
        if failures is not None:
            failures += bad
        statistics.update(batch.inputs)
        if progress is not None:
            progress(start + len(chunk), total)
    if not statistics.num_images:
        raise DatasetError(f"{files.root}: none of {total} images can be read; list them with: prepixel scan")
    return statistics
