"""Batches for detectors: frames of unequal size, as coefficients or as pixels, with the objects in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from prepixel.data.datasets.coco import CocoDataset, CocoImage
from prepixel.data.loading.detection_crops import FrameSettings, ResizeParams, boxes_in_frame, mask_in_frame
from prepixel.data.loading.detection_readers import FrameReader
from prepixel.data.loading.loader import BatchLoader, FetchResult
from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.readers import read_drawn, with_path
from prepixel.data.random_streams import draw_order, sample_generator
from prepixel.errors import DatasetError
from prepixel.spectrum import PaddedSpectrum
from prepixel.spectrum.tree import register_node

Target: TypeAlias = dict[str, Tensor]
_SMALLEST_SIDE = 1.0


@dataclass(frozen=True)
class DetectionBatch:
    """Store one process's share of a global batch; smaller than asked for where files could not be read.

    Attributes:
        inputs: spectra, each on its own grid; or uint8 RGB images of unequal size.
        targets: for each image ``boxes`` (x left, y top, x right, y bottom, in pixels of its frame), ``labels`` (1 or
            more), ``masks`` (0 or 1, of the frame's size; where masks are asked for), ``image_id``, ``original_size``
            and ``frame_size`` (height, width), ``crop`` (top, left, height, width of the upright photo) and
            ``flipped``.
    """

    inputs: PaddedSpectrum | list[Tensor]
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> DetectionBatch:
        """Move all arrays to a device."""
        inputs = self.inputs
        return DetectionBatch(
            inputs.to(device, non_blocking=True)
            if isinstance(inputs, PaddedSpectrum)
            else [image.to(device, non_blocking=True) for image in inputs],
            [{name: value.to(device, non_blocking=True) for name, value in target.items()} for target in self.targets],
        )

    def pin_memory(self) -> DetectionBatch:
        """Copy all arrays to page-locked memory, from which a copy to a CUDA device does not block."""
        inputs = self.inputs
        return DetectionBatch(
            inputs.pin_memory() if isinstance(inputs, PaddedSpectrum) else [image.pin_memory() for image in inputs],
            [{name: value.pin_memory() for name, value in target.items()} for target in self.targets],
        )


register_node(
    DetectionBatch,
    ("inputs", "targets"),
    lambda _: [],
    lambda _: (),
    refusal="holds boxes and masks, which it would leave as they are",
)


class DetectionDataset(Dataset[FetchResult]):
    """Fetch whole batches of (epoch, index) pairs.

    Args:
        images: the data set on disk.
        reader: how files become frames.
        frames: which part of a photo, and how large.
        seed: of the random parameters.
        threads: that read; 0 for one per CPU.
        training: draw random parameters, leave out crowds, and clip boxes to the frame.
        masks: whether targets have masks.
        indexes: by which crops are decoded without the rest, as `PhotoIndexes`: ``"auto"``, a `FolderIndex`, or None.
    """

    def __init__(
        self,
        images: CocoDataset,
        reader: FrameReader,
        frames: FrameSettings,
        *,
        seed: int = 0,
        threads: int = 0,
        training: bool = False,
        masks: bool = False,
        indexes: IndexChoice = "auto",
    ) -> None:
        if frames.unit % reader.unit:
            raise ValueError(
                f"frames of multiples of {frames.unit} pixels, and blocks of {reader.unit}; give multiples"
            )
        self.images, self.reader, self.frames, self.seed = images, reader, frames, seed
        self.threads, self.training, self.masks = threads or os.cpu_count() or 1, training, masks
        self.indexes = PhotoIndexes(indexes, images.root)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> FetchResult:
        """Fetch one frame as a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> FetchResult:
        """Fetch the frames of (epoch, index) pairs; files that cannot be read are left out and listed."""
        images = [self.images.samples[index] for _, index in keys]
        targets = dict[int, Target]()

        def draw(place: int, size: tuple[int, int]) -> ResizeParams:
            image = images[place]
            if size != (image.height, image.width):
                raise DatasetError(
                    f"{image.path}: is {size[1]} x {size[0]} pixels upright, and annotated as {image.width} x "
                    f"{image.height}; mend the annotations, or the file's orientation"
                )
            generator = sample_generator(self.seed, *keys[place])
            params = self.frames.make_params(size, generator, training=self.training)
            targets[place] = self._target(image, params)
            return params

        sources = self.images.sources([index for _, index in keys])
        draw_threads = self.threads if self.masks else 1  # masks take long to draw
        indexes = self.indexes.open()
        read = read_drawn(self.reader, sources, draw, self.threads, draw_threads=draw_threads, indexes=indexes)
        batch = DetectionBatch(read.inputs, [targets[place] for place in read.kept])
        failures = tuple(with_path(failure, images[failure.index].path) for failure in read.failures)
        return FetchResult(batch, failures)

    def _target(self, image: CocoImage, params: ResizeParams) -> Target:
        objects = [one for one in image.objects if not (self.training and one.crowd)]
        boxes = np.array([one.box for one in objects], dtype=np.float64).reshape(len(objects), 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = boxes_in_frame(boxes, params).clip(0, np.tile(params.size[::-1], 2))
        kept = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) >= _SMALLEST_SIDE).tolist()
        box = params.box
        target = {
            "boxes": torch.from_numpy(boxes[kept]).float(),
            "labels": torch.tensor([objects[place].label for place in kept], dtype=torch.int64),
            "image_id": torch.tensor(image.image_id),
            "original_size": torch.tensor([image.height, image.width]),
            "frame_size": torch.tensor(params.size),
            "crop": torch.tensor([box.top, box.left, box.height, box.width], dtype=torch.float64),
            "flipped": torch.tensor(params.flipped),
        }
        if not self.masks:
            return target
        photo = (image.height, image.width)
        drawn = [mask_in_frame(objects[place].segmentation, photo, params) for place in kept]
        masks = torch.from_numpy(np.stack(drawn) if drawn else np.zeros((0, *params.size), dtype=np.uint8))
        if self.training:  # of an object without a mask, or whose mask was cut away, nothing but background is learned
            seen = masks.bool().flatten(1).any(1)
            target["boxes"], target["labels"], masks = target["boxes"][seen], target["labels"][seen], masks[seen]
        target["masks"] = masks
        return target


class DetectionLoader(BatchLoader):
    """Yield an epoch's batches; while training, of photos that are all upright or all lying, so that little is padded.

    Args:
        dataset: what fetches them.
        batch_size: samples of a global batch, those of all ranks together.
        options: as `BatchLoader`, without ``block_shuffle``.

    Raises:
        ValueError: an argument is outside its range, or ``block_shuffle`` is given.
    """

    def __init__(self, dataset: DetectionDataset, *, batch_size: int, **options: Any) -> None:
        if options.get("block_shuffle") is not None:
            raise ValueError("block_shuffle: batches of detectors are of upright or of lying photos; leave it out")
        super().__init__(dataset, batch_size=batch_size, training=dataset.training, **options)
        self._lying = np.array([image.width >= image.height for image in dataset.images.samples])

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Draw an epoch's order, batch by batch of one kind; what is left of both kinds comes last."""
        if not self.training:
            return np.arange(len(self.dataset))
        drawn = draw_order(len(self.dataset), self.dataset.seed, epoch)
        kinds = [drawn[self._lying[drawn] == lying] for lying in (False, True)]
        whole = [kind[: len(kind) // self.batch_size * self.batch_size] for kind in kinds]
        rest = np.concatenate([kind[len(part) :] for kind, part in zip(kinds, whole, strict=True)])
        batches = np.concatenate(whole).reshape(-1, self.batch_size)
        return np.concatenate([*batches[draw_order(len(batches), self.dataset.seed, epoch, draw=1)], rest])
