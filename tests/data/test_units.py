"""Units, their records, and the parts of a job."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepixel.data.units import JobHeader, PartNumber, UnitRecords, find_records, remove_records, unit_slice
from prepixel.errors import DatasetError

HEADER = JobHeader("scan", "abc", 3, {"grid": [2, 3]})


@given(st.integers(0, 300), st.integers(1, 40))
def test_parts_cover_everything_once_and_evenly(num_items: int, count: int) -> None:
    parts = [PartNumber(index + 1, count).of(range(num_items)) for index in range(count)]
    assert [item for part in parts for item in part] == list(range(num_items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 300), st.integers(1, 40))
def test_units_cover_everything_once(num_items: int, size: int) -> None:
    units = [unit_slice(number, size, num_items) for number in range(-(-num_items // size))]
    assert [item for unit in units for item in unit] == list(range(num_items))
    assert {len(unit) for unit in units[:-1]} <= {size}


def test_a_part_outside_its_count_is_refused() -> None:
    for index, count in ((0, 4), (5, 4)):
        with pytest.raises(ValueError, match=f"part {index}/{count}: parts count from 1 to {count}"):
            PartNumber(index, count)


def test_records_come_back_in_order_and_only_when_all_are_there(tmp_path: Path) -> None:
    records = UnitRecords(tmp_path / "records", HEADER)
    assert find_records(tmp_path / "records") is None
    records.begin()
    for number in (2, 0):
        records.write(number, {"sum": number})
    assert records.unfinished(range(3)) == [1]
    with pytest.raises(DatasetError, match=r"records: 1 of 3 units are not finished \(1\); run their parts again"):
        records.read_all()
    records.write(1, {"sum": 1})
    found = find_records(tmp_path / "records")
    assert found is not None
    assert found.header == HEADER
    assert list(found.read_all()) == [{"sum": 0}, {"sum": 1}, {"sum": 2}]
    (tmp_path / "records" / ".prepixel-0123456789ab.partial").write_bytes(b"of a worker that was killed")
    remove_records(tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_records_of_another_job_are_never_merged(tmp_path: Path) -> None:
    UnitRecords(tmp_path, HEADER).write(0, 1)
    for other, word in (
        (JobHeader("scan", "abd", 3, {"grid": [2, 3]}), "another listing"),
        (JobHeader("scan", "abc", 3, {"grid": [2, 4]}), "another options"),
        (JobHeader("pack", "abc", 4, {"grid": [2, 3]}), "another job and number of units"),
    ):
        with pytest.raises(DatasetError, match=rf"unit-00000000\.json: belongs to another run \({word}\); give every"):
            UnitRecords(tmp_path, other).read(0)
        with pytest.raises(DatasetError, match="belongs to another run"):
            UnitRecords(tmp_path, other).begin()


@pytest.mark.parametrize("contents", [b"", b"{", b"[]", b'{"format": "prepixel unit 1", "unit": 1}', b"[" * 10_000])
def test_a_damaged_record_is_named(contents: bytes, tmp_path: Path) -> None:
    records = UnitRecords(tmp_path, HEADER)
    records.write(0, 1)
    (tmp_path / "unit-00000000.json").write_bytes(contents)
    with pytest.raises(DatasetError, match=r"unit-00000000\.json: is no record of a unit .* remove it"):
        records.read(0)


def test_a_record_that_claims_many_units_takes_no_memory(tmp_path: Path) -> None:
    num_units = 10**7
    UnitRecords(tmp_path, JobHeader("scan", "abc", num_units)).write(1, 7)
    found = find_records(tmp_path)
    assert found is not None
    text = rf"{num_units - 1} of {num_units} units are not finished \(0, 2, 3, 4, 5, 6, 7, 8, \.\.\.\)"
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=text):
            found.read_all()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_more_units_than_there_can_be_are_refused(tmp_path: Path) -> None:
    UnitRecords(tmp_path, JobHeader("scan", "abc", 1 << 70)).write(0, 7)
    with pytest.raises(DatasetError, match=r"is no record of a unit \(num_units is 1180591620717411303"):
        find_records(tmp_path)
