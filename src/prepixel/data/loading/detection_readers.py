"""Read the photos of detection batches as spectra or as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.detection_crops import ResizeParams
from prepixel.data.loading.readers import box_rows, read_pixel_crops
from prepixel.errors import ReadFailure
from prepixel.spectrum import BandSet, OpenImages, PaddedSpectrum, read_padded
from prepixel.spectrum.boxes import Filter


class FrameBatch(NamedTuple):
    """Store a detector's inputs, and which of the files they are made of.

    Attributes:
        inputs: spectra, each on its own grid; or uint8 RGB images of unequal size.
        kept: the places of the files that could be read.
        failures: the files that are left out.
    """

    inputs: PaddedSpectrum | list[Tensor]
    kept: list[int]
    failures: tuple[ReadFailure, ...]


@runtime_checkable
class FrameReader(Protocol):
    """Turn files and what was drawn for them into a batch of frames."""

    @property
    def unit(self) -> int:
        """Return the number of pixels that the sides of frames must be multiples of."""

    def read(self, images: OpenImages, params: Sequence[ResizeParams], threads: int) -> FrameBatch:
        """Read what can be read; files that cannot are left out and listed, never replaced."""


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

    def read(self, images: OpenImages, params: Sequence[ResizeParams], threads: int) -> FrameBatch:
        """Read on the compiled pool of threads, and pad by zeros to one grid."""
        read = read_padded(
            images,
            grids=[(height // self.unit, width // self.unit) for _, (height, width), _ in params],
            bands=self.bands,
            boxes=box_rows([frame.box for frame in params]),
            flips=np.array([frame.flipped for frame in params], dtype=bool),
            filter=self.filter,
            dtype=self.dtype,
            shift=self.shift,
            unit=self.step,
            multiple=self.multiple,
            threads=threads,
            on_error="skip",
        )
        return FrameBatch(read.spectrum, read.kept.tolist(), read.failures)


@dataclass(frozen=True)
class PixelFrames:
    """Read frames as RGB pixels: Pillow decodes, torchvision cuts and resizes.

    Attributes:
        unit: pixels of which sides of frames are multiples, so that both pipelines see the same frames.
    """

    unit: int = 4

    def read(self, images: OpenImages, params: Sequence[ResizeParams], threads: int) -> FrameBatch:
        """Read on threads; the frames stay of unequal size."""
        crops = [(CropParams(frame.box, frame.flipped), frame.size) for frame in params]
        return FrameBatch(*read_pixel_crops(images, crops, threads))
