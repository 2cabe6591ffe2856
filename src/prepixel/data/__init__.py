"""Data sets on disk, what is drawn from them, and the batches that networks see."""

from prepixel.data.augment import CenterCrop, RandomCrop
from prepixel.data.folder import DatasetError, FolderDataset, Sample
from prepixel.data.loader import BadFile, Batch, PixelLoader, SpectrumLoader, TooManyBadFiles, ViewDataset, ViewLoader
from prepixel.data.reading import PixelReader, SpectrumReader
from prepixel.data.synthetic import write_synthetic

__all__ = [
    "BadFile",
    "Batch",
    "CenterCrop",
    "DatasetError",
    "FolderDataset",
    "PixelLoader",
    "PixelReader",
    "RandomCrop",
    "Sample",
    "SpectrumLoader",
    "SpectrumReader",
    "TooManyBadFiles",
    "ViewDataset",
    "ViewLoader",
    "write_synthetic",
]
