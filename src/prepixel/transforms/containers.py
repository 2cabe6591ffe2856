"""Transforms of batches that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.batch_transform import BatchTransform
from prepixel.transforms.crop_draws import check_probability


def _check(kind: str, transforms: Sequence[object]) -> None:
    for transform in transforms:
        if not isinstance(transform, BatchTransform):
            raise TypeError(
                f"{transform!r} does not change batches of spectra, which {kind} is for; geometric transforms of this "
                "package are drawn before reading: transform= of SpectrumFolder and the others, several by ComposeCrops"
            )


@dataclass(frozen=True)
class Compose(BatchTransform):
    """Apply transforms of batches one after the other.

    Attributes:
        transforms: the first one first.

    Raises:
        TypeError: one of them does not change batches of spectra.
    """

    transforms: Sequence[BatchTransform]

    def __post_init__(self) -> None:
        _check("Compose", self.transforms)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        for transform in self.transforms:
            spectrum, labels = transform.apply(spectrum, labels, generator)
        return spectrum, labels


@dataclass(frozen=True)
class RandomApply(BatchTransform):
    """Apply transforms to some batches, as a whole, and not to others.

    Attributes:
        transforms: the first one first.
        p: how often.
    """

    transforms: Sequence[BatchTransform]
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability("p", self.p)
        _check("RandomApply", self.transforms)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        if float(torch.rand((), generator=generator)) >= self.p:
            return spectrum, labels
        return Compose(self.transforms).apply(spectrum, labels, generator)


@dataclass(frozen=True)
class RandomChoice(BatchTransform):
    """Apply one of several transforms to each batch, such as either MixUp or CutMix.

    Attributes:
        transforms: at least one.
        p: how often each is taken; None for equally often.

    Raises:
        ValueError: there is no transform, or there are not as many shares.
    """

    transforms: Sequence[BatchTransform]
    p: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.transforms:
            raise ValueError("there is no transform to choose; give at least one")
        _check("RandomChoice", self.transforms)
        if self.p is not None and (len(self.p) != len(self.transforms) or min(self.p) < 0 or sum(self.p) <= 0):
            raise ValueError(f"p is {list(self.p)}; give {len(self.transforms)} numbers, 0 or greater, not all 0")

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        shares = torch.tensor(self.p or [1.0] * len(self.transforms), dtype=torch.float64)
        chosen = int(torch.multinomial(shares, 1, generator=generator))
        return self.transforms[chosen].apply(spectrum, labels, generator)
