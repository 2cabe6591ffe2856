"""Flips top to bottom and quarter turns of single images of a batch, on the device.

Both are exact. Flips left to right are drawn before reading, by `RandomHorizontalFlip`, and cost nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.batch_transform import BatchTransform, RandomChange

_TURNS: dict[int, Callable[[Spectrum], Spectrum]] = {
    1: lambda spectrum: spectrum.flip_vertical().transpose(),
    2: lambda spectrum: spectrum.flip_vertical().flip_horizontal(),
    3: lambda spectrum: spectrum.flip_horizontal().transpose(),
}


def flip_vertical(spectrum: Spectrum, which: Bool[Tensor, " n"]) -> Spectrum:
    """Mirror some images top to bottom, exactly.

    Args:
        spectrum: any dtype.
        which: the images to change.
    """
    return _changed(spectrum, which.long(), {1: Spectrum.flip_vertical})


def quarter_turns(spectrum: Spectrum, turns: Int64[Tensor, " n"]) -> Spectrum:
    """Turn images by quarters, exactly.

    Args:
        spectrum: any dtype, on a square grid.
        turns: quarters clockwise, of each image.

    Raises:
        ValueError: the grid is not square, or the band set holds a channel (v, u) without (u, v).
    """
    height, width = spectrum.values.shape[2:]
    if height != width:
        raise ValueError(
            f"a grid of {height} x {width} blocks has another shape after a quarter turn; take a square one"
        )
    mirrored = {(c, u, v) for c, v, u in spectrum.bands}
    if mirrored != set(spectrum.bands):
        lacking = sorted(mirrored - set(spectrum.bands))
        raise ValueError(
            f"band set {spectrum.bands} lacks the channels (component, v, u) {lacking}, which a quarter turn needs; "
            "take a set that holds (u, v) wherever it holds (v, u)"
        )
    return _changed(spectrum, turns % 4, _TURNS)


def _changed(
    spectrum: Spectrum, kinds: Int64[Tensor, " n"], changes: dict[int, Callable[[Spectrum], Spectrum]]
) -> Spectrum:
    """Apply to each image the change of its kind; 0 is none."""
    c = spectrum.coefficients()
    for kind, change in changes.items():
        chosen = (kinds == kind).nonzero()[:, 0].to(c.device)
        if len(chosen):
            c[chosen] = change(Spectrum.of_coefficients(c[chosen], spectrum.bands)).values
    return Spectrum.of_coefficients(c, spectrum.bands)


class RandomVerticalFlip(RandomChange):
    """Mirror some images top to bottom, exactly.

    Attributes:
        p: how often.
    """

    def change(self, spectrum: Spectrum, chosen: Bool[Tensor, " n"]) -> Spectrum:
        """Return a batch with the chosen images mirrored."""
        return flip_vertical(spectrum, chosen)


@dataclass(frozen=True)
class RandomQuarterTurn(BatchTransform):
    """Turn each image by a random number of quarters, exactly; see `quarter_turns` for the grids and bands it takes.

    Attributes:
        turns: quarters clockwise to draw from, equally often.

    Raises:
        ValueError: there is nothing to draw from.
    """

    turns: Sequence[int] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("turns is empty; give at least one number of quarters, such as (0, 1, 2, 3)")

    def make_params(self, n: int, generator: torch.Generator | None = None) -> Int64[Tensor, " n"]:
        """Draw the quarters of a batch."""
        return torch.tensor(list(self.turns))[torch.randint(len(self.turns), (n,), generator=generator)]

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return quarter_turns(spectrum, self.make_params(len(spectrum), generator)), labels
