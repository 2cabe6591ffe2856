"""What the results of a batch show of their images, as arrays with a row for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from prepixel.array_types import Bool, Float64, Int64, Integer


class NativeCrops(TypedDict):
    """What the compiled module is told of the crops of a batch."""

    boxes: Float64[np.ndarray, "n 4"] | None
    flips: Bool[np.ndarray, " n"] | None
    turns: Int64[np.ndarray, " n"] | None


@dataclass(frozen=True)
class CropArrays:
    """Store the crops of a batch; None stands for the default of every image.

    Attributes:
        boxes: (top, left, height, width) in luma pixels of the upright images; None for whole images.
        flips: which boxes are mirrored left to right; None for none.
        turns: by how many quarters each is turned counter-clockwise after that; None for none.
    """

    boxes: Float64[np.ndarray, "n 4"] | None = None
    flips: Bool[np.ndarray, " n"] | None = None
    turns: Int64[np.ndarray, " n"] | None = None

    @classmethod
    def of(
        cls,
        count: int,
        boxes: Float64[np.ndarray, "n 4"] | None,
        flips: Bool[np.ndarray, " n"] | None,
        turns: Integer[np.ndarray, " n"] | None,
    ) -> CropArrays:
        """Check what a caller gives for ``count`` sources.

        Raises:
            ValueError: an array has not one row per source, or turns are not whole numbers.
        """
        for name, array in (("boxes", boxes), ("flips", flips), ("turns", turns)):
            if array is not None and len(array) != count:
                raise ValueError(f"{len(array)} {name} for {count} sources; give one per source")
        if turns is not None and not np.issubdtype(turns.dtype, np.integer):
            raise ValueError(f"turns are {turns.dtype}; give whole numbers of quarter turns, counter-clockwise")
        return cls(
            None if boxes is None else np.ascontiguousarray(boxes),
            None if flips is None else np.ascontiguousarray(flips),
            None if turns is None else np.ascontiguousarray(turns, np.int64),
        )

    def take(self, rows: slice | Int64[np.ndarray, " taken"]) -> CropArrays:
        """Return the crops of some of the images."""
        return CropArrays(
            None if self.boxes is None else self.boxes[rows],
            None if self.flips is None else self.flips[rows],
            None if self.turns is None else self.turns[rows],
        )

    def native(self) -> NativeCrops:
        """Return what the compiled module is told."""
        return NativeCrops(boxes=self.boxes, flips=self.flips, turns=self.turns)
