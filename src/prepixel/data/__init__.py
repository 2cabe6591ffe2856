"""Data sets on disk, what is drawn from them, and the batches that networks see."""

from prepixel.data.augment import CenterCrop, RandomCrop
from prepixel.data.folder import DatasetError, FolderDataset, ImageDataset, Sample
from prepixel.data.loader import BadFile, Batch, PixelLoader, SpectrumLoader, TooManyBadFiles, ViewDataset, ViewLoader
from prepixel.data.reading import PixelReader, SpectrumReader
from prepixel.data.scan import BrokenFile, ScanReport, scan_folder
from prepixel.data.shards import PackedDataset, open_dataset
from prepixel.data.synthetic import write_synthetic

__all__ = [
    "BadFile",
    "Batch",
    "BrokenFile",
    "CenterCrop",
    "DatasetError",
    "FolderDataset",
    "ImageDataset",
    "PackedDataset",
    "PixelLoader",
    "PixelReader",
    "RandomCrop",
    "Sample",
    "ScanReport",
    "SpectrumLoader",
    "SpectrumReader",
    "TooManyBadFiles",
    "ViewDataset",
    "ViewLoader",
    "open_dataset",
    "scan_folder",
    "write_synthetic",
]
