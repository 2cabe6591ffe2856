"""Random streams that are functions of seed, epoch and index."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from prepixel.array_types import Int64

_WORD = 2**64


class Stream(IntEnum):
    """Identify what random numbers are for, so that no two purposes share them."""

    ORDER = 0
    CROP = 1
    AUGMENT = 2


def sample_generator(seed: int, epoch: int, index: int, stream: Stream = Stream.CROP) -> np.random.Generator:
    """Make the random generator of one sample in one epoch.

    Philox is keyed by (seed, epoch) and counts from (index, stream), so generators of different samples never share
    a number: each has 2**64 blocks of its own before the next begins.

    Args:
        seed, epoch, index: each in [0, 2**64).
        stream: what the numbers are for.

    Raises:
        ValueError: a number is outside its range.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("index", index)):
        if not 0 <= value < _WORD:
            raise ValueError(f"{name} {value} is outside [0, 2**64); use a whole number that is not negative")
    key = np.array([seed, epoch], dtype=np.uint64)
    counter = np.array([0, index, int(stream), 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def draw_order(num_samples: int, seed: int, epoch: int, draw: int = 0) -> Int64[np.ndarray, " num_samples"]:
    """Draw the order of an epoch's samples: a permutation, each as likely as any other.

    It sorts raw 64-bit numbers of Philox, whose stream is fixed for ever, so orders outlive versions of NumPy.

    Args:
        num_samples: samples.
        seed, epoch: each in [0, 2**64).
        draw: which of several orders of one epoch.
    """
    raw = sample_generator(seed, epoch, draw, Stream.ORDER).bit_generator.random_raw(num_samples)
    return np.argsort(np.asarray(raw, dtype=np.uint64), kind="stable").astype(np.int64)
