"""Flips top to bottom and quarter turns: drawn before reading, or of single images of a batch, on the device.

Both are exact. Drawn before reading, in `ComposeCrops` or as a data set's ``transform``, they cost nothing, and turns
need neither square grids nor certain bands; called with a batch of spectra, they change it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.batch_transform import BatchTransform, RandomChange, draw_chosen
from prepixel.transforms.crop_draws import check_probability
from prepixel.transforms.geometric import GeometricTransform, View

_TURNS: dict[int, Callable[[Spectrum], Spectrum]] = {
    1: lambda spectrum: spectrum.flip_horizontal().transpose(),
    2: lambda spectrum: spectrum.flip_vertical().flip_horizontal(),
    3: lambda spectrum: spectrum.flip_vertical().transpose(),
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
        turns: quarters counter-clockwise, of each image, as by `torch.rot90`.

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


class RandomVerticalFlip(RandomChange, GeometricTransform):
    """Mirror some images top to bottom, exactly: drawn before reading, or of a batch.

    Attributes:
        p: how often.
    """

    def change(self, spectrum: Spectrum, chosen: Bool[Tensor, " n"]) -> Spectrum:
        """Return a batch with the chosen images mirrored."""
        return flip_vertical(spectrum, chosen)

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        return view.flip().turn(2) if generator.random() < self.p else view


@dataclass(frozen=True)
class RandomQuarterTurn(BatchTransform, GeometricTransform):
    """Turn images by a random number of quarters, exactly: drawn before reading, or of a batch.

    Batches need the grids and bands of `quarter_turns`; drawn before reading, any will do.

    Attributes:
        turns: quarters counter-clockwise to draw from, equally often; 0 among them leaves the image as it is.
        p: how often a turn is drawn; the other images stay as they are.

    Raises:
        ValueError: there is nothing to draw from, or p is outside [0, 1].
    """

    turns: Sequence[int] = (0, 1, 2, 3)
    p: float = 1.0

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("turns is empty; give at least one number of quarters, such as (0, 1, 2, 3)")
        check_probability("p", self.p)

    def draw_turns(self, n: int, generator: torch.Generator | None = None) -> Int64[Tensor, " n"]:
        """Draw the quarters of a batch."""
        turns = torch.tensor(list(self.turns))[torch.randint(len(self.turns), (n,), generator=generator)]
        return turns if self.p == 1 else turns * draw_chosen(n, self.p, generator)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return quarter_turns(spectrum, self.draw_turns(len(spectrum), generator)), labels

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        if generator.random() >= self.p:
            return view
        return view.turn(self.turns[int(generator.integers(len(self.turns)))])
