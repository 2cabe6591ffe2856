"""Random photometric changes of batches of spectra, drawn for each image as torchvision v2 draws for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prepixel.spectrum.dct import DC_BOUND
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.batch_transform import BatchTransform, RandomChange, uniform
from prepixel.transforms.functional import invert, mean_luma, scale_components, to_grayscale, turn_chroma

# One number a, for factors in [max(0, 1 - a), 1 + a] (of hue: [-a, a]), or the least and the largest factor.
Strength = float | int | tuple[float, float]


class JitterParams(NamedTuple):
    """Store one batch's factors, one of each kind per image."""

    brightness: Float[Tensor, " n"]
    contrast: Float[Tensor, " n"]
    saturation: Float[Tensor, " n"]
    hue: Float[Tensor, " n"]


@dataclass(frozen=True)
class ColorJitter(BatchTransform):
    """Change brightness, contrast, saturation and hue at random, as `torchvision.transforms.v2.ColorJitter`.

    Exact but for hue, see `approximate_hue`. torchvision draws an order of the four, since each clamps; these commute,
    so one multiply-add does all four.

    Attributes:
        brightness, contrast, saturation: a for a factor in [max(0, 1 - a), 1 + a], or the least and the largest.
        hue: a for turns in [-a, a], at most 0.5, or the least and the largest.

    Raises:
        ValueError: a range is not ordered, or outside what the factor may be.
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Strength = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue"):
            self._bounds(name)

    def make_params(self, n: int, generator: torch.Generator | None = None) -> JitterParams:
        """Draw the factors of a batch."""
        names = JitterParams._fields
        return JitterParams(*(uniform(n, *self._bounds(name), generator) for name in names))

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return jitter(
            spectrum, self.make_params(len(spectrum), generator), with_hue=self._bounds("hue") != (0, 0)
        ), labels

    def _bounds(self, name: str) -> tuple[float, float]:
        strength, center = getattr(self, name), 0.0 if name == "hue" else 1.0
        least, most = (-0.5, 0.5) if name == "hue" else (0.0, float("inf"))
        if isinstance(strength, Sequence):
            low, high = strength
        elif strength < 0:
            raise ValueError(f"{name} is {strength}; one number must not be negative")
        else:
            low, high = center - strength, center + strength
            low = low if name == "hue" else max(low, 0.0)
        if not least <= low <= high <= most:
            raise ValueError(f"{name} is {strength}; factors must be ordered, and in [{least:g}, {most:g}]")
        return float(low), float(high)


def jitter(spectrum: Spectrum, params: JitterParams, *, with_hue: bool = True) -> Spectrum:
    """Change brightness, contrast, saturation and hue of each image, in one multiply-add (two with hue)."""
    c = spectrum.coefficients()
    brightness, contrast, saturation, hue = (factor.to(c, non_blocking=True) for factor in params)
    offset = brightness * (1 - contrast) * mean_luma(c, spectrum.bands) + DC_BOUND * (brightness - 1)
    luma = brightness * contrast
    c = scale_components(c, spectrum.bands, luma, luma * saturation, offset)
    if with_hue:
        c = turn_chroma(c, spectrum.bands, hue)
    return Spectrum.of_coefficients(c, spectrum.bands)


@dataclass(frozen=True)
class RandomGrayscale(RandomChange):
    """Take the color from some images, exactly.

    Attributes:
        p: how often.
    """

    p: float = 0.1

    def change(self, spectrum: Spectrum, chosen: Bool[Tensor, " n"]) -> Spectrum:
        """Return a batch with the chosen images gray."""
        return to_grayscale(spectrum, chosen)


class RandomInvert(RandomChange):
    """Make negatives of some images, exactly.

    Attributes:
        p: how often.
    """

    def change(self, spectrum: Spectrum, chosen: Bool[Tensor, " n"]) -> Spectrum:
        """Return a batch with the chosen images inverted."""
        return invert(spectrum, chosen)
