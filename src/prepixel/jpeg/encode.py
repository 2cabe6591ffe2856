"""From quantized coefficients to a JPEG file, losslessly; and what a file says besides its pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prepixel import _native
from prepixel.files import replace_file
from prepixel.jpeg.decode import named, native_limits
from prepixel.jpeg.image import JpegImage
from prepixel.jpeg.source import Limits, Source, read_contents


class Segment(NamedTuple):
    """One APPn or COM segment of a file.

    Attributes:
        marker: the marker's second byte: 0xE0 (APP0) to 0xEF (APP15), 0xFE (COM).
        contents: its bytes without marker and length, at most 65,533.
    """

    marker: int
    contents: bytes


def read_segments(source: Source, *, limits: Limits = Limits()) -> tuple[Segment, ...]:
    """List a JPEG's APPn and COM segments (Exif, ICC profile, comments) in front of its first scan, in order.

    Those that hold an index of the file (`embed_index`) are left out: another file needs its own.

    Raises:
        JpegError: the header cannot be read, as `read_header`.
    """
    return named(
        source,
        read_contents(source, limits),
        lambda whole: tuple(Segment(*found) for found in _native.header_segments(whole, **native_limits(limits))),
    )


def encode_jpeg(
    image: JpegImage,
    *,
    restart_interval: int = 0,
    restart_rows: int = 0,
    segments: Sequence[Segment] = (),
    limits: Limits = Limits(),
) -> bytes:
    """Encode an image's quantized coefficients as a sequential Huffman JPEG, losslessly and with optimal tables.

    Every coefficient, table, sampling factor, the color and the orientation read back as they are. The process is
    baseline where it can be, extended where a quantization step is above 255 or a coefficient is beyond what 8-bit
    samples give; a progressive image becomes sequential. Components share one scan, or, where an MCU of theirs would
    have more than ten blocks, have one each.

    Args:
        image: what to write. Its ``restart_interval``, ``warnings`` and ``num_scans`` are what a file said once; they
            are not written.
        restart_interval: MCUs between restart markers, at most 65,535; 0 for none.
        restart_rows: instead of it, rows of MCUs between restart markers.
        segments: further segments to write, as `read_segments` gives them. Where they hold neither JFIF's nor Adobe's,
            the one that states the color is added; where they hold no Exif orientation and the image is turned, an Exif
            segment of that one tag is. To most programs an Adobe segment also means that CMYK is stored inverted, which
            `JpegImage` does not know: give a CMYK file's segments along.
        limits: `max_memory_bytes` bounds what encoding takes beside the image, its symbols (4 bytes each, about one for
            each coefficient that is not zero and two for each block) and the file. The other limits are for reading.

    Raises:
        MalformedJpeg: planes do not fit size and sampling; a number is outside what a JPEG can say; `segments`
            contradict the image's color or orientation.
        JpegLimitExceeded: encoding takes more memory than `limits` allow.

    Source: ITU-T T.81, Annexes B, F.1.2, K.2.
    """
    if image.precision != 8:
        raise ValueError(f"the image has {image.precision} bits per sample; only 8 are written")
    planes = [
        (
            component.identifier,
            component.sampling,
            np.ascontiguousarray(component.quantized),
            np.ascontiguousarray(component.quantization),
        )
        for component in image.components
    ]
    return _native.encode(
        planes,
        image.height,
        image.width,
        color=image.color,
        orientation=image.orientation,
        restart_interval=restart_interval,
        restart_rows=restart_rows,
        segments=[(segment.marker, segment.contents) for segment in segments],
        max_memory_bytes=limits.max_memory_bytes,
    )


def write_jpeg(
    image: JpegImage,
    path: str | os.PathLike[str],
    *,
    restart_interval: int = 0,
    restart_rows: int = 0,
    segments: Sequence[Segment] = (),
    limits: Limits = Limits(),
) -> None:
    """Write an image's quantized coefficients to a file, by a temporary name and a rename.

    Raises:
        MalformedJpeg, JpegLimitExceeded: as `encode_jpeg`; then no file is written.
        OSError: the file cannot be written.
    """
    contents = encode_jpeg(
        image, restart_interval=restart_interval, restart_rows=restart_rows, segments=segments, limits=limits
    )
    replace_file(Path(path), contents)
