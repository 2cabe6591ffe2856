"""The numpy front: the bits of torch's, without torch."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.jpeg.small_files import by_pillow, small_files

from prepixel.errors import UnreadableImage
from prepixel.jpeg import Limits, pack_jpeg, read_size
from prepixel.spectrum import BandSet, read_arrays, read_spectra

FILES = small_files()
GRID = (3, 5)


def request(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    boxes = []
    for file in FILES.values():
        height, width = read_size(file)
        h, w = rng.uniform(3, height), rng.uniform(3, width)
        boxes.append((rng.uniform(0, height - h), rng.uniform(0, width - w), h, w))
    return {"boxes": np.array(boxes)[:n], "flips": rng.random(len(boxes))[:n] < 0.5}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_values_are_those_of_torchs_front(dtype: Any, filter_name: Any, threads: int) -> None:
    sources, bands = list(FILES.values()), BandSet.parse("S-24")
    shift = np.linspace(-3, 5, 24).astype(np.float32)
    unit = np.linspace(0.5, 30, 24).astype(np.float32)
    shared = {"grid": GRID, "bands": bands, "filter": filter_name, "threads": threads, **request(len(sources))}
    ours = read_arrays(sources, dtype=dtype, shift=shift, unit=unit, **shared)
    theirs = read_spectra(
        sources, dtype=getattr(torch, dtype), shift=torch.tensor(shift), unit=torch.tensor(unit), **shared
    )
    assert ours.values.dtype == np.dtype(dtype)
    assert np.array_equal(ours.values, theirs.spectrum.values.numpy())
    assert np.array_equal(ours.shift, theirs.spectrum.shift.numpy())
    assert np.array_equal(ours.unit, theirs.spectrum.unit.numpy())
    assert ours.report.from_pixels == theirs.from_pixels != ()
    assert ours.report.missing_blocks == theirs.missing_blocks
    np.testing.assert_allclose(ours.coefficients(), theirs.spectrum.coefficients().numpy(), rtol=1e-6, atol=1e-4)
    assert len(ours) == len(sources)


def test_both_fronts_take_the_same_arguments() -> None:
    ours, theirs = (inspect.signature(read).parameters for read in (read_arrays, read_spectra))
    assert list(ours) == list(theirs)
    for name in ours:
        if name != "dtype":
            assert ours[name].default == theirs[name].default


def test_failures_are_raised_or_listed_and_the_gaps_closed() -> None:
    sources = [FILES["gray"], b"text", FILES["411"], b"", FILES["cmyk"]]
    with pytest.raises(UnreadableImage, match="74 65 78 74"):
        read_arrays(sources, grid=GRID, bands="S-6")
    read = read_arrays(sources, grid=GRID, bands="S-6", on_error="skip")
    assert read.report.kept.tolist() == [0, 2, 4]
    assert [failure.index for failure in read.report.failures] == [1, 3]
    good = read_arrays([sources[i] for i in (0, 2, 4)], grid=GRID, bands="S-6")
    assert np.array_equal(read.values, good.values)


def test_output_goes_where_it_is_asked_for() -> None:
    sources = list(FILES.values())
    out = np.empty((len(sources), 6, *GRID), np.float32)
    read = read_arrays(sources, grid=GRID, bands="S-6", out=out)
    assert np.shares_memory(read.values, out)
    wrong = [
        np.empty((len(sources), 6, 5, 3), np.float32),
        np.empty((len(sources), 6, *GRID), np.int8),
        np.empty((len(sources), 6, 3, 10), np.float32)[..., ::2],
    ]
    for other in wrong:
        with pytest.raises(ValueError, match=r"out must be contiguous, writeable, float32, of shape \(\d+, 6, 3, 5\)"):
            read_arrays(sources, grid=GRID, bands="S-6", out=other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "int8 values need a unit per channel"),
        ({"dtype": "float16"}, "dtype is 'float16'; it can be 'float32' or 'int8'"),
        ({"unit": np.zeros(6, np.float32)}, "a unit must be above 0"),
        ({"unit": np.ones(5, np.float32)}, "unit must be 6 finite numbers, one per channel of S-6"),
        ({"shift": np.full(6, np.nan, np.float32)}, "shift must be 6 finite numbers"),
        ({"unit": np.full(6, 1e-45, np.float32)}, "too small for float32 values"),
        ({"grid": (0, 3)}, "a grid has 1 x 1 to 4096 x 4096 blocks, not 0 x 3"),
        ({"grid": (3, 5000)}, "not 3 x 5000"),
        ({"threads": -1}, "threads is -1; give how many, or 0 for one per CPU"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"on_truncated": "ignore"}, "on_truncated is 'ignore'"),
        ({"bands": "S-25"}, "no band set 'S-25'"),
        ({"flips": np.zeros(2, bool)}, "2 flips for 1 sources; give one per source"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], message: str) -> None:
    unchecked = read_arrays.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=message):
        unchecked([FILES["gray"]], **{"grid": GRID, "bands": "S-6", **options})


def test_packed_images_that_do_not_fit_into_memory_together_are_opened_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prepixel.spectrum import opened_images

    packs = [pack_jpeg(by_pillow(quality=quality)) for quality in (30, 60, 80, 95)]
    sizes = [int.from_bytes(pack[24:28], "little") for pack in packs]
    opened: list[int] = []
    whole = opened_images.open_packs

    def watched(packs: Any, limits: Limits, threads: int) -> Any:
        opened.append(len(packs))
        return whole(packs, limits, threads)

    monkeypatch.setattr(opened_images, "open_packs", watched)
    sources = [*packs[:2], FILES["gray"], *packs[2:]]
    boxes, flips = np.tile([1.0, 2.0, 30.0, 40.0], (5, 1)), np.array([True, False, True, True, False])
    expected = read_arrays(sources, grid=GRID, bands="S-24", boxes=boxes, flips=flips)
    assert opened == [4]
    opened.clear()
    limits = Limits(max_memory_bytes=max(max(sizes), 41 * 59 * 64))
    for threads in (1, 2):
        read = read_arrays(sources, grid=GRID, bands="S-24", boxes=boxes, flips=flips, limits=limits, threads=threads)
        assert np.array_equal(read.values, expected.values)
        assert read.report.kept.tolist() == [0, 1, 2, 3, 4]
    if sum(sizes) > limits.max_memory_bytes:
        assert len(opened) > 2


def test_torch_is_not_loaded() -> None:
    code = (
        "import sys, prepixel.spectrum as s\n"
        "file = sys.stdin.buffer.read()\n"
        "bands, box = s.BandSet.of('S-24'), s.Box(0, 0, 8, 8)\n"
        "print(s.read_arrays([file], grid=(2, 2), bands=bands).values.sum() != 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=FILES["411"], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"False"]


def test_paths_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(FILES["411"])
    one, other = (read_arrays([source], grid=GRID, bands="192").values for source in (path, FILES["411"]))
    assert np.array_equal(one, other)
