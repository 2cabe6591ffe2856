"""The limit on memory holds for a batch as it does for an image, however many threads read it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.errors import JpegLimitExceeded
from prepixel.jpeg import Limits, is_packed, pack_jpeg, read_jpeg, read_sizes
from prepixel.jpeg.packed_container import PACK_ENDING
from prepixel.spectrum import BandSet
from prepixel.spectrum.arrays import read_arrays

MIB = 2**20
BANDS = tuple(BandSet.of("S-24").of_component(i) for i in range(3))
THREADS = 8
SIDE = 2048  # 24 MiB of coefficients in 4:4:4
PLANES = 3 * SIDE * SIDE * 2
KEPT = 64 * MIB  # planes that the core keeps for the next files

MEASURE = r"""
import re, sys
from prepixel.jpeg import Limits
from prepixel.spectrum.arrays import read_arrays

def resident(field):
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", open("/proc/self/status").read())[1])

limit, threads, *paths = sys.argv[1:]
sources = [open(path[1:], "rb").read() if path[0] == "@" else path for path in paths]
read_arrays(sources[:0], grid=(2, 3), bands="S-24")  # what is made once
before = resident("VmRSS")
read = read_arrays(sources, grid=(2, 3), bands="S-24", threads=int(threads),
                   limits=Limits(max_memory_bytes=int(limit)))
assert len(read) == len(sources)
print(resident("VmHWM") - before)
"""


def photo(side: int = SIDE, **options: int | bool) -> bytes:
    rng = np.random.default_rng(20020)
    pixels = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", subsampling=0, **options)
    return file.getvalue()


def grown(sources: Sequence[str], limit: int) -> int:
    """By how many bytes a new process grows at its peak while it reads a batch; ``@`` marks buffers."""
    command = [sys.executable, "-c", MEASURE, str(limit), str(THREADS), *sources]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return int(done.stdout)


@pytest.mark.parametrize("kind", ["path", "buffer", "progressive"])
def test_planes_of_a_batch_share_one_limit(tmp_path: Path, kind: str) -> None:
    """Eight threads with 24 MiB of coefficients each (27 where progressive) stay within 64 MiB, and what is kept."""
    path = tmp_path / "large.jpg"
    path.write_bytes(photo(progressive=kind == "progressive"))
    limit = 64 * MIB
    assert 2 * limit < THREADS * PLANES
    assert grown([("@" if kind == "buffer" else "") + str(path)] * THREADS, limit) < limit + KEPT // 2


def test_files_of_a_batch_share_one_limit(tmp_path: Path) -> None:
    """Files that go on behind their image are read whole, yet not all at a time."""
    paths = []
    for index in range(THREADS):
        paths.append(str(tmp_path / f"{index}.jpg"))
        Path(paths[-1]).write_bytes(photo(64))
        os.truncate(paths[-1], 40 * MIB)
    assert grown(paths, 48 * MIB) < 84 * MIB  # one that is held from its opening on, and one that is read


def test_a_batch_that_waits_for_memory_is_read_like_any_other(tmp_path: Path) -> None:
    """The limit is that of one image: one at a time, of whatever kind, and nobody waits for ever."""
    files = [photo(256), photo(256, progressive=True), photo(128), pack_jpeg(photo(256), BANDS)]
    sources: list[bytes | str] = []
    for index in range(24):
        file = files[index % len(files)]
        path = tmp_path / f"{index}{PACK_ENDING if is_packed(file) else '.jpg'}"
        path.write_bytes(file)
        sources.append(str(path) if index % 3 else file)
    image = read_jpeg(photo(256, progressive=True))
    planes = sum(component.quantized.size for component in image.components)
    tight = Limits(max_memory_bytes=2 * planes + planes // 8)  # with 8 bytes for each block of a progressive file
    free = read_arrays(sources, grid=(3, 5), bands="S-24", threads=THREADS)
    held = read_arrays(sources, grid=(3, 5), bands="S-24", threads=THREADS, limits=tight)
    assert np.array_equal(free.values, held.values)
    assert read_sizes(sources, threads=THREADS, limits=tight).sizes.tolist() == read_sizes(sources).sizes.tolist()
    with pytest.raises(JpegLimitExceeded, match="coefficients of "):
        read_arrays(sources, grid=(3, 5), bands="S-24", limits=Limits(max_memory_bytes=2 * planes))
