"""What JPEG files hold: quantized coefficients, their tables, and what the files say of themselves."""

from prepixel.errors import ReadFailure
from prepixel.jpeg.bandlimit import bandlimit_jpeg
from prepixel.jpeg.batch import SizesRead, read_sizes
from prepixel.jpeg.decode import JpegHeader, Limits, read_header, read_jpeg
from prepixel.jpeg.encode import Segment, encode_jpeg, read_segments, write_jpeg
from prepixel.jpeg.image import Component, JpegImage
from prepixel.jpeg.packed import PackHeader, is_packed, pack_jpeg, read_pack, read_pack_header
from prepixel.jpeg.pixel_fallback import read_image, read_size

__all__ = [
    "Component",
    "JpegHeader",
    "JpegImage",
    "Limits",
    "PackHeader",
    "ReadFailure",
    "Segment",
    "SizesRead",
    "bandlimit_jpeg",
    "encode_jpeg",
    "is_packed",
    "pack_jpeg",
    "read_header",
    "read_image",
    "read_jpeg",
    "read_pack",
    "read_pack_header",
    "read_segments",
    "read_size",
    "read_sizes",
    "write_jpeg",
]
