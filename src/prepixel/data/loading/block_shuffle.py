"""Shuffle an epoch by blocks of neighbors, each of which a store gives by one request."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from prepixel.array_types import Int64
from prepixel.data.parallel import map_in_order
from prepixel.data.random_streams import Stream, draw_order, sample_generator
from prepixel.jpeg.source import Source

_REQUESTS = 32  # blocks that are read at once; as many more may wait
Key = tuple[int, int]
"""Epoch and index of a sample."""


@dataclass(frozen=True)
class BlockShuffle:
    """Draw orders in which few blocks of neighboring samples are in use at a time.

    A data set's samples are cut into blocks of neighbors. Blocks are drawn in random order, ``open_blocks`` at a time;
    of those an epoch takes one sample each in turn, each block's in random order of its own. So every sample is seen
    once, the samples of a batch of at most ``open_blocks`` are of different blocks, and a process of N, where N
    divides ``open_blocks`` and the batch, uses every N-th block alone. Which samples meet in a batch is less
    random than with a shuffle of all: where neighbors are alike, as in a folder packed class by class, a batch
    has as many samples of a block as it is larger than ``open_blocks``.

    Attributes:
        block_size: samples of a block.
        open_blocks: blocks in use at a time; their bytes are in memory where they come from a store.

    Raises:
        ValueError: a number is below 1.
    """

    block_size: int = 32
    open_blocks: int = 64

    def __post_init__(self) -> None:
        if self.block_size < 1 or self.open_blocks < 1:
            raise ValueError(f"{self}: both numbers must be 1 or greater")

    def order(self, num_samples: int, seed: int, epoch: int) -> Int64[np.ndarray, " num_samples"]:
        """Draw the order of an epoch's samples: a permutation, a function of its arguments."""
        size, whole = self.block_size, num_samples // self.block_size
        raw = sample_generator(seed, epoch, 2, Stream.ORDER).bit_generator.random_raw(whole * size)
        within = np.argsort(np.asarray(raw, dtype=np.uint64).reshape(whole, size), axis=1, kind="stable")
        blocks = within + np.arange(whole)[:, None] * size
        blocks = blocks[draw_order(whole, seed, epoch)]
        turns = whole // self.open_blocks * self.open_blocks
        whole_turns = blocks[:turns].reshape(-1, self.open_blocks, size).transpose(0, 2, 1).reshape(-1)
        rest = np.concatenate([blocks[turns:].reshape(-1), np.arange(whole * size, num_samples)])
        last = rest[draw_order(len(rest), seed, epoch, draw=3)]
        return np.concatenate([whole_turns, last]).astype(np.int64)


def fetch_by_blocks(
    batches: Sequence[list[Key]], block_size: int, fetch: Callable[[list[Key]], Sequence[Source]]
) -> Generator[tuple[list[Key], list[Source]], None, None]:
    """Yield batches in order, each with what its samples are read from; what they use of a block is fetched at once.

    Blocks are fetched ahead, in the order in which they are needed first, and held until their last sample is used.

    Args:
        batches: keys of the samples of each batch.
        block_size: samples of a block.
        fetch: returns what the samples of keys are read from.
    """
    uses = Counter(index for batch in batches for _, index in batch)
    blocks: dict[int, list[Key]] = {}
    for index in uses:
        blocks.setdefault(index // block_size, []).append((0, index))
    held: dict[int, Source] = {}

    def fetch_block(keys: list[Key]) -> list[tuple[int, Source]]:
        keys.sort()
        return list(zip((index for _, index in keys), fetch(keys), strict=True))

    with contextlib.closing(map_in_order(fetch_block, blocks.values(), _REQUESTS, ahead=1)) as fetched:
        for batch in batches:
            for _, index in batch:
                while index not in held:
                    held.update(next(fetched))
            sources = [held[index] for _, index in batch]
            for _, index in batch:
                uses[index] -= 1
                if not uses[index]:
                    del held[index]
            yield batch, sources
