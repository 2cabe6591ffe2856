"""Planes of large photos ask for huge pages: thousands of page faults took as long as decoding."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from prepixel.jpeg import read_jpeg

SMAPS = Path("/proc/self/smaps")


@pytest.mark.skipif(
    not (SMAPS.exists() and Path("/sys/kernel/mm/transparent_hugepage").is_dir()), reason="no huge pages on demand here"
)
def test_the_mapping_of_a_large_plane_is_advised() -> None:
    buffer = io.BytesIO()
    Image.new("L", (6400, 6400), 77).save(buffer, "jpeg")
    plane = read_jpeg(buffer.getvalue()).components[0].quantized
    assert plane.nbytes > 64 << 20, "more than malloc ever keeps"
    middle = plane.ctypes.data + plane.nbytes // 2
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", SMAPS.read_text()):
        begin, end = (int(word, 16) for word in mapping.split()[0].split("-"))
        if begin <= middle < end:
            flags = re.search(r"VmFlags:(.*)", mapping)
            assert flags is not None
            assert "hg" in flags[1].split()
            return
    pytest.fail("the plane lies in no mapping")
