"""What a crop is described by: boxes, orientations and resize filters. Knows neither torch nor the compiled core."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

Filter = Literal["bilinear", "bicubic"]

# Integers are accepted where real numbers are.
Real = float | int

# Side of the centered crop of evaluation, as a share of the short side: published, 224 of 256 pixels. The default of
# recipes, commands, `CenterCrop`, statistics and folded networks alike.
PUBLISHED_CENTER_FRACTION = 0.875

# A box may stick out of its image by the rounding of float arithmetic, in pixels; taps are clipped to the image anyway.
BOX_SLACK = 1e-6


class AxisOrder(NamedTuple):
    """How stored axes become upright ones: reverse rows, reverse columns, then transpose.

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


PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]


@dataclass(frozen=True)
class Padding:
    """What lies beyond an image, or beyond the part of it that is shown; modes are torchvision's.

    Attributes:
        fill: of the mode "constant": a level, or R, G and B, of 0..255.
        mode: "constant"; "edge": the outermost samples again and again; "reflect": mirrored at the center of the
            outermost samples; "symmetric": mirrored at the edge.

    Raises:
        ValueError: there is no such mode, or the color is not one or three finite numbers.
    """

    fill: Real | tuple[Real, Real, Real] = 0
    mode: PaddingMode = "constant"

    def __post_init__(self) -> None:
        if self.mode not in get_args(PaddingMode):
            raise ValueError(f"no padding mode {self.mode!r}; there are {', '.join(get_args(PaddingMode))}")
        if len(self.rgb) != 3 or not all(math.isfinite(level) for level in self.rgb):
            raise ValueError(f"fill is {self.fill}; a color is one level of 0..255, or three: R, G and B")

    @property
    def rgb(self) -> tuple[float, ...]:
        """Return the color as levels of R, G and B."""
        return (float(self.fill),) * 3 if isinstance(self.fill, int | float) else tuple(map(float, self.fill))


# ImageNet's mean color, for what lies beyond a photo that a segmenter sees whole.
MEAN_PADDING = Padding((123.675, 116.28, 103.53))


def axis_order(orientation: int) -> AxisOrder:
    """Return the reversals and the transposition that make a picture of an EXIF orientation upright.

    Raises:
        ValueError: the orientation is not 1..8.

    >>> axis_order(6)
    AxisOrder(reverse_rows=True, reverse_columns=False, transposed=True)
    """
    if orientation not in _ORIENTATIONS:
        raise ValueError(f"EXIF orientations are 1..8, not {orientation}; 1 is a picture that is upright as stored")
    return _ORIENTATIONS[orientation]


def shown_order(orientation: int, *, flip: bool = False, turns: int = 0) -> AxisOrder:
    """Return how stored axes become those of an upright picture that is mirrored, and turned after that.

    Args:
        orientation: EXIF orientation of the stored picture.
        flip: mirror left to right.
        turns: quarters counter-clockwise, any whole number.

    Raises:
        ValueError: the orientation is not 1..8.

    >>> shown_order(6, turns=1)  # upright after a quarter clockwise, and turned back: as stored
    AxisOrder(reverse_rows=False, reverse_columns=False, transposed=False)
    """
    rows, columns, transposed = axis_order(orientation)
    # A quarter counter-clockwise mirrors left to right, then transposes. Columns are stored rows where transposed.
    for mirrors, transposes in ((flip, False), *((True, True) for _ in range(turns % 4))):
        if transposed:
            rows ^= mirrors
        else:
            columns ^= mirrors
        transposed ^= transposes
    return AxisOrder(rows, columns, transposed)


@dataclass(frozen=True)
class Box:
    """A rectangle in luma pixels of an upright image; real numbers are allowed.

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

    def is_inside(self, outer: Box) -> bool:
        """Return whether no edge is outside another box, but for rounding."""
        return (
            self.top >= outer.top - BOX_SLACK
            and self.left >= outer.left - BOX_SLACK
            and self.top + self.height <= outer.top + outer.height + BOX_SLACK
            and self.left + self.width <= outer.left + outer.width + BOX_SLACK
        )

    def check_inside(self, size: tuple[int, int]) -> None:
        """Raise for a box that is empty, not finite, or sticks out of an upright image of (height, width).

        Raises:
            ValueError: one of these; the text gives box and size.
        """
        edges = (self.top, self.left, self.height, self.width)
        if not all(math.isfinite(edge) for edge in edges) or self.height <= 0 or self.width <= 0:
            raise ValueError(f"{self} is not a box: its edges must be finite and its height and width above 0")
        bottom, right = self.top + self.height, self.left + self.width
        if not self.is_inside(Box(0, 0, *size)):
            raise ValueError(
                f"{self} reaches from ({self.top:g}, {self.left:g}) to ({bottom:g}, {right:g}), outside the upright "
                f"image of {size[0]} x {size[1]} (height x width); boxes count from the picture as seen"
            )

    def in_stored_axes(self, stored_size: tuple[int, int], orientation: int) -> Box:
        """Return the same rectangle in pixels of the stored image.

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


def least_box(size: tuple[int, int], aspect: float) -> Box:
    """Return the smallest box of some proportions around an image, in whole pixels, with the image in its middle.

    Args:
        size: (height, width) of the upright image.
        aspect: width / height of the box.

    >>> least_box((100, 50), 2.0)
    Box(top=0.0, left=-75.0, height=100.0, width=200.0)
    """
    height, width = max(size[0], round(size[1] / aspect)), max(size[1], round(size[0] * aspect))
    top, left = -((height - size[0]) // 2), -((width - size[1]) // 2)
    return Box(float(top), float(left), float(height), float(width))
