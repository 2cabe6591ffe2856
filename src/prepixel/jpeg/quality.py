"""Estimate the libjpeg quality factor from a file's quantization tables."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from prepixel.array_types import Int64, UInt16

# Source: ITU-T T.81, Annex K, Table K.1 (luminance) and K.2 (chrominance); rows are v.
_LUMINANCE = """
16 11 10 16 24 40 51 61      12 12 14 19 26 58 60 55      14 13 16 24 40 57 69 56      14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77    24 35 55 64 81 104 113 92    49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMINANCE = """
17 18 24 47 99 99 99 99      18 21 26 66 99 99 99 99      24 26 56 99 99 99 99 99      47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99      99 99 99 99 99 99 99 99      99 99 99 99 99 99 99 99      99 99 99 99 99 99 99 99
"""


class Quality(NamedTuple):
    """The quality that a quantization table stands for.

    Attributes:
        quality: 1..100 on libjpeg's scale.
        exact: whether the table is libjpeg's of that quality, number by number; else it is the one that is as coarse
            on average, and the encoder may have called it anything.
    """

    quality: int
    exact: bool


def scaled_table(quality: int, *, chroma: bool = False) -> Int64[np.ndarray, "8 8"]:
    """Return the table that libjpeg writes for a quality, limited to 1..255 as baseline files need.

    Args:
        quality: 1..100.
        chroma: whether the table is that for chroma.

    Raises:
        ValueError: the quality is outside 1..100.

    Source: ITU-T T.81, Annex K, scaled as libjpeg's ``jpeg_quality_scaling`` does.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; libjpeg's scale goes from 1 to 100")
    base = np.array((_CHROMINANCE if chroma else _LUMINANCE).split(), dtype=np.int64).reshape(8, 8)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * percent + 50) // 100, 1, 255)


def estimate_quality(table: UInt16[np.ndarray, "8 8"], *, chroma: bool = False) -> Quality:
    """Find the quality whose table this is, or is nearest to.

    Nearest is by the mean of the logarithms of the steps: by how coarse the table is, whatever its shape.

    Args:
        table: the steps of one component, v down.
        chroma: whether to compare with the tables for chroma.
    """
    known = _all_scaled(chroma)
    for quality in range(100, 0, -1):
        if np.array_equal(known[quality - 1], table):
            return Quality(quality, exact=True)
    coarseness = np.log(known).mean(axis=(1, 2))
    own = np.log(np.maximum(table.astype(np.float64), 1)).mean()
    return Quality(int(np.abs(coarseness - own).argmin()) + 1, exact=False)


@functools.cache
def _all_scaled(chroma: bool) -> Int64[np.ndarray, "100 8 8"]:
    return np.stack([scaled_table(quality, chroma=chroma) for quality in range(1, 101)])
