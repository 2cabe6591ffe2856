"""The cache of shards on disk: what it gives is what was packed; its bound, its oldest files, its damage."""

from __future__ import annotations

import errno
import multiprocessing
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from prepixel.data.datasets import shard_cache
from prepixel.data.datasets.shard_cache import ShardCache, StoredSample
from prepixel.errors import DatasetError

MIB = 1 << 20
ROOT = "s3://bucket/shards"


def shard(number: int, count: int = 16, size: int = 50_000) -> tuple[list[StoredSample], list[bytes]]:
    """Return a shard's samples of random bytes, with gaps between them as a tar has."""
    draws = np.random.default_rng(number)
    contents = [draws.bytes(size + 97 * place) for place in range(count)]
    offsets = [512 + place * (size + 4096) for place in range(count)]
    samples = [
        StoredSample(number, offset, len(held), zlib.crc32(held))
        for offset, held in zip(offsets, contents, strict=True)
    ]
    return samples, contents


def used(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*.tar"))


def age(folder: Path, seconds: int) -> None:
    """Let a folder's files have been used before."""
    for path in folder.rglob("*.tar"):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))


def test_what_was_kept_is_found_and_counted(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, ROOT)
    samples, contents = shard(3)
    assert cache.read(samples) == [None] * 16
    cache.keep(samples[::2], contents[::2])
    found = cache.read(samples)
    assert found[::2] == contents[::2]
    assert found[1::2] == [None] * 8
    assert (cache.hits, cache.misses) == (8, 24)
    again = ShardCache(tmp_path, ROOT)
    assert again.read([samples[4], samples[5], samples[4]]) == [contents[4], None, contents[4]]
    assert ShardCache(tmp_path, f"{ROOT}2").read(samples) == [None] * 16


@pytest.mark.parametrize("damage", ["bit", "short", "zeros", "other"])
def test_bytes_that_are_not_those_that_were_packed_are_never_given(damage: str, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, ROOT)
    samples, contents = shard(0)
    cache.keep(samples, contents)
    (path,) = tmp_path.rglob("shard-000000.tar")
    held = bytearray(path.read_bytes())
    middle = samples[7].offset + 1234
    if damage == "bit":
        held[middle] ^= 1
    elif damage == "short":
        del held[middle:]
    elif damage == "zeros":
        held[middle:] = bytes(len(held) - middle)
    else:
        other, replaced = shard(1)
        assert other[7].size == samples[7].size
        held[samples[7].offset : samples[7].offset + other[7].size] = replaced[7]
    path.write_bytes(held)
    lost = {7} if damage in {"bit", "other"} else set(range(7, 16))
    found = cache.read(samples)
    assert {place for place, one in enumerate(found) if one is None} == lost
    assert all(one == contents[place] for place, one in enumerate(found) if one is not None)
    cache.keep(samples, contents)
    assert cache.read(samples) == contents


def test_a_damaged_sample_is_not_kept(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, ROOT)
    samples, contents = shard(0)
    cache.keep(samples, [contents[0][:-1], contents[1][:-1] + b"?", *contents[2:]])
    assert cache.read(samples) == [None, None, *contents[2:]]


def test_a_full_cache_stays_within_its_bound_and_keeps_what_it_has(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, ROOT, 4 * MIB)
    shards = [shard(number) for number in range(9)]
    for samples, contents in shards:
        for place in range(16):
            cache.keep(samples[place : place + 1], contents[place : place + 1])
            assert used(tmp_path) <= 4 * MIB
    found = [[one is not None for one in cache.read(samples)] for samples, _ in shards]
    assert sum(map(sum, found)) > 0.8 * 4 * MIB / 51_000
    assert all(found[0])
    assert not any(found[8])


def test_the_oldest_files_of_before_give_way_whatever_data_set_they_are_of(tmp_path: Path) -> None:
    old = ShardCache(tmp_path, "s3://bucket/old", 4 * MIB)
    for number in (5, 2, 4):  # in this order
        old.keep(*shard(number))
        age(tmp_path, 100)
    (tmp_path / "notes.txt").write_text("of somebody")
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "mine.tar").write_bytes(bytes(100))
    new = ShardCache(tmp_path, ROOT, 4 * MIB)
    new.keep(*shard(0))
    kept = [path.name for path in sorted(tmp_path.rglob("shard-*.tar"))]
    assert sorted(kept) == ["shard-000000.tar", "shard-000002.tar", "shard-000004.tar", "shard-000005.tar"]
    new.keep(*shard(1))
    assert not list(tmp_path.rglob("shard-000005.tar"))
    assert list(tmp_path.rglob("shard-000002.tar"))
    new.keep(*shard(6))
    assert not list(tmp_path.rglob("shard-000002.tar"))
    assert used(tmp_path) <= 4 * MIB
    assert (tmp_path / "notes.txt").read_text() == "of somebody"
    assert (tmp_path / "0123456789abcdef" / "mine.tar").stat().st_size == 100
    assert old.read(shard(5)[0]) == [None] * 16


def test_what_was_read_since_is_not_old(tmp_path: Path) -> None:
    first = ShardCache(tmp_path, "s3://bucket/old", 3 * MIB)
    for number in (0, 1):
        first.keep(*shard(number))
    age(tmp_path, 100)
    second = ShardCache(tmp_path, ROOT, 3 * MIB)
    assert first.read(shard(0)[0]) == shard(0)[1]
    second.keep(*shard(2))
    second.keep(*shard(3))
    names = {path.name for path in tmp_path.rglob("shard-*.tar")}
    assert names == {"shard-000000.tar", "shard-000002.tar", "shard-000003.tar"}


def _work(folder: Path, seed: int) -> tuple[int, int]:
    """Read and keep samples; return how many wrong ones were given, and the most bytes that the cache had."""
    draws = np.random.default_rng(seed)
    cache = ShardCache(folder, ROOT, 6 * MIB)
    shards = [shard(number) for number in range(10)]
    wrong, most = 0, 0
    for _ in range(60):
        samples, contents = shards[draws.integers(10)]
        places = sorted(draws.choice(16, 5, replace=False))
        own, held = [samples[place] for place in places], [contents[place] for place in places]
        found = cache.read(own)
        wrong += sum(one is not None and one != right for one, right in zip(found, held, strict=True))
        cache.keep(own, held)
        if draws.random() < 0.1:  # as another data set would
            for path in sorted(folder.rglob("*.tar"))[:1]:
                path.unlink(missing_ok=True)
        most = max(most, used_now(folder))
    return wrong, most


def used_now(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.tar"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def test_processes_share_a_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.starmap(_work, [(tmp_path, seed) for seed in range(3)])
    assert [wrong for wrong, _ in answers] == [0, 0, 0]
    assert max(most for _, most in answers) <= 6 * MIB


def test_a_full_disk_is_said_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ShardCache(tmp_path, ROOT)
    samples, contents = shard(0)
    write = os.pwrite

    def full(descriptor: int, held: bytes, offset: int) -> int:
        write(descriptor, held[: len(held) // 2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    for place in range(2 * shard_cache._RETRY):
        cache.keep(samples[place % 16 :][:1], contents[place % 16 :][:1])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: No space left on device; samples are not kept until there is room"
    ]
    assert cache.read(samples) == [None] * 16
    monkeypatch.setattr(os, "pwrite", write)
    for _ in range(shard_cache._RETRY):
        cache.keep(samples[:1], contents[:1])
    assert cache.read(samples[:1]) == contents[:1]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", ROOT)
    for path in (tmp_path / "cache").iterdir():
        path.rmdir()
    samples, contents = shard(0)
    cache.keep(samples, contents)
    assert cache.read(samples) == contents


def test_a_bound_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a cache of 1000 bytes holds nothing; give it 1 MiB \(1048576\) or more"):
        ShardCache(tmp_path, ROOT, 1000)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        ShardCache(tmp_path / "file", ROOT)
