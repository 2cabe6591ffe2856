"""The pipeline that folding replaces, in float64, from definitions: blocks to pixels to a smaller image to RGB.

No code of ours; the transforms are written as sums of cosines.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def cosine(size: int, frequency: int, sample: int) -> float:
    """Give an orthonormal DCT-II's basis function at one sample."""
    scale = math.sqrt((1 if frequency == 0 else 2) / size)
    return scale * math.cos((2 * sample + 1) * frequency * math.pi / (2 * size))


def plane(coefficients: Array, size: int, reduction: str) -> Array:
    """Give a component's samples, ``size`` a block along each axis, from [v, u, bh, bw]."""
    full = 8 if reduction == "box" else size
    table = np.array([[cosine(full, frequency, sample) for sample in range(full)] for frequency in range(full)])
    blocks = np.einsum("vuab,vy,ux->aybx", coefficients[:full, :full], table, table)
    samples = blocks.reshape(full * blocks.shape[0], -1)
    ratio = 8 // size
    if reduction == "dct":
        return samples / ratio
    down, across = (side // ratio for side in samples.shape)
    return samples.reshape(down, ratio, across, ratio).mean((1, 3))


def rgb(coefficients: Array, size: int, reduction: str) -> Array:
    """Give R, G, B, nominally in 0..1, from all coefficients [192, bh, bw]."""
    parts = coefficients.reshape(3, 8, 8, *coefficients.shape[1:])
    y, cb, cr = (plane(part, size, reduction) for part in parts)
    red = y + 1.402 * cr
    blue = y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return (np.stack([red, green, blue]) + 128) / 255
