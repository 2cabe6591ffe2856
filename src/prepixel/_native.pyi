"""The compiled core's typed face; kept by hand beside native/bindings*.cpp, checked by tests/test_house.py."""

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from prepixel.jpeg.image import Color, Process
from prepixel.jpeg.source import Contents

# jpeg: native/bindings/jpeg.cpp

class _Header(TypedDict):
    height: int
    width: int
    color: Color
    process: Process
    precision: int
    orientation: int

class _Component(TypedDict):
    identifier: int
    sampling: tuple[int, int]
    height: int
    width: int
    quantized: npt.NDArray[np.int16]
    quantization: npt.NDArray[np.uint16]

class _Image(_Header):
    components: tuple[_Component, ...]
    restart_interval: int
    num_scans: int
    missing_blocks: int
    warnings: tuple[str, ...]
    index_refused: bool

def read_header(buffer: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int) -> _Header: ...
def decode(
    buffer: Contents,
    *,
    max_pixels: int,
    max_memory_bytes: int,
    max_scans: int,
    keep_truncated: bool,
    kept: tuple[int, int, int],
    region: tuple[int, int, int, int] | None,
    index: Contents,
    use_embedded: bool,
    threads: int,
) -> _Image: ...
def release_memory() -> None: ...
def reusable_bytes() -> int: ...

_PlaneToCode = tuple[int, tuple[int, int], npt.NDArray[np.int16], npt.NDArray[np.uint16]]

def encode(
    planes: list[_PlaneToCode],
    height: int,
    width: int,
    *,
    color: str,
    orientation: int,
    restart_interval: int,
    restart_rows: int,
    segments: list[tuple[int, bytes]],
    max_memory_bytes: int,
) -> bytes: ...
def bandlimit(
    buffer: Contents,
    *,
    kept: tuple[int, int, int],
    restart_interval: int | None,
    restart_rows: int,
    metadata: str,
    max_pixels: int,
    max_memory_bytes: int,
    max_scans: int,
) -> bytes: ...
def orientation(segments: list[bytes]) -> int: ...
def header_segments(
    buffer: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int
) -> list[tuple[int, bytes]]: ...

# spectrum: native/bindings/spectrum.cpp

_Failed = list[tuple[int, Exception]]
_Plane = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16], tuple[int, int], int, int]

def simd_levels() -> tuple[str, ...]: ...

class OpenImages:
    def __init__(
        self,
        sources: list[Contents | str],
        *,
        max_pixels: int,
        max_memory_bytes: int,
        max_scans: int,
        threads: int,
    ) -> None: ...
    def opened(self) -> tuple[_Failed, list[int], list[int], list[tuple[int, int]]]: ...
    def contents(self, image: int) -> npt.NDArray[np.uint8] | None: ...
    def read(
        self,
        images: list[int],
        outputs: list[npt.NDArray[Any]],
        *,
        channels: npt.NDArray[np.int32],
        factors: npt.NDArray[np.float32],
        offsets: npt.NDArray[np.float32],
        filter: str,  # noqa: A002
        simd: str,
        boxes: npt.NDArray[np.float64] | None,
        flips: npt.NDArray[np.bool_] | None,
        turns: npt.NDArray[np.int64] | None,
        shown: npt.NDArray[np.float64] | None,
        paddings: npt.NDArray[np.int64] | None,
        fills: npt.NDArray[np.float64] | None,
        packs: dict[int, tuple[Contents, Contents]],
        indexes: list[Contents | None] | None,
        use_embedded: bool,
        keep_truncated: bool,
        threads: int,
    ) -> tuple[_Failed, list[int], list[int], list[int]]: ...

def read_sizes(
    sources: list[Contents | str], *, max_pixels: int, max_memory_bytes: int, max_scans: int, threads: int
) -> tuple[_Failed, list[int], list[tuple[int, int]]]: ...
def spectrum_of_planes(
    planes: list[_Plane],
    height: int,
    width: int,
    orientation: int,
    color: str,
    out: npt.NDArray[np.float32] | npt.NDArray[np.int8],
    *,
    channels: npt.NDArray[np.int32],
    factors: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float32],
    filter: str,  # noqa: A002
    simd: str,
    boxes: npt.NDArray[np.float64] | None,
    flips: npt.NDArray[np.bool_] | None,
    turns: npt.NDArray[np.int64] | None,
    shown: npt.NDArray[np.float64] | None,
    paddings: npt.NDArray[np.int64] | None,
    fills: npt.NDArray[np.float64] | None,
) -> None: ...

# jpeg: native/bindings/packed.cpp

class _PackHeader(_Header):
    kept: tuple[int, ...]

def pack(
    buffer: Contents, *, kept: tuple[int, int, int], max_pixels: int, max_memory_bytes: int, max_scans: int
) -> tuple[bytes, bytes]: ...
def unpack(
    header: Contents, payload: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int
) -> _Image: ...
def read_pack_header(header: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int) -> _PackHeader: ...

# jpeg: native/bindings/index.cpp

class _Index(TypedDict):
    file_size: int
    file_checksum: int
    checked_begin: int
    every: int
    progressive: bool
    scans: tuple[tuple[int, int, int], ...]

def index_jpeg(buffer: Contents, *, every: int, max_pixels: int, max_memory_bytes: int, max_scans: int) -> bytes: ...
def embed_index(buffer: Contents, *, every: int, max_pixels: int, max_memory_bytes: int, max_scans: int) -> bytes: ...
def embedded_index(buffer: Contents) -> bytes: ...
def without_index(buffer: Contents) -> bytes: ...
def check_index(index: Contents) -> _Index: ...
