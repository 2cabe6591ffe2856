"""Decode a JPEG to its header and its quantized coefficients, by the compiled core."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import index, or_
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

import numpy as np

from prepixel import _native
from prepixel.errors import JpegError, TruncatedJpeg
from prepixel.jpeg.image import Color, Component, JpegImage, Process, Region, upright
from prepixel.jpeg.jpeg_index import JpegIndex
from prepixel.jpeg.source import Contents, Limits, Source, is_file, open_regular, read_contents, source_name

OnTruncated: TypeAlias = Literal["raise", "keep"]

Kept: TypeAlias = tuple[Collection[int], Collection[int], Collection[int]]
"""Natural indices (8 v + u, 0..63) to keep of Y, Cb and Cr."""

# Enough for the header of nearly every file; of the others the rest is read, too.
_HEADER_BYTES = 1 << 16

_ALL = (1 << 64) - 1

UNFIT_INDEX = "the index is damaged or not of this file, which was read without it; make the index again"

_T = TypeVar("_T")


class NativeLimits(TypedDict):
    """The limits by the names of the compiled module."""

    max_pixels: int
    max_memory_bytes: int
    max_scans: int


def native_limits(limits: Limits) -> NativeLimits:
    """Return limits as the compiled module takes them."""
    return NativeLimits(
        max_pixels=limits.max_pixels, max_memory_bytes=limits.max_memory_bytes, max_scans=limits.max_scans
    )


@dataclass(frozen=True)
class JpegHeader:
    """A JPEG's header: what it says before its first scan. Every field means what it means in `JpegImage`."""

    height: int
    width: int
    color: Color
    process: Process
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Return height and width after orientation: orientations 5..8 exchange them."""
        return upright(self.height, self.width, self.orientation)


def read_header(source: Source, *, limits: Limits = Limits()) -> JpegHeader:
    """Read a JPEG's header, up to its first scan.

    Of a path, only as many bytes are read as the header needs, as a rule 64 KiB; the height of a file that leaves it
    to a DNL segment costs the whole file.

    Orientation follows one rule in every reader of the library. The first Exif segment decides whose first directory
    (IFD0) holds tag 0x0112 with at least one value of an integer type (BYTE, SHORT, LONG, or signed): its first value
    counts where it is 1..8, and any other means upright. Without such a segment the first XMP packet with
    ``tiff:Orientation`` of 1..8 decides, and without that the picture is upright. PNG (eXIf, XMP), WebP (EXIF, XMP) and
    TIFF (first directory, XMP) follow the same rule.

    Args:
        source: a path, or a buffer of the file's bytes.
        limits: what the file may ask for.

    Raises:
        TruncatedJpeg: the file ends before its first scan.
        MalformedJpeg: it is no JPEG, or its header contradicts the standard.
        UnsupportedJpeg: arithmetic, lossless, hierarchical, 12-bit, JPEG-LS, or more than four components.
        JpegLimitExceeded: the image is larger than `limits` allow.

    Source: ITU-T T.81, Annex B.
    """
    if not isinstance(source, str | os.PathLike):
        return named(source, read_contents(source, limits), lambda whole: _header(whole, limits))
    with open_regular(source, limits) as file:
        begin = file.read(_HEADER_BYTES)
        try:
            return _header(begin, limits)
        except TruncatedJpeg:
            rest = file.read()
        except JpegError as error:
            error.source = os.fspath(source)
            raise
    return named(source, begin + rest, lambda whole: _header(whole, limits))


def read_jpeg(
    source: Source,
    *,
    bands: Kept | None = None,
    region: tuple[int, int, int, int] | None = None,
    index: JpegIndex | Literal["auto"] | None = "auto",
    threads: int = 1,
    limits: Limits = Limits(),
    on_truncated: OnTruncated = "raise",
) -> JpegImage:
    """Decode a JPEG as far as its quantized coefficients.

    Baseline, extended and progressive Huffman files of 8 bits per sample and 1 to 4 components are read, and give
    libjpeg's coefficients integer for integer. Nothing is dequantized, and nothing becomes a pixel. The interpreter
    lock is free meanwhile; any number of threads may read at once. Memory of arrays that are gone, up to 64 MiB, is
    kept for the next files: fresh pages cost up to as much as decoding into them.

    Like libjpeg, it takes bytes between segments, a missing EOI behind a complete image and data left over at the end
    of a scan for warnings (``JpegImage.warnings``), and a sequential file without Huffman tables for a frame of motion
    JPEG, which uses the standard's. Unlike libjpeg, it invents no coefficients: damage raises, or is left zero.

    Args:
        source: a path, or a buffer of the file's bytes.
        bands: natural indices to keep of Y, Cb and Cr; the others are passed over and zero. None for all. What gray,
            RGB, CMYK and two-component files keep, `bandlimit_jpeg` says. Scans of a progressive file that hold no kept
            frequency are left out, and damage in them with them.
        region: (top, left, height, width) in luma pixels, as stored: the image returned is that part of the file's, as
            ``jpegtran -crop`` makes it: top and left move to the borders of the MCUs that hold them, and
            ``JpegImage.region`` says where they went. Of a sequential file nothing else is held in memory. Rows of MCUs
            behind the region are not decoded, nor restart intervals before it, nor, with an index, much else; damage
            there goes unseen, but in files that do not end with EOI.
        index: of this very file, by `index_jpeg`; ``"auto"``: that which the file holds, if it holds one
            (`embed_index`); None: none. Where it is damaged, or another file's, the file is read without it, and a
            warning says so; docs/formats/jpeg-index.md says what is checked. Not used under ``"keep"``, nor for a whole
            file on one thread, unless it is given.
        threads: threads that share a sequential file with an index, or one with restart markers; 0 for one per CPU.
        limits: what the file may ask for.
        on_truncated: ``"raise"``, or ``"keep"``: return what a damaged or truncated file still holds. A block whose
            bits are missing, or match no code, ends its restart interval; reading resumes at the next restart
            marker, by its number, or else the rest of the scan is lost. Lost blocks are zero and counted in
            ``missing_blocks``; blocks of a progressive file are lost if their first DC scan is, and a warning
            names later scans that are.

    Raises:
        ValueError: a band is outside 0..63, or the region is empty or outside the image.
        TruncatedJpeg: the file ends before its image does; under ``"keep"``, before its first whole block.
        MalformedJpeg: it is no JPEG, or contradicts the standard; under ``"keep"``, before its first whole block.
        UnsupportedJpeg: arithmetic, lossless, hierarchical, 12-bit, JPEG-LS, or more than four components.
        JpegLimitExceeded: it asks for more than `limits` allow; ``"keep"`` changes nothing about that.

    Source: ITU-T T.81, Annexes B, F.2.2, G.2.
    """
    if on_truncated not in {"raise", "keep"}:
        raise ValueError(f"on_truncated is {on_truncated!r}; it can be 'raise' or 'keep'")
    if threads < 0:
        raise ValueError(f"threads is {threads}; give how many, or 0 for one per CPU")
    if isinstance(index, str) and index != "auto":
        raise ValueError(f"index is {index!r}; it can be 'auto', None, or what index_jpeg returns")
    kept = (_ALL, _ALL, _ALL) if bands is None else kept_bits(bands)
    num_threads = threads or os.cpu_count() or 1

    def image(whole: Contents) -> JpegImage:
        fields = _native.decode(
            whole,
            **native_limits(limits),
            keep_truncated=on_truncated == "keep",
            kept=kept,
            region=None if region is None else Region(*region),
            index=index.data if isinstance(index, JpegIndex) else b"",
            use_embedded=index == "auto" and (region is not None or num_threads > 1),
            threads=num_threads,
        )
        return image_of_fields(fields)

    return named(source, read_contents(source, limits), image)


def kept_bits(bands: Kept) -> tuple[int, int, int]:
    """Return kept frequencies as the compiled module takes them: bit 8 v + u, of Y, Cb and Cr."""
    return _bits("Y", tuple(bands[0])), _bits("Cb", tuple(bands[1])), _bits("Cr", tuple(bands[2]))


@lru_cache(maxsize=128)  # the same few for every file
def _bits(component: str, indices: tuple[int, ...]) -> int:
    outside = sorted(i for i in indices if not 0 <= i < 64)
    if outside:
        raise ValueError(f"{component} bands {outside} are outside 0..63; give natural indices, 8 v + u")
    return reduce(or_, (1 << index(i) for i in indices), 0)


def named(source: Source, contents: Contents, read: Callable[[Contents], _T]) -> _T:
    """Call ``read(contents)``; name the source in its errors."""
    try:
        return read(contents)
    except JpegError as error:
        if is_file(source):
            error.source = source_name(source)
        elif isinstance(source, str | os.PathLike):
            error.source = os.fspath(source)
        else:
            size = contents.nbytes if isinstance(contents, memoryview | np.ndarray) else len(contents)
            error.source = f"buffer of {size} bytes"
        raise


def _header(contents: Contents, limits: Limits) -> JpegHeader:
    fields = _native.read_header(
        contents,
        **native_limits(limits),
    )
    return JpegHeader(
        height=fields["height"],
        width=fields["width"],
        color=fields["color"],
        process=fields["process"],
        orientation=fields["orientation"],
    )


def image_of_fields(fields: Any) -> JpegImage:
    """Return the compiled module's image as the value that crosses rooms."""
    return JpegImage(
        height=fields["height"],
        width=fields["width"],
        components=tuple(Component(**component) for component in fields["components"]),
        color=fields["color"],
        orientation=fields["orientation"],
        process=fields["process"],
        precision=fields["precision"],
        restart_interval=fields["restart_interval"],
        num_scans=fields["num_scans"],
        missing_blocks=fields["missing_blocks"],
        warnings=fields["warnings"] + ((UNFIT_INDEX,) if fields.get("index_refused") else ()),
        region=Region(*fields["region"]) if "region" in fields else None,
    )
