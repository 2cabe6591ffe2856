"""Statistics of frequency channels over a data set: streaming, mergeable, in float64.

Mean and standard deviation are taken over all positions of all images, which is what normalizing a network's input
needs. (The constants published with the method are the spread of each image's own mean: tens of times smaller.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from prepixel.errors import StatisticsError, describe_error
from prepixel.files import replace_file
from prepixel.spectrum import strict_json
from prepixel.spectrum.bands import NUM_CHANNELS, BandSet
from prepixel.spectrum.boxes import Real
from prepixel.spectrum.dct import DC_BOUND
from prepixel.spectrum.spectrum import INT8_LIMIT, Spectrum

_FORMAT = "prepixel statistics 1"
_ARRAYS = ("mean", "squares", "minimum", "maximum")


@dataclass
class Statistics:
    """Count, mean, spread and extremes of f channels; `update` adds images.

    Attributes:
        bands: the channels, in order.
        grid: blocks (down, across) of the images: frequencies depend on the size that an image was resized to.
        source: where the images come from, in words.
        num_images: images seen.
        num_positions: blocks seen, num_images times the blocks of the grid.
        mean: of the orthonormal coefficients.
        squares: sum of squared deviations from the mean (M2).
        minimum: smallest coefficient; infinite before the first image.
        maximum: largest coefficient; minus infinite before the first image.

    >>> statistics = Statistics.empty(BandSet("one", (0,)), (1, 2))
    >>> statistics.update(torch.tensor([[[[1.0, 3.0]]]]))
    >>> statistics.mean.tolist(), statistics.std().tolist()
    ([2.0], [1.0])
    """

    bands: BandSet
    grid: tuple[int, int]
    source: str
    num_images: int
    num_positions: int
    mean: Float64[Tensor, " f"]
    squares: Float64[Tensor, " f"]
    minimum: Float64[Tensor, " f"]
    maximum: Float64[Tensor, " f"]

    def __repr__(self) -> str:
        grid = f"{self.grid[0]} x {self.grid[1]} blocks"
        return f"Statistics({self.bands} on {grid}, of {self.num_images:,} images of {self.source!r})"

    @classmethod
    def empty(cls, bands: BandSet | str, grid: tuple[int, int], *, source: str = "") -> Statistics:
        """Return the statistics of no image."""
        bands = BandSet.of(bands)
        zeros = torch.zeros(len(bands), dtype=torch.float64)
        infinite = torch.full_like(zeros, torch.inf)
        return cls(bands, grid, source, 0, 0, zeros, zeros.clone(), infinite, -infinite)

    def update(self, images: Spectrum | Float[Tensor, "n f bh bw"]) -> None:
        """Add a batch of images; earlier ones are not needed again.

        Args:
            images: a spectrum, or orthonormal coefficients, of these bands on this grid.

        Raises:
            ValueError: bands or grid differ, or a coefficient is not finite.
        """
        if isinstance(images, Spectrum) and images.bands.channels != self.bands.channels:
            raise ValueError(f"these are statistics of band set {self.bands}; the batch has {images.bands}")
        values = images.coefficients() if isinstance(images, Spectrum) else images
        if tuple(values.shape[1:]) != (len(self.bands), *self.grid):
            raise ValueError(
                f"these are statistics of {len(self.bands)} channels on a grid of {self.grid[0]} x {self.grid[1]}; "
                f"the batch is {tuple(values.shape)}"
            )
        if not len(values):
            return
        columns = values.detach().to("cpu", torch.float64).transpose(0, 1).reshape(len(self.bands), -1)
        if not bool(columns.isfinite().all()):
            raise ValueError("the batch holds coefficients that are not finite; find the image that they come from")
        mean = columns.mean(1)
        batch = replace(
            self,
            num_images=len(values),
            num_positions=columns.shape[1],
            mean=mean,
            squares=(columns - mean[:, None]).square().sum(1),
            minimum=columns.amin(1),
            maximum=columns.amax(1),
        )
        self.__dict__.update(self.merge(batch).__dict__)

    def merge(self, other: Statistics) -> Statistics:
        """Return the statistics of both collections of images, as if they had been seen together.

        Up to rounding in float64 the order and grouping of merges do not matter; counts and extremes are exact.

        Raises:
            ValueError: bands or grid differ.

        Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        """
        if self.bands.channels != other.bands.channels or self.grid != other.grid:
            raise ValueError(
                f"statistics of {self.bands} on {self.grid[0]} x {self.grid[1]} and of {other.bands} on "
                f"{other.grid[0]} x {other.grid[1]} cannot be merged: bands and grid must be the same"
            )
        total = self.num_positions + other.num_positions
        share = other.num_positions / max(1, total)
        delta = other.mean - self.mean
        sources = dict.fromkeys(source for source in (self.source, other.source) if source)
        return replace(
            self,
            source="; ".join(sources),
            num_images=self.num_images + other.num_images,
            num_positions=total,
            mean=self.mean + delta * share,
            squares=self.squares + other.squares + delta.square() * (self.num_positions * share),
            minimum=torch.minimum(self.minimum, other.minimum),
            maximum=torch.maximum(self.maximum, other.maximum),
        )

    def for_bands(self, bands: BandSet | str) -> Statistics:
        """Return the statistics of some of the channels, in the order of the given set (or of the one of a name).

        Raises:
            StatisticsError: a channel is not here.
        """
        bands = BandSet.of(bands)
        missing = sorted(set(bands.channels) - set(self.bands.channels))
        if missing:
            raise StatisticsError(
                f"statistics of band set {self.bands} lack channels {missing} of {bands}; measure all 192 channels"
            )
        index = torch.tensor([self.bands.channels.index(c) for c in bands.channels])
        kept = {name: getattr(self, name)[index] for name in _ARRAYS}
        return replace(self, bands=bands, **kept)

    def std(self) -> Float64[Tensor, " f"]:
        """Return the standard deviation over all positions (of the population: divided by their number).

        Raises:
            ValueError: no image has been seen.
        """
        self._check_seen()
        return (self.squares / self.num_positions).sqrt()

    def shift(self) -> Float64[Tensor, " f"]:
        """Return the coefficient that a network's 0 stands for: the mean for the three DCs, 0 for AC.

        So a block of zeros is the mean color, and padding with zeros is padding with the mean color.
        """
        self._check_seen()
        return torch.where(self._is_dc(), self.mean, torch.zeros_like(self.mean))

    def scale(self) -> Float64[Tensor, " f"]:
        """Return the standard deviation, and 1 for a channel that never varies (as chroma of gray images)."""
        std = self.std()
        return torch.where(std > 0, std, torch.ones_like(std))

    def int8_unit(self, *, reach: Real = 28.0) -> Float64[Tensor, " f"]:
        """Compute the step of each channel's int8 values, so that 127 steps reach as far as the data do.

        That is: to the farthest coefficient seen, counted from `shift`, but for the three DCs to the farthest one that
        8-bit samples can have, so that no unseen image is clipped there; and never more than ``reach`` standard
        deviations, since the rare extremes of natural images would cost all others their precision.

        On photos (steps from one half of 160, judged on the other half, 56 x 56 grid) fewer than 3 values in 100,000
        are clipped, and the error is 3.5 % of a channel's standard deviation over S-24 and 5.2 % over all 192 (root of
        the mean square). 28 is where the latter is smallest; 20 to 40 are nearly as good.

        Args:
            reach: in standard deviations, taken about `shift`.

        Returns:
            Coefficient units per step; 1 for a channel that is always at its shift.

        Raises:
            ValueError: the reach is not above 0, or no image has been seen.
        """
        if reach <= 0:
            raise ValueError(f"reach must be above 0, not {reach:g}")
        shift = self.shift()
        seen = torch.maximum(self.maximum - shift, shift - self.minimum)
        farthest = torch.where(self._is_dc(), DC_BOUND + shift.abs(), seen)
        spread = (self.std().square() + (self.mean - shift).square()).sqrt()
        unit = torch.minimum(farthest, reach * spread) / INT8_LIMIT
        return torch.where(unit > 0, unit, torch.ones_like(unit))

    def normalized(self, spectrum: Spectrum) -> Float[Tensor, "n f bh bw"]:
        """Return (coefficient - shift) / scale of a spectrum of the same bands, by one multiply-add.

        Raises:
            ValueError: the bands differ, or no image has been seen.
        """
        if spectrum.bands.channels != self.bands.channels:
            raise ValueError(f"these are statistics of band set {self.bands}; the spectrum has {spectrum.bands}")
        return spectrum.normalized(self.shift(), self.scale())

    def write(self, path: Path) -> None:
        """Write everything as JSON, exactly; the file is replaced as a whole."""
        self._check_seen()
        fields = {
            "format": _FORMAT,
            "source": self.source,
            "num_images": self.num_images,
            "num_positions": self.num_positions,
            "grid": list(self.grid),
            "bands": {"name": self.bands.name, "channels": list(self.bands.channels), "origin": self.bands.origin},
            "std": self.std().tolist(),  # for people; squares say the same
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
        }
        replace_file(path, (json.dumps(fields, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> Statistics:
        """Read what `write` wrote, to the bit.

        Raises:
            StatisticsError: the file is missing, is not such a file, or contradicts itself.
        """
        try:
            return cls._of_fields(
                strict_json.read_object(
                    path,
                    required=("format", "source", "num_images", "num_positions", "grid", "bands", *_ARRAYS),
                    optional=("std",),
                )
            )
        except OSError as error:
            raise StatisticsError(describe_error(error, str(path))) from error
        except ValueError as error:
            raise StatisticsError(f"{path}: not a statistics file ({error}); make one with: prepixel stats") from error

    @classmethod
    def _of_fields(cls, fields: Mapping[str, Any]) -> Statistics:
        if fields["format"] != _FORMAT:
            raise ValueError(f"format is {str(fields['format'])[:80]!r}, not {_FORMAT!r}")
        own = strict_json.checked_keys(fields["bands"], "'bands'", required=("name", "channels", "origin"))
        channels = strict_json.integers_of(own, "channels", most=NUM_CHANNELS)
        bands = BandSet(strict_json.text_of(own, "name"), channels, strict_json.text_of(own, "origin"))
        numbers = {name: strict_json.numbers_of(fields, name, most=NUM_CHANNELS) for name in _ARRAYS}
        arrays = {name: torch.tensor(items, dtype=torch.float64) for name, items in numbers.items()}
        for name, array in arrays.items():
            if array.shape != (len(bands),) or not bool(array.isfinite().all()):
                raise ValueError(f"{name!r} is not {len(bands)} finite numbers")
        num_images = strict_json.integer_of(fields["num_images"], "'num_images'")
        num_positions = strict_json.integer_of(fields["num_positions"], "'num_positions'")
        grid = strict_json.integers_of(fields, "grid", most=2)
        if len(grid) != 2 or min(grid) < 1 or num_images < 1 or num_images * grid[0] * grid[1] != num_positions:
            raise ValueError("num_images, grid and num_positions contradict each other")
        mean, squares, minimum, maximum = arrays.values()
        if bool((squares < 0).any()) or bool((minimum > maximum).any()):
            raise ValueError("squares below 0, or a minimum above its maximum")
        source = strict_json.text_of(fields, "source")
        return cls(bands, (grid[0], grid[1]), source, num_images, num_positions, mean, squares, minimum, maximum)

    def _check_seen(self) -> None:
        if not self.num_positions:
            raise ValueError("these statistics have seen no image; update them first")

    def _is_dc(self) -> Tensor:
        return torch.tensor([v == 0 and u == 0 for _, v, u in self.bands])
