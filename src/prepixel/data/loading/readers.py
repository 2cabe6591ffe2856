"""Read crops of a list of image files at once, as coefficients or as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

from prepixel.data.loading.crops import CropParams
from prepixel.errors import PrepixelError
from prepixel.jpeg import ReadFailure, read_pixels
from prepixel.jpeg.source import Source, source_name
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.boxes import Filter
from prepixel.spectrum.native import read_spectra


class CropBatch(NamedTuple):
    """Store a network's inputs, and which of the files they are made of.

    Attributes:
        inputs: a spectrum or pixels, of the files that could be read.
        kept: their places in the list of files.
        failures: the files that are left out.
    """

    inputs: Spectrum | Tensor
    kept: list[int]
    failures: tuple[ReadFailure, ...]


@runtime_checkable
class CropReader(Protocol):
    """Turn files and crop parameters into a network's inputs."""

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""

    def read(self, sources: Sequence[Source], params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read what can be read; files that cannot are left out and listed, never replaced."""


@dataclass(frozen=True)
class SpectrumReader:
    """Read files as spectra, without pixels.

    Attributes:
        grid: blocks down and across.
        bands: the channels to form.
        filter: of the resize, antialiased.
        dtype: torch.float32, or torch.int8 with ``unit``.
        shift: the coefficient that 0 stands for, per channel; None for 0.
        unit: how many coefficient units a step is, per channel; None for 1.
    """

    grid: tuple[int, int]
    bands: BandSet
    filter: Filter = "bilinear"
    dtype: torch.dtype = torch.float32
    shift: Float[Tensor, " f"] | None = field(default=None, compare=False)
    unit: Float[Tensor, " f"] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", BandSet.of(self.bands))

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""
        return self.grid[1] / self.grid[0]

    def read(self, sources: Sequence[Source], params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on the compiled pool of threads; files that cannot be read are left out and listed."""
        boxes = [(b.top, b.left, b.height, b.width) for b, _ in params]
        read = read_spectra(
            list(sources),
            grid=self.grid,
            bands=self.bands,
            boxes=np.array(boxes, dtype=np.float64).reshape(len(params), 4),
            flips=np.array([crop.flipped for crop in params], dtype=bool),
            filter=self.filter,
            dtype=self.dtype,
            shift=self.shift,
            unit=self.unit,
            threads=threads,
            on_error="skip",
        )
        return CropBatch(read.spectrum, read.kept.tolist(), read.failures)


@dataclass(frozen=True)
class PixelReader:
    """Read files as RGB pixels, the RGB baseline: Pillow decodes, torchvision crops and resizes.

    Attributes:
        size: pixels down and across.
    """

    size: tuple[int, int]

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""
        return self.size[1] / self.size[0]

    def read(self, sources: Sequence[Source], params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on threads; files that cannot be read are left out and listed."""

        def attempt(place: int) -> UInt8[Tensor, "3 y x"] | ReadFailure:
            try:
                return self._read_one(sources[place], params[place])
            except (PrepixelError, OSError) as error:
                return ReadFailure(place, source_name(sources[place]), error)

        places = range(len(sources))
        if threads == 1 or len(sources) < 2:
            outcomes = [attempt(place) for place in places]
        else:
            with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
                outcomes = list(pool.map(attempt, places))
        kept = [place for place in places if not isinstance(outcomes[place], ReadFailure)]
        good = [outcome for outcome in outcomes if not isinstance(outcome, ReadFailure)]
        pixels = torch.stack(good) if good else torch.empty((0, 3, *self.size), dtype=torch.uint8)
        return CropBatch(pixels, kept, tuple(outcome for outcome in outcomes if isinstance(outcome, ReadFailure)))

    def _read_one(self, source: Source, params: CropParams) -> UInt8[Tensor, "3 y x"]:
        whole = read_rgb(source)
        b = params.box
        part: Tensor = functional.resized_crop(
            whole, int(b.top), int(b.left), int(b.height), int(b.width), list(self.size), antialias=True
        )
        return part.flip(-1) if params.flipped else part


def read_rgb(source: Source) -> UInt8[Tensor, "3 y x"]:
    """Decode a file to upright RGB pixels, as `prepixel.jpeg.read_pixels` does.

    Raises:
        PrepixelError, OSError: as `prepixel.jpeg.read_pixels`.
    """
    return torch.from_numpy(read_pixels(source)).permute(2, 0, 1)
