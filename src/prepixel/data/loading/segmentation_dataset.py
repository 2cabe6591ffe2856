"""Batches for segmenters: frames of one size, as coefficients or as pixels, with their label maps.

`BatchLoader` yields them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.loading.crops import Crop, CropParams
from prepixel.data.loading.label_map_crops import label_map_in_frame
from prepixel.data.loading.loader import Batch, FetchResult
from prepixel.data.loading.padded_crops import WholePhoto
from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.readers import CropReader, read_drawn, with_path
from prepixel.data.random_streams import sample_generator
from prepixel.errors import DatasetError
from prepixel.spectrum.tree import register_node


@dataclass(frozen=True)
class LabelMapBatch(Batch):
    """Store one process's share of a global batch; smaller than asked for where files could not be read.

    Attributes:
        inputs: a spectrum, or uint8 RGB pixels (n, 3, y, x).
        targets: the labels of the frames' pixels; 255 for no class.
        indices: places of the samples in the data set.
    """

    targets: UInt8[Tensor, "n h w"]


register_node(
    LabelMapBatch,
    ("inputs", "targets", "indices"),
    lambda _: [],
    lambda _: (),
    refusal="holds label maps, which it would leave as they are",
)


class SegmentationDataset(Dataset[FetchResult]):
    """Fetch whole batches of (epoch, index) pairs; targets are label maps (n, y, x) of bytes, 255 for no class.

    Args:
        photos: the data set on disk.
        reader: how files become inputs.
        size: height and width of a frame and its label map in pixels.
        crop: which part of a photo a frame shows.
        seed: of the random parameters.
        threads: that read; 0 for one per CPU.
        indexes: by which crops are decoded without the rest, as `PhotoIndexes`: ``"auto"``, a `FolderIndex`, or None.
    """

    def __init__(
        self,
        photos: LabeledPhotos,
        reader: CropReader,
        size: tuple[int, int],
        crop: Crop | None = None,
        *,
        seed: int = 0,
        threads: int = 0,
        indexes: IndexChoice = "auto",
    ) -> None:
        self.photos, self.reader, self.size, self.crop = photos, reader, size, crop or WholePhoto()
        self.seed, self.threads = seed, threads or os.cpu_count() or 1
        self.indexes = PhotoIndexes(indexes, photos.root)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> FetchResult:
        """Fetch one frame as a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> FetchResult:
        """Fetch the frames of (epoch, index) pairs; files that cannot be read are left out and listed."""
        samples = [self.photos.samples[index] for _, index in keys]
        maps = dict[int, UInt8[np.ndarray, "y x"]]()

        def draw(place: int, size: tuple[int, int]) -> CropParams:
            labels = self.photos.label_map(keys[place][1])
            if size != labels.shape:
                raise DatasetError(
                    f"{samples[place].path}: is {size[1]} x {size[0]} pixels upright, and its labels are for "
                    f"{labels.shape[1]} x {labels.shape[0]}; correct the annotations, or the file's orientation"
                )
            params = self.crop.make_params(size, self.reader.aspect, sample_generator(self.seed, *keys[place]))
            maps[place] = label_map_in_frame(labels, params, self.size)
            return params

        sources = self.photos.sources([index for _, index in keys])
        indexes = self.indexes.open()
        # label maps take long to draw
        crops = read_drawn(self.reader, sources, draw, self.threads, draw_threads=self.threads, indexes=indexes)
        kept = [maps[place] for place in crops.kept]
        targets = torch.from_numpy(np.stack(kept) if kept else np.zeros((0, *self.size), dtype=np.uint8))
        indices = torch.tensor([keys[place][1] for place in crops.kept], dtype=torch.int64)
        failures = tuple(with_path(failure, samples[failure.index].path) for failure in crops.failures)
        return FetchResult(LabelMapBatch(crops.inputs, targets, indices), failures)
