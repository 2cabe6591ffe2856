"""What all transforms of batches share: the call with and without labels."""

from __future__ import annotations

import abc
from typing import Any, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prepixel.spectrum.spectrum import Spectrum


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


def uniform(count: int, low: float, high: float, generator: torch.Generator | None) -> Float[Tensor, " count"]:
    """Draw numbers uniform in [low, high)."""
    return torch.empty(count).uniform_(low, high, generator=generator)


def draw_chosen(count: int, p: float, generator: torch.Generator | None) -> Bool[Tensor, " count"]:
    """Draw which of ``count`` images are changed."""
    chosen: Tensor = torch.rand(count, generator=generator) < p
    return chosen


def check_probability(name: str, value: Any) -> None:
    """Raise ValueError for a probability outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must be in [0, 1]")
