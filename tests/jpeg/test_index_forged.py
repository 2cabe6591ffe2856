"""Stale, damaged and forged indexes: what docs/formats/jpeg-index.md says is seen, is seen; the rest is verified."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from tests.jpeg.forged_index import restamped, with_raised_rows
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow
from tests.jpeg.test_jpeg_index import assert_is_part, refused
from tests.oracles import jpeg_index as oracle
from tests.oracles.xxh64 import xxh64

from prepixel.errors import JpegError, MalformedIndex
from prepixel.jpeg import JpegIndex, index_jpeg, read_jpeg, verify_index


def test_a_stale_index_is_not_used(files: dict[str, bytes]) -> None:
    file = by_pillow(quality=90, subsampling=0)
    index = index_jpeg(file, every=2)
    whole = read_jpeg(file)
    data_begin = oracle.read(index.data).scans[0].begin
    others = [by_pillow(quality=91, subsampling=0), file + b"\0"]
    for at in range(data_begin + 5, len(file) - 2, 97):  # changed in one byte: damaged, or another picture
        changed = bytearray(file)
        if file[at] in {0, 255} or file[at - 1] == 255:
            continue
        changed[at] ^= 1
        others.append(bytes(changed))
    assert len(others) > 10
    read = 0
    for other in others:
        try:
            truth = read_jpeg(other)
        except JpegError as error:
            with pytest.raises(type(error)):
                read_jpeg(other, index=index)
            continue
        read += 1
        part = read_jpeg(other, region=(9, 11, 17, 23), index=index)
        assert refused(part)
        assert_is_part(part, truth, (9, 11, 17, 23), "stale")
    assert read > 3
    assert not refused(read_jpeg(file, index=index))
    assert whole.warnings == ()


def test_an_index_changed_anywhere_is_refused() -> None:
    file = by_pillow(subsampling=2)
    data = index_jpeg(file, every=1).data
    for at in range(len(data)):
        for change in (1, 0x80):
            broken = bytearray(data)
            broken[at] ^= change
            with pytest.raises(MalformedIndex):
                JpegIndex(bytes(broken))
    for size in range(len(data)):
        with pytest.raises(MalformedIndex):
            JpegIndex(data[:size])
    with pytest.raises(MalformedIndex):
        JpegIndex(data + b"\0")


def test_checksums_are_those_of_the_format(files: dict[str, bytes]) -> None:
    for file in files.values():
        data = index_jpeg(file).data
        read = oracle.read(data)
        assert read.file_checksum == xxh64(file)
        assert restamped(data) == data


def test_an_index_forged_in_one_byte_costs_time_alone(files: dict[str, bytes]) -> None:
    """Every byte of the checkpoints changed, with a valid checksum: a run that does not fit is seen."""
    refusals = 0
    for name in ("baseline-420", "restart", "scan-per-component"):
        file = files[name]
        whole, data = read_jpeg(file), index_jpeg(file, every=2).data
        for at in range(28, len(data)):
            for change in (1, 2, 0x40, 0x80):
                forged = bytearray(data)
                forged[at] ^= change
                try:
                    index = JpegIndex(restamped(bytes(forged)))
                except MalformedIndex:
                    refusals += 1
                    continue
                assert not verify_index(file, index), (name, at)
                part = read_jpeg(file, index=index)  # all runs
                refusals += refused(part)
                for ours, full in zip(part.components, whole.components, strict=True):
                    assert np.array_equal(ours.quantized, full.quantized), (name, at)
                region = (HEIGHT // 2, WIDTH // 3, 9, 13)
                try:
                    assert_is_part(read_jpeg(file, region=region, index=index), whole, region, (name, at))
                except AssertionError:  # predictors raised from one checkpoint on, beyond the first of the region
                    assert is_consistent_forgery(data, bytes(forged)), (name, at)
    assert refusals > 500, refusals


def is_consistent_forgery(true: bytes, forged: bytes) -> bool:
    """Tell whether an index differs in DC predictors alone, by one number from some checkpoint on."""
    for a, b in zip(oracle.read(true).scans, oracle.read(restamped(forged)).scans, strict=True):
        differences = []
        for mcu, state in a.states.items():
            if b.states[mcu].bit != state.bit:
                return False
            pairs = zip(state.predictors, b.states[mcu].predictors, strict=True)
            differences.append([(q - p) % 65536 for p, q in pairs])
        steps = [d for d, e in pairwise(differences) if d != e]
        if len(steps) > 1:
            return False
    return True


def test_a_forgery_that_a_region_cannot_see_is_seen_by_verify_index() -> None:
    """What docs/formats/jpeg-index.md says is not seen: the page must not promise more than is true, nor less."""
    file = by_pillow(subsampling=0)
    true = index_jpeg(file, every=0).data
    at = oracle.read(true)
    forged = JpegIndex(with_raised_rows(true))
    shifted = oracle.read(forged.data).scans[0].states
    rows = sorted(shifted)
    assert [shifted[m].predictors[0] - at.scans[0].states[m].predictors[0] for m in rows[:3]] == [0, 1, 1]
    region = (16, 0, 8, WIDTH)
    part, truth = (read_jpeg(file, region=region, index=index) for index in (forged, None))
    assert not refused(part)
    difference = part.components[0].quantized.astype(int) - truth.components[0].quantized
    assert np.all(difference[..., 0, 0] == 1)  # unseen, as the page says
    assert not verify_index(file, forged)
    assert refused(read_jpeg(file, index=forged))  # the first row's run does not end so
