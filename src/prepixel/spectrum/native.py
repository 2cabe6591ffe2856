"""From files straight to spectra, by the compiled road: many at a time, on a pool of threads, without pixels.

It computes what `resample` computes, in float32: the two are held together by tests. Values depend on the image, the
box, the flip and what is asked for alone: neither on the number of threads nor on the machine's instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64
from torch import Tensor

from prepixel import _native
from prepixel.errors import ReadFailure
from prepixel.jpeg.batch import (
    OnError,
    check_choice,
    checked_threads,
    native_sources,
    run_each,
    sort_out,
)
from prepixel.jpeg.decode import Limits, OnTruncated, Source, native_limits
from prepixel.jpeg.image import JpegImage
from prepixel.jpeg.pixel_fallback import read_image
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.geometry import Box
from prepixel.spectrum.reference import Filter
from prepixel.spectrum.spectrum import Spectrum

# As native/spectrum/resampler.hpp has it; checked here before memory is asked for.
_MAX_GRID = 4096


@dataclass(frozen=True)
class SpectraRead:
    """Hold a batch, and what is to be known of how it was read.

    Attributes:
        spectrum: the images that could be read, in the order of their sources.
        kept: for each image its place among the sources.
        failures: the sources that are left out; none under ``on_error="raise"``.
        from_pixels: places of the sources that had no YCbCr coefficients and took the pixel road.
        missing_blocks: for each image the blocks that its damaged file did not hold, which count as gray; 0 under
            ``on_truncated="raise"``. What the pixel road misses is not known.
    """

    spectrum: Spectrum
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    from_pixels: tuple[int, ...] = ()
    missing_blocks: tuple[int, ...] = ()


def read_spectra(
    sources: Sequence[Source],
    *,
    grid: tuple[int, int],
    bands: BandSet,
    boxes: Float64[np.ndarray, "n 4"] | None = None,
    flips: Bool[np.ndarray, " n"] | None = None,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
    dtype: torch.dtype = torch.float32,
    shift: Float[Tensor, " f"] | None = None,
    unit: Float[Tensor, " f"] | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
    on_error: OnError = "raise",
    out: Tensor | None = None,
) -> SpectraRead:
    """Read many images, each cropped, resized, mirrored and reduced to chosen frequencies, as one batch.

    Gray, YCbCr and RGB JPEGs go from bytes to values in compiled code, with the interpreter lock free; of other images
    the pixels are transformed first, as `prepixel.jpeg.read_image` does, one thread each. Threads live as long as the
    call, so worker processes may be forked at any time between calls.

    Args:
        sources: paths, or buffers of files' bytes; images packed by `prepixel.jpeg.pack_jpeg` among them, which give
            what the JPEG with their frequencies alone would give.
        grid: blocks (down, across) of every result, at most 4096 each.
        bands: the channels to form.
        boxes: (top, left, height, width) in luma pixels of each upright image, real numbers; None for whole images.
        flips: which results are mirrored left to right; None for none.
        filter: as `resample`.
        dtype: torch.float32, or torch.int8: rounded half to even and clipped to +-127.
        shift: the coefficient that 0 stands for, per channel; None for 0.
        unit: how many coefficient units a step of the values is, per channel, above 0; None for 1, with int8 required.
        threads: threads to decode on; 0 for one a processor.
        limits: what each file may ask for.
        on_truncated: ``"raise"``, or ``"keep"``: use what a damaged JPEG still holds. Under ``"raise"``, rows of blocks
            behind a box are not decoded, nor restart intervals before it, so damage in them goes unseen; a file that
            does not end with its end marker, as files cut short do not, is decoded to its end all the same.
        on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources out of
            the batch, and list them. None is ever replaced by another.
        out: where to write, contiguous on the CPU, of shape ``(n, f, *grid)`` and this dtype; page-locked, if it is
            to be copied to a device without waiting. None for new memory.

    Returns:
        values (coefficient - shift) / unit. float32 values differ from the reference's by some units in the seventh
        digit of an image's largest coefficient; see the tests for the bound.

    Raises:
        PrepixelError: a file cannot be read, as `prepixel.jpeg.read_image`; not under ``"skip"``.
        OSError: a file cannot be opened; not under ``"skip"``.
        ValueError: a box is empty or outside its image, or an argument does not fit; always.
    """
    arrays = _Arrays.of(len(sources), grid, bands, dtype, shift, unit, out)
    request = arrays.request(bands, filter)
    flips = None if flips is None else np.ascontiguousarray(flips)
    boxes = None if boxes is None else np.ascontiguousarray(boxes)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("on_truncated", on_truncated, ("raise", "keep"))
    given, errors = native_sources(sources, limits, threads=checked_threads(threads))
    failed, pixels, missing = _native.read_spectra(
        given,
        arrays.values.numpy(),
        **request,
        **native_limits(limits),
        boxes=boxes,
        flips=flips,
        keep_truncated=on_truncated == "keep",
        threads=checked_threads(threads),
    )

    def by_pixels(index: int) -> None:
        image = read_image(sources[index], limits=limits, on_truncated=on_truncated)
        box = None if boxes is None else boxes[index : index + 1]
        flip = flips is not None and bool(flips[index])
        _resample_into(arrays.values[index : index + 1], image, request, box, flip)

    pixels = [index for index in pixels if index not in errors]
    errors |= dict(failed) | run_each(by_pixels, pixels, threads)
    kept, failures = sort_out(sources, errors, on_error)
    values = arrays.values
    if failures:  # close the gaps, from the front, so that nothing is overwritten before it is moved
        for place, index in enumerate(kept.tolist()):
            if place != index:
                values[place].copy_(values[index])
        values = values[: len(kept)]
    spectrum = Spectrum(values, bands, arrays.shift, arrays.unit)
    from_pixels = tuple(i for i in pixels if i not in errors)
    return SpectraRead(spectrum, kept, failures, from_pixels, tuple(missing[i] for i in kept.tolist()))


def read_spectrum(
    source: Source,
    *,
    grid: tuple[int, int],
    bands: BandSet,
    box: Box | None = None,
    flip: bool = False,
    filter: Filter = "bilinear",  # noqa: A002
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
) -> Spectrum:
    """Read one image, cropped, resized, mirrored and reduced to chosen frequencies, as a batch of one in float32.

    Args:
        box: in luma pixels of the upright image; None for all of it.
        flip: mirror the result left to right.

    Raises:
        PrepixelError, OSError, ValueError: as `read_spectra`, which also tells what the other arguments mean.
    """
    return read_spectra(
        [source],
        grid=grid,
        bands=bands,
        boxes=_row(box),
        flips=np.array([flip]),
        filter=filter,
        threads=1,
        limits=limits,
        on_truncated=on_truncated,
    ).spectrum


def spectrum_of(
    image: JpegImage,
    *,
    grid: tuple[int, int],
    bands: BandSet,
    box: Box | None = None,
    flip: bool = False,
    filter: Filter = "bilinear",  # noqa: A002
    dtype: torch.dtype = torch.float32,
    shift: Float[Tensor, " f"] | None = None,
    unit: Float[Tensor, " f"] | None = None,
) -> Spectrum:
    """Turn any box of an image that is decoded already into a spectrum: `resample` by the compiled road.

    Args:
        image: gray, YCbCr or RGB.
        box: in luma pixels of the upright image; None for all of it.
        flip: mirror the result left to right.

    Returns:
        A batch of one. Bit for bit what `read_spectra` makes of the image's file.

    Raises:
        UnsupportedJpeg: the image is CMYK, YCCK, or of unknown color.
        ValueError: as `read_spectra`, which also tells what the other arguments mean.
    """
    arrays = _Arrays.of(1, grid, bands, dtype, shift, unit, None)
    _resample_into(arrays.values, image, arrays.request(bands, filter), _row(box), flip)
    return Spectrum(arrays.values, bands, arrays.shift, arrays.unit)


class _Request(TypedDict):
    channels: Int32[np.ndarray, "f 3"]
    factors: Float32[np.ndarray, " f"]
    offsets: Float32[np.ndarray, " f"]
    filter: str
    simd: str


@dataclass(frozen=True)
class _Arrays:
    """Hold where values go and how they are scaled."""

    values: Tensor
    shift: Float32[Tensor, " f"]
    unit: Float32[Tensor, " f"]

    @classmethod
    def of(
        cls,
        n: int,
        grid: tuple[int, int],
        bands: BandSet,
        dtype: torch.dtype,
        shift: Float[Tensor, " f"] | None,
        unit: Float[Tensor, " f"] | None,
        out: Tensor | None,
    ) -> _Arrays:
        if not 1 <= min(grid) <= max(grid) <= _MAX_GRID:
            raise ValueError(f"a grid has 1 x 1 to {_MAX_GRID} x {_MAX_GRID} blocks, not {grid[0]} x {grid[1]}")
        if dtype not in (torch.float32, torch.int8):
            raise ValueError(f"spectra are read as torch.float32 or torch.int8, not {dtype}; convert the values after")
        if unit is None and dtype == torch.int8:
            raise ValueError("int8 values need a unit per channel; take Statistics.int8_unit of the training images")
        # As they are stored, so that decoding uses the very same numbers.
        shift = torch.zeros(len(bands)) if shift is None else shift.detach().to("cpu", torch.float32)
        unit = torch.ones(len(bands)) if unit is None else unit.detach().to("cpu", torch.float32)
        for name, tensor in (("shift", shift), ("unit", unit)):
            if tensor.shape != (len(bands),) or not bool(tensor.isfinite().all()):
                raise ValueError(
                    f"{name} must be {len(bands)} finite numbers, one a channel of {bands}; got {tuple(tensor.shape)}"
                )
        if not bool((unit > 0).all()):
            raise ValueError(f"a unit must be above 0 in every channel; the smallest is {float(unit.min()):g}")
        shape = (n, len(bands), *grid)
        if out is None:
            out = torch.empty(shape, dtype=dtype)
        elif out.shape != shape or out.dtype != dtype or out.device.type != "cpu" or not out.is_contiguous():
            raise ValueError(
                f"out must be contiguous on the CPU, {dtype}, of shape {shape}; "
                f"got {out.dtype} of shape {tuple(out.shape)} on {out.device}"
            )
        return cls(out, shift, unit)

    def request(self, bands: BandSet, filter_name: str) -> _Request:
        factors = (1 / self.unit.double()).float()
        offsets = (-self.shift.double() / self.unit.double()).float()
        if not bool(torch.cat([factors, offsets]).isfinite().all()):
            raise ValueError(f"the smallest unit, {float(self.unit.min()):g}, is too small for float32 values")
        return _Request(
            channels=np.array(list(bands), dtype=np.int32),
            factors=factors.numpy(),
            offsets=offsets.numpy(),
            filter=filter_name,
            simd="best",
        )


def _resample_into(
    out: Tensor, image: JpegImage, request: _Request, box: Float64[np.ndarray, "1 4"] | None, flip: bool
) -> None:
    planes = [
        (np.ascontiguousarray(c.quantized), np.ascontiguousarray(c.quantization), c.sampling, c.height, c.width)
        for c in image.components
    ]
    _native.spectrum_of_planes(
        planes,
        image.height,
        image.width,
        image.orientation,
        image.color,
        out.numpy(),
        **request,
        boxes=box,
        flip=flip,
    )


def _row(box: Box | None) -> Float64[np.ndarray, "1 4"] | None:
    return None if box is None else np.array([[box.top, box.left, box.height, box.width]], dtype=np.float64)
