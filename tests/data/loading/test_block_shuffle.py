"""Orders by blocks of neighbors: permutations, few blocks at a time, blocks of one process alone, few requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.jobs.killed_packing import OPTIONS, write_source

from prepixel.data import BlockShuffle, PackedDataset, RandomCrop, SpectrumLoader, SpectrumReader
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.loading.block_shuffle import fetch_by_blocks
from prepixel.spectrum import BandSet

READER = SpectrumReader((3, 5), BandSet.parse("S-6"))


@pytest.mark.parametrize("samples", [0, 1, 7, 8, 31, 96, 97, 1000])
@pytest.mark.parametrize(("size", "blocks"), [(1, 1), (4, 3), (8, 4), (50, 64)])
def test_every_sample_comes_once(samples: int, size: int, blocks: int) -> None:
    shuffle = BlockShuffle(size, blocks)
    order = shuffle.order(samples, 5, 2)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(samples))
    assert order.tolist() == shuffle.order(samples, 5, 2).tolist()


def test_orders_differ_by_seed_and_epoch() -> None:
    orders = [BlockShuffle(4, 3).order(200, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_neighbors_in_the_order_are_of_different_blocks_and_blocks_are_used_up() -> None:
    order = BlockShuffle(4, 8).order(4 * 8 * 5, 3, 0) // 4
    for begin in range(0, len(order), 8):
        assert len(set(order[begin : begin + 8].tolist())) == 8
    for begin in range(0, len(order), 32):
        assert np.bincount(order[begin : begin + 32]).max() == 4
        assert len(set(order[begin : begin + 32].tolist())) == 8


def test_samples_of_a_block_come_in_any_order() -> None:
    places = np.zeros((4, 4), dtype=int)
    for epoch in range(400):
        order = BlockShuffle(4, 2).order(8, 0, epoch)
        for sample in range(4):
            places[sample, [int(index) for index in order if index < 4].index(sample)] += 1
    assert places.min() > 60  # of 100 that are expected; 4.6 standard deviations


def test_a_process_uses_blocks_of_its_own() -> None:
    order = BlockShuffle(4, 8).order(4 * 8 * 6, 1, 1) // 4
    own = [set(order[rank::4].tolist()) for rank in range(4)]
    assert sum(map(len, own)) == len(set.union(*own)) == 48


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (1, 0)])
def test_numbers_below_one_are_refused(size: int, blocks: int) -> None:
    with pytest.raises(ValueError, match="both numbers must be 1 or greater"):
        BlockShuffle(size, blocks)


def test_a_block_is_fetched_once_and_not_before_it_is_near() -> None:
    order = BlockShuffle(5, 4).order(1000, 0, 0)
    batches = [[(0, int(index)) for index in order[begin : begin + 20]] for begin in range(0, 1000, 20)]
    fetched: list[list[int]] = []

    def fetch(keys: list[tuple[int, int]]) -> list[bytes]:
        fetched.append([index for _, index in keys])
        return [str(index).encode() for _, index in keys]

    results = fetch_by_blocks(batches, 5, fetch)
    first, sources = next(results)
    assert len(fetched) < 150  # of 200
    assert sources == [str(index).encode() for _, index in first]
    for batch, found in results:
        assert found == [str(index).encode() for _, index in batch]
    assert sorted(fetched) == [list(range(begin, begin + 5)) for begin in range(0, 1000, 5)]


def test_a_sample_that_a_batch_repeats_is_fetched_once() -> None:
    calls: list[int] = []

    def fetch(keys: list[tuple[int, int]]) -> list[bytes]:
        calls.extend(index for _, index in keys)
        return [b"x%d" % index for _, index in keys]

    batches = [[(7, 3), (2**32 + 7, 3)], [(7, 0), (7, 3)]]
    found = list(fetch_by_blocks(batches, 4, fetch))
    assert found == [(batches[0], [b"x3", b"x3"]), (batches[1], [b"x0", b"x3"])]
    assert sorted(calls) == [0, 3]


def test_an_error_of_a_block_is_raised_in_its_place() -> None:
    def fetch(keys: list[tuple[int, int]]) -> list[bytes]:
        if any(index == 9 for _, index in keys):
            raise FileNotFoundError("9")
        return [b"" for _ in keys]

    results = fetch_by_blocks([[(0, 0)], [(0, 9)]], 4, fetch)
    assert next(results)[1] == [b""]
    with pytest.raises(FileNotFoundError):
        next(results)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    write_source(folder / "source", 42)
    pack_source(open_source(folder / "source"), folder / "shards", OPTIONS)
    return folder / "shards"


def loader(shards: Path, **options: int) -> SpectrumLoader:
    return SpectrumLoader(
        PackedDataset(shards),
        READER,
        batch_size=8,
        crop=RandomCrop(),
        threads=1,
        training=True,
        block_shuffle=BlockShuffle(4, 4),
        **options,
    )


def test_a_loader_gives_the_same_samples_to_any_number_of_processes_from_any_batch(shards: Path) -> None:
    whole = list(loader(shards).epoch(3))
    order = BlockShuffle(4, 4).order(42, 0, 3).tolist()
    assert [index for batch in whole for index in batch.indices.tolist()] == order[:40]
    parts = [list(loader(shards, rank=rank, world_size=2).epoch(3, first_batch=2)) for rank in range(2)]
    for number, batch in enumerate(whole[2:]):
        for rank in range(2):
            assert torch.equal(parts[rank][number].indices, batch.indices[rank::2])
            assert torch.equal(parts[rank][number].inputs.values, batch.inputs.values[rank::2])


def test_evaluation_keeps_the_order(shards: Path) -> None:
    files = PackedDataset(shards)
    kept = SpectrumLoader(files, READER, batch_size=8, threads=1, block_shuffle=BlockShuffle(4, 4))
    assert kept.order(0).tolist() == list(range(len(files)))
