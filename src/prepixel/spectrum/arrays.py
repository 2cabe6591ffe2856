"""Read image files straight into numpy arrays of spectra, by the compiled core and without torch.

Many files at a time, on threads, without pixels. The core computes what `prepixel.spectrum.resample` computes, in
float32; tests compare the two. Values depend on the image, the box, the flip and the request alone: neither on the
number of threads nor on the machine's instruction set. `prepixel.spectrum.read_spectra` is the same for torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from prepixel import _native
from prepixel.array_types import Bool, Float, Float32, Float64, Int8, Int32, Int64
from prepixel.errors import ReadFailure
from prepixel.jpeg.batch import (
    MemoryBudget,
    OnError,
    check_choice,
    checked_threads,
    native_errors,
    native_sources,
    open_packs,
    pack_groups,
    run_each,
    sort_out,
)
from prepixel.jpeg.decode import OnTruncated, native_limits
from prepixel.jpeg.image import JpegImage
from prepixel.jpeg.pixel_fallback import read_image_within
from prepixel.jpeg.source import Limits, Source, check_sources
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Filter

# As native/spectrum/resampler.hpp has it; checked here before memory is asked for.
_MAX_GRID = 4096


@dataclass(frozen=True)
class ReadReport:
    """Which sources of a batch were read, and how.

    Attributes:
        kept: for each image the place of its source.
        failures: the sources that are left out; none under ``on_error="raise"``.
        from_pixels: places of the sources that had no YCbCr coefficients, whose pixels were transformed.
        missing_blocks: for each image the blocks that its damaged file did not hold, which count as gray; 0 under
            ``on_truncated="raise"``. Where pixels were decoded the number is not known, and 0 stands here.
    """

    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    from_pixels: tuple[int, ...] = ()
    missing_blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class SpectraArrays:
    """A batch of spectra as numpy arrays; ``shift + unit * values`` are orthonormal coefficients, channel by channel.

    Attributes:
        values: the images that could be read, in the order of their sources.
        bands: which channel each of the f is, in order.
        shift: the coefficient that the value 0 stands for.
        unit: how many coefficient units one step of the values is.
        report: which sources these are.
    """

    values: Float32[np.ndarray, "kept f bh bw"] | Int8[np.ndarray, "kept f bh bw"]
    bands: BandSet
    shift: Float32[np.ndarray, " f"]
    unit: Float32[np.ndarray, " f"]
    report: ReadReport

    def __len__(self) -> int:
        return len(self.values)

    def coefficients(self) -> Float32[np.ndarray, "kept f bh bw"]:
        """Return orthonormal coefficients in float32."""
        scaled: npt.NDArray[np.float32] = self.values.astype(np.float32) * self.unit[:, None, None]
        scaled += self.shift[:, None, None]
        return scaled


def read_arrays(
    sources: Sequence[Source],
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    boxes: Float64[np.ndarray, "n 4"] | None = None,
    flips: Bool[np.ndarray, " n"] | None = None,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
    dtype: Literal["float32", "int8"] = "float32",
    shift: Float[np.ndarray, " f"] | None = None,
    unit: Float[np.ndarray, " f"] | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
    on_error: OnError = "raise",
    out: Float32[np.ndarray, "n f bh bw"] | Int8[np.ndarray, "n f bh bw"] | None = None,
) -> SpectraArrays:
    """Read many images, each cropped, resized, mirrored and reduced to chosen frequencies, into one numpy array.

    Arguments are those of `prepixel.spectrum.read_spectra`, with numpy arrays in place of tensors, and the values are
    the same to the bit.

    Raises:
        PrepixelError, OSError, ValueError, TypeError: as `read_spectra`.

    >>> read_arrays([], grid=(2, 3), bands="S-24").values.shape
    (0, 24, 2, 3)
    """
    sources, bands = check_sources(sources), BandSet.of(bands)
    check_choice("dtype", dtype, ("float32", "int8"))
    check_options(threads, on_truncated, on_error)
    target = Target.of(len(sources), grid, bands, np.dtype(dtype), shift, unit, out)
    values, report = read_into(
        target, sources, bands, boxes, flips, filter, threads, limits, on_truncated=on_truncated, on_error=on_error
    )
    return SpectraArrays(values, bands, target.shift, target.unit, report)


class Request(TypedDict):
    """What the compiled module is asked for of every image."""

    channels: Int32[np.ndarray, "f 3"]
    factors: Float32[np.ndarray, " f"]
    offsets: Float32[np.ndarray, " f"]
    filter: str
    simd: str


@dataclass(frozen=True)
class Target:
    """Where values are written, and how they are scaled."""

    values: npt.NDArray[Any]
    shift: Float32[np.ndarray, " f"]
    unit: Float32[np.ndarray, " f"]

    @classmethod
    def of(
        cls,
        n: int,
        grid: tuple[int, int],
        bands: BandSet,
        dtype: np.dtype[Any],
        shift: Float[np.ndarray, " f"] | None,
        unit: Float[np.ndarray, " f"] | None,
        out: npt.NDArray[Any] | None,
    ) -> Target:
        """Check grid, scale and output before memory is asked for.

        Raises:
            ValueError: one of them does not fit.
        """
        check_grid(grid)
        if unit is None and dtype == np.int8:
            raise ValueError("int8 values need a unit per channel; take Statistics.int8_unit of the training images")
        # As they are stored, so that decoding uses the very same numbers.
        shift = np.zeros(len(bands), np.float32) if shift is None else np.ascontiguousarray(shift, np.float32)
        unit = np.ones(len(bands), np.float32) if unit is None else np.ascontiguousarray(unit, np.float32)
        for name, array in (("shift", shift), ("unit", unit)):
            if array.shape != (len(bands),) or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} must be {len(bands)} finite numbers, one per channel of {bands}; got {array.shape}"
                )
        if not (unit > 0).all():
            raise ValueError(f"a unit must be above 0 in every channel; the smallest is {float(unit.min()):g}")
        shape = (n, len(bands), *grid)
        if out is None:
            out = np.empty(shape, dtype)
        elif out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError(
                f"out must be contiguous, writeable, {dtype}, of shape {shape}; got {out.dtype} of shape {out.shape}"
            )
        return cls(out, shift, unit)

    def request(self, bands: BandSet, filter_name: str) -> Request:
        """Return what the compiled module is asked for."""
        unit = self.unit.astype(np.float64)
        with np.errstate(over="ignore"):
            factors = (1 / unit).astype(np.float32)
            offsets = (-self.shift.astype(np.float64) / unit).astype(np.float32)
        if not (np.isfinite(factors).all() and np.isfinite(offsets).all()):
            raise ValueError(f"the smallest unit, {float(self.unit.min()):g}, is too small for float32 values")
        return Request(
            channels=np.array(list(bands), dtype=np.int32),
            factors=factors,
            offsets=offsets,
            filter=filter_name,
            simd="best",
        )


def check_options(threads: int, on_truncated: str, on_error: str) -> None:
    """Raise ValueError for an option that is none of its choices."""
    checked_threads(threads)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("on_truncated", on_truncated, ("raise", "keep"))


def check_grid(grid: tuple[int, int]) -> None:
    """Raise ValueError for a grid that is empty or too large."""
    if not 1 <= min(grid) <= max(grid) <= _MAX_GRID:
        raise ValueError(f"a grid has 1 x 1 to {_MAX_GRID} x {_MAX_GRID} blocks, not {grid[0]} x {grid[1]}")


def read_into(
    target: Target,
    sources: Sequence[Source],
    bands: BandSet,
    boxes: Float64[np.ndarray, "n 4"] | None,
    flips: Bool[np.ndarray, " n"] | None,
    filter_name: str,
    threads: int,
    limits: Limits,
    *,
    on_truncated: OnTruncated,
    on_error: OnError,
) -> tuple[npt.NDArray[Any], ReadReport]:
    """Read sources into a target; return the values of those that could be read, closed up, and the report."""
    request = target.request(bands, filter_name)
    flips = None if flips is None else np.ascontiguousarray(flips)
    boxes = None if boxes is None else np.ascontiguousarray(boxes)
    for name, array in (("boxes", boxes), ("flips", flips)):
        if array is not None and len(array) != len(sources):
            raise ValueError(f"{len(array)} {name} for {len(sources)} sources; give one per source")
    given, errors = native_sources(sources, limits)
    pixels, missing = list[int](), list[int]()
    for run in pack_groups(given, limits):
        part = slice(run[0], run[-1] + 1) if run else slice(0, 0)
        opened, unopened = open_packs(given[part], limits, threads)
        failed, others, lost = _native.read_spectra(
            opened,
            target.values[part],
            **request,
            **native_limits(limits),
            boxes=None if boxes is None else boxes[part],
            flips=None if flips is None else flips[part],
            keep_truncated=on_truncated == "keep",
            threads=threads,
        )
        found = native_errors(given[part], failed) | unopened
        errors = {part.start + index: error for index, error in found.items()} | errors
        pixels += [part.start + index for index in others if part.start + index not in errors]
        missing += lost
    budget = MemoryBudget(limits.max_memory_bytes)

    def by_pixels(index: int) -> None:
        image = read_image_within(given[index], limits, on_truncated, budget.reserve)
        box = None if boxes is None else boxes[index : index + 1]
        resample_into(target.values[index : index + 1], image, request, box, flips is not None and bool(flips[index]))

    errors |= run_each(by_pixels, pixels, threads)
    kept, failures = sort_out(sources, errors, on_error)
    values = target.values
    if failures:  # close the gaps, from the front, so that nothing is overwritten before it is moved
        for place, index in enumerate(kept.tolist()):
            if place != index:
                values[place] = values[index]
        values = values[: len(kept)]
    from_pixels = tuple(index for index in pixels if index not in errors)
    return values, ReadReport(kept, failures, from_pixels, tuple(missing[index] for index in kept.tolist()))


def resample_into(
    out: npt.NDArray[Any], image: JpegImage, request: Request, box: Float64[np.ndarray, "1 4"] | None, flip: bool
) -> None:
    """Resample one decoded image into an array of one."""
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
        out,
        **request,
        boxes=box,
        flip=flip,
    )
