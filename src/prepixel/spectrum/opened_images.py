"""Open many image files at once: each is read and its header parsed one time, whatever is then decoded of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from prepixel import _native
from prepixel.array_types import Float32, Int32, Int64
from prepixel.errors import ReadFailure, UnreadableImage
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
from prepixel.jpeg.folder_index import FolderIndex
from prepixel.jpeg.image import JpegImage
from prepixel.jpeg.jpeg_index import IndexWarning, JpegIndex
from prepixel.jpeg.packed_container import payload_size
from prepixel.jpeg.pixel_fallback import image_of_contents, size_of_contents
from prepixel.jpeg.source import Contents, Limits, Source, check_sources, is_path, read_contents, source_name
from prepixel.spectrum.crop_arrays import CropArrays

Indexes: TypeAlias = Sequence[JpegIndex | Contents | None] | FolderIndex | Literal["auto"] | None
"""Indexes of JPEGs, of which a crop needs but a part: ``"auto"`` for those that files hold (`embed_index`); a folder's
(`FolderIndex`), or an index or None for each source, and where there is none, that which the file holds; None for none.
"""


@dataclass(frozen=True)
class ReadReport:
    """Which sources of a batch were read, and how.

    Attributes:
        kept: for each image the place of its source.
        failures: the sources that are left out; none under ``on_error="raise"``.
        from_pixels: places of the sources that had no YCbCr coefficients, whose pixels were transformed.
        missing_blocks: for each image the blocks that its damaged file did not hold, which count as gray; 0 under
            ``on_truncated="raise"``. Where pixels were decoded the number is not known, and 0 stands here.
        unfit_indexes: places of the sources whose index is damaged or another file's: they were read without it.
    """

    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()
    from_pixels: tuple[int, ...] = ()
    missing_blocks: tuple[int, ...] = ()
    unfit_indexes: tuple[int, ...] = ()


_UNFIT_INDEXES = (
    "some indexes are damaged or not of their files, which were read without them; the result's unfit_indexes lists "
    "them. Make them again: prepixel index FOLDER"
)


class Request(TypedDict):
    """What the compiled module is asked for of every image."""

    channels: Int32[np.ndarray, "f 3"]
    factors: Float32[np.ndarray, " f"]
    offsets: Float32[np.ndarray, " f"]
    filter: str
    simd: str


@dataclass(frozen=True)
class _Files:
    """What all selections of one opening share; lists have one item per source.

    Attributes:
        sources: as the caller gave them.
        given: as the compiled module takes them.
        native: the compiled module's images.
        sizes: upright height and width; (0, 0) where it is not known.
        pixels: places of those whose pixels are decoded, by Pillow.
        packed: places of packed images.
        limits: what each file may ask for.
        indexes: of the sources.
    """

    sources: list[Source]
    given: list[Any]
    native: _native.OpenImages
    sizes: list[tuple[int, int]]
    pixels: frozenset[int]
    packed: frozenset[int]
    limits: Limits
    indexes: Indexes

    def contents(self, place: int) -> Contents:
        """Return a file's bytes, read again where they are not held."""
        if not is_path(self.given[place]):
            contents: Contents = self.given[place]
            return contents
        held = self.native.contents(place)
        return read_contents(self.given[place], self.limits) if held is None else held

    def indexes_of(self, places: Sequence[int]) -> list[Any] | None:
        """Return the bytes of the indexes of some sources, None where one has none; None where no source has any."""
        if self.indexes is None or isinstance(self.indexes, str):
            return None
        if isinstance(self.indexes, FolderIndex):
            return self.indexes.find([self.given[place] for place in places])
        chosen = [self.indexes[place] for place in places]
        return [index.data if isinstance(index, JpegIndex) else index for index in chosen]


class OpenImages:
    """Images whose files are read and whose headers are parsed; `open_images` makes them.

    Images are those that could be opened, in the order of their sources. Give them to `read_arrays`, `read_spectra` or
    `read_padded` in place of sources, as often as you like and from any thread: these decode, and open nothing again.
    A file that is changed or deleted meanwhile does no harm.

    The bytes of paths are held until the object is gone, up to 256 MiB of them and no more than
    ``Limits.max_memory_bytes``. A file beyond that is read again when it is decoded, and is a failure if its size has
    changed.

    Attributes:
        kept: for each image the place of its source.
        limits: what each file may ask for.
    """

    def __init__(self, files: _Files, errors: Mapping[int, Exception], *, known: bool) -> None:
        self._files, self._errors = files, dict(errors)
        self._known = known  # the caller knows of these errors: reading does not raise them again
        self.kept: Int64[np.ndarray, " kept"] = np.array(
            [place for place in range(len(files.sources)) if place not in self._errors], dtype=np.int64
        )
        self.limits = files.limits

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        return f"OpenImages({len(self)} of {len(self._files.sources)} sources)"

    @cached_property
    def sizes(self) -> Int64[np.ndarray, "kept 2"]:
        """Return upright (height, width) in luma pixels, one row per image."""
        sizes = [self._files.sizes[place] for place in self.kept.tolist()]
        return np.array(sizes, dtype=np.int64).reshape(len(self), 2)

    @cached_property
    def failures(self) -> tuple[ReadFailure, ...]:
        """Return the sources that are left out; none under ``on_error="raise"``."""
        return self._sort_out({}, "skip")[1]

    def name(self, index: int) -> str:
        """Return what messages call an image: its path, or the size of its buffer."""
        return source_name(self._files.sources[self.kept[index]])

    def contents(self, index: int) -> Contents:
        """Return the bytes of an image's file.

        Raises:
            PrepixelError, OSError: they are not held, and cannot be read again.
        """
        return self._files.contents(int(self.kept[index]))

    def leave_out(self, errors: Mapping[int, Exception]) -> OpenImages:
        """Return these images but for some, which become failures.

        Args:
            errors: what is wrong, by an image's index.
        """
        return OpenImages(self._files, self._errors | self._by_place(errors), known=True) if errors else self

    def read_into(
        self,
        outputs: npt.NDArray[Any] | list[npt.NDArray[Any]],
        request: Request,
        crops: CropArrays,
        threads: int,
        *,
        on_truncated: OnTruncated,
        on_error: OnError,
    ) -> tuple[list[int], ReadReport]:
        """Decode and resample all images; `read_arrays`, `read_spectra` and `read_padded` are the fronts of this.

        Args:
            outputs: an array for all images, or for each image an array of one, on a grid of its own.
            request: what is made of each.
            crops: what each shows of its image.
            threads, on_truncated, on_error: as `read_spectra`.

        Returns:
            Which of the images were read, and the report, which counts sources.
        """
        keep = on_truncated == "keep"
        errors, missing, unfit = self._read_natively(outputs, request, crops, threads, keep_truncated=keep)
        budget = MemoryBudget(self.limits.max_memory_bytes)

        def by_pixels(index: int) -> None:
            name = self.name(index)
            image = image_of_contents(self.contents(index), name, self.limits, on_truncated, budget.reserve)
            if self._files.sizes[self.kept[index]] not in ((0, 0), image.upright_size):
                raise UnreadableImage(f"{name}: was changed while it was read; read it again when nothing writes to it")
            (out,) = _part(outputs, range(index, index + 1))
            resample_into(out, image, request, crops.take(slice(index, index + 1)))

        pixels = [index for index, place in enumerate(self.kept.tolist()) if place in self._files.pixels]
        errors |= run_each(by_pixels, pixels, threads)
        kept, failures = self._sort_out(errors, on_error)
        good = [index for index in range(len(self)) if index not in errors]
        from_pixels = tuple(int(self.kept[index]) for index in pixels if index not in errors)
        unfit_indexes = tuple(int(self.kept[index]) for index in unfit)
        if unfit_indexes:
            warnings.warn(_UNFIT_INDEXES, IndexWarning, stacklevel=4)
        return good, ReadReport(kept, failures, from_pixels, tuple(missing[index] for index in good), unfit_indexes)

    def _read_natively(
        self,
        outputs: npt.NDArray[Any] | list[npt.NDArray[Any]],
        request: Request,
        crops: CropArrays,
        threads: int,
        *,
        keep_truncated: bool,
    ) -> tuple[dict[int, Exception], list[int], list[int]]:
        """Read all but the images that need pixels.

        Returns:
            What went wrong, the missing blocks of each image, and the images whose index does not fit.
        """
        errors, missing, unfit, places = dict[int, Exception](), list[int](), list[int](), self.kept.tolist()
        by_index = crops.boxes is not None and not keep_truncated
        packs = [index for index, place in enumerate(places) if place in self._files.packed]
        payloads = [0] * len(self)
        for index in packs:
            payloads[index] = payload_size(self.contents(index))
        for part in pack_groups(payloads, self.limits):
            contents = {index: partial(self.contents, index) for index in packs if index in part}
            parts, unopened = open_packs(contents, self.limits, threads)
            here = places[part.start : part.stop]
            failed, _, lost, refused = self._files.native.read(
                here,
                _part(outputs, part),
                **request,
                **crops.take(slice(part.start, part.stop)).native(),
                packs={index - part.start: one for index, one in parts.items()},
                indexes=self._files.indexes_of(here) if by_index else None,
                use_embedded=self._files.indexes is not None,
                keep_truncated=keep_truncated,
                threads=threads,
            )
            found = native_errors([self._files.given[places[index]] for index in part], failed)
            errors |= {part.start + at: error for at, error in found.items()} | unopened
            missing += lost
            unfit += [part.start + at for at in refused]
        return errors, missing, unfit

    def _sort_out(
        self, errors: Mapping[int, Exception], on_error: OnError
    ) -> tuple[Int64[np.ndarray, " read"], tuple[ReadFailure, ...]]:
        """Return the places of sources that were opened and read, and a failure for each of the others; or raise."""
        new = self._by_place(errors)
        if self._known and on_error == "raise":
            sort_out(self._files.sources, new, "raise")
        return sort_out(self._files.sources, self._errors | new, "skip" if self._known else on_error)

    def _by_place(self, errors: Mapping[int, Exception]) -> dict[int, Exception]:
        return {int(self.kept[index]): error for index, error in errors.items()}


def _part(outputs: npt.NDArray[Any] | list[npt.NDArray[Any]], part: range) -> list[npt.NDArray[Any]]:
    """Return the outputs of a run of images, as the compiled module takes them."""
    run = slice(part.start, part.stop)
    return [outputs[run]] if isinstance(outputs, np.ndarray) else outputs[run]


def open_images(
    sources: Sequence[Source],
    *,
    threads: int = 0,
    limits: Limits = Limits(),
    on_error: OnError = "raise",
    indexes: Indexes = "auto",
) -> OpenImages:
    """Open many images: read their files and parse their headers, and decode nothing yet.

    Crops can then be chosen by the images' sizes, and the crops alone be decoded.

    Args:
        sources: paths, buffers of files' bytes, or open binary files (each is read to its end); packed images among
            them. Buffers must not change as long as the result is in use.
        threads: threads to read on; 0 for one per CPU.
        limits: what each file may ask for.
        on_error: ``"raise"``: the error of the first source that cannot be opened; ``"skip"``: leave such sources out,
            and list them.
        indexes: by which crops of JPEGs are decoded without what lies before them and beside them: ``"auto"``: those
            that files hold, as `prepixel.jpeg.embed_index` puts them there; a `FolderIndex`
            (`prepixel.jpeg.open_folder_index`), or for each source an index, as a `JpegIndex` or its bytes, or None,
            which stands for that which the file holds. None: no index is used. Values do not depend on it:
            a file whose index is damaged or another file's is read without it, with an `IndexWarning`, and counted in
            the result's ``unfit_indexes``. Whole images, and crops of nearly all of one, are read without an index.

    Raises:
        PrepixelError: a header cannot be read, as `prepixel.jpeg.read_size`; not under ``"skip"``.
        OSError: a file cannot be opened; not under ``"skip"``.
        TypeError: ``sources`` is one source.
        ValueError: there are not as many indexes as sources.

    >>> len(open_images([]))
    0
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    checked_threads(threads)
    files, errors = _open(check_sources(sources), threads, limits, indexes, measure_pixels=True)
    sort_out(files.sources, errors, on_error)
    return OpenImages(files, errors, known=True)


def opened(
    sources: Sequence[Source] | OpenImages, threads: int, limits: Limits, indexes: Indexes = "auto"
) -> OpenImages:
    """Return images as they are, and sources opened, whatever fails; images that need pixels may have no size.

    Raises:
        ValueError: images were opened within other limits or with other indexes.
    """
    if not isinstance(sources, OpenImages):
        files, errors = _open(check_sources(sources), threads, limits, indexes, measure_pixels=False)
        return OpenImages(files, errors, known=False)
    if limits not in (Limits(), sources.limits):
        raise ValueError("limits are those that the images were opened with; give them to open_images")
    if indexes != "auto":
        raise ValueError("indexes are those that the images were opened with; give them to open_images")
    return sources


def _open(
    sources: list[Source], threads: int, limits: Limits, indexes: Indexes, *, measure_pixels: bool
) -> tuple[_Files, dict[int, Exception]]:
    _check_indexes(indexes, len(sources))
    given, errors = native_sources(sources, limits)
    native = _native.OpenImages(given, **native_limits(limits), threads=threads)
    failed, pixels, packed, sizes = native.opened()
    errors = native_errors(given, failed) | errors
    pixels = [place for place in pixels if place not in errors]
    files = _Files(sources, given, native, sizes, frozenset(pixels), frozenset(packed), limits, indexes)

    def measure(place: int) -> None:
        sizes[place] = size_of_contents(files.contents(place), source_name(sources[place]), limits)

    if measure_pixels:
        errors |= run_each(measure, pixels, threads)
    return files, errors


def _check_indexes(indexes: Indexes, count: int) -> None:
    if indexes is None or isinstance(indexes, FolderIndex):
        return
    if isinstance(indexes, str):
        check_choice("indexes", indexes, ("auto",))
    elif isinstance(indexes, JpegIndex | bytes | bytearray | memoryview):
        raise TypeError(f"indexes is one {type(indexes).__name__}; give a list with one for each source, or None")
    elif len(indexes) != count:
        raise ValueError(f"{len(indexes)} indexes for {count} sources; give one per source, or None in its place")


def resample_into(out: npt.NDArray[Any], image: JpegImage, request: Request, crop: CropArrays) -> None:
    """Resample one decoded image, and its one crop, into an array of one."""
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
        **crop.native(),
    )
