"""The reference pipeline in float64: decode to pixels, crop, resize with antialiasing, transform block by block.

No code of ours. Everything is written from definitions, point by point: the DCT as T.81's double sum, orientation as a
map of points, a filter as a function of distance. Nothing is rounded or clamped, and chroma is not enlarged first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Kernel = Callable[[float], float]


def triangle(t: float) -> float:
    return max(0.0, 1.0 - abs(t))


def catmull_rom(t: float) -> float:
    """Keys's piecewise cubic with a = -0.5, from its general form."""
    a, t = -0.5, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return 0.0


KERNELS: dict[str, Kernel] = {"bilinear": triangle, "bicubic": catmull_rom}


def _cosines() -> Array:
    table = np.empty((8, 8))
    for frequency in range(8):
        for sample in range(8):
            c = 1 / math.sqrt(2) if frequency == 0 else 1.0
            table[frequency, sample] = c / 2 * math.cos((2 * sample + 1) * frequency * math.pi / 16)
    return table


COSINES = _cosines()


def decode_plane(coefficients: Array, height: int, width: int) -> Array:
    """Give the true samples of a component from dequantized blocks [bh, bw, v, u], level-shifted. (T.81, A.3.3)"""
    samples = np.einsum("abvu,vy,ux->aybx", coefficients, COSINES, COSINES)
    down, across = coefficients.shape[:2]
    return np.ascontiguousarray(samples.reshape(8 * down, 8 * across)[:height, :width])


def encode_plane(samples: Array) -> Array:
    """Give coefficients [v, u, bh, bw] of a plane whose sides are multiples of 8."""
    down, across = (side // 8 for side in samples.shape)
    return np.einsum("aybx,vy,ux->vuab", samples.reshape(down, 8, across, 8), COSINES, COSINES)


def taps(center: float, width: float, begin: float, end: float, num_samples: int, kernel: Kernel) -> list[float]:
    """Weigh all samples of an axis for one output point; sample j is a pixel that covers [j, j + 1).

    Only samples that overlap the crop [begin, end) count. ``width`` is the spacing of output points.
    """
    stretch = max(1.0, width)
    weights = [0.0] * num_samples
    for j in range(num_samples):
        if j + 1 > begin and j < end:
            weights[j] = kernel((j + 0.5 - center) / stretch)
    total = sum(weights)
    return [weight / total for weight in weights]


# For each EXIF orientation, where the point (y, x) of the upright picture lies in the stored one, of height H, width W.
# Written from the standard's table: which side of the picture the stored row 0 and column 0 are.
STORED_POINT: dict[int, Callable[[float, float, float, float], tuple[float, float]]] = {
    1: lambda y, x, H, W: (y, x),
    2: lambda y, x, H, W: (y, W - x),
    3: lambda y, x, H, W: (H - y, W - x),
    4: lambda y, x, H, W: (H - y, x),
    5: lambda y, x, H, W: (x, y),
    6: lambda y, x, H, W: (H - x, y),
    7: lambda y, x, H, W: (H - x, W - y),
    8: lambda y, x, H, W: (x, W - y),
}


def resize_plane(
    plane: Array,
    *,
    stored_size: tuple[int, int],
    ratio: tuple[float, float],
    orientation: int,
    box: tuple[float, float, float, float],
    output: tuple[int, int],
    flip: bool,
    filter_name: str,
) -> Array:
    """Give the upright, cropped, resized samples of a stored component.

    Args:
        plane: the component's samples, as stored.
        stored_size: luma's (height, width), as stored.
        ratio: luma pixels for each of the component's samples, down and across.
        orientation: EXIF.
        box: top, left, height, width in upright luma pixels.
        output: samples down and across.
        flip: mirror the upright result left to right.
        filter_name: bilinear or bicubic.
    """
    kernel, point = KERNELS[filter_name], STORED_POINT[orientation]
    top, left, height, width = box
    first, last = point(top, left, *stored_size), point(top + height, left + width, *stored_size)
    begin = [min(first[axis], last[axis]) / ratio[axis] for axis in (0, 1)]
    end = [max(first[axis], last[axis]) / ratio[axis] for axis in (0, 1)]
    swapped = orientation >= 5
    points = [output[1], output[0]] if swapped else list(output)
    weights: list[dict[float, list[float]]] = [{}, {}]

    def weigh(axis: int, center: float) -> list[float]:
        if center not in weights[axis]:
            spacing = (end[axis] - begin[axis]) / points[axis]
            weights[axis][center] = taps(center, spacing, begin[axis], end[axis], plane.shape[axis], kernel)
        return weights[axis][center]

    rows: list[list[Sequence[float]]] = []
    columns: list[list[Sequence[float]]] = []
    for i in range(output[0]):
        y = top + (i + 0.5) * height / output[0]
        centers = []
        for j in range(output[1]):
            jj = output[1] - 1 - j if flip else j
            x = left + (jj + 0.5) * width / output[1]
            stored_y, stored_x = point(y, x, *stored_size)
            centers.append((weigh(0, stored_y / ratio[0]), weigh(1, stored_x / ratio[1])))
        rows.append([down for down, _ in centers])
        columns.append([across for _, across in centers])
    # Each output point: sum over the plane of its two weights' product.
    return np.einsum("ijy,yx,ijx->ij", np.array(rows), plane, np.array(columns), optimize=False)


def rgb_to_ycbcr(red: Array, green: Array, blue: Array) -> tuple[Array, Array, Array]:
    """Convert samples in 0..255, as JFIF writes it; chroma about 128."""
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128


def spectrum(
    planes: Sequence[Array],
    ratios: Sequence[tuple[float, float]],
    *,
    stored_size: tuple[int, int],
    color: str,
    orientation: int,
    box: tuple[float, float, float, float],
    grid: tuple[int, int],
    flip: bool,
    filter_name: str,
    turns: int = 0,
) -> Array:
    """Return all 192 channels [c, v, u, bh, bw] of an image whose level-shifted component samples are given.

    The grid is that of the result, which is turned by ``turns`` quarters counter-clockwise after the flip.
    """
    grid = grid[::-1] if turns % 2 else grid
    resized = [
        resize_plane(
            plane,
            stored_size=stored_size,
            ratio=ratio,
            orientation=orientation,
            box=box,
            output=(8 * grid[0], 8 * grid[1]),
            flip=flip,
            filter_name=filter_name,
        )
        for plane, ratio in zip(planes, ratios, strict=True)
    ]
    if color == "gray":
        resized = [resized[0], np.zeros_like(resized[0]), np.zeros_like(resized[0])]
    elif color == "rgb":
        resized = [plane - 128 for plane in rgb_to_ycbcr(*(plane + 128 for plane in resized))]
    return np.stack([encode_plane(np.rot90(plane, turns)) for plane in resized])
