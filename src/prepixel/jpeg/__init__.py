"""What JPEG files hold: quantized coefficients, their tables, and what the files say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.errors import ReadFailure
    from prepixel.jpeg.bandlimit import bandlimit_jpeg
    from prepixel.jpeg.batch import SizesRead, read_sizes
    from prepixel.jpeg.decode import JpegHeader, read_header, read_jpeg
    from prepixel.jpeg.encode import Segment, encode_jpeg, read_segments, write_jpeg
    from prepixel.jpeg.folder_index import FolderIndex, open_folder_index
    from prepixel.jpeg.image import Component, JpegImage, Region
    from prepixel.jpeg.index_file import embed_index, embedded_index, index_jpeg, verify_index, without_index
    from prepixel.jpeg.jpeg_index import IndexWarning, JpegIndex
    from prepixel.jpeg.memory import release_memory
    from prepixel.jpeg.packed import PackHeader, is_packed, pack_jpeg, read_pack, read_pack_header
    from prepixel.jpeg.pixel_fallback import read_image, read_pixels, read_size
    from prepixel.jpeg.source import Limits, Source

_PLACES = {
    "Component": "prepixel.jpeg.image",
    "FolderIndex": "prepixel.jpeg.folder_index",
    "IndexWarning": "prepixel.jpeg.jpeg_index",
    "JpegHeader": "prepixel.jpeg.decode",
    "JpegImage": "prepixel.jpeg.image",
    "JpegIndex": "prepixel.jpeg.jpeg_index",
    "Limits": "prepixel.jpeg.source",
    "PackHeader": "prepixel.jpeg.packed",
    "ReadFailure": "prepixel.errors",
    "Region": "prepixel.jpeg.image",
    "Segment": "prepixel.jpeg.encode",
    "SizesRead": "prepixel.jpeg.batch",
    "Source": "prepixel.jpeg.source",
    "bandlimit_jpeg": "prepixel.jpeg.bandlimit",
    "embed_index": "prepixel.jpeg.index_file",
    "embedded_index": "prepixel.jpeg.index_file",
    "encode_jpeg": "prepixel.jpeg.encode",
    "index_jpeg": "prepixel.jpeg.index_file",
    "is_packed": "prepixel.jpeg.packed",
    "open_folder_index": "prepixel.jpeg.folder_index",
    "pack_jpeg": "prepixel.jpeg.packed",
    "read_header": "prepixel.jpeg.decode",
    "read_image": "prepixel.jpeg.pixel_fallback",
    "read_jpeg": "prepixel.jpeg.decode",
    "read_pack": "prepixel.jpeg.packed",
    "read_pack_header": "prepixel.jpeg.packed",
    "read_pixels": "prepixel.jpeg.pixel_fallback",
    "read_segments": "prepixel.jpeg.encode",
    "read_size": "prepixel.jpeg.pixel_fallback",
    "read_sizes": "prepixel.jpeg.batch",
    "release_memory": "prepixel.jpeg.memory",
    "verify_index": "prepixel.jpeg.index_file",
    "without_index": "prepixel.jpeg.index_file",
    "write_jpeg": "prepixel.jpeg.encode",
}

__all__ = [
    "Component",
    "FolderIndex",
    "IndexWarning",
    "JpegHeader",
    "JpegImage",
    "JpegIndex",
    "Limits",
    "PackHeader",
    "ReadFailure",
    "Region",
    "Segment",
    "SizesRead",
    "Source",
    "bandlimit_jpeg",
    "embed_index",
    "embedded_index",
    "encode_jpeg",
    "index_jpeg",
    "is_packed",
    "open_folder_index",
    "pack_jpeg",
    "read_header",
    "read_image",
    "read_jpeg",
    "read_pack",
    "read_pack_header",
    "read_pixels",
    "read_segments",
    "read_size",
    "read_sizes",
    "release_memory",
    "verify_index",
    "without_index",
    "write_jpeg",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
