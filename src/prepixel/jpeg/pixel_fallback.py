"""The pixel road: images of which no YCbCr coefficients exist are decoded to pixels, and these transformed.

CMYK and YCCK JPEGs and every other format that Pillow opens come this way, and say so (``JpegImage.origin``).
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from prepixel import _native
from prepixel.array_types import Float64, Int16, Shaped
from prepixel.errors import JpegError, JpegLimitExceeded, UnreadableImage
from prepixel.jpeg.decode import (
    Limits,
    OnTruncated,
    Source,
    image_of_fields,
    native_limits,
    read_header,
    read_jpeg,
)
from prepixel.jpeg.image import Color, Component, JpegImage, upright
from prepixel.jpeg.packed_container import is_packed, open_pack

_ORIENTATION_TAG = 0x0112
_SOI = b"\xff\xd8"

# Pillow's two process-wide switches are changed only while this is held, and put back.
_pillow = threading.Lock()


def read_image(source: Source, *, limits: Limits = Limits(), on_truncated: OnTruncated = "raise") -> JpegImage:
    """Read any image as quantized coefficients: a JPEG's own, or those of its pixels where it has none in YCbCr.

    A gray, YCbCr or RGB JPEG is read by `read_jpeg`. CMYK and YCCK JPEGs, and every other format that Pillow opens,
    are decoded to pixels and converted to JFIF's full-range YCbCr in float64, neither rounded nor clamped; the last
    blocks are filled by repeating the last row and column; each 8 x 8 block is transformed by the orthonormal DCT and
    rounded to integers, with tables of 1 and without subsampling, as in a JPEG of quality 100. Then ``origin`` is
    ``"pixels"``.

    Pixels are made as Pillow's ``convert("RGB")`` makes them: transparency is dropped, palettes are looked up, inks
    become RGB without a color profile, and of an animation the first picture is taken. Gray images, 1-bit ones
    included, stay of one component. 16-bit gray is divided by 257, and not cut to 8 bits.

    Args:
        source: a path, or a buffer of the file's bytes.
        limits: what the file may ask for; Pillow's own limit on pixels gives way to ``max_pixels``.
        on_truncated: ``"raise"``, or ``"keep"``: what is missing stays as the decoder leaves it. How many blocks that
            are is told for JPEG coefficients alone; on the pixel road a warning says that it is not known.

    Raises:
        UnreadableImage: no format that Pillow opens, cut or damaged, or samples whose range the format does not tell
            (32-bit integer and float).
        JpegLimitExceeded: it asks for more than `limits` allow.
        JpegError: a JPEG that cannot be read, as `read_jpeg`. Arithmetic, lossless and 12-bit ones stay unsupported.
        OSError: the file cannot be opened.
    """
    contents, name = _opened(source)
    try:
        if is_packed(contents):
            parts = open_pack(contents, limits)
            return image_of_fields(_native.unpack(parts.header, parts.payload, **native_limits(limits)))
        if bytes(contents[:2]) == _SOI and read_header(contents, limits=limits).color not in ("cmyk", "ycck"):
            return read_jpeg(contents, limits=limits, on_truncated=on_truncated)
        return _image_of_pixels(contents, name, limits, on_truncated)
    except JpegError as error:
        error.source = name
        raise


def read_size(source: Source, *, limits: Limits = Limits()) -> tuple[int, int]:
    """Read an image's upright (height, width), as `read_image` would give them, from its header.

    Cheap, but for TIFF, which Pillow turns upright only with its pixels.

    Raises:
        UnreadableImage, JpegLimitExceeded, JpegError, OSError: as `read_image`, as far as the header shows it.
    """
    contents, name = _opened(source)
    try:
        if is_packed(contents):
            fields = _native.read_pack_header(contents, **native_limits(limits))
            return upright(fields["height"], fields["width"], fields["orientation"])
        if bytes(contents[:2]) == _SOI:
            return read_header(contents, limits=limits).upright_size
        with _picture(contents, name, limits) as picture:
            if picture.format == "TIFF":
                picture.load()
            return upright(picture.height, picture.width, _orientation(picture))
    except JpegError as error:
        error.source = name
        raise


def _opened(source: Source) -> tuple[bytes | memoryview, str]:
    """Give a source's bytes, and its name for messages."""
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes(), os.fspath(source)
    view = memoryview(source)  # type: ignore[arg-type]
    if not view.c_contiguous:
        raise BufferError("a file's bytes must be contiguous; give bytes(...) of them")
    return view.cast("B"), f"buffer of {view.nbytes} bytes"


@contextlib.contextmanager
def _picture(contents: bytes | memoryview, name: str, limits: Limits) -> Iterator[Image.Image]:
    """Open by Pillow; whatever goes wrong inside becomes one of our errors."""
    try:
        with _pillow:
            default, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit is checked below
            try:
                picture = Image.open(io.BytesIO(contents))
            finally:
                Image.MAX_IMAGE_PIXELS = default
        with picture:
            _check_limits(picture, limits)
            yield picture
    except (JpegError, UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError:
        start = f"it begins with the bytes {bytes(contents[:8]).hex(' ')}" if contents else "it is empty"
        raise UnreadableImage(
            f"{name}: no image of a format that prepixel or Pillow can open ({start}). Leave it out, or convert it to "
            "JPEG or PNG"
        ) from None
    except Image.DecompressionBombError as error:
        raise JpegLimitExceeded(str(error), hint="Raise Limits.max_pixels if you trust the file") from error
    except Exception as error:  # decoders of some fifty formats raise what they like on damaged files
        raise UnreadableImage(
            f"{name}: Pillow cannot decode it: {error}. The file is damaged or of a rare kind; "
            "fetch it again, convert it, or leave it out"
        ) from error


def _check_limits(picture: Image.Image, limits: Limits) -> None:
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise JpegLimitExceeded(
            f"{height} x {width} pixels are more than the limit of {limits.max_pixels}",
            hint="Raise Limits.max_pixels if you trust the file",
        )
    planes = 3 * 2 * 64 * math.ceil(height / 8) * math.ceil(width / 8)
    if planes > limits.max_memory_bytes:
        raise JpegLimitExceeded(
            f"the coefficients of {height} x {width} pixels take {planes} bytes, more than the limit of "
            f"{limits.max_memory_bytes}",
            hint="Raise Limits.max_memory_bytes if you trust the file",
        )


def _image_of_pixels(contents: bytes | memoryview, name: str, limits: Limits, on_truncated: OnTruncated) -> JpegImage:
    warnings: tuple[str, ...] = ()
    try:
        samples, orientation = _decode(contents, name, limits)
    except UnreadableImage:
        if on_truncated == "raise":
            raise
        with _pillow_keeps_truncated():
            samples, orientation = _decode(contents, name, limits)
        warnings = ("the file is cut or damaged; how much of the picture is missing is not known",)
    height, width = samples.shape[:2]
    ones = np.ones((8, 8), np.uint16)
    components = tuple(
        Component(index + 1, (1, 1), height, width, plane, ones) for index, plane in enumerate(_planes(samples))
    )
    color: Color = "ycbcr" if len(components) == 3 else "gray"
    return JpegImage(height, width, components, color, orientation, origin="pixels", warnings=warnings)


@contextlib.contextmanager
def _pillow_keeps_truncated() -> Iterator[None]:
    with _truncation:
        default, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = default


_truncation = threading.Lock()


def _decode(contents: bytes | memoryview, name: str, limits: Limits) -> tuple[Shaped[np.ndarray, "y x *rgb"], int]:
    """Give samples in 0..255, gray or RGB, as stored, and the orientation."""
    with _picture(contents, name, limits) as picture:
        picture.load()
        _check_limits(picture, limits)
        return _samples(picture, name), _orientation(picture)


def _samples(picture: Image.Image, name: str) -> Shaped[np.ndarray, "y x *rgb"]:
    mode = picture.mode
    if mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"))
    if mode.startswith("I"):
        whole = np.asarray(picture).astype(np.float64)
        if whole.min() >= 0 and whole.max() <= 65535:
            return whole / 257
    if mode in ("I", "F"):
        raise UnreadableImage(
            f"{name}: 32-bit samples (Pillow's mode {mode}) have no known white; scale them to 8 or 16 bits"
        )
    if mode in ("PA", "La", "RGBa") or (mode == "P" and "transparency" in picture.info):
        picture = picture.convert("RGBA")
    return np.asarray(picture.convert("RGB"))


def _orientation(picture: Image.Image) -> int:
    """Give what is still to be done: a TIFF that is loaded has been turned by Pillow, and says 1."""
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Exif is no part of the image: a broken one does not spoil it
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _planes(samples: Shaped[np.ndarray, "y x *rgb"]) -> list[Int16[np.ndarray, "bh bw 8 8"]]:
    """Transform samples to integer coefficients, some rows of blocks at a time to save memory."""
    height, width = samples.shape[:2]
    down, across = math.ceil(height / 8), math.ceil(width / 8)
    planes = [np.empty((down, across, 8, 8), np.int16) for _ in range(3 if samples.ndim == 3 else 1)]
    at_once = max(1, 2**17 // width)
    for begin in range(0, down, at_once):
        end = min(down, begin + at_once)
        part = samples[8 * begin : 8 * end].astype(np.float64)
        margins = [(0, 8 * (end - begin) - part.shape[0]), (0, 8 * across - width)]
        part = np.pad(part, margins + [(0, 0)] * (samples.ndim - 2), mode="edge")
        for plane, shifted in zip(planes, _level_shifted(part), strict=True):
            blocks = shifted.reshape(end - begin, 8, across, 8).transpose(0, 2, 1, 3)
            plane[begin:end] = np.rint(_BASIS @ blocks @ _BASIS.T)
    return planes


def _level_shifted(samples: Float64[np.ndarray, "y x *rgb"]) -> list[Float64[np.ndarray, "y x"]]:
    """Give Y - 128, Cb - 128 and Cr - 128, or gray - 128. Source: JFIF 1.02, p. 3."""
    if samples.ndim == 2:
        return [samples - 128]
    red, green, blue = np.moveaxis(samples, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402]


def _dct_basis() -> Float64[np.ndarray, "8 8"]:
    """Give the orthonormal DCT-II, frequency by sample. Source: ITU-T T.81, A.3.3."""
    frequency, sample = np.arange(8)[:, None], np.arange(8)[None, :]
    basis = np.cos((2 * sample + 1) * frequency * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis


_BASIS = _dct_basis()
