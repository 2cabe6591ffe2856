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
