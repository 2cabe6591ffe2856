"""Read image files as spectra of torch tensors: `prepixel.spectrum.read_arrays` with a front of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Float64, Int64, Integer
from torch import Tensor

from prepixel.errors import ReadFailure
from prepixel.jpeg.batch import OnError
from prepixel.jpeg.decode import OnTruncated
from prepixel.jpeg.image import JpegImage
from prepixel.jpeg.source import Limits, Source
from prepixel.spectrum.arrays import Target, check_grid, check_options, listed, open_with, read_into
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Box, Filter, Padding
from prepixel.spectrum.crop_arrays import CropArrays, Paddings
from prepixel.spectrum.opened_images import Indexes, OpenImages, resample_into
from prepixel.spectrum.padded import PaddedSpectrum
from prepixel.spectrum.spectrum import Spectrum
from prepixel.spectrum.tree import register_node

_NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.int8: np.dtype(np.int8)}


@dataclass(frozen=True)
class SpectraRead:
    """A batch of spectra, and which sources it was read from.

    Attributes:
        spectrum: the images that could be read, in the order of their sources.
        kept: for each image the place of its source.
        failures: the sources that are left out; none under ``on_error="raise"``.
        from_pixels: places of the sources that had no YCbCr coefficients, whose pixels were transformed.
        missing_blocks: for each image the blocks that its damaged file did not hold, which count as gray; 0 under
            ``on_truncated="raise"``. Where pixels were decoded the number is not known, and 0 stands here.
        unfit_indexes: places of the sources whose index is damaged or another file's: they were read without it.
    """

    spectrum: Spectrum
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    from_pixels: tuple[int, ...] = ()
    missing_blocks: tuple[int, ...] = ()
    unfit_indexes: tuple[int, ...] = ()


register_node(SpectraRead, ("spectrum", "kept"))


def read_spectra(
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
    dtype: torch.dtype = torch.float32,
    shift: Float[Tensor, " f"] | None = None,
    unit: Float[Tensor, " f"] | None = None,
    threads: int = 0,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
    on_error: OnError = "raise",
    indexes: Indexes = "auto",
    out: Tensor | None = None,
) -> SpectraRead:
    """Read many images, each cropped, resized, mirrored, turned and reduced to chosen frequencies, as one batch.

    Gray, YCbCr and RGB JPEGs go from bytes to values in compiled code, with the interpreter lock free; of other images
    the pixels are transformed first, as `prepixel.jpeg.read_image` does, one thread each. Worker threads live for one
    call, and no lock is held across calls, so forking is safe at any time.

    One budget of memory holds for a batch, however many threads read it. Coefficient planes of the JPEGs that are
    decoded at a time take at most ``limits.max_memory_bytes`` together, and so do the files read from paths, packed
    images that are decompressed, checkpoints of indexes, and pixels. A thread whose image does not fit waits for
    others. By default that is 2 GiB: 28 photos of 24 megapixels in 4:2:0 at a time, 14 in 4:4:4; raise it where more
    threads read larger photos.

    Args:
        sources: a list of paths, buffers of files' bytes, and open binary files (each is read to its end); images
            packed by `prepixel.jpeg.pack_jpeg` among them, which give what the JPEG with their frequencies alone would
            give. Or what `open_images` returned, whose sizes were known before boxes were chosen; then boxes, flips
            and turns are those of its images.
        grid: blocks (down, across) of every result, at most 4096 each.
        bands: the channels to form: a band set, or the name of one, as `BandSet.of` takes it.
        boxes: (top, left, height, width) in luma pixels of each upright image, real numbers; None for whole images.
        flips: which boxes are mirrored left to right; None for none.
        turns: by how many quarters each is turned counter-clockwise after that, as by `torch.rot90`; None for none. The
            grid is that of the turned result, and the box that of the upright image before. Two quarters and a flip
            mirror top to bottom.
        padding: what lies beyond the images, as a `Padding` for all, or one or None for each; boxes may then reach
            beyond, as if the image were padded, cropped and resized in this order. None: boxes stay inside.
        shown: the part of each upright image beyond which its padding begins, as boxes; None for all of it.
        filter: as `resample`.
        dtype: torch.float32, or torch.int8: rounded half to even and clipped to +-127.
        shift: the coefficient that 0 stands for, per channel; None for 0.
        unit: how many coefficient units one step of the values is, per channel, above 0; None for 1; int8 needs it.
        threads: threads to decode on; 0 for one per CPU.
        limits: what each file may ask for; opened images keep theirs.
        on_truncated: ``"raise"``, or ``"keep"``: use what a damaged JPEG still holds. Under ``"raise"``, rows of blocks
            behind a box are not decoded, nor restart intervals before it, so damage in them goes unseen; a file that
            does not end with its end marker, as truncated files do not, is decoded to its end all the same.
        on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources out of
            the batch, and list them. Failed sources are never substituted.
        indexes: by which crops of JPEGs are decoded without most of what lies outside them, as `open_images`; values do
            not depend on it. Not used under ``"keep"``.
        out: where to write, contiguous on the CPU, of shape ``(n, f, *grid)`` and this dtype; page-locked, if it is
            to be copied to a device without waiting. None for new memory.

    Returns:
        values (coefficient - shift) / unit. float32 values differ from the reference's by some units in the seventh
        digit of an image's largest coefficient; see the tests for the bound.

    Raises:
        PrepixelError: a file cannot be read, as `prepixel.jpeg.read_image`; not under ``"skip"``.
        OSError: a file cannot be opened; not under ``"skip"``.
        ValueError: a box is empty, or outside its image without padding, or an argument does not fit; always.
        TypeError: ``sources`` is one source, or ``bands`` neither a band set nor a name.
    """
    sources, bands = listed(sources), BandSet.of(bands)
    check_options(threads, on_truncated, on_error)
    target = _target(len(sources), grid, bands, dtype, shift, unit, out)
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
    spectrum = _spectrum(values, bands, target)
    return SpectraRead(
        spectrum, report.kept, report.failures, report.from_pixels, report.missing_blocks, report.unfit_indexes
    )


@dataclass(frozen=True)
class PaddedRead:
    """A batch of spectra on grids of their own, and which sources it was read from.

    Attributes:
        spectrum: the images that could be read, in the order of their sources.
        kept, failures, from_pixels, missing_blocks, unfit_indexes: as `SpectraRead`.
    """

    spectrum: PaddedSpectrum
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    from_pixels: tuple[int, ...] = ()
    missing_blocks: tuple[int, ...] = ()
    unfit_indexes: tuple[int, ...] = ()


register_node(PaddedRead, ("spectrum", "kept"))


def read_padded(
    sources: Sequence[Source] | OpenImages,
    *,
    grids: Sequence[tuple[int, int]],
    bands: BandSet | str,
    boxes: Float64[np.ndarray, "n 4"] | None = None,
    flips: Bool[np.ndarray, " n"] | None = None,
    turns: Integer[np.ndarray, " n"] | None = None,
    padding: Paddings = None,
    shown: Float64[np.ndarray, "n 4"] | None = None,
    filter: Filter = "bilinear",  # noqa: A002
    dtype: torch.dtype = torch.float32,
    shift: Float[Tensor, " f"] | None = None,
    unit: Float[Tensor, " f"] | None = None,
    multiple: int = 1,
    threads: int = 0,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
    on_error: OnError = "raise",
    indexes: Indexes = "auto",
) -> PaddedRead:
    """Read many images, each on a grid of its own, as one padded batch.

    Args:
        grids: blocks (down, across) of each result.
        multiple: the common grid's sides are the least multiples of it that hold all images.

    Raises:
        PrepixelError, OSError, ValueError, TypeError: as `read_spectra`, which describes the other arguments.
    """
    sources, bands = listed(sources), BandSet.of(bands)
    check_options(threads, on_truncated, on_error)
    if len(grids) != len(sources) or multiple < 1:
        raise ValueError(
            f"{len(grids)} grids for {len(sources)} sources, multiple {multiple}; give one per source, and 1 or more"
        )
    for grid in grids:
        check_grid(grid)
    scale = _target(0, (1, 1), bands, dtype, shift, unit, None)
    request = scale.request(bands, filter)
    crops = CropArrays.of(len(sources), boxes, flips, turns, padding, shown)
    images, crops = open_with(sources, crops, threads, limits, indexes)
    if len(images) < len(sources):
        grids = [grids[place] for place in images.kept.tolist()]
    values = [np.empty((1, len(bands), *grid), _NUMPY[dtype]) for grid in grids]
    good, report = images.read_into(values, request, crops, threads, on_truncated=on_truncated, on_error=on_error)
    spectra = [_spectrum(values[index], bands, scale) for index in good]
    if spectra:
        padded = PaddedSpectrum.of(spectra, multiple=multiple)
    else:
        none = np.empty((0, len(bands), multiple, multiple), _NUMPY[dtype])
        padded = PaddedSpectrum(_spectrum(none, bands, scale), ())
    return PaddedRead(
        padded, report.kept, report.failures, report.from_pixels, report.missing_blocks, report.unfit_indexes
    )


def read_spectrum(
    source: Source,
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    box: Box | None = None,
    flip: bool = False,
    turns: int = 0,
    padding: Padding | None = None,
    shown: Box | None = None,
    filter: Filter = "bilinear",  # noqa: A002
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
) -> Spectrum:
    """Read one image, cropped, resized, turned and reduced to chosen frequencies, as a batch of one in float32.

    Args:
        box: in luma pixels of the upright image; None for all of it.
        flip: mirror it left to right.
        turns: quarters by which it is turned counter-clockwise after that; ``grid`` is that of the result.
        padding: what lies beyond the image; None: the box must stay inside.
        shown: the part of the image beyond which padding begins; None for all of it.

    Raises:
        PrepixelError, OSError, ValueError: as `read_spectra`, which describes the other arguments.
    """
    return read_spectra(
        [source],
        grid=grid,
        bands=bands,
        boxes=_row(box),
        flips=np.array([flip]),
        turns=np.array([turns]),
        padding=padding,
        shown=_row(shown),
        filter=filter,
        threads=1,
        limits=limits,
        on_truncated=on_truncated,
    ).spectrum


def spectrum_of(
    image: JpegImage,
    *,
    grid: tuple[int, int],
    bands: BandSet | str,
    box: Box | None = None,
    flip: bool = False,
    turns: int = 0,
    padding: Padding | None = None,
    shown: Box | None = None,
    filter: Filter = "bilinear",  # noqa: A002
    dtype: torch.dtype = torch.float32,
    shift: Float[Tensor, " f"] | None = None,
    unit: Float[Tensor, " f"] | None = None,
) -> Spectrum:
    """Convert any box of a decoded image to a spectrum: `resample` by the compiled core.

    Args:
        image: gray, YCbCr or RGB.
        box: in luma pixels of the upright image; None for all of it.
        flip: mirror it left to right.
        turns: quarters by which it is turned counter-clockwise after that; ``grid`` is that of the result.
        padding: what lies beyond the image; None: the box must stay inside.
        shown: the part of the image beyond which padding begins; None for all of it.

    Returns:
        A batch of one. Bit for bit what `read_spectra` makes of the image's file.

    Raises:
        UnsupportedJpeg: the image is CMYK, YCCK, or of unknown color.
        ValueError: as `read_spectra`, which describes the other arguments.
    """
    bands = BandSet.of(bands)
    target = _target(1, grid, bands, dtype, shift, unit, None)
    crop = CropArrays.of(1, _row(box), np.array([flip]), np.array([turns]), padding, _row(shown))
    resample_into(target.values, image, target.request(bands, filter), crop)
    return _spectrum(target.values, bands, target)


def _target(
    n: int,
    grid: tuple[int, int],
    bands: BandSet,
    dtype: torch.dtype,
    shift: Float[Tensor, " f"] | None,
    unit: Float[Tensor, " f"] | None,
    out: Tensor | None,
) -> Target:
    """Check what torch's side is asked for, and share its memory."""
    check_grid(grid)
    if dtype not in _NUMPY:
        raise ValueError(f"spectra are read as torch.float32 or torch.int8, not {dtype}; convert the values after")
    shift_array, unit_array = (
        None if t is None else t.detach().to("cpu", torch.float32).numpy() for t in (shift, unit)
    )
    shape = (n, len(bands), *grid)
    if out is not None and (
        out.shape != shape or out.dtype != dtype or out.device.type != "cpu" or not out.is_contiguous()
    ):
        raise ValueError(
            f"out must be contiguous on the CPU, {dtype}, of shape {shape}; "
            f"got {out.dtype} of shape {tuple(out.shape)} on {out.device}"
        )
    # Checked before memory is asked for.
    Target.of(0, grid, bands, _NUMPY[dtype], shift_array, unit_array, None)
    memory = torch.empty(shape, dtype=dtype) if out is None else out
    return Target.of(n, grid, bands, _NUMPY[dtype], shift_array, unit_array, memory.numpy())


def _spectrum(values: npt.NDArray[Any], bands: BandSet, target: Target) -> Spectrum:
    # Copies: the scale may share the caller's memory.
    shift, unit = torch.from_numpy(target.shift.copy()), torch.from_numpy(target.unit.copy())
    return Spectrum(torch.from_numpy(values), bands, shift, unit)


def _row(box: Box | None) -> Float64[np.ndarray, "1 4"] | None:
    return None if box is None else np.array([[box.top, box.left, box.height, box.width]], dtype=np.float64)
