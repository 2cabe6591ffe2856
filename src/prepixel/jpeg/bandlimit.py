"""From a JPEG to a smaller one that holds chosen frequencies alone, as they are."""

from __future__ import annotations

from typing import Literal, TypeAlias

from prepixel import _native
from prepixel.jpeg.batch import check_choice
from prepixel.jpeg.decode import Kept, kept_bits, named, native_limits
from prepixel.jpeg.source import Limits, Source, read_contents

Metadata: TypeAlias = Literal["all", "icc", "none"]


def bandlimit_jpeg(
    source: Source,
    bands: Kept,
    *,
    restart_interval: int | None = None,
    restart_rows: int = 0,
    metadata: Metadata = "all",
    limits: Limits = Limits(),
) -> bytes:
    """Re-encode a JPEG with chosen frequencies alone, losslessly for these, and zeros for the others.

    Any program opens the result: a sequential Huffman JPEG of the same size, sampling, tables, color and orientation,
    with Huffman tables that suit what is left. It is decoded again before it is returned, and holds exactly the kept
    coefficients. The interpreter lock is free meanwhile; any number of threads may thin at once.

    Networks that read these bands on the file's own grid of blocks see no difference; a resized crop draws on other
    frequencies, too, and sees a small one.

    Args:
        source: a path, or a buffer of the file's bytes.
        bands: natural indices to keep of Y, Cb and Cr. Gray files keep those of Y, and so does K of a YCCK file; RGB,
            CMYK and files of two components keep in every component what is kept of any.
        restart_interval: MCUs between restart markers; 0 for none, None for as many as the file has.
        restart_rows: instead of it, rows of MCUs between restart markers.
        metadata: ``"all"`` keeps the APPn and COM segments in front of the first scan, but for an index of further
            pictures (MPF); ``"icc"`` keeps the color profile; ``"none"`` neither. What color and orientation are read
            from is kept always.
        limits: what the file may ask for.

    Raises:
        ValueError: a band is outside 0..63.
        TruncatedJpeg: the file ends before its image does: what is missing cannot be kept.
        MalformedJpeg: it is no JPEG, contradicts the standard, or the restart interval is outside 0..65,535.
        UnsupportedJpeg: as `read_jpeg`.
        JpegLimitExceeded: it asks for more than `limits` allow.
    """
    check_choice("metadata", metadata, ("all", "icc", "none"))
    kept = kept_bits(bands)
    return named(
        source,
        read_contents(source, limits),
        lambda whole: _native.bandlimit(
            whole,
            kept=kept,
            restart_interval=restart_interval,
            restart_rows=restart_rows,
            metadata=metadata,
            **native_limits(limits),
        ),
    )
