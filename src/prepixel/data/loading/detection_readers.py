"""Read the photos of detection batches as spectra or as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

from prepixel.data.loading.detection_crops import ResizeParams
from prepixel.data.loading.readers import read_rgb
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum, read_spectra
from prepixel.spectrum.boxes import Filter


@runtime_checkable
class FrameReader(Protocol):
    """Turn one file and what was drawn for it into a frame, and frames into a batch."""

    @property
    def unit(self) -> int:
        """Return the number of pixels that the sides of frames must be multiples of."""

    def read(self, source: Source, params: ResizeParams) -> Any:
        """Read one frame."""

    def batch(self, frames: Sequence[Any]) -> PaddedSpectrum | list[Tensor]:
        """Put frames together; there may be none."""


@dataclass(frozen=True)
class SpectrumFrames:
    """Read frames as spectra, without pixels.

    Attributes:
        bands: the channels to form.
        pixels_per_block: pixels of the frame that a block stands for: 4 for the paper's grid of a fourth of the frame,
            for which the photo is seen at twice the frame's size; 8 for a grid of an eighth.
        filter: of the resize, antialiased.
        dtype: torch.float32, or torch.int8 with ``step``.
        shift: the coefficient that 0, and so the padding, stands for, per channel; None for 0, mid-gray.
        step: how many coefficient units a step is, per channel; None for 1.
        multiple: the common grid of a batch has sides that are multiples of it.
    """

    bands: BandSet
    pixels_per_block: int = 4
    filter: Filter = "bilinear"
    dtype: torch.dtype = torch.float32
    shift: Float[Tensor, " f"] | None = field(default=None, compare=False)
    step: Float[Tensor, " f"] | None = field(default=None, compare=False)
    multiple: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", BandSet.of(self.bands))

    @property
    def unit(self) -> int:
        """Return the side of a block in pixels."""
        return self.pixels_per_block

    def read(self, source: Source, params: ResizeParams) -> Spectrum:
        """Read one frame as a spectrum of one image."""
        box = params.box
        return read_spectra(
            [source],
            grid=(params.size[0] // self.unit, params.size[1] // self.unit),
            bands=self.bands,
            boxes=np.array([[box.top, box.left, box.height, box.width]], dtype=np.float64),
            flips=np.array([params.flipped]),
            filter=self.filter,
            dtype=self.dtype,
            shift=self.shift,
            unit=self.step,
            threads=1,
        ).spectrum

    def batch(self, frames: Sequence[Spectrum]) -> PaddedSpectrum:
        """Put frames together, padded by zeros."""
        if frames:
            return PaddedSpectrum.of(frames, multiple=self.multiple)
        f = len(self.bands)
        values = torch.empty((0, f, self.multiple, self.multiple), dtype=self.dtype)
        shift = torch.zeros(f) if self.shift is None else self.shift
        return PaddedSpectrum(
            Spectrum(values, self.bands, shift, torch.ones(f) if self.step is None else self.step), ()
        )


@dataclass(frozen=True)
class PixelFrames:
    """Read frames as RGB pixels: Pillow decodes, torchvision cuts and resizes.

    Attributes:
        unit: pixels of which sides of frames are multiples, so that both pipelines see the same frames.
    """

    unit: int = 4

    def read(self, source: Source, params: ResizeParams) -> UInt8[Tensor, "3 h w"]:
        """Read one frame."""
        box = params.box
        place = (int(box.top), int(box.left), int(box.height), int(box.width))
        part: Tensor = functional.resized_crop(read_rgb(source), *place, list(params.size), antialias=True)
        return part.flip(-1) if params.flipped else part

    def batch(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Return the frames unchanged."""
        return list(frames)
