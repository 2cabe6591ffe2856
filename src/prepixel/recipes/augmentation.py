"""How training batches are changed beyond crops and flips: a section of a classifier's recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prepixel.errors import RecipeError


@dataclass(frozen=True)
class AugmentSettings:
    """Settings of changes of training batches, on the device; all are off unless set.

    For spectra and for RGB pixels the same is drawn: operations, magnitudes, shares, and rectangles of whole blocks.

    Attributes:
        rand_augment: operations for each image, of RandAugment's linear ones; published: 2.
        magnitude: RandAugment's magnitude, 0..30.
        trivial_augment: one linear operation of random magnitude for each image.
        erasing: how often a rectangle is painted in the image's mean color.
        mixup: alpha of MixUp; 0 for none; published: 0.2.
        cutmix: alpha of CutMix; 0 for none; published: 1. With mixup, one of the two is drawn for each batch.
    """

    rand_augment: int = 0
    magnitude: int = 9
    trivial_augment: bool = False
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.rand_augment < 0 or not 0 <= self.magnitude <= 30:
            raise RecipeError(
                f"rand_augment is {self.rand_augment} and magnitude {self.magnitude}; "
                "they must be 0 or greater, and magnitude at most 30"
            )
        if not 0 <= self.erasing <= 1:
            raise RecipeError(f"erasing is {self.erasing}; it must be from 0 to 1")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"{name} is {getattr(self, name)}; it must be 0, for none, or greater")
        if self.rand_augment and self.trivial_augment:
            raise RecipeError("rand_augment and trivial_augment both change every image; remove one of them")

    @property
    def mixes(self) -> bool:
        """Return whether images and labels of a batch are mixed."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def active(self) -> bool:
        """Return whether anything is changed."""
        return self.mixes or self.erasing > 0 or self.rand_augment > 0 or self.trivial_augment
