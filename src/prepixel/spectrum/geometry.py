"""Flips, transposes and quarter turns of coefficients, exactly.

Mirroring an axis reverses its blocks and negates its odd frequencies; transposing exchanges the axes of blocks and
of frequencies. All eight EXIF orientations are "mirror the stored axes, then perhaps transpose", and so are written.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor

from prepixel.jpeg.image import Component, JpegImage
from prepixel.spectrum.boxes import axis_order
from prepixel.spectrum.dct import BLOCK


def flip_horizontal(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bh bw v u"]:
    """Mirror coefficients left to right, exactly: reverse the block columns, negate odd u.

    >>> flip_horizontal(torch.tensor([[[[1, 2]], [[3, 4]]]])).tolist()
    [[[[3, -4]], [[1, -2]]]]
    """
    return blocks.flip(-3) * _signs(blocks, blocks.shape[-1])


def flip_vertical(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bh bw v u"]:
    """Mirror coefficients top to bottom, exactly: reverse the block rows, negate odd v."""
    return blocks.flip(-4) * _signs(blocks, blocks.shape[-2])[:, None]


def transpose(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bw bh u v"]:
    """Exchange rows and columns, of blocks and of frequencies, exactly."""
    return blocks.transpose(-4, -3).transpose(-2, -1).clone(memory_format=torch.contiguous_format)


def transverse(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bw bh u v"]:
    """Exchange rows and columns about the other diagonal, exactly."""
    return transpose(rotate_180(blocks))


def rotate_90(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bw bh u v"]:
    """Rotate coefficients a quarter clockwise, exactly."""
    return transpose(flip_vertical(blocks))


def rotate_180(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bh bw v u"]:
    """Rotate coefficients by half, exactly."""
    return flip_vertical(flip_horizontal(blocks))


def rotate_270(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bw bh u v"]:
    """Rotate coefficients a quarter counter-clockwise (three quarters clockwise), exactly."""
    return transpose(flip_horizontal(blocks))


def orient(blocks: Num[Tensor, "*lead bh bw v u"], orientation: int) -> Num[Tensor, "*lead new_bh new_bw new_v new_u"]:
    """Make the coefficients of a picture stored in an EXIF orientation upright, exactly.

    The blocks must be full: a plane whose last block is padded has no exact mirror image on the same lattice.

    Raises:
        ValueError: the orientation is not 1..8.
    """
    order = axis_order(orientation)
    if order.reverse_rows:
        blocks = flip_vertical(blocks)
    if order.reverse_columns:
        blocks = flip_horizontal(blocks)
    return transpose(blocks) if order.transposed else blocks.clone()


def _signs(blocks: Num[Tensor, "*lead bh bw v u"], size: int) -> Num[Tensor, " size"]:
    signs = torch.ones(size, dtype=blocks.dtype, device=blocks.device)
    signs[1::2] = -1
    return signs


def transform(image: JpegImage, orientation: int, *, trim: bool = False) -> JpegImage:
    """Mirror, transpose or turn a JPEG's quantized coefficients, exactly, as jpegtran does.

    The transform is the one that makes a picture of this EXIF orientation upright: 2 is ``jpegtran -flip horizontal``,
    3 ``-rotate 180``, 4 ``-flip vertical``, 5 ``-transpose``, 6 ``-rotate 90``, 7 ``-transverse``, 8 ``-rotate 270``.
    ``image.orientation`` itself is neither used nor changed; see `upright`.

    Args:
        image: any color, any sampling.
        orientation: 1..8.
        trim: drop the partial iMCU at the end of an axis that must be reversed, like jpegtran's ``-trim``.

    Raises:
        ValueError: the orientation is not 1..8; or an axis to be reversed ends in a partial iMCU, and ``trim`` is False
            or would leave nothing. A transposition alone is exact for every size.
    """
    order = axis_order(orientation)
    unit = _imcu_size(image)
    height = _reversible(image.height, unit[0], "height", trim) if order.reverse_rows else image.height
    width = _reversible(image.width, unit[1], "width", trim) if order.reverse_columns else image.width
    maximum = image.max_sampling
    components = tuple(
        _transform_component(
            component,
            -(-height * component.sampling[0] // maximum[0]),
            -(-width * component.sampling[1] // maximum[1]),
            orientation,
        )
        for component in image.components
    )
    if order.transposed:
        height, width = width, height
    return replace(image, height=height, width=width, components=components)


def upright(image: JpegImage, *, trim: bool = False) -> JpegImage:
    """Apply an image's own EXIF orientation to its quantized coefficients, exactly; the result's orientation is 1.

    Networks need no such step (`resample` takes orientation into account for every size); files do.

    Raises:
        ValueError: as `transform`.
    """
    return replace(transform(image, image.orientation, trim=trim), orientation=1)


def _imcu_size(image: JpegImage) -> tuple[int, int]:
    """Return height and width of an interleaved MCU; one component alone is not interleaved (T.81, A.2.2)."""
    v, h = image.max_sampling if len(image.components) > 1 else (1, 1)
    return BLOCK * v, BLOCK * h


def _reversible(size: int, unit: int, name: str, trim: bool) -> int:
    rest = size % unit
    if not rest:
        return size
    if not trim:
        raise ValueError(
            f"{name} {size} is not a multiple of {unit} (the iMCU), so the last {rest} cannot be mirrored exactly; "
            f"pass trim=True to drop them"
        )
    if size < unit:
        raise ValueError(f"{name} {size} is less than one iMCU ({unit}): trimming would leave nothing to mirror")
    return size - rest


def _transform_component(component: Component, height: int, width: int, orientation: int) -> Component:
    blocks = component.quantized[: -(-height // BLOCK), : -(-width // BLOCK)]
    turned = orient(torch.from_numpy(np.ascontiguousarray(blocks)), orientation).numpy()
    if not axis_order(orientation).transposed:
        return replace(component, height=height, width=width, quantized=turned)
    return replace(
        component,
        sampling=(component.sampling[1], component.sampling[0]),
        height=width,
        width=height,
        quantized=turned,
        quantization=np.ascontiguousarray(component.quantization.T),
    )
