"""Packed images: a JPEG's chosen quantized coefficients in a form that is read several times faster than a JPEG.

The bytes are described in docs/formats/packed-images.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from prepixel import _native
from prepixel.jpeg.batch import check_choice
from prepixel.jpeg.decode import Kept, image_of_fields, kept_bits, named, native_limits
from prepixel.jpeg.image import Color, JpegImage, upright
from prepixel.jpeg.packed_container import close_pack, is_packed, open_pack
from prepixel.jpeg.source import Limits, Source, read_contents

Compression: TypeAlias = Literal["zstd", "none"]

ALL_BANDS: Kept = (range(64), range(64), range(64))


@dataclass(frozen=True)
class PackHeader:
    """What a packed image says of itself; size, color and orientation mean what they mean in `JpegImage`.

    Attributes:
        kept: for each component the frequencies that it has, as natural indices (8 v + u).
    """

    height: int
    width: int
    color: Color
    orientation: int
    kept: tuple[frozenset[int], ...]

    @property
    def upright_size(self) -> tuple[int, int]:
        """Return height and width after orientation: orientations 5..8 exchange them."""
        return upright(self.height, self.width, self.orientation)

    @property
    def is_whole(self) -> bool:
        """Return whether all frequencies of all components are there."""
        return all(len(frequencies) == 64 for frequencies in self.kept)


def pack_jpeg(
    source: Source,
    bands: Kept = ALL_BANDS,
    *,
    compression: Compression = "zstd",
    level: int = 1,
    limits: Limits = Limits(),
) -> bytes:
    """Pack a JPEG's chosen frequencies, losslessly for these; `read_pack` and `read_spectra` read the result.

    What is read from it is, bit for bit, what is read from the JPEG by `bandlimit_jpeg` with the same bands; with all
    bands, of the JPEG itself. It is read back before it is returned. The interpreter lock is free meanwhile.

    Args:
        source: a path, a buffer of the file's bytes, or an open binary file.
        bands: natural indices to keep of Y, Cb and Cr; components of other colors as in `bandlimit_jpeg`.
        compression: of the payload; ``"none"`` is larger and read without decompression.
        level: of zstd, 1 to 19; higher ones take longer, and make S-24 and all bands of photos no smaller.
        limits: what the file may ask for.

    Raises:
        ValueError: a band is outside 0..63, or the level outside 1..19.
        JpegError: the JPEG cannot be read, as `read_jpeg`.
    """
    check_choice("compression", compression, ("zstd", "none"))
    if not 1 <= level <= 19:
        raise ValueError(f"level is {level}; zstd has 1 to 19")
    kept = kept_bits(bands)
    header, payload = named(
        source, read_contents(source, limits), lambda whole: _native.pack(whole, kept=kept, **native_limits(limits))
    )
    return close_pack(header, payload, compression, level)


def read_pack(source: Source, *, limits: Limits = Limits()) -> JpegImage:
    """Read a packed image's quantized coefficients; frequencies that were left out are zero.

    Whatever the JPEG's process was, the image's is ``"baseline"``: how it was coded is not kept.

    Raises:
        MalformedPack: it is no packed image, or is truncated or damaged.
        JpegLimitExceeded: it asks for more than `limits` allow.
    """

    def read(whole: object) -> JpegImage:
        parts = open_pack(whole, limits)
        return image_of_fields(_native.unpack(parts.header, parts.payload, **native_limits(limits)))

    return named(source, read_contents(source, limits), read)


def read_pack_header(source: Source, *, limits: Limits = Limits()) -> PackHeader:
    """Read what a packed image says of itself, without its coefficients.

    Raises:
        MalformedPack: it is no packed image, or its header is damaged.
        JpegLimitExceeded: it asks for more than `limits` allow.
    """
    fields = named(
        source, read_contents(source, limits), lambda whole: _native.read_pack_header(whole, **native_limits(limits))
    )
    kept = tuple(frozenset(k for k in range(64) if bits >> k & 1) for bits in fields["kept"])
    return PackHeader(fields["height"], fields["width"], fields["color"], fields["orientation"], kept)


__all__ = ["ALL_BANDS", "Compression", "PackHeader", "is_packed", "pack_jpeg", "read_pack", "read_pack_header"]
