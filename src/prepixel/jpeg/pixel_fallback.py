"""The pixel fallback: images without YCbCr coefficients are decoded to pixels, and these transformed.

CMYK and YCCK JPEGs and files of the formats that `prepixel.jpeg.pillow_files` lists come this way, and say so
(``JpegImage.origin``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
from PIL import Image

from prepixel import _native
from prepixel.array_types import Float64, Int16, Integer, Shaped, UInt8
from prepixel.errors import JpegError, JpegLimitExceeded, UnreadableImage
from prepixel.jpeg.decode import OnTruncated, image_of_fields, native_limits, read_header, read_jpeg
from prepixel.jpeg.encode import encode_jpeg
from prepixel.jpeg.fork_guard import ForkGuard
from prepixel.jpeg.image import Color, Component, JpegImage, upright
from prepixel.jpeg.packed_container import is_packed, open_pack
from prepixel.jpeg.pillow_files import FORMAT_NAMES, Picture, check_memory, format_of
from prepixel.jpeg.source import Contents, Limits, Source, read_contents, source_name

_SOI = b"\xff\xd8"

# Called with a number of bytes, it waits until so many may be allocated; they count until the context ends.
Reserve = Callable[[int], AbstractContextManager[None]]


def read_image(source: Source, *, limits: Limits = Limits(), on_truncated: OnTruncated = "raise") -> JpegImage:
    """Read any image as quantized coefficients: a JPEG's own, or those of its pixels where it has none in YCbCr.

    A gray, YCbCr or RGB JPEG is read by `read_jpeg`. CMYK and YCCK JPEGs, and PNG, WebP, TIFF, GIF, BMP and PPM files,
    are decoded to pixels and converted to JFIF's full-range YCbCr in float64, neither rounded nor clamped; the last
    blocks are filled by repeating the last row and column; each 8 x 8 block is transformed by the orthonormal DCT and
    rounded to integers, with tables of 1 and without subsampling, as in a JPEG of quality 100. Then ``origin`` is
    ``"pixels"``.

    Pixels are made as Pillow's ``convert("RGB")`` makes them: transparency is dropped, palettes are looked up, inks
    become RGB without a color profile, and of an animation the first picture is taken. Gray images, 1-bit ones
    included, stay of one component.

    Sample depth: unsigned gray of 16 bits is divided by 257 (of 12 bits, by 4095 / 255) and not rounded; `read_pixels`
    rounds the same numbers. Of colors of 16 bits Pillow gives the upper 8. Signed, 32-bit integer and float samples are
    refused whatever their values, because their white is not known.

    Orientation: see `read_header`; one rule holds for every format.

    Args:
        source: a path, a buffer of the file's bytes, or an open binary file.
        limits: what the file may ask for. Sizes are checked before pixels are allocated.
        on_truncated: ``"raise"``, or ``"keep"``: what is missing stays as the decoder leaves it. The number of missing
            blocks is known for JPEG coefficients alone; where pixels were decoded, a warning says that it is not.

    Raises:
        UnreadableImage: another format, a damaged or truncated file, samples whose white is not known, or a path that
            leads to no regular file.
        JpegLimitExceeded: it asks for more than `limits` allow.
        JpegError: a JPEG that cannot be read, as `read_jpeg`. Arithmetic, lossless and 12-bit ones stay unsupported.
        OSError: the file cannot be opened.
    """
    name = source_name(source)
    with _naming(name):
        contents = read_contents(source, limits)
    return image_of_contents(contents, name, limits, on_truncated, lambda _: nullcontext())


def image_of_contents(
    contents: Contents, name: str, limits: Limits, on_truncated: OnTruncated, reserve: Reserve
) -> JpegImage:
    """Read an image as `read_image` does, from a file's bytes; pixels are allocated as ``reserve`` allows."""
    with _naming(name):
        contents = _flat(contents)
        if is_packed(contents):
            parts = open_pack(contents, limits)
            return image_of_fields(_native.unpack(parts.header, parts.payload, **native_limits(limits)))
        if bytes(contents[:2]) == _SOI:
            header = read_header(contents, limits=limits)
            if header.color not in ("cmyk", "ycck"):
                return read_jpeg(contents, limits=limits, on_truncated=on_truncated)
            return _image_of_pixels(contents, name, limits, on_truncated, reserve, header.orientation)
        return _image_of_pixels(contents, name, limits, on_truncated, reserve, None)


def read_pixels(source: Source, *, limits: Limits = Limits()) -> UInt8[np.ndarray, "y x rgb=3"]:
    """Decode any image to upright RGB pixels of 8 bits by Pillow: the RGB baseline's reader.

    Orientation, formats, limits and conversions are those of `read_image`; 16-bit gray is rounded to 8 bits. A packed
    image is decoded as the JPEG of its coefficients, and must hold all of them.

    Raises:
        UnreadableImage, JpegLimitExceeded, JpegError, OSError: as `read_image`.
    """
    name = source_name(source)
    with _naming(name):
        contents = read_contents(source, limits)
    return pixels_of_contents(contents, name, limits)


def pixels_of_contents(contents: Contents, name: str, limits: Limits = Limits()) -> UInt8[np.ndarray, "y x rgb=3"]:
    """Decode a file's bytes as `read_pixels` does."""
    with _naming(name):
        contents = _flat(contents)
        orientation = None
        if is_packed(contents):
            contents = _as_jpeg(contents, name, limits)
        if bytes(contents[:2]) == _SOI:
            orientation = read_header(contents, limits=limits).orientation
        with _picture(contents, name, limits) as picture:
            size = (picture.height, picture.width)
            check_memory(picture.num_bytes + 6 * size[0] * size[1], size, limits)
            picture.load()
            stored = picture.rgb(0, picture.height)
            return _upright(stored, orientation or picture.orientation)


def read_size(source: Source, *, limits: Limits = Limits()) -> tuple[int, int]:
    """Read an image's upright (height, width), as `read_image` would give them, from its header.

    Raises:
        UnreadableImage, JpegLimitExceeded, JpegError, OSError: as `read_image`, as far as the header shows it.
    """
    name = source_name(source)
    with _naming(name):
        contents = read_contents(source, limits)
    return size_of_contents(contents, name, limits)


def size_of_contents(contents: Contents, name: str, limits: Limits) -> tuple[int, int]:
    """Read the size in a file's bytes as `read_size` does."""
    with _naming(name):
        contents = _flat(contents)
        if is_packed(contents):
            fields = _native.read_pack_header(contents, **native_limits(limits))
            return upright(fields["height"], fields["width"], fields["orientation"])
        if bytes(contents[:2]) == _SOI:
            return read_header(contents, limits=limits).upright_size
        with _picture(contents, name, limits) as picture:
            return upright(picture.height, picture.width, picture.orientation)


def read_numbers(source: Source, *, limits: Limits = Limits()) -> Integer[np.ndarray, "y x"]:
    """Read a picture whose samples are numbers, such as of objects: gray values or places in a palette, as stored.

    Raises:
        UnreadableImage: it cannot be decoded, or has colors.
        JpegLimitExceeded, OSError: as `read_image`.
    """
    name = source_name(source)
    with _naming(name), _picture(_flat(read_contents(source, limits)), name, limits) as picture:
        size = (picture.height, picture.width)
        check_memory(picture.num_bytes + 5 * size[0] * size[1], size, limits)
        picture.load()
        return picture.numbers()


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the source in errors of the core."""
    try:
        yield
    except JpegError as error:
        error.source = name
        raise


def _flat(contents: object) -> bytes | memoryview:
    """Return a buffer as bytes one after the other."""
    if isinstance(contents, bytes):
        return contents
    view = memoryview(contents)  # type: ignore[arg-type]
    if not view.c_contiguous:
        raise BufferError("a file's bytes must be contiguous; give bytes(...) of them")
    return view.cast("B")


@contextmanager
def _picture(contents: bytes | memoryview, name: str, limits: Limits) -> Iterator[Picture]:
    """Open by Pillow; whatever goes wrong inside becomes an error of the library."""
    form = format_of(contents)
    if not len(contents):
        raise UnreadableImage(f"{name}: is empty, 0 bytes; fetch it again, or leave it out")
    if form is None:
        raise UnreadableImage(
            f"{name}: no image of a format that is read (packed images, {FORMAT_NAMES}); it begins with the bytes "
            f"{bytes(contents[:8]).hex(' ')}. Leave it out, or convert it to JPEG or PNG"
        )
    try:
        picture = Picture(contents, form, limits)
        try:
            yield picture
        finally:
            picture.close()
    except (JpegError, MemoryError):
        raise
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error}") from error
    except Image.DecompressionBombError as error:  # of a WebP, where the application has lowered Pillow's limit
        raise JpegLimitExceeded(str(error), hint="Raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise UnreadableImage(
            f"{name}: Pillow cannot decode it as {form.name}: {error}. The file is damaged or of a rare kind; "
            "fetch it again, convert it, or leave it out"
        ) from error


def _image_of_pixels(
    contents: bytes | memoryview,
    name: str,
    limits: Limits,
    on_truncated: OnTruncated,
    reserve: Reserve,
    orientation: int | None,
) -> JpegImage:
    """Transform a file's pixels; ``orientation`` is that of a JPEG's header, None for other formats."""
    for keep in (False, True):
        try:
            with _picture(contents, name, limits) as picture:
                height, width = picture.height, picture.width
                count = (1 if picture.is_gray else 3) * 128 * math.ceil(height / 8) * math.ceil(width / 8)
                check_memory(picture.num_bytes + count, (height, width), limits)
                with reserve(picture.num_bytes + count):
                    picture.load(keep_truncated=keep)
                    planes = _planes(picture)
                orientation = orientation or picture.orientation
                break
        except UnreadableImage:
            if keep or on_truncated == "raise":
                raise
    ones = np.ones((8, 8), np.uint16)
    components = tuple(Component(index + 1, (1, 1), height, width, plane, ones) for index, plane in enumerate(planes))
    color: Color = "ycbcr" if len(components) == 3 else "gray"
    warnings = ("the file is truncated or damaged; how much of the picture is missing is not known",) if keep else ()
    return JpegImage(height, width, components, color, orientation or 1, origin="pixels", warnings=warnings)


def _as_jpeg(contents: bytes | memoryview, name: str, limits: Limits) -> bytes:
    """Encode a packed image's coefficients, all of which must be there, as a JPEG."""
    fields = _native.read_pack_header(contents, **native_limits(limits))
    if any(kept != (1 << 64) - 1 for kept in fields["kept"]):
        raise UnreadableImage(
            f"{name}: a packed image that lacks frequencies, of which pixels would be wrong; pack with --bands all"
        )
    parts = open_pack(contents, limits)
    image = image_of_fields(_native.unpack(parts.header, parts.payload, **native_limits(limits)))
    return encode_jpeg(image, limits=limits)


def _upright(stored: UInt8[np.ndarray, "y x rgb=3"], orientation: int) -> UInt8[np.ndarray, "height width rgb=3"]:
    """Mirror, then perhaps transpose. Source: Exif 2.32 (CIPA DC-008), tag 274."""
    if orientation in (3, 4, 6, 7):
        stored = stored[::-1]
    if orientation in (2, 3, 7, 8):
        stored = stored[:, ::-1]
    if orientation >= 5:
        stored = stored.transpose(1, 0, 2)
    # Pillow's own array must not be written to: it may be shared.
    return np.array(stored, order="C")


def _planes(picture: Picture) -> list[Int16[np.ndarray, "bh bw 8 8"]]:
    """Transform pixels to integer coefficients, some rows of blocks at a time to save memory."""
    height, width = picture.height, picture.width
    down, across = math.ceil(height / 8), math.ceil(width / 8)
    planes = [np.empty((down, across, 8, 8), np.int16) for _ in range(1 if picture.is_gray else 3)]
    at_once = max(1, 2**17 // width)
    rows = picture.gray if picture.is_gray else picture.rgb
    for begin in range(0, down, at_once):
        end = min(down, begin + at_once)
        part = rows(8 * begin, min(8 * end, height)).astype(np.float64)
        margins = [(0, 8 * (end - begin) - part.shape[0]), (0, 8 * across - width)]
        part = np.pad(part, margins + [(0, 0)] * (part.ndim - 2), mode="edge")
        for plane, shifted in zip(planes, _level_shifted(part), strict=True):
            blocks = shifted.reshape(end - begin, 8, across, 8).transpose(0, 2, 1, 3)
            with _BLAS:
                plane[begin:end] = np.rint(_BASIS @ blocks @ _BASIS.T)
    return planes


def _level_shifted(samples: Shaped[np.ndarray, "y x *rgb"]) -> list[Float64[np.ndarray, "y x"]]:
    """Return Y - 128, Cb - 128 and Cr - 128, or gray - 128. Source: JFIF 1.02, p. 3."""
    if samples.ndim == 2:
        return [samples - 128]
    red, green, blue = np.moveaxis(samples, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402]


def _dct_basis() -> Float64[np.ndarray, "8 8"]:
    """Return the orthonormal DCT-II, frequency by sample. Source: ITU-T T.81, A.3.3."""
    frequency, sample = np.arange(8)[:, None], np.arange(8)[None, :]
    basis = np.cos((2 * sample + 1) * frequency * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis


_BLAS = ForkGuard()
_BASIS = _dct_basis()
