"""Shared by tests of the native implementation: a derived bound on its rounding errors, its instruction sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from prepixel import _native
from prepixel.jpeg.image import JpegImage
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Box, Filter, axis_order
from prepixel.spectrum.crop_arrays import CropArrays
from prepixel.spectrum.photometry import RGB_TO_YCBCR
from prepixel.spectrum.reference import axis_matrix, dequantize

# Half the distance from 1 to the next float32.
ROUNDOFF = 2.0**-24


def error_bound(
    image: JpegImage, box: Box, grid: tuple[int, int], bands: BandSet, *, flip: bool, filter_name: Filter
) -> torch.Tensor:
    """Bound what float32 arithmetic may change, value by value, from |L| |X| |R|^T.

    Each value is a sum of products of two matrix entries and a coefficient. Rounded are: the coefficient (times its
    table) and both entries, 3; every product and sum of an axis whose output block reads b input blocks, 1 + 8 b; for
    RGB the weight, its product and the sums of three planes, 5. To first order errors add up; 1 % covers the rest,
    and 1e-12 of the largest value that the float64 matrices themselves are only good to their own roundings.
    """
    order = axis_order(image.orientation)
    stored = box.in_stored_axes((image.height, image.width), image.orientation)
    stored_grid = grid[::-1] if order.transposed else grid
    bound = torch.zeros(len(bands), *grid, dtype=torch.float64)
    v_max, h_max = image.max_sampling
    for index, component in enumerate(image.components):
        v, h = component.sampling
        down = axis_matrix(
            component.height,
            stored_grid[0],
            start=stored.top * v / v_max,
            length=stored.height * v / v_max,
            flip=order.reverse_rows != (flip and order.transposed),
            filter=filter_name,
        )
        across = axis_matrix(
            component.width,
            stored_grid[1],
            start=stored.left * h / h_max,
            length=stored.width * h / h_max,
            flip=order.reverse_columns != (flip and not order.transposed),
            filter=filter_name,
        )
        blocks = dequantize(component).abs()
        plane = blocks.permute(0, 2, 1, 3).reshape(down.shape[1], across.shape[1])
        roundings = 3 + (1 + terms(down)) + (1 + terms(across)) + (5 if image.color == "rgb" else 0)
        magnitude = down.abs() @ plane @ across.abs().T
        errors = (1.01 * ROUNDOFF * roundings * magnitude + 1e-12 * magnitude.max()).reshape(
            stored_grid[0], 8, stored_grid[1], 8
        )
        errors = errors.permute(3, 1, 2, 0) if order.transposed else errors.permute(1, 3, 0, 2)
        for f, (c, row, column) in enumerate(bands):
            weight = abs(float(RGB_TO_YCBCR[c][index])) if image.color == "rgb" else float(c == index)
            bound[f] += weight * errors[row, column]
    return bound


def terms(matrix: torch.Tensor) -> int:
    """Count the columns of all blocks that the busiest output block reads."""
    rows, columns = matrix.shape
    read = matrix.reshape(rows // 8, 8, columns // 8, 8).abs().amax((1, 3)) > 0
    return 8 * int(read.sum(1).max())


def at_level(
    simd: str, image: JpegImage, box: Box, out: np.ndarray[Any, Any], bands: BandSet, **more: Any
) -> np.ndarray[Any, Any]:
    """Resample by one of `_native.simd_levels()`; int8 where ``out`` is."""
    f = len(bands)
    planes = [(c.quantized, c.quantization, c.sampling, c.height, c.width) for c in image.components]
    options: dict[str, Any] = {
        "channels": np.array(list(bands), dtype=np.int32),
        "factors": np.full(f, 0.125, dtype=np.float32),
        "offsets": np.linspace(-3, 4, f, dtype=np.float32),
        "filter": "bilinear",
        **CropArrays(np.array([[box.top, box.left, box.height, box.width]], dtype=np.float64)).native(),
    }
    _native.spectrum_of_planes(
        planes, image.height, image.width, image.orientation, image.color, out, simd=simd, **options | more
    )
    return out


def whole(sizes: Sequence[int]) -> Box:
    """Give the box of a whole upright image."""
    return Box(0, 0, sizes[0], sizes[1])
