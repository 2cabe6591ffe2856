"""Every published list to the index, the families, own lists, files and errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from prepixel.errors import BandSetError
from prepixel.spectrum.bands import PUBLISHED_NAMES, ZIGZAG, BandSet

# Each set as a picture of its 8 x 8 frequencies: row v, the number of leading u kept. (Y; Cb and Cr)
# Typed from method.md section 3 as rows, not as ranges, so that a slip in one form shows in the other.
ROWS: dict[str, tuple[list[int], list[int]]] = {
    "S-6": ([2, 2], [1]),
    "S-12": ([3, 3, 2], [2]),
    "S-24": ([4, 4, 4, 4], [2, 2]),
    "S-32": ([5, 5, 5, 4, 3], [3, 2]),
    "S-48": ([6, 6, 6, 6, 4, 4], [3, 3, 2]),
    "S-64": ([7, 7, 6, 6, 6, 6, 6], [3, 3, 2, 2]),
    "T-12": ([3, 2, 1], [2, 1]),
    "T-24": ([5, 4, 2, 1], [3, 2, 1]),
    "T-48": ([7, 6, 5, 4, 3, 2, 1], [4, 3, 2, 1]),
    "T-64": ([8, 7, 6, 5, 4, 3, 1], [5, 4, 3, 2, 1]),
    "192": ([8] * 8, [8] * 8),
}
COUNTS = {
    "S-6": (4, 1, 1),
    "S-12": (8, 2, 2),
    "S-24": (16, 4, 4),
    "S-32": (22, 5, 5),
    "S-48": (32, 8, 8),
    "S-64": (44, 10, 10),
    "T-12": (6, 3, 3),
    "T-24": (12, 6, 6),
    "T-48": (28, 10, 10),
    "T-64": (34, 15, 15),
    "L-24": (14, 5, 5),
    "192": (64, 64, 64),
}
# ITU-T T.81, Figure A.6, row by row: the zigzag position of each frequency.
FIGURE_A6 = """
     0  1  5  6 14 15 27 28
     2  4  7 13 16 26 29 42
     3  8 12 17 25 30 41 43
     9 11 18 24 31 40 44 53
    10 19 23 32 39 45 52 54
    20 22 33 38 46 51 55 60
    21 34 37 47 50 56 59 61
    35 36 48 49 57 58 62 63
"""
ZIGZAG_OF_NATURAL = [int(number) for number in FIGURE_A6.split()]


@pytest.mark.parametrize("name", ROWS)
def test_published_lists_to_the_index(name: str) -> None:
    bands = BandSet.parse(name)
    for component, rows in enumerate((ROWS[name][0], ROWS[name][1], ROWS[name][1])):
        assert bands.of_component(component) == tuple(8 * v + u for v, kept in enumerate(rows) for u in range(kept))


def test_learned_list_to_the_index_and_as_the_paper_prints_it() -> None:
    bands = BandSet.parse("L-24")
    assert bands.of_component(0) == (0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 18, 24, 32)
    assert bands.of_component(1) == bands.of_component(2) == (0, 1, 3, 8, 24)
    in_zigzag = [{ZIGZAG_OF_NATURAL[i] for i in bands.of_component(c)} for c in (0, 1)]
    assert in_zigzag == [{*range(11), 12, 14, 15}, {0, 1, 2, 6, 9}]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_cost_and_order_of_published_sets(name: str) -> None:
    bands = BandSet.parse(name)
    assert (bands.name, bands.counts, len(bands)) == (name, COUNTS[name], sum(COUNTS[name]))
    assert list(bands.channels) == sorted(bands.channels), "Y, then Cb, then Cr, each in natural order"
    assert [64 * c + 8 * v + u for c, v, u in bands] == list(bands.channels)
    assert str(bands) == name


def test_no_published_set_is_left_out_of_these_tests() -> None:
    assert set(PUBLISHED_NAMES) == set(ROWS) | {"L-24"} == set(COUNTS)


def test_cost_on_the_published_grid() -> None:
    bands = BandSet.parse("S-24")
    assert bands.num_values((56, 56)) == 75264 == 224 * 224 * 3 // 2
    assert bands.num_values_by_component((56, 53)) == (47488, 11872, 11872)
    assert bands.num_bytes((56, 56)) == 75264
    assert bands.num_bytes((56, 56), bytes_per_value=4) == 301056


def test_zigzag_is_the_standard_s() -> None:
    assert [ZIGZAG_OF_NATURAL[natural] for natural in ZIGZAG] == list(range(64))


@pytest.mark.parametrize(
    ("text", "y", "cb", "cr"),
    [
        ("zigzag-6-3-1", (0, 1, 8, 16, 9, 2), (0, 1, 8), (0,)),
        ("zigzag-64-0-0", ZIGZAG, (), ()),
        ("square-3-2-0", (0, 1, 2, 8, 9, 10, 16, 17, 18), (0, 1, 8, 9), ()),
        ("triangle-3-2-1", (0, 1, 2, 8, 9, 16), (0, 1, 8), (0,)),
        ("triangle-15-0-0", tuple(range(64)), (), ()),
    ],
)
def test_families(text: str, y: tuple[int, ...], cb: tuple[int, ...], cr: tuple[int, ...]) -> None:
    bands = BandSet.parse(text)
    assert tuple(bands.of_component(c) for c in range(3)) == (y, cb, cr)
    assert bands.name == text


def test_families_meet_the_published_sets_where_those_are_regular() -> None:
    assert BandSet.parse("square-4-2-2").channels == BandSet.parse("S-24").channels
    assert BandSet.parse("triangle-3-2-2").channels == BandSet.parse("T-12").channels


def test_own_lists_go_to_a_file_and_back(tmp_path: Path) -> None:
    own = BandSet.of_components("ours-5", (9, 0), (3,), (0, 63), origin="gates of a run")
    assert own.channels == (9, 0, 67, 128, 191)
    path = tmp_path / "ours.json"
    own.write(path)
    assert BandSet.parse(str(path)) == own
    assert [p.name for p in tmp_path.iterdir()] == ["ours.json"], "no temporary file stays"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S-25", r"no band set 'S-25'; nearest: .*S-24.*published: S-6, S-12.*families: zigzag-16-4-4.*\.json"),
        ("s-24", "nearest: S-24"),
        ("", "no band set ''"),
        ("zigzag-65-1-1", "zigzag sizes end at 64, not 65"),
        ("square-9-1-1", "square sizes end at 8, not 9"),
        ("triangle-16-1-1", "triangle sizes end at 15, not 16"),
        ("square-0-0-0", "is empty; name at least one channel"),
        ("zigzag-4-4", "no band set 'zigzag-4-4'"),
        ("missing.json", r"missing\.json: No such file or directory; check the path"),
    ],
)
def test_names_that_are_none(text: str, message: str) -> None:
    with pytest.raises(BandSetError, match=message):
        BandSet.parse(text)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ((0, 192), r"channels \[192\] are outside 0\.\.191"),
        ((-1, 5), r"channels \[-1\] are outside"),
        ((), "is empty"),
        ((3, 7, 3), r"channels \[3\] are listed twice"),
    ],
)
def test_impossible_lists(channels: tuple[int, ...], message: str) -> None:
    with pytest.raises(BandSetError, match=message):
        BandSet("own", channels)


def test_indices_beyond_their_component_are_refused() -> None:
    with pytest.raises(BandSetError, match=r"Cb indices \[64\] are outside 0\.\.63"):
        BandSet.of_components("own", (0,), (64,), (0,))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"name": "x"}', '{"name": "x", "channels": 5}', '{"name": "x", "channels": ["a"]}', "\x00"],
)
def test_files_that_hold_no_band_set(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bands.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BandSetError, match=r"bands\.json: not a band set file .*'name' and 'channels'"):
        BandSet.read(path)


def test_a_file_with_an_impossible_list_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({"name": "x", "channels": [1, 1]}), encoding="utf-8")
    with pytest.raises(BandSetError, match=r"bands\.json: band set 'x': channels \[1\] are listed twice"):
        BandSet.read(path)


def test_every_way_to_name_a_set_gives_the_set() -> None:
    own = BandSet("own", (5, 3))
    assert BandSet.of(own) is own
    assert BandSet.of("S-24") == BandSet.parse("S-24")
    unchecked = BandSet.of.__func__.__wrapped__  # type: ignore[attr-defined]
    for other, kind in ((24, "int"), (None, "NoneType"), ((0, 1), "tuple"), (b"S-24", "bytes")):
        with pytest.raises(TypeError, match=rf"bands is a {kind}; give a BandSet, or the name of one such as 'S-24'"):
            unchecked(BandSet, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "x", "channels": [true]}', "an item of 'channels' is true, not a whole number"),
        ('{"name": "x", "channels": [1.5]}', "an item of 'channels' is a number, not a whole number"),
        ('{"name": "x", "channels": [1e400]}', "not a whole number"),
        ('{"name": "x", "channels": [99999999999999999999]}', "an item of 'channels' is beyond 64 bits"),
        ('{"name": 7, "channels": [1]}', "'name' is a number, not text"),
        ('{"name": "x", "channels": [1], "origin": []}', "'origin' is a list, not text"),
        ('{"name": "x", "channels": [1], "chanels": [2]}', "it has unknown keys: 'chanels'"),
        ('{"name": "x", "channels": [1], "channels": [2]}', "the key 'channels' stands twice"),
        ('{"name": "x", "channels": NaN}', "it holds NaN, which is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps({"name": "x", "channels": list(range(193))}), "'channels' has 193 items; there can be 192 at most"),
        (json.dumps({"name": "x" * 2**21, "channels": [1]}), "it is larger than 1048576 bytes"),
        (json.dumps({"name": "x", "channels": list(range(10**6))}), "it is larger than 1048576 bytes"),
    ],
)
def test_a_file_of_another_shape_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bands.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BandSetError, match=rf"bands\.json: not a band set file \(.*{message}"):
        BandSet.read(path)


def test_a_list_of_a_million_channels_is_refused_without_comparing_all_with_all() -> None:
    with pytest.raises(BandSetError, match=r"\[192, 193, .*, \.\.\.\] are outside") as error:
        BandSet("own", tuple(range(10**6)))
    assert len(str(error.value)) < 200
    with pytest.raises(BandSetError, match=r"channels \[0, 1, .*\] are listed twice"):
        BandSet("own", tuple(i % 192 for i in range(10**6)))


def test_a_fifo_is_no_band_set_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bands.json")
    with pytest.raises(BandSetError, match="it is no regular file"):
        BandSet.read(tmp_path / "bands.json")
