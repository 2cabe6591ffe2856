"""Large images are resampled while they are decoded: the bits are those of planes that are decoded first."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from prepixel.errors import TruncatedJpeg
from prepixel.jpeg import Limits, index_jpeg
from prepixel.spectrum import open_images, read_arrays

HEIGHT, WIDTH = 1203, 1001  # some 12,000 blocks of luma: more than the 8,192 from which images are resampled by rows
WHOLE = 128 * -(-HEIGHT // 8) * -(-WIDTH // 8)


def photo(mode: str = "RGB", orientation: int = 1, **options: object) -> bytes:
    rng = np.random.default_rng(4)
    small = rng.integers(0, 256, (41, 37, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", exif=exif, **options)
    return buffer.getvalue()


KINDS: dict[str, dict[str, object]] = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "gray": {"mode": "L"},
    "RGB planes": {"keep_rgb": True},
    "restart markers": {"subsampling": 2, "restart_marker_blocks": 17},
    "turned": {"subsampling": 2, "orientation": 6},
    "turned over": {"subsampling": 1, "orientation": 7},
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_decoded_planes(kind: str) -> None:
    """Under "keep" planes are decoded first."""
    file = photo(**KINDS[kind])  # type: ignore[arg-type]
    height, width = open_images([file]).sizes[0]
    box = np.array([[0.1 * height, 0.07 * width, 0.85 * height, 0.9 * width]])
    index = index_jpeg(file, every=3)
    for boxes, flip, turns in ((None, False, 0), (box, True, 0), (box, False, 1), (None, True, 2), (box, True, 3)):
        common = {"bands": "S-24", "boxes": boxes, "flips": np.array([flip]), "turns": np.array([turns])}
        for grid in ((56, 56), (3, 40), (260, 9)):
            by_rows = read_arrays([file], grid=grid, indexes=None, **common)  # type: ignore[arg-type]
            by_index = read_arrays([file], grid=grid, indexes=[index], **common)  # type: ignore[arg-type]
            by_planes = read_arrays([file], grid=grid, indexes=None, on_truncated="keep", **common)  # type: ignore[arg-type]
            assert np.array_equal(by_rows.values, by_planes.values), (boxes, flip, turns, grid)
            assert np.array_equal(by_index.values, by_planes.values), (boxes, flip, turns, grid)


def test_few_rows_are_in_memory_at_a_time() -> None:
    file = photo(subsampling=2)
    few = Limits(max_memory_bytes=WHOLE // 2)
    read = read_arrays([file], grid=(28, 28), bands="S-24", limits=few, indexes=None)
    assert np.array_equal(read.values, read_arrays([file], grid=(28, 28), bands="S-24", indexes=None).values)


def test_damage_is_told_as_by_planes() -> None:
    file = photo(subsampling=2)
    cut = file[: len(file) // 2]
    with pytest.raises(TruncatedJpeg, match=r"block \(\d+, \d+\)"):
        read_arrays([cut], grid=(28, 28), bands="S-24")
    kept = read_arrays([file, cut, file], grid=(28, 28), bands="S-24", on_error="skip", threads=1)
    assert kept.report.kept.tolist() == [0, 2]
    assert np.array_equal(kept.values[0], kept.values[1])
