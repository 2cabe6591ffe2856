"""Batches for training and evaluation: the same samples and crops for any number of threads, workers and ranks.

The order of an epoch and every draw are functions of (seed, epoch, sample index). A global batch is a run of that
order; of it each rank takes every world_size-th sample. So a run can be continued from any batch, by any number of
processes, and coefficients and pixels of a sample are always the same part of the same image.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from prepixel.data.datasets.folder import ImageDataset
from prepixel.data.datasets.listed import ListedDataset
from prepixel.data.loading.block_shuffle import BlockShuffle, Key, fetch_by_blocks
from prepixel.data.loading.crops import CenterCrop, Crop, CropParams
from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.readers import CropReader, PixelReader, SpectrumReader, read_drawn, with_path
from prepixel.data.parallel import map_in_order, map_unordered
from prepixel.data.random_streams import draw_order, sample_generator
from prepixel.errors import PrepixelError, ReadFailure
from prepixel.jpeg.source import Source
from prepixel.spectrum import Spectrum
from prepixel.spectrum.tree import register_node

_LOG = logging.getLogger(__name__)
# So many bad files are bad luck in a small data set; more than that, and more than the share allowed, are a mistake.
_FEW_BAD_FILES = 3
_STORE_BATCHES = 4  # whose samples a store is asked for at once
_REPEAT = 2**32  # epochs between the draws of a sample and those of its repetition

OnError = Literal["raise", "skip"]


class TooManyBadFiles(PrepixelError, ValueError):
    """Report a data set of which more cannot be read than the caller allows."""


_Batch = TypeVar("_Batch", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """Store one process's share of a global batch; smaller than asked for where files could not be read.

    Attributes:
        inputs: a spectrum, or uint8 RGB pixels (n, 3, y, x).
        targets: labels; of a batch whose images are mixed, probabilities of classes; of a `ListedDataset`, its rows.
        indices: places of the samples in the data set.
    """

    inputs: Spectrum | Tensor
    targets: Int64[Tensor, " n"] | Float[Tensor, "n k"]
    indices: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def to(self: _Batch, device: torch.device | str) -> _Batch:
        """Move all arrays to a device."""
        return replace(
            self,
            inputs=self.inputs.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            indices=self.indices.to(device, non_blocking=True),
        )

    def pin_memory(self: _Batch) -> _Batch:
        """Copy all arrays to page-locked memory, from which a copy to a CUDA device does not block."""
        return replace(
            self,
            inputs=self.inputs.pin_memory(),
            targets=self.targets.pin_memory(),
            indices=self.indices.pin_memory(),
        )


# Pixels may pass through torchvision's transforms; a spectrum among the inputs refuses.
register_node(Batch, ("inputs", "targets", "indices"), lambda _: [], lambda _: (), refusal=None)


class FetchResult(NamedTuple):
    """Store a batch and its read failures, as sent by worker processes."""

    batch: Any
    failures: tuple[ReadFailure, ...]


class CropDataset(Dataset[FetchResult]):
    """Fetch whole batches of (epoch, index) pairs by one call of the native pool: a map-style torch data set.

    torch's DataLoader asks a data set that has ``__getitems__`` for a batch at once; give it ``collate_fn=identity``.

    Args:
        files: the data set on disk.
        reader: how files become inputs.
        crop: which part of an image a sample is.
        seed: of the random parameters.
        threads: of the native pool; 0 for one per CPU.
        indexes: by which crops are decoded without the rest, as `PhotoIndexes`: ``"auto"``, a `FolderIndex`, or None.
    """

    def __init__(
        self,
        files: ImageDataset,
        reader: CropReader,
        crop: Crop,
        seed: int,
        threads: int,
        indexes: IndexChoice = "auto",
    ) -> None:
        self.files, self.reader, self.crop, self.seed, self.threads = files, reader, crop, seed, threads
        self.indexes = PhotoIndexes(indexes, files.root)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> FetchResult:
        """Fetch one crop as a batch of one."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[Key]) -> FetchResult:
        """Fetch the crops of (epoch, index) pairs; files that cannot be read are left out and listed."""
        return self.read_sources(keys, self.fetch_sources(keys))

    @property
    def waits_for_store(self) -> bool:
        """Return whether `fetch_sources` reads from a store."""
        return not isinstance(self.files.root, Path)

    def fetch_sources(self, keys: list[Key]) -> Sequence[Source]:
        """Return what the crops are read from: paths or bytes."""
        return self.files.sources([index for _, index in keys])

    def read_sources(self, keys: list[Key], sources: Sequence[Source]) -> FetchResult:
        """Read the crops from what `fetch_sources` returned."""
        samples = [self.files.samples[index] for _, index in keys]

        def draw(place: int, size: tuple[int, int]) -> CropParams:
            return self.crop.make_params(size, self.reader.aspect, sample_generator(self.seed, *keys[place]))

        crops = read_drawn(self.reader, sources, draw, self.threads, indexes=self.indexes.open())
        targets = self._targets([keys[place][1] for place in crops.kept])
        indices = torch.tensor([keys[place][1] for place in crops.kept], dtype=torch.int64)
        failures = tuple(with_path(failure, samples[failure.index].path) for failure in crops.failures)
        return FetchResult(Batch(crops.inputs, targets, indices), failures)

    def _targets(self, indices: Sequence[int]) -> Tensor:
        """Return labels, or the rows of a `ListedDataset`."""
        if isinstance(self.files, ListedDataset):
            return torch.from_numpy(self.files.targets[list(indices)])
        return torch.tensor([self.files.samples[index].label for index in indices], dtype=torch.int64)


def identity(fetched: Any) -> Any:
    """Collate nothing: the data set gives whole batches."""
    return fetched


class BatchLoader:
    """Yield an epoch's batches, read ahead while the network works.

    Args:
        dataset: fetches the samples of (epoch, index) pairs as one batch, and has a length and a seed.
        batch_size: samples of a global batch, those of all ranks together.
        training: shuffle each epoch and leave out a last batch that is not full; else keep the data set's order and
            all samples.
        repeats: in training, how often a batch has each of its samples, with another crop each time; divides
            ``batch_size``. An epoch is as long as without, of so many fewer samples.
        block_shuffle: in training, shuffle by blocks of neighbors, each of which a store gives by one request; None
            shuffles all samples.
        rank: this process's number.
        world_size: processes.
        workers: processes that read; 0 reads on a thread of this one, which is faster unless pixels are read.
        read_ahead: batches that wait for the network.
        pin_memory: whether batches lie in page-locked memory.
        on_error: ``"raise"`` the first file's error, or ``"skip"`` the file: logged once, counted in `failures`, never
            replaced by another.
        max_bad_fraction: of the data set; if more files (and more than 3) are skipped, reading stops.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        batch_size: int,
        training: bool = False,
        repeats: int = 1,
        block_shuffle: BlockShuffle | None = None,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
        read_ahead: int = 2,
        pin_memory: bool = False,
        on_error: OnError = "raise",
        max_bad_fraction: float = 0.01,
    ) -> None:
        if batch_size < 1 or read_ahead < 1 or workers < 0:
            raise ValueError(f"batch_size {batch_size}, read_ahead {read_ahead}, workers {workers}: 1, 1, 0 or more")
        if repeats < 1 or (repeats > 1 and not training):
            raise ValueError(f"repeats is {repeats}; it must be 1, or greater in training")
        if batch_size % repeats:
            raise ValueError(
                f"a batch of {batch_size} samples cannot have each {repeats} times; make it a multiple of repeats"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is none of {world_size} processes; ranks count from 0")
        if training and len(dataset) < batch_size:
            raise ValueError(
                f"the data set has {len(dataset)} images, fewer than one batch of {batch_size}; lower batch_size"
            )
        self.dataset = dataset
        self.batch_size, self.training, self.repeats = batch_size, training, repeats
        self.block_shuffle = block_shuffle if training else None
        self.rank, self.world_size = rank, world_size
        self.workers, self.read_ahead, self.pin_memory = workers, read_ahead, pin_memory
        self.on_error, self.max_bad_fraction = on_error, max_bad_fraction
        self._failures: dict[str, ReadFailure] = {}

    @property
    def failures(self) -> tuple[ReadFailure, ...]:
        """List the files that were left out so far, each once, in the order in which they were met."""
        return tuple(self._failures.values())

    def __repr__(self) -> str:
        purpose = "training" if self.training else "evaluation"
        return f"{type(self).__name__}({len(self.dataset)} images, batches of {self.batch_size}, for {purpose})"

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.training else math.ceil(n / self.batch_size)

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the order of an epoch's samples."""
        n = len(self.dataset)
        if not self.training:
            return np.arange(n)
        draw = draw_order if self.block_shuffle is None else self.block_shuffle.order
        return np.repeat(draw(n, self.dataset.seed, epoch), self.repeats)[:n]

    def epoch(self, epoch: int, first_batch: int = 0) -> Generator[Any, None, None]:
        """Yield the batches of an epoch, from ``first_batch`` on as an undisturbed pass would.

        Raises:
            PrepixelError, OSError: a file cannot be read, under ``on_error="raise"``.
            TooManyBadFiles: more than allowed cannot be read.
        """
        order, size = self.order(epoch), self.batch_size
        places = range(len(order))
        keys = [
            [
                (epoch + place % self.repeats * _REPEAT, int(order[place]))
                for place in places[size * b : size * (b + 1)][self.rank :: self.world_size]
            ]
            for b in range(first_batch, len(self))
        ]
        loader: DataLoader[Any] = DataLoader(
            self.dataset,
            batch_sampler=keys,
            num_workers=self.workers,
            collate_fn=identity,
            prefetch_factor=self.read_ahead if self.workers else None,
        )
        with contextlib.ExitStack() as stack:
            fetched: Iterator[FetchResult] = iter(loader)
            if not self.workers and getattr(self.dataset, "waits_for_store", False):
                fetched = stack.enter_context(contextlib.closing(self._from_store(keys)))
            elif not self.workers:
                ahead = map_unordered(identity, fetched, threads=1, ahead=self.read_ahead)
                fetched = stack.enter_context(contextlib.closing(ahead))
            for batch, failures in fetched:
                self._note(failures)
                yield batch.pin_memory() if self.pin_memory else batch

    def _from_store(self, keys: list[list[Key]]) -> Generator[FetchResult, None, None]:
        """Yield batches in order: the store is asked for some of them at once while others are decoded."""
        fetch, shuffle = self.dataset.fetch_sources, self.block_shuffle
        if shuffle is None:
            sources = map_in_order(lambda own: (own, fetch(own)), keys, _STORE_BATCHES, ahead=1)
        else:
            sources = fetch_by_blocks(keys, shuffle.block_size, fetch)
        with contextlib.closing(sources):
            read = map_unordered(lambda pair: self.dataset.read_sources(*pair), sources, 1, ahead=self.read_ahead)
            with contextlib.closing(read) as batches:
                yield from batches

    def _note(self, failures: tuple[ReadFailure, ...]) -> None:
        for failure in failures:
            if self.on_error == "raise":
                raise failure.error
            if failure.source not in self._failures:
                self._failures[failure.source] = failure
                _LOG.warning("left out: %s", failure.error)
        n = len(self.dataset)
        if len(self._failures) > max(_FEW_BAD_FILES, self.max_bad_fraction * n):
            raise TooManyBadFiles(
                f"{len(self._failures)} of {n} files cannot be read, more than max_bad_fraction = "
                f"{self.max_bad_fraction:g} allows; the last: {next(reversed(self._failures.values())).message}. "
                "List them all with: prepixel scan"
            )


class CropLoader(BatchLoader):
    """Yield an epoch's batches of crops of a classification data set.

    Args:
        files: the data set on disk.
        reader: `SpectrumReader` or `PixelReader`.
        batch_size: samples of a global batch, those of all ranks together.
        crop: which part of an image a sample is.
        seed: of the order and the random parameters.
        threads: of the native pool; 0 for one per CPU.
        indexes: by which crops are decoded without the rest: ``"auto"`` for those of the folder (`prepixel index`) or
            inside the files, a `FolderIndex`, or None. Batches do not depend on it.
        options: as `BatchLoader`.
    """

    def __init__(
        self,
        files: ImageDataset,
        reader: CropReader,
        *,
        batch_size: int,
        crop: Crop | None = None,
        seed: int = 0,
        threads: int = 0,
        indexes: IndexChoice = "auto",
        **options: Any,
    ) -> None:
        dataset = CropDataset(files, reader, crop or CenterCrop(), seed, threads, indexes)
        super().__init__(dataset, batch_size=batch_size, **options)


class SpectrumLoader(CropLoader):
    """Yield batches of spectra; see `CropLoader`."""

    def __init__(self, files: ImageDataset, reader: SpectrumReader, **options: Any) -> None:
        super().__init__(files, reader, **options)


class PixelLoader(CropLoader):
    """Yield batches of uint8 RGB pixels, of the same samples and crops; see `CropLoader`."""

    def __init__(self, files: ImageDataset, reader: PixelReader, **options: Any) -> None:
        super().__init__(files, reader, **options)
