"""RandAugment and TrivialAugment over those of their operations that are linear.

Of torchvision's fourteen operations seven are: Identity, TranslateX, TranslateY, Brightness, Color, Contrast and
Sharpness. ShearX, ShearY and Rotate move samples off the axes; Posterize, Solarize, AutoContrast and Equalize are not
linear. They are left out, so each of the seven is drawn twice as often as in torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.dct import BLOCK, DC_BOUND
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.axis_filters import sharpened, translated
from prepixel.transforms.batch_transform import BatchTransform
from prepixel.transforms.functional import flat_color, mean_luma, scale_components

Operation = Literal["Identity", "TranslateX", "TranslateY", "Brightness", "Color", "Contrast", "Sharpness"]
LINEAR_OPERATIONS: tuple[Operation, ...] = get_args(Operation)


class AugmentParams(NamedTuple):
    """Store what happens to each image, in order.

    Attributes:
        operations: places in `LINEAR_OPERATIONS`.
        magnitudes: signed; pixels for translations, and what is added to a factor of 1 for the others.
    """

    operations: Int64[Tensor, "n num_ops"]
    magnitudes: Float[Tensor, "n num_ops"]


@dataclass(frozen=True)
class RandAugment(BatchTransform):
    """Apply random operations of one magnitude to each image, as `torchvision.transforms.v2.RandAugment`.

    Attributes:
        num_ops: operations for each image, one after the other.
        magnitude: which of the magnitudes, from 0 on.
        num_magnitude_bins: magnitudes from nothing to the most: .9 for factors, 150/331 of the side for translations.
        operations: those to draw from, of `LINEAR_OPERATIONS`.

    Raises:
        ValueError: a number is outside its range, or an operation has no such name.
    """

    num_ops: int = 2
    magnitude: int = 9
    num_magnitude_bins: int = 31
    operations: Sequence[Operation] = LINEAR_OPERATIONS

    def __post_init__(self) -> None:
        _check(self.operations, self.num_magnitude_bins)
        if self.num_ops < 0 or not 0 <= self.magnitude < self.num_magnitude_bins:
            raise ValueError(
                f"num_ops is {self.num_ops} and magnitude {self.magnitude}; they must be 0 or greater, and magnitude "
                f"below num_magnitude_bins, {self.num_magnitude_bins}"
            )

    def make_params(self, n: int, grid: tuple[int, int], generator: torch.Generator | None = None) -> AugmentParams:
        """Draw operations and magnitudes of a batch on a grid of blocks."""
        level = torch.full((n, self.num_ops), self.magnitude / max(1, self.num_magnitude_bins - 1))
        most = {"TranslateX": 150 / 331 * BLOCK * grid[1], "TranslateY": 150 / 331 * BLOCK * grid[0]}
        return _draw(self.operations, level, most, 0.9, generator)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        grid = (spectrum.values.shape[2], spectrum.values.shape[3])
        return augment(spectrum, self.make_params(len(spectrum), grid, generator)), labels


@dataclass(frozen=True)
class TrivialAugmentWide(BatchTransform):
    """Apply one random operation of random magnitude to each image, as `torchvision.transforms.v2.TrivialAugmentWide`.

    Attributes:
        num_magnitude_bins: magnitudes from nothing to the most: .99 for factors, 32 pixels for translations.
        operations: those to draw from, of `LINEAR_OPERATIONS`.

    Raises:
        ValueError: there is no magnitude, or an operation has no such name.
    """

    num_magnitude_bins: int = 31
    operations: Sequence[Operation] = LINEAR_OPERATIONS

    def __post_init__(self) -> None:
        _check(self.operations, self.num_magnitude_bins)

    def make_params(self, n: int, generator: torch.Generator | None = None) -> AugmentParams:
        """Draw operations and magnitudes of a batch."""
        bins = torch.randint(self.num_magnitude_bins, (n, 1), generator=generator)
        level = bins / max(1, self.num_magnitude_bins - 1)
        return _draw(self.operations, level, {"TranslateX": 32.0, "TranslateY": 32.0}, 0.99, generator)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return augment(spectrum, self.make_params(len(spectrum), generator)), labels


def augment(spectrum: Spectrum, params: AugmentParams) -> Spectrum:
    """Apply each image's operations, in order.

    Brightness, Color and Contrast are exact, Sharpness is as `adjust_sharpness`. Translations are by whole pixels, with
    black coming in; where a component lacks frequencies, by the nearest multiple of 8 pixels, which is exact.

    Raises:
        ValueError: there are not as many rows as images.
    """
    if len(params.operations) != len(spectrum):
        raise ValueError(f"{len(params.operations)} rows of operations for {len(spectrum)} images; give one per image")
    c = spectrum.coefficients()
    for place in range(params.operations.shape[1]):
        c = _step(c, spectrum.bands, params.operations[:, place], params.magnitudes[:, place])
    return Spectrum.of_coefficients(c, spectrum.bands)


def _step(
    c: Float[Tensor, "n f bh bw"], bands: BandSet, operations: Int64[Tensor, " n"], magnitudes: Float[Tensor, " n"]
) -> Float[Tensor, "n f bh bw"]:
    """Apply one operation to each image: what scales to all at once, what filters to those images alone."""

    def factors(name: Operation) -> Float[Tensor, " n"]:
        chosen = operations == LINEAR_OPERATIONS.index(name)
        return torch.where(chosen, 1 + magnitudes, torch.ones_like(magnitudes)).to(c)

    brightness, contrast, saturation = (factors(name) for name in ("Brightness", "Contrast", "Color"))
    offset = (1 - contrast) * mean_luma(c, bands) + DC_BOUND * (brightness - 1)
    luma = brightness * contrast
    c = scale_components(c, bands, luma, luma * saturation, offset)
    black = flat_color(0, bands).to(c)[:, None, None]
    filters: dict[Operation, Callable[[Tensor, Tensor], Tensor]] = {
        "Sharpness": lambda part, by: sharpened(part, bands, 1 + by),
        "TranslateX": lambda part, by: translated(part, bands, _pixels(by, bands), torch.zeros_like(by).long(), black),
        "TranslateY": lambda part, by: translated(part, bands, torch.zeros_like(by).long(), _pixels(by, bands), black),
    }
    for name, change in filters.items():
        chosen = (operations == LINEAR_OPERATIONS.index(name)).nonzero()[:, 0]
        if len(chosen):
            where = chosen.to(c.device)
            c[where] = change(c[where], magnitudes[chosen].to(c))
    return c


def _pixels(magnitudes: Float[Tensor, " n"], bands: BandSet) -> Int64[Tensor, " n"]:
    """Return how far images move: whole pixels, or whole blocks where pixels would not be exact."""
    if bands.counts == (BLOCK**2,) * 3:
        return magnitudes.trunc().long()
    return (magnitudes / BLOCK).round().long() * BLOCK


def _draw(
    names: Sequence[Operation],
    level: Float[Tensor, "n num_ops"],
    most: dict[str, float],
    most_factor: float,
    generator: torch.Generator | None,
) -> AugmentParams:
    """Draw an operation and a sign for each level, of 0..1."""
    drawn = torch.randint(len(names), tuple(level.shape), generator=generator)
    operations = torch.tensor([LINEAR_OPERATIONS.index(name) for name in names])[drawn]
    signs = torch.where(torch.rand(level.shape, generator=generator) <= 0.5, -1.0, 1.0)
    reach = [0.0 if name == "Identity" else most.get(name, most_factor) for name in LINEAR_OPERATIONS]
    return AugmentParams(operations, signs * level * torch.tensor(reach)[operations])


def _check(operations: Sequence[Operation], bins: int) -> None:
    unknown = [name for name in operations if name not in LINEAR_OPERATIONS]
    if unknown or not operations:
        raise ValueError(f"operations are some of {', '.join(LINEAR_OPERATIONS)}, not {unknown or 'none'}")
    if bins < 1:
        raise ValueError(f"num_magnitude_bins is {bins}; it must be 1 or greater")
