"""The value that a network eats: chosen frequencies of n images on one block grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float32, Int8
from torch import Tensor

from prepixel.spectrum.bands import BandSet


@dataclass(frozen=True)
class Spectrum:
    """Hold f frequency channels of n images on one grid of bh x bw blocks.

    ``coefficients() == shift + unit * values`` channel by channel, whatever the values' dtype, so one multiply-add
    turns stored values into orthonormal coefficients, or into any other affine scale.

    Attributes:
        values: float32, float16, bfloat16, float64, or int8.
        bands: which channel each of the f is, in order.
        shift: the coefficient that the value 0 stands for, per channel.
        unit: how many coefficient units one step of the values is, per channel; never 0.
    """

    values: Float[Tensor, "n f bh bw"] | Int8[Tensor, "n f bh bw"]
    bands: BandSet
    shift: Float[Tensor, " f"]
    unit: Float[Tensor, " f"]

    @classmethod
    def of_coefficients(cls, coefficients: Float[Tensor, "n f bh bw"], bands: BandSet) -> Spectrum:
        """Wrap orthonormal coefficients, whose shift is 0 and unit 1."""
        zeros = torch.zeros(len(bands), dtype=torch.float32, device=coefficients.device)
        return cls(coefficients, bands, zeros, torch.ones_like(zeros))

    def coefficients(self) -> Float32[Tensor, "n f bh bw"]:
        """Give orthonormal coefficients; int8 values come back within half a unit of what was encoded, if unclipped."""
        return self.values.float() * self.unit[:, None, None].float() + self.shift[:, None, None].float()

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Spectrum:
        """Move all arrays to a device."""
        return replace(
            self,
            values=self.values.to(device, non_blocking=non_blocking),
            shift=self.shift.to(device, non_blocking=non_blocking),
            unit=self.unit.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Spectrum:
        """Copy all arrays to page-locked memory, from which a copy to a CUDA device does not block."""
        return replace(
            self, values=self.values.pin_memory(), shift=self.shift.pin_memory(), unit=self.unit.pin_memory()
        )

    def __len__(self) -> int:
        return int(self.values.shape[0])
