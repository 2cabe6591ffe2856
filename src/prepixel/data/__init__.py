"""Data sets on disk, what is drawn from them, and the batches that networks see."""

from prepixel.data.datasets.folder import FolderDataset, ImageDataset, Sample
from prepixel.data.datasets.shards import PackedDataset, open_dataset
from prepixel.data.datasets.synthetic import write_synthetic
from prepixel.data.jobs.scan import ScanReport, scan_folder
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
from prepixel.errors import DatasetError, ReadFailure

__all__ = [
    "Batch",
    "CenterCrop",
    "CropDataset",
    "CropLoader",
    "DatasetError",
    "FolderDataset",
    "ImageDataset",
    "PackedDataset",
    "PixelLoader",
    "PixelReader",
    "RandomCrop",
    "ReadFailure",
    "Sample",
    "ScanReport",
    "SpectrumLoader",
    "SpectrumReader",
    "TooManyBadFiles",
    "open_dataset",
    "scan_folder",
    "write_synthetic",
]
