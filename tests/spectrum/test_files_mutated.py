"""Files of band sets, statistics and packed images: whatever is changed in them, they are read or refused by name."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.jpeg.small_files import by_pillow

from prepixel.errors import BandSetError, JpegError, PrepixelError, StatisticsError
from prepixel.jpeg import pack_jpeg, read_pack, read_pack_header, read_size
from prepixel.spectrum import BandSet, Statistics, read_arrays

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def statistics() -> dict[str, Any]:
    return {
        "format": "prepixel statistics 1",
        "source": "photos",
        "num_images": 2,
        "num_positions": 12,
        "grid": [2, 3],
        "bands": {"name": "own", "channels": [0, 5], "origin": ""},
        "std": [1.0, 1.0],
        "mean": [0.5, 1.0],
        "squares": [12.0, 12.0],
        "minimum": [-3.0, -2.0],
        "maximum": [3.0, 4.0],
    }


def band_set() -> dict[str, Any]:
    return {"name": "own", "channels": [3, 1, 70], "origin": "tests"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value in a document."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(inner, (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    *way, last = path
    inner = document
    for key in way:
        inner = inner[key]
    inner[last] = value
    return document


def read_or_refuse(read: Any, path: Path, error: type[PrepixelError]) -> None:
    refusal = None
    try:
        first = read(path)
    except error as raised:
        refusal = str(raised)
    if refusal is not None:
        assert str(path) in refusal
        assert len(refusal) < 1000
        return
    first.write(path)  # what is accepted is written and read again
    second = read(path)
    assert first.bands == second.bands if isinstance(first, Statistics) else first == second


@QUICK
@given(st.sampled_from(places(band_set())), ANY)
def test_changed_band_sets(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "bands.json"
    path.write_text(json.dumps(changed(band_set(), place, value)), encoding="utf-8")
    read_or_refuse(BandSet.read, path, BandSetError)


@QUICK
@given(st.sampled_from(places(statistics())), ANY)
def test_changed_statistics(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(changed(statistics(), place, value)), encoding="utf-8")
    read_or_refuse(Statistics.read, path, StatisticsError)


@QUICK
@given(ANY)
def test_other_documents(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    read_or_refuse(BandSet.read, path, BandSetError)
    path.write_text(json.dumps(value), encoding="utf-8")
    read_or_refuse(Statistics.read, path, StatisticsError)


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes(tmp_path: Path, seed: int) -> None:
    rng, path = random.Random(seed), tmp_path / "any.json"
    for read, document, error in (
        (BandSet.read, band_set(), BandSetError),
        (Statistics.read, statistics(), StatisticsError),
    ):
        text = json.dumps(document).encode()
        for _ in range(150):
            damaged = bytearray(text)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path.write_bytes(bytes(damaged[: rng.randint(0, len(damaged))] if rng.random() < 0.3 else damaged))
            read_or_refuse(read, path, error)


def test_a_whole_file_still_reads_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(statistics()), encoding="utf-8")
    read = Statistics.read(path)
    assert (read.bands.channels, read.grid, read.num_images) == ((0, 5), (2, 3), 2)
    assert torch.equal(read.squares, torch.tensor([12.0, 12.0], dtype=torch.float64))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_changed_packed_images(compression: Any) -> None:
    pack, rng = pack_jpeg(by_pillow(), compression=compression), random.Random(5)
    for step in range(1500):
        damaged = bytearray(pack)
        at = step if step < 300 else rng.randrange(len(damaged))
        damaged[at % len(damaged)] = rng.randrange(256)
        file = bytes(damaged if step % 3 else damaged[: rng.randrange(len(damaged))])
        for read in (read_pack, read_pack_header, read_size, lambda f: read_arrays([f], grid=(2, 2), bands="S-6")):
            with contextlib.suppress(JpegError, PrepixelError):
                read(file)
