"""Flips, transposes and quarter turns of coefficients, exactly; and where an upright box lies in a stored image.

Mirroring an axis reverses its blocks and negates its odd frequencies; transposing exchanges the axes of blocks and
of frequencies. All eight EXIF orientations are "mirror the stored axes, then perhaps transpose", and so are written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor

from prepixel.jpeg.image import Component, JpegImage
from prepixel.spectrum.dct import BLOCK

# Whole numbers are welcome where real ones are.
Real = float | int

# A box may stick out of its image by the rounding of float arithmetic, in pixels; taps are clipped to the image anyway.
BOX_SLACK = 1e-6


class AxisOrder(NamedTuple):
    """Say how stored axes become upright ones: reverse rows, reverse columns, then transpose.

    Attributes:
        reverse_rows: the stored image is mirrored top to bottom.
        reverse_columns: the stored image is mirrored left to right.
        transposed: afterwards rows become columns.
    """

    reverse_rows: bool
    reverse_columns: bool
    transposed: bool


# Source: Exif 2.32 (CIPA DC-008), tag 274: the sides of the picture at which row 0 and column 0 are.
_ORIENTATIONS: dict[int, AxisOrder] = {
    1: AxisOrder(False, False, False),  # row 0 top, column 0 left
    2: AxisOrder(False, True, False),  # top, right
    3: AxisOrder(True, True, False),  # bottom, right
    4: AxisOrder(True, False, False),  # bottom, left
    5: AxisOrder(False, False, True),  # left, top
    6: AxisOrder(True, False, True),  # right, top: a quarter turn clockwise makes it upright
    7: AxisOrder(True, True, True),  # right, bottom
    8: AxisOrder(False, True, True),  # left, bottom: a quarter turn counter-clockwise
}


def axis_order(orientation: int) -> AxisOrder:
    """Give the reversals and the transposition that make a picture of an EXIF orientation upright.

    Raises:
        ValueError: the orientation is not 1..8.

    >>> axis_order(6)
    AxisOrder(reverse_rows=True, reverse_columns=False, transposed=True)
    """
    if orientation not in _ORIENTATIONS:
        raise ValueError(f"EXIF orientations are 1..8, not {orientation}; 1 is a picture that is upright as stored")
    return _ORIENTATIONS[orientation]


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
    """Turn coefficients a quarter clockwise, exactly."""
    return transpose(flip_vertical(blocks))


def rotate_180(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bh bw v u"]:
    """Turn coefficients by half, exactly."""
    return flip_vertical(flip_horizontal(blocks))


def rotate_270(blocks: Num[Tensor, "*lead bh bw v u"]) -> Num[Tensor, "*lead bw bh u v"]:
    """Turn coefficients a quarter counter-clockwise (three quarters clockwise), exactly."""
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


@dataclass(frozen=True)
class Box:
    """Hold a rectangle in luma pixels of an upright image; real numbers are allowed.

    Attributes:
        top: distance of the upper edge from the image's, in pixels; pixel y covers [y, y + 1).
        left: distance of the left edge from the image's.
        height: more than 0.
        width: more than 0.
    """

    top: Real
    left: Real
    height: Real
    width: Real

    def check_inside(self, size: tuple[int, int]) -> None:
        """Refuse a box that is empty, not finite, or sticks out of an upright image of (height, width).

        Raises:
            ValueError: one of these; the text gives box and size.
        """
        edges = (self.top, self.left, self.height, self.width)
        if not all(math.isfinite(edge) for edge in edges) or self.height <= 0 or self.width <= 0:
            raise ValueError(f"{self} is not a box: its edges must be finite and its height and width above 0")
        bottom, right = self.top + self.height, self.left + self.width
        inside = min(self.top, self.left) >= -BOX_SLACK
        if not inside or bottom > size[0] + BOX_SLACK or right > size[1] + BOX_SLACK:
            raise ValueError(
                f"{self} reaches from ({self.top:g}, {self.left:g}) to ({bottom:g}, {right:g}), outside the upright "
                f"image of {size[0]} x {size[1]} (height x width); boxes count from the picture as seen"
            )

    def in_stored_axes(self, stored_size: tuple[int, int], orientation: int) -> Box:
        """Give the same rectangle in pixels of the stored image.

        Args:
            stored_size: (height, width) as stored.
            orientation: EXIF orientation of the stored image.

        >>> Box(0, 10, 5, 20).in_stored_axes((100, 50), 6)
        Box(top=70, left=0, height=20, width=5)
        """
        order = axis_order(orientation)
        box = Box(self.left, self.top, self.width, self.height) if order.transposed else self
        top = stored_size[0] - (box.top + box.height) if order.reverse_rows else box.top
        left = stored_size[1] - (box.left + box.width) if order.reverse_columns else box.left
        return replace(box, top=top, left=left)


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
    """Give height and width of an interleaved MCU; one component alone is not interleaved (T.81, A.2.2)."""
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
