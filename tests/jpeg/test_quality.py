"""Which quality a file's tables stand for, against files that another encoder wrote at a known one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from prepixel.jpeg import read_jpeg
from prepixel.jpeg.quality import Quality, estimate_quality, scaled_table

PIXELS = np.random.default_rng(5).integers(0, 256, (11, 17, 3), dtype=np.uint8)


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_of_a_file_is_found(quality: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=quality)
    luma, chroma, _ = read_jpeg(buffer.getvalue()).components
    assert estimate_quality(luma.quantization) == Quality(quality, exact=True)
    found = estimate_quality(chroma.quantization, chroma=True)
    assert found.exact
    # below 5, tables of chroma are limited to 255 all over and cannot be told apart
    assert found.quality == quality or np.array_equal(chroma.quantization, scaled_table(quality, chroma=True))


def test_foreign_table_is_called_by_its_coarseness() -> None:
    flat = np.full((8, 8), 13, dtype=np.uint16)
    assert not estimate_quality(flat).exact
    ladder = [estimate_quality(np.full((8, 8), step, dtype=np.uint16)).quality for step in (1, 2, 5, 13, 40, 120, 255)]
    assert ladder[1:] == sorted(ladder[1:], reverse=True)
    assert estimate_quality(scaled_table(73).T.astype(np.uint16)) == Quality(73, exact=False)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_outside_the_scale_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match=f"quality is {quality}; libjpeg's scale goes from 1 to 100"):
        scaled_table(quality)
