"""Read image files straight into numpy arrays of spectra, by the compiled core and without torch.

Many files at a time, on threads, without pixels. The core computes what `prepixel.spectrum.resample` computes, in
float32; tests compare the two. Values depend on the image, its crop and the request alone: neither on the number of
threads nor on the machine's instruction set. `prepixel.spectrum.read_spectra` is the same for torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Bool, Float, Float32, Float64, Int8, Integer
from prepixel.jpeg.batch import (
    OnError,
    check_choice,
    checked_threads,
)
from prepixel.jpeg.decode import OnTruncated
from prepixel.jpeg.source import Limits, Source, check_sources
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Filter
from prepixel.spectrum.crop_arrays import CropArrays, Paddings
from prepixel.spectrum.opened_images import Indexes, OpenImages, ReadReport, Request, opened

# As native/spectrum/resampler.hpp has it; checked here before memory is asked for.
_MAX_GRID = 4096


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

    def __repr__(self) -> str:
        n, _, bh, bw = self.values.shape
        return f"SpectraArrays({n} images, {self.bands}, {bh} x {bw} blocks, {self.values.dtype}, {self.report})"

    def coefficients(self) -> Float32[np.ndarray, "kept f bh bw"]:
        """Return orthonormal coefficients in float32."""
        scaled: npt.NDArray[np.float32] = self.values.astype(np.float32) * self.unit[:, None, None]
        scaled += self.shift[:, None, None]
        return scaled


def read_arrays(
    sources: Sequence[Source] | OpenImages,
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    boxes: Float64[np.ndarray, "n 4"] | None = None,
    flips: Bool[np.ndarray, " n"] | None = None,
    turns: Integer[np.ndarray, " n"] | None = None,
    padding: Paddings = None,
    shown: Float64[np.ndarray, "n 4"] | None = None,
    filter: Filter = "bilinear",  # noqa: A002  (the word of torchvision's and Pillow's users)
    dtype: Literal["float32", "int8"] = "float32",
    shift: Float[np.ndarray, " f"] | None = None,
    unit: Float[np.ndarray, " f"] | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
    on_error: OnError = "raise",
    indexes: Indexes = "auto",
    out: Float32[np.ndarray, "n f bh bw"] | Int8[np.ndarray, "n f bh bw"] | None = None,
) -> SpectraArrays:
    """Read many images, each cropped, resized, turned and reduced to chosen frequencies, into one numpy array.

    Arguments are those of `prepixel.spectrum.read_spectra`, with numpy arrays in place of tensors, and the values are
    the same to the bit.

    Example:
        Crops that depend on the images' sizes, without opening a file twice::

            images = open_images(paths, on_error="skip")
            boxes = np.array([choose_box(height, width) for height, width in images.sizes])
            spectra = read_arrays(images, grid=(28, 28), bands="S-24", boxes=boxes)

    Raises:
        PrepixelError, OSError, ValueError, TypeError: as `read_spectra`.

    >>> read_arrays([], grid=(2, 3), bands="S-24").values.shape
    (0, 24, 2, 3)
    """
    sources, bands = listed(sources), BandSet.of(bands)
    check_choice("dtype", dtype, ("float32", "int8"))
    check_options(threads, on_truncated, on_error)
    target = Target.of(len(sources), grid, bands, np.dtype(dtype), shift, unit, out)
    values, report = read_into(
        target,
        sources,
        bands,
        CropArrays.of(len(sources), boxes, flips, turns, padding, shown),
        filter,
        threads,
        limits,
        indexes,
        on_truncated=on_truncated,
        on_error=on_error,
    )
    return SpectraArrays(values, bands, target.shift, target.unit, report)


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


def check_grid(grid: Any) -> None:
    """Raise TypeError for a grid that is no pair, ValueError for one that is empty or too large."""
    if isinstance(grid, str) or not isinstance(grid, Sequence) or len(grid) != 2:
        raise TypeError(f"grid is {grid!r}; give blocks down and across, such as (28, 28) for 224 x 224 pixels")
    if not 1 <= min(grid) <= max(grid) <= _MAX_GRID:
        raise ValueError(f"a grid has 1 x 1 to {_MAX_GRID} x {_MAX_GRID} blocks, not {grid[0]} x {grid[1]}")


def listed(sources: Sequence[Source] | OpenImages) -> list[Source] | OpenImages:
    """Return opened images as they are, and sources as a list."""
    return sources if isinstance(sources, OpenImages) else check_sources(sources)


def read_into(
    target: Target,
    sources: list[Source] | OpenImages,
    bands: BandSet,
    crops: CropArrays,
    filter_name: str,
    threads: int,
    limits: Limits,
    indexes: Indexes,
    *,
    on_truncated: OnTruncated,
    on_error: OnError,
) -> tuple[npt.NDArray[Any], ReadReport]:
    """Read sources into a target; return the values of those that could be read, closed up, and the report."""
    request = target.request(bands, filter_name)
    images, crops = open_with(sources, crops, threads, limits, indexes)
    values = target.values[: len(images)]
    good, report = images.read_into(values, request, crops, threads, on_truncated=on_truncated, on_error=on_error)
    if len(good) < len(images):  # close the gaps, from the front, so that nothing is overwritten before it is moved
        for place, index in enumerate(good):
            if place != index:
                values[place] = values[index]
        values = values[: len(good)]
    return values, report


def open_with(
    sources: list[Source] | OpenImages,
    crops: CropArrays,
    threads: int,
    limits: Limits,
    indexes: Indexes,
) -> tuple[OpenImages, CropArrays]:
    """Open sources, or take opened images, and return the crops of those that could be opened."""
    images = opened(sources, threads, limits, indexes)
    return images, crops.take(images.kept) if len(images) < len(sources) else crops
