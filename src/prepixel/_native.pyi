"""The compiled core's typed face; kept by hand beside native/bindings*.cpp, checked by tests/test_house.py."""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from prepixel.jpeg.image import Colour, Process
from prepixel.jpeg.reading import Contents

# jpeg: native/bindings_jpeg.cpp

class _Header(TypedDict):
    height: int
    width: int
    colour: Colour
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

def read_header(buffer: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int) -> _Header: ...
def decode(
    buffer: Contents, *, max_pixels: int, max_memory_bytes: int, max_scans: int, keep_truncated: bool
) -> _Image: ...

# spectrum: native/bindings_spectrum.cpp

_Failed = list[tuple[int, Exception]]
_Plane = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16], tuple[int, int], int, int]

def simd_levels() -> tuple[str, ...]: ...
def read_spectra(
    sources: list[Contents | str],
    out: npt.NDArray[np.float32] | npt.NDArray[np.int8],
    *,
    channels: npt.NDArray[np.int32],
    factors: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float32],
    filter: str,  # noqa: A002
    simd: str,
    boxes: npt.NDArray[np.float64] | None,
    flips: npt.NDArray[np.bool_] | None,
    max_pixels: int,
    max_memory_bytes: int,
    max_scans: int,
    keep_truncated: bool,
    threads: int,
) -> tuple[_Failed, list[int], list[int]]: ...
def read_sizes(
    sources: list[Contents | str], *, max_pixels: int, max_memory_bytes: int, max_scans: int, threads: int
) -> tuple[_Failed, list[int], list[tuple[int, int]]]: ...
def spectrum_of_planes(
    planes: list[_Plane],
    height: int,
    width: int,
    orientation: int,
    colour: str,
    out: npt.NDArray[np.float32] | npt.NDArray[np.int8],
    *,
    channels: npt.NDArray[np.int32],
    factors: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float32],
    filter: str,  # noqa: A002
    simd: str,
    boxes: npt.NDArray[np.float64] | None,
    flip: bool,
) -> None: ...
