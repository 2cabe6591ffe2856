"""Batches of images of unequal size: each on a grid of its own, padded at the bottom and the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from prepixel.spectrum.spectrum import Spectrum
from prepixel.spectrum.tree import refuse_tensor_function, register_node


@dataclass(frozen=True)
class PaddedSpectrum:
    """A batch whose images fill different parts of one grid, from its top left corner on.

    Attributes:
        spectrum: all images; outside their own grids the values are 0, which stands for ``spectrum.shift``: the mean
            color, where the shift is `Statistics.shift`.
        grids: blocks down and across that each image fills.

    Raises:
        ValueError: not one grid per image, or a grid that is empty or larger than the spectrum's.
    """

    spectrum: Spectrum
    grids: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if len(self.grids) != len(self.spectrum):
            raise ValueError(f"{len(self.grids)} grids for {len(self.spectrum)} images; give one per image")
        height, width = self.spectrum.values.shape[2:]
        for index, (rows, columns) in enumerate(self.grids):
            if not (1 <= rows <= height and 1 <= columns <= width):
                raise ValueError(
                    f"image {index}: a grid of {rows} x {columns} blocks does not lie in {height} x {width}"
                )

    @classmethod
    def of(cls, spectra: Sequence[Spectrum], *, multiple: int = 1) -> PaddedSpectrum:
        """Combine spectra of one image or several each into one batch.

        Args:
            spectra: at least one, all of the same channels, dtype, shift and unit.
            multiple: the common grid's sides are the least multiples of it that hold all images.

        Raises:
            ValueError: no spectrum, a multiple below 1, or spectra that differ in more than their grids.
        """
        if not spectra or multiple < 1:
            raise ValueError(f"{len(spectra)} spectra, multiple {multiple}; give at least one of them, and 1 or more")
        first = spectra[0]
        for index, other in enumerate(spectra):
            same = other.bands.channels == first.bands.channels and other.values.dtype == first.values.dtype
            if not (same and torch.equal(other.shift, first.shift) and torch.equal(other.unit, first.unit)):
                raise ValueError(f"spectrum {index} differs from the first in channels, dtype, shift or unit")
        grids = [(int(s.values.shape[2]), int(s.values.shape[3])) for s in spectra for _ in range(len(s))]
        height, width = (-(-max(side) // multiple) * multiple for side in zip(*grids, strict=True))
        values = first.values.new_zeros((len(grids), len(first.bands), height, width))
        start = 0
        for spectrum in spectra:
            n, _, rows, columns = spectrum.values.shape
            values[start : start + n, :, :rows, :columns] = spectrum.values
            start += n
        return cls(replace(first, values=values), tuple(grids))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> PaddedSpectrum:
        """Move all arrays to a device."""
        return replace(self, spectrum=self.spectrum.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PaddedSpectrum:
        """Copy all arrays to page-locked memory, from which a copy to a CUDA device does not block."""
        return replace(self, spectrum=self.spectrum.pin_memory())

    def __len__(self) -> int:
        return len(self.spectrum)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        refuse_tensor_function("PaddedSpectrum", function)


register_node(
    PaddedSpectrum,
    ("spectrum",),
    dump=lambda context: [list(grid) for grid in context[0]],
    load=lambda said: (tuple((grid[0], grid[1]) for grid in said),),
)
