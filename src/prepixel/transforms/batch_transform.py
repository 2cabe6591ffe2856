"""What all transforms of batches share: the call with and without labels."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.crop_draws import check_probability


class BatchTransform(abc.ABC):
    """Change a batch of spectra, and perhaps its labels, on the device where it is.

    Called with a spectrum it returns a spectrum; called with a spectrum and labels, both. What is random is drawn from
    ``generator``, or from torch's global one, on the CPU for a batch on any device.
    """

    @overload
    def __call__(
        self, spectrum: Spectrum, labels: None = None, *, generator: torch.Generator | None = None
    ) -> Spectrum: ...

    @overload
    def __call__(
        self, spectrum: Spectrum, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Spectrum, Tensor]: ...

    def __call__(
        self, spectrum: Any, labels: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Spectrum | tuple[Spectrum, Tensor]:
        """Draw for a batch, and change it.

        Args:
            spectrum: a `Spectrum` of any dtype.
            labels: of its images.
            generator: of torch, on the CPU; None for the global one.

        Raises:
            TypeError: what is given is not a `Spectrum`.
        """
        if not isinstance(spectrum, Spectrum):
            raise TypeError(
                f"{type(self).__name__} is for batches of spectra, and this is a {type(spectrum).__name__}; for pixels "
                "take torchvision's transform of that name"
            )
        changed = self.apply(spectrum, labels, generator)
        return changed[0] if changed[1] is None else (changed[0], changed[1])

    @abc.abstractmethod
    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""


@dataclass(frozen=True)
class RandomChange(BatchTransform):
    """Change some images of a batch, each with the same probability; labels stay.

    Attributes:
        p: how often.

    Raises:
        ValueError: p is outside [0, 1].
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability("p", self.p)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return self.change(spectrum, draw_chosen(len(spectrum), self.p, generator)), labels

    @abc.abstractmethod
    def change(self, spectrum: Spectrum, chosen: Bool[Tensor, " n"]) -> Spectrum:
        """Return a batch with the chosen images changed."""


def uniform(count: int, low: float, high: float, generator: torch.Generator | None) -> Float[Tensor, " count"]:
    """Draw numbers uniform in [low, high)."""
    return torch.empty(count).uniform_(low, high, generator=generator)


def draw_chosen(count: int, p: float, generator: torch.Generator | None) -> Bool[Tensor, " count"]:
    """Draw which of ``count`` images are changed."""
    chosen: Tensor = torch.rand(count, generator=generator) < p
    return chosen
