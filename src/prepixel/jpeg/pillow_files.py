"""Open image files by Pillow's decoders without touching, or trusting, any setting that a process shares.

Pillow's `Image.open` tries some fifty formats, among them ones that start other programs, loads decoders when they are
first needed, and obeys two module variables (MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES) that other threads may change.
Here the format is recognized by its first bytes among those of `FORMATS`; decoders are loaded at import, so that no
import lock can be held while another thread forks; sizes are checked before pixels are allocated; and pixels are
decoded by a loop of this module, whose treatment of truncated files is an argument.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from prepixel import _native
from prepixel.array_types import Float64, Integer, UInt8
from prepixel.errors import JpegLimitExceeded, UnreadableImage
from prepixel.jpeg.source import Limits

# The largest side of a JPEG, and so of what is transformed into one's coefficients.
MAX_SIDE = 65535
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION, _TIFF_XMP = 256, 257, 258, 262, 274, 700


@dataclass(frozen=True)
class Format:
    """A format that is read by Pillow.

    Attributes:
        name: Pillow's.
        begins: the first bytes of its files.
        opener: Pillow's class; it reads the header.
        decoder_bytes: what its decoder takes beside the picture, per pixel, at most.
    """

    name: str
    begins: tuple[bytes, ...]
    opener: Callable[[Any], ImageFile.ImageFile]
    decoder_bytes: int


FORMATS: tuple[Format, ...] = (
    Format("JPEG", (b"\xff\xd8",), JpegImagePlugin.JpegImageFile, 8),
    Format("PNG", (b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile, 0),
    Format("WEBP", (b"RIFF",), WebPImagePlugin.WebPImageFile, 20),
    Format("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile, 4),
    Format("GIF", (b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile, 4),
    Format("BMP", (b"BM",), BmpImagePlugin.BmpImageFile, 4),
    Format("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImagePlugin.PpmImageFile, 4),
)
"""The formats that are read beside JPEG coefficients and packed images; no other is tried."""

FORMAT_NAMES = ", ".join(form.name for form in FORMATS)


def format_of(contents: bytes | memoryview) -> Format | None:
    """Return the format that a file's first bytes announce, or None."""
    head = bytes(contents[:16])
    for form in FORMATS:
        if head.startswith(form.begins) and (form.name != "WEBP" or head[8:12] == b"WEBP"):
            return form
    return None


class Picture:
    """An image file whose header has been read.

    Args:
        contents: the file's bytes.
        form: its format.
        limits: what it may ask for.

    Attributes:
        height: rows as stored.
        width: columns as stored.
        orientation: EXIF orientation, 1..8, by the rule of every reader of the library.
        is_gray: whether it has one component.

    Raises:
        JpegLimitExceeded: it has more pixels than `limits` allow, or a side above 65,535.
        UnreadableImage: samples of a kind whose white is not known.
        Exception: whatever Pillow raises on damaged files.
    """

    def __init__(self, contents: bytes | memoryview, form: Format, limits: Limits) -> None:
        if form.name == "WEBP":  # whose decoder allocates when it is opened
            height, width = _webp_size(contents)
            _check_size(height, width, limits)
            check_memory(height * width * (form.decoder_bytes + 4), (height, width), limits)
        self._file = form.opener(io.BytesIO(contents))
        self._form = form
        self.width, self.height = self._file.size
        if isinstance(self._file, TiffImagePlugin.TiffImageFile):  # whose size Pillow may exchange already
            tags = self._file.tag_v2
            self.width, self.height = int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
        _check_size(self.height, self.width, limits)
        self.is_gray = self._file.mode in ("1", "L", "LA") or self._file.mode.startswith("I")
        self._white, self._inverted = self._range()
        self.orientation = self._orientation(contents)

    @property
    def num_bytes(self) -> int:
        """Return about how many bytes decoding it takes."""
        sample = {"1": 1, "L": 1, "P": 1}.get(self._file.mode, 2 if self._file.mode.startswith("I;16") else 4)
        return self.height * self.width * (sample + self._form.decoder_bytes)

    def load(self, *, keep_truncated: bool = False) -> None:
        """Decode the pixels.

        Args:
            keep_truncated: keep what a truncated or damaged file still gives, instead of raising.
        """
        file = self._file
        if isinstance(file, WebPImagePlugin.WebPImageFile):
            file.load()
        elif isinstance(file, TiffImagePlugin.TiffImageFile):
            file.load_end = _nothing  # type: ignore[method-assign]  # Pillow's own would apply the orientation
            # Allocated here, since Pillow's own method asks its global limit first.
            file.im = Image.core.new(file.mode, (self.width, self.height))  # type: ignore[attr-defined]
            if getattr(file, "use_load_libtiff", False):
                try:
                    file.load()
                except OSError:
                    if not keep_truncated or file.tile:
                        raise
            else:
                _decode_tiles(file, keep_truncated)
            file._size = file.im.size  # noqa: SLF001  (as stored)
        else:
            _decode_tiles(file, keep_truncated)
        if file.size != (self.width, self.height):
            raise OSError(
                f"the picture is {file.size[1]} x {file.size[0]}, its header says {self.height} x {self.width}"
            )

    def gray(self, begin: int, end: int) -> UInt8[np.ndarray, "y x"] | Float64[np.ndarray, "y x"]:
        """Return some rows of a gray picture, 0..255; deeper samples are scaled to it and not rounded."""
        part = self._rows(begin, end)
        if not part.mode.startswith("I"):
            return np.asarray(part.convert("L"))
        samples = np.asarray(part).astype(np.float64)
        samples = samples / 257 if self._white == 65535 else samples * (255 / self._white)
        return 255 - samples if self._inverted else samples

    def rgb(self, begin: int, end: int) -> UInt8[np.ndarray, "y x rgb=3"]:
        """Return some rows as RGB of 8 bits; deeper gray samples are rounded."""
        part = self._rows(begin, end)
        if part.mode.startswith("I"):
            gray = np.rint(self.gray(begin, end)).astype(np.uint8)
            return np.repeat(gray[:, :, None], 3, axis=2)
        if part.mode in ("PA", "La", "RGBa") or (part.mode == "P" and "transparency" in part.info):
            part = part.convert("RGBA")
        return np.asarray(part.convert("RGB"))

    def numbers(self) -> Integer[np.ndarray, "y x"]:
        """Return all samples as stored: gray values, or places in the palette.

        Raises:
            UnreadableImage: the picture has several components.
        """
        if self._file.mode not in ("1", "L", "P") and not self._file.mode.startswith("I"):
            raise UnreadableImage("is a picture in colors, not one of numbers")
        return np.asarray(self._file).astype(np.int32)

    def close(self) -> None:
        """Release the pixels."""
        self._file.close()

    def _rows(self, begin: int, end: int) -> Image.Image:
        whole = begin == 0 and end == self.height
        return self._file if whole else self._file.crop((0, begin, self.width, end))

    def _range(self) -> tuple[int, bool]:
        """Return the value of white, and whether it stands for black; decided by the kind of samples alone."""
        mode, file = self._file.mode, self._file
        if mode == "F" or (mode == "I" and self._form.name not in ("PNG", "PPM")):
            raise UnreadableImage(
                f"32-bit or signed samples (Pillow's mode {mode}) have no known white; scale them to 8 or 16 bits"
            )
        if not mode.startswith("I"):
            return 255, False
        if isinstance(file, TiffImagePlugin.TiffImageFile):
            bits = file.tag_v2.get(_TIFF_BITS, (16,))
            return 2 ** int(bits[0]) - 1, file.tag_v2.get(_TIFF_PHOTOMETRIC) == 0
        return 65535, False

    def _orientation(self, contents: bytes | memoryview) -> int:
        """Collect what the container says in the form of a JPEG's segments, and let the core decide."""
        file, segments = self._file, list[bytes]()
        if isinstance(file, TiffImagePlugin.TiffImageFile):
            segments.append(b"Exif\0\0" + _exif_of(file.tag_v2.get(_TIFF_ORIENTATION)))
            segments.append(_XMP + _as_bytes(file.tag_v2.get(_TIFF_XMP)))
        elif isinstance(file, PngImagePlugin.PngImageFile):
            segments += _png_segments(contents)
        elif isinstance(file, WebPImagePlugin.WebPImageFile):
            exif = _as_bytes(file.info.get("exif"))
            segments.append(exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif)
            segments.append(_XMP + _as_bytes(file.info.get("xmp")))
        return _native.orientation(segments)


def check_memory(num_bytes: int, size: tuple[int, int], limits: Limits) -> None:
    """Refuse an image that needs more memory than allowed.

    Raises:
        JpegLimitExceeded: it does.
    """
    if num_bytes > limits.max_memory_bytes:
        raise JpegLimitExceeded(
            f"decoding {size[0]} x {size[1]} pixels takes about {num_bytes} bytes, more than the limit of "
            f"{limits.max_memory_bytes}",
            hint="Raise Limits.max_memory_bytes if you trust the file",
        )


def _check_size(height: int, width: int, limits: Limits) -> None:
    if height * width > limits.max_pixels or max(height, width) > MAX_SIDE:
        most = f"{limits.max_pixels}" if height * width > limits.max_pixels else f"{MAX_SIDE} a side"
        raise JpegLimitExceeded(
            f"{height} x {width} pixels are more than the limit of {most}",
            hint="Raise Limits.max_pixels if you trust the file" if most == f"{limits.max_pixels}" else "Scale it down",
        )
    if min(height, width) < 1:
        raise OSError(f"the picture has {height} x {width} pixels")


def _webp_size(contents: bytes | memoryview) -> tuple[int, int]:
    """Read (height, width) of a WebP file's canvas. Source: RFC 9649, sections 2.5 to 2.7."""
    head = bytes(contents[:30])
    kind = head[12:16]
    if kind == b"VP8X" and len(head) == 30:
        return int.from_bytes(head[27:30], "little") + 1, int.from_bytes(head[24:27], "little") + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a" and len(head) == 30:
        width, height = struct.unpack_from("<HH", head, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    raise OSError("the WebP header is damaged")


def _png_segments(contents: bytes | memoryview) -> list[bytes]:
    """Return eXIf and XMP of a PNG as APP1 segments' contents, wherever in the file they stand.

    Source: PNG, third edition, 5.3 (chunks), 11.3.2 (iTXt), 11.3.4 (eXIf).
    """
    segments, at = list[bytes](), 8
    while at + 8 <= len(contents):
        length, name = int.from_bytes(contents[at : at + 4], "big"), bytes(contents[at + 4 : at + 8])
        begin, end = at + 8, at + 8 + length
        if end > len(contents) or name == b"IEND":
            break
        if name == b"eXIf":
            segments.append(b"Exif\0\0" + contents[begin:end])
        elif name == b"iTXt" and bytes(contents[begin : begin + 20]) == b"XML:com.adobe.xmp\0\0\0":
            text = bytes(contents[begin + 20 : end]).split(b"\0", 2)  # language, translated keyword, text
            segments.append(_XMP + text[-1])
        at = end + 4
    return segments


def _exif_of(value: Any) -> bytes:
    """Return a TIFF structure that says a value of the orientation tag, as Pillow gives it; nothing for other kinds."""
    if isinstance(value, tuple | bytes) and value:
        value = value[0]
    if not isinstance(value, int):
        return b""
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", _TIFF_ORIENTATION, 3, 1, value & 0xFFFF, 0) + bytes(4)


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


def _nothing() -> None:
    """Do nothing."""


def _decode_tiles(file: ImageFile.ImageFile, keep_truncated: bool) -> None:
    """Decode a picture's tiles as `PIL.ImageFile.ImageFile.load` does, with an argument in place of its global."""
    # Not the method load_read of JPEG files, which obeys the global.
    own = not isinstance(file, JpegImagePlugin.JpegImageFile)
    read = getattr(file, "load_read", file.fp.read) if own else file.fp.read  # type: ignore[union-attr]
    seek = getattr(file, "load_seek", file.fp.seek)  # type: ignore[union-attr]
    file.load_prepare()
    ordered = sorted(file.tile, key=lambda tile: tile[2])
    # Of consecutive tiles that differ in their offset alone the last one counts.
    tiles = [list(same)[-1] for _, same in itertools.groupby(ordered, lambda tile: (tile[0], tile[1], tile[3]))]
    for index, (name, extents, offset, args) in enumerate(tiles):
        seek(offset)
        decoder = Image._getdecoder(file.mode, name, args, file.decoderconfig)  # noqa: SLF001
        try:
            decoder.setimage(file.im, extents)
            following = tiles[index + 1][2] - offset if index + 1 < len(tiles) else 0
            size = following if following > 0 else file.decodermaxblock
            status = _decode_tile(decoder, file, read, size, keep_truncated)
        finally:
            decoder.cleanup()
        if status != 0 and not keep_truncated:
            raise OSError(status if isinstance(status, str) else f"decoder error {status}")
    file.tile = []
    if not isinstance(file, TiffImagePlugin.TiffImageFile):
        try:
            file.load_end()
        except Exception:
            if not keep_truncated:
                raise


def _decode_tile(decoder: Any, file: Any, read: Callable[[int], bytes], size: int, keep_truncated: bool) -> int | str:
    """Feed a decoder to the end of its tile; return 0, or what is wrong."""
    if decoder.pulls_fd:
        decoder.setfd(file.fp)
        return min(0, int(decoder.decode(b"")[1]))
    left, ended = getattr(file, "tile_prefix", b""), False
    while True:
        try:
            part = read(size)
        except (IndexError, struct.error, SyntaxError, EOFError):  # a truncated PNG or GIF
            part = b""
        if not part:
            if ended or not (keep_truncated and isinstance(file, JpegImagePlugin.JpegImageFile)):
                return f"image file is truncated ({len(left)} bytes not processed)"
            part, ended = b"\xff\xd9", True  # so that libjpeg gives the rows that it has
        left += part
        count, error = decoder.decode(left)
        if count < 0:
            return min(0, int(error))
        left = left[count:]
