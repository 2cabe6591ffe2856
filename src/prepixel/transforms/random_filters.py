"""Random filters and translations of batches of spectra, drawn for each image as torchvision v2 draws for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from prepixel.spectrum.boxes import Padding
from prepixel.spectrum.dct import BLOCK
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.axis_filters import adjust_sharpness, gaussian_blur, translate
from prepixel.transforms.batch_transform import BatchTransform, draw_chosen, uniform
from prepixel.transforms.crop_draws import Color, check_probability
from prepixel.transforms.geometric import GeometricTransform, View


@dataclass(frozen=True)
class GaussianBlur(BatchTransform):
    """Blur each image by a Gaussian of random width; see `prepixel.transforms.functional.gaussian_blur`.

    Attributes:
        kernel_size: taps, odd; one number, or across and down.
        sigma: standard deviation in pixels: one number, or the least and the largest.

    Raises:
        ValueError: a kernel size is not odd and positive, or a sigma is not above 0.
    """

    kernel_size: int | tuple[int, int]
    sigma: float | tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        sizes = (self.kernel_size,) if isinstance(self.kernel_size, int) else self.kernel_size
        if any(size < 1 or size % 2 == 0 for size in sizes):
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd and positive")
        low, high = self._bounds()
        if not 0 < low <= high:
            raise ValueError(f"sigma is {self.sigma}; it must be above 0, and low <= high")

    def make_params(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, " n"]:
        """Draw the widths of a batch."""
        return uniform(n, *self._bounds(), generator)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        return gaussian_blur(spectrum, self.kernel_size, self.make_params(len(spectrum), generator)), labels

    def _bounds(self) -> tuple[float, float]:
        return (float(self.sigma),) * 2 if isinstance(self.sigma, int | float) else self.sigma


@dataclass(frozen=True)
class RandomAdjustSharpness(BatchTransform):
    """Sharpen or smooth some images; see `prepixel.transforms.functional.adjust_sharpness`.

    Attributes:
        sharpness_factor: 0 is smoothed, 1 changes nothing, 2 is sharper.
        p: how often.
    """

    sharpness_factor: float
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability("p", self.p)
        if self.sharpness_factor < 0:
            raise ValueError(f"sharpness_factor is {self.sharpness_factor}; it must not be negative")

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        chosen = draw_chosen(len(spectrum), self.p, generator)
        factors = torch.where(chosen, torch.tensor(float(self.sharpness_factor)), torch.tensor(1.0))
        return adjust_sharpness(spectrum, factors), labels


@dataclass(frozen=True)
class RandomTranslate(BatchTransform, GeometricTransform):
    """Move each image by whole pixels, as ``torchvision.transforms.v2.RandomAffine(degrees=0, translate=...)``.

    Drawn before reading, or of a batch. Drawn, it is exact for every band set, and pixels are those of the image that
    the transforms before it make.

    Attributes:
        translate: the farthest across and down, as shares of width and height.
        fill: the color that comes in, of 0..255.
        whole_blocks: move batches by multiples of 8 pixels, the nearest, which is exact for every band set.

    Raises:
        ValueError: a share is outside [0, 1], or the color is not one or three numbers.
    """

    translate: tuple[float, float]
    fill: Color = 0
    whole_blocks: bool = False

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in self.translate):
            raise ValueError(f"translate is {self.translate}; both shares must be in [0, 1]")
        Padding(self.fill)

    def draw_distances(
        self, n: int, grid: tuple[int, int], generator: torch.Generator | None = None
    ) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
        """Draw how many pixels to the right and down each image moves."""
        across, down = (
            self._whole(uniform(n, -share * BLOCK * side, share * BLOCK * side, generator))
            for share, side in zip(self.translate, (grid[1], grid[0]), strict=True)
        )
        return across, down

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        grid = (spectrum.values.shape[2], spectrum.values.shape[3])
        return translate(spectrum, *self.draw_distances(len(spectrum), grid, generator), self.fill), labels

    def draw(self, view: View, generator: np.random.Generator) -> View:
        """Draw, and return what the sample shows afterwards."""
        height, width = view.size
        across, down = (
            round(generator.uniform(-share * side, share * side))
            for share, side in zip(self.translate, (width, height), strict=True)
        )
        return view.pad(Padding(self.fill)).crop(-down, -across, height, width)

    def _whole(self, distances: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
        unit = BLOCK if self.whole_blocks else 1
        return (distances / unit).round().long() * unit
