"""Data sets on disk, what is drawn from them, and the batches that networks see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.data.datasets.folder import FolderDataset, ImageDataset, Sample
    from prepixel.data.datasets.listed import ListedDataset
    from prepixel.data.datasets.shards import PackedDataset, open_dataset
    from prepixel.data.datasets.synthetic import write_synthetic
    from prepixel.data.jobs.scan import ScanReport, scan_folder
    from prepixel.data.loading.block_shuffle import BlockShuffle
    from prepixel.data.loading.crops import CenterCrop, RandomCrop
    from prepixel.data.loading.loader import (
        Batch,
        CropDataset,
        CropLoader,
        PixelLoader,
        SpectrumLoader,
        TooManyBadFiles,
    )
    from prepixel.data.loading.readers import PixelReader, SpectrumReader
    from prepixel.data.loading.spectrum_crops import ReadWarning
    from prepixel.data.loading.spectrum_dataset import SpectrumDataset, SpectrumFolder
    from prepixel.data.loading.spectrum_decoder import SpectrumDecoder
    from prepixel.errors import DatasetError, ReadFailure

_PLACES = {
    "Batch": "prepixel.data.loading.loader",
    "BlockShuffle": "prepixel.data.loading.block_shuffle",
    "CenterCrop": "prepixel.data.loading.crops",
    "CropDataset": "prepixel.data.loading.loader",
    "CropLoader": "prepixel.data.loading.loader",
    "DatasetError": "prepixel.errors",
    "FolderDataset": "prepixel.data.datasets.folder",
    "ImageDataset": "prepixel.data.datasets.folder",
    "ListedDataset": "prepixel.data.datasets.listed",
    "PackedDataset": "prepixel.data.datasets.shards",
    "PixelLoader": "prepixel.data.loading.loader",
    "PixelReader": "prepixel.data.loading.readers",
    "RandomCrop": "prepixel.data.loading.crops",
    "ReadFailure": "prepixel.errors",
    "ReadWarning": "prepixel.data.loading.spectrum_crops",
    "Sample": "prepixel.data.datasets.folder",
    "ScanReport": "prepixel.data.jobs.scan",
    "SpectrumDataset": "prepixel.data.loading.spectrum_dataset",
    "SpectrumDecoder": "prepixel.data.loading.spectrum_decoder",
    "SpectrumFolder": "prepixel.data.loading.spectrum_dataset",
    "SpectrumLoader": "prepixel.data.loading.loader",
    "SpectrumReader": "prepixel.data.loading.readers",
    "TooManyBadFiles": "prepixel.data.loading.loader",
    "open_dataset": "prepixel.data.datasets.shards",
    "scan_folder": "prepixel.data.jobs.scan",
    "write_synthetic": "prepixel.data.datasets.synthetic",
}

__all__ = [
    "Batch",
    "BlockShuffle",
    "CenterCrop",
    "CropDataset",
    "CropLoader",
    "DatasetError",
    "FolderDataset",
    "ImageDataset",
    "ListedDataset",
    "PackedDataset",
    "PixelLoader",
    "PixelReader",
    "RandomCrop",
    "ReadFailure",
    "ReadWarning",
    "Sample",
    "ScanReport",
    "SpectrumDataset",
    "SpectrumDecoder",
    "SpectrumFolder",
    "SpectrumLoader",
    "SpectrumReader",
    "TooManyBadFiles",
    "open_dataset",
    "scan_folder",
    "write_synthetic",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
