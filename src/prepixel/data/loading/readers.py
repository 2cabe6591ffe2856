"""Read crops of a list of image files at once, as coefficients or as pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

from prepixel.data.loading.crops import CenterCrop, CropParams
from prepixel.data.random_streams import sample_generator
from prepixel.errors import JpegError, ReadFailure
from prepixel.jpeg.batch import run_each
from prepixel.jpeg.pixel_fallback import pixels_of_contents, read_pixels
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, OpenImages, Spectrum, open_images
from prepixel.spectrum.arrays import check_grid
from prepixel.spectrum.boxes import Box, Filter, Padding
from prepixel.spectrum.native import read_spectra
from prepixel.spectrum.opened_images import Indexes
from prepixel.spectrum.resampled_axis import AxisPadding, unpadded

_Params = TypeVar("_Params", contravariant=True)
_Read = TypeVar("_Read", covariant=True)


@runtime_checkable
class ImageReader(Protocol[_Params, _Read]):
    """Turn opened images, and what was drawn for each, into a batch."""

    def read(self, images: OpenImages, params: Sequence[_Params], threads: int) -> _Read:
        """Read what can be read; files that cannot are left out and listed, never replaced."""


_Drawn = TypeVar("_Drawn")
_Batch = TypeVar("_Batch")


def read_drawn(
    reader: ImageReader[_Drawn, _Batch],
    sources: Sequence[Source],
    draw: Callable[[int, tuple[int, int]], _Drawn],
    threads: int,
    *,
    draw_threads: int = 1,
    indexes: Indexes = "auto",
) -> _Batch:
    """Open files, draw parameters by their sizes, and read them: no file is opened twice.

    Args:
        reader: turns files into a batch.
        sources: the files.
        draw: called with a source's place and the upright (height, width) of its image, in the order of the sources
            but for several threads; a source for which it raises an error of the file is left out.
        threads: threads to read on; 0 for one per CPU.
        draw_threads: threads to draw on.
        indexes: by which crops are decoded without the rest, as `open_images`.
    """
    images = open_images(sources, threads=threads, on_error="skip", indexes=indexes)
    places, sizes = images.kept.tolist(), images.sizes.tolist()
    params = dict[int, Any]()

    def draw_one(index: int) -> None:
        height, width = sizes[index]
        params[index] = draw(places[index], (height, width))

    errors = run_each(draw_one, range(len(images)), draw_threads)
    return reader.read(images.leave_out(errors), [params[index] for index in sorted(params)], threads)


def read_centered(
    reader: CropReader, sources: Sequence[Source], fraction: float, threads: int, indexes: Indexes = None
) -> CropBatch:
    """Read the centered crops that evaluation sees; see `CenterCrop`.

    Without ``indexes`` none is used: a stranger's file is seen as other programs see it, whatever index it holds.
    """
    crop, generator = CenterCrop(fraction), sample_generator(0, 0, 0)  # which it does not touch

    def draw(_: int, size: tuple[int, int]) -> CropParams:
        return crop.make_params(size, reader.aspect, generator)

    return read_drawn(reader, sources, draw, threads, indexes=indexes)


def with_path(failure: ReadFailure, path: str) -> ReadFailure:
    """Call a failure's source by a path, where it was read from bytes."""
    if isinstance(failure.error, JpegError):
        failure.error.source = path
    return replace(failure, source=path)


def padding_of(
    params: Sequence[CropParams], images: OpenImages
) -> tuple[list[Padding | None] | None, Float64[np.ndarray, "n 4"] | None]:
    """Return the padding of each image, and the parts beyond which it begins; None where no image is padded."""
    if not any(crop.padding for crop in params):
        return None, None
    whole = [Box(0.0, 0.0, float(height), float(width)) for height, width in images.sizes.tolist()]
    shown = [crop.shown or full for crop, full in zip(params, whole, strict=True)]
    return [crop.padding for crop in params], box_rows(shown)


def box_rows(boxes: Sequence[Box]) -> Float64[np.ndarray, "n 4"]:
    """Return boxes as an array, a row (top, left, height, width) for each."""
    rows = [(box.top, box.left, box.height, box.width) for box in boxes]
    return np.array(rows, dtype=np.float64).reshape(len(boxes), 4)


class CropBatch(NamedTuple):
    """Store a network's inputs, and which of the files they are made of.

    Attributes:
        inputs: a spectrum or pixels, of the files that could be read.
        kept: their places in the list of files that were opened.
        failures: the files that are left out, whether they could not be opened or not be read.
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

    def read(self, images: OpenImages, params: Sequence[CropParams], threads: int) -> CropBatch:
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
        check_grid(self.grid)

    def __repr__(self) -> str:
        return f"SpectrumReader({self.bands}, {self.grid[0]} x {self.grid[1]} blocks, {self.dtype}, {self.filter})"

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""
        return self.grid[1] / self.grid[0]

    def read(self, images: OpenImages, params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on the compiled pool of threads; files that cannot be read are left out and listed."""
        padding, shown = padding_of(params, images)
        read = read_spectra(
            images,
            grid=self.grid,
            bands=self.bands,
            boxes=box_rows([crop.box for crop in params]),
            flips=np.array([crop.flipped for crop in params], dtype=bool),
            turns=np.array([crop.turns for crop in params], dtype=np.int64),
            padding=padding,
            shown=shown,
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

    def read(self, images: OpenImages, params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on threads; files that cannot be read are left out and listed."""
        read, kept, failures = read_pixel_crops(images, [(crop, self.size) for crop in params], threads)
        pixels = torch.stack(read) if read else torch.empty((0, 3, *self.size), dtype=torch.uint8)
        return CropBatch(pixels, kept, failures)


def read_pixel_crops(
    images: OpenImages, crops: Sequence[tuple[CropParams, tuple[int, int]]], threads: int
) -> tuple[list[UInt8[Tensor, "3 y x"]], list[int], tuple[ReadFailure, ...]]:
    """Read crops of opened images as pixels, each at a size of its own.

    Returns:
        The crops that could be read, the places of their sources, and the failures.
    """
    read = dict[int, UInt8[Tensor, "3 y x"]]()

    def read_one(index: int) -> None:
        pixels = torch.from_numpy(pixels_of_contents(images.contents(index), images.name(index))).permute(2, 0, 1)
        read[index] = crop_pixels(pixels, *crops[index])

    errors = run_each(read_one, range(len(images)), threads)
    rest = images.leave_out(errors)
    return [read[index] for index in sorted(read)], rest.kept.tolist(), rest.failures


def crop_pixels(pixels: UInt8[Tensor, "3 y x"], params: CropParams, size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    """Cut a box of whole pixels, of padding, too, resize it, antialiased, and mirror and turn it.

    ``size`` is that of the result.
    """
    place = (int(params.box.top), int(params.box.left), int(params.box.height), int(params.box.width))
    if params.padding is not None:
        pixels, place = _padded(pixels, params, params.padding), (0, 0, *place[2:])
    resized = list(size[::-1] if params.turns % 2 else size)
    part: Tensor = functional.resized_crop(pixels, *place, resized, antialias=True)
    return (part.flip(-1) if params.flipped else part).rot90(params.turns, (-2, -1))


def _padded(pixels: UInt8[Tensor, "3 y x"], params: CropParams, padding: Padding) -> UInt8[Tensor, "3 h w"]:
    """Return the box of an image with padding beyond the part that is shown, in whole pixels."""
    box, shown = params.box, params.shown or Box(0, 0, *pixels.shape[1:])
    places, spans = [], []
    for start, length, begin, extent in (
        (box.top, box.height, shown.top, shown.height),
        (box.left, box.width, shown.left, shown.width),
    ):
        part = AxisPadding(padding.mode, round(begin), round(begin + extent))
        at, inside = unpadded(torch.arange(round(start), round(start) + int(length)), part)
        places.append(at[inside])
        spans.append(inside.nonzero()[:, 0])
    part_shown = pixels.index_select(1, places[0]).index_select(2, places[1])
    if part_shown.shape[1:] == (int(box.height), int(box.width)):
        return part_shown
    fill = torch.tensor(padding.rgb).round().clamp(0, 255).to(torch.uint8)[:, None, None]
    padded = fill.repeat(1, int(box.height), int(box.width))
    if part_shown.numel():
        padded[:, spans[0][0] : spans[0][-1] + 1, spans[1][0] : spans[1][-1] + 1] = part_shown
    return padded


def read_rgb(source: Source) -> UInt8[Tensor, "3 y x"]:
    """Decode a file to upright RGB pixels, as `prepixel.jpeg.read_pixels` does.

    Raises:
        PrepixelError, OSError: as `prepixel.jpeg.read_pixels`.
    """
    return torch.from_numpy(read_pixels(source)).permute(2, 0, 1)
