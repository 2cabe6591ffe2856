"""What the results of a batch show of their images, as arrays with a row for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias, TypedDict, get_args

import numpy as np

from prepixel.array_types import Bool, Float64, Int64, Integer
from prepixel.spectrum.boxes import Padding, PaddingMode

Paddings: TypeAlias = Padding | Sequence[Padding | None] | None
"""What lies beyond the images of a batch: one padding for all, or one for each; None: boxes must stay inside."""

# As native/spectrum/upright_crop.hpp numbers them; 0 is none.
_MODES = {mode: number for number, mode in enumerate(get_args(PaddingMode), start=1)}


class NativeCrops(TypedDict):
    """What the compiled module is told of the crops of a batch."""

    boxes: Float64[np.ndarray, "n 4"] | None
    flips: Bool[np.ndarray, " n"] | None
    turns: Int64[np.ndarray, " n"] | None
    shown: Float64[np.ndarray, "n 4"] | None
    paddings: Int64[np.ndarray, " n"] | None
    fills: Float64[np.ndarray, "n 3"] | None


@dataclass(frozen=True)
class CropArrays:
    """Store the crops of a batch; None stands for the default of every image.

    Attributes:
        boxes: (top, left, height, width) in luma pixels of the upright images; None for whole images.
        flips: which boxes are mirrored left to right; None for none.
        turns: by how many quarters each is turned counter-clockwise after that; None for none.
        shown: the part of each image beyond which its padding begins, as boxes; None for whole images.
        paddings: the number of each image's padding; None for none.
        fills: the color of each image's constant padding.
    """

    boxes: Float64[np.ndarray, "n 4"] | None = None
    flips: Bool[np.ndarray, " n"] | None = None
    turns: Int64[np.ndarray, " n"] | None = None
    shown: Float64[np.ndarray, "n 4"] | None = None
    paddings: Int64[np.ndarray, " n"] | None = None
    fills: Float64[np.ndarray, "n 3"] | None = None

    @classmethod
    def of(
        cls,
        count: int,
        boxes: Float64[np.ndarray, "n 4"] | None = None,
        flips: Bool[np.ndarray, " n"] | None = None,
        turns: Integer[np.ndarray, " n"] | None = None,
        padding: Paddings = None,
        shown: Float64[np.ndarray, "n 4"] | None = None,
    ) -> CropArrays:
        """Check what a caller gives for ``count`` sources.

        Raises:
            ValueError: an array has not one row per source, turns are not whole numbers, or parts are shown without
                a padding.
        """
        several = None if padding is None or isinstance(padding, Padding) else padding
        named = (("boxes", boxes), ("flips", flips), ("turns", turns), ("shown", shown), ("paddings", several))
        for name, array in named:
            if array is not None and len(array) != count:
                raise ValueError(f"{len(array)} {name} for {count} sources; give one per source")
        if turns is not None and not np.issubdtype(turns.dtype, np.integer):
            raise ValueError(f"turns are {turns.dtype}; give whole numbers of quarter turns, counter-clockwise")
        if shown is not None and padding is None:
            raise ValueError("shown says where padding begins, and there is none; give padding=Padding(...), too")
        each = [padding] * count if isinstance(padding, Padding) else several
        padded = each is not None and any(each)
        return cls(
            None if boxes is None else np.ascontiguousarray(boxes),
            None if flips is None else np.ascontiguousarray(flips),
            None if turns is None else np.ascontiguousarray(turns, np.int64),
            None if shown is None else np.ascontiguousarray(shown),
            _modes(each) if each is not None and padded else None,
            _fills(each) if each is not None and padded else None,
        )

    def take(self, rows: slice | Int64[np.ndarray, " taken"]) -> CropArrays:
        """Return the crops of some of the images."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return CropArrays(**{name: None if array is None else array[rows] for name, array in arrays.items()})

    def native(self) -> NativeCrops:
        """Return what the compiled module is told."""
        return NativeCrops(
            boxes=self.boxes,
            flips=self.flips,
            turns=self.turns,
            shown=self.shown,
            paddings=self.paddings,
            fills=self.fills,
        )


def _modes(paddings: Sequence[Padding | None]) -> Int64[np.ndarray, " n"]:
    return np.array([0 if padding is None else _MODES[padding.mode] for padding in paddings], np.int64)


def _fills(paddings: Sequence[Padding | None]) -> Float64[np.ndarray, "n 3"]:
    return np.array([(0.0, 0.0, 0.0) if padding is None else padding.rgb for padding in paddings], np.float64)
