"""Training by blocks of shards in a store: the batches of local files, by one request for each block of a process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import upload

from prepixel.data import BlockShuffle, PackedDataset, RandomCrop, SpectrumLoader, SpectrumReader
from prepixel.data.datasets import shards as shards_module
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.spectrum import BandSet
from prepixel.stores.client import read_object

SHUFFLE = BlockShuffle(4, 2)


def loader(files: PackedDataset, **options: int) -> SpectrumLoader:
    reader = SpectrumReader((3, 5), BandSet.parse("S-6"))
    common = {"batch_size": 8, "crop": RandomCrop(), "threads": 1, "training": True, "block_shuffle": SHUFFLE}
    return SpectrumLoader(files, reader, **common, **options)


def test_blocks_are_one_request_each_and_batches_those_of_local_files(
    bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(tmp_path / "source", 42)
    pack_source(open_source(tmp_path / "source"), tmp_path / "shards", OPTIONS)
    upload(tmp_path / "shards", f"{bucket}/shards")
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.05, cut=0.05)
    use_server(monkeypatch, proxy.url)
    requests: list[str] = []

    def counted(bucket: str, key: str, **ranges: int) -> bytes:
        requests.append(key)
        return read_object(bucket, key, **ranges)

    files, local = PackedDataset(f"{bucket}/shards"), PackedDataset(tmp_path / "shards")
    monkeypatch.setattr(shards_module, "read_object", counted)
    boundaries = sum(len(set(files._table[begin : begin + 4, 0].tolist())) - 1 for begin in range(0, len(files), 4))
    for processes in (1, 2):
        expected = list(loader(local).epoch(5, first_batch=1))
        requests.clear()
        for rank in range(processes):
            own = list(loader(files, rank=rank, world_size=processes).epoch(5, first_batch=1))
            assert len(own) == len(expected) == 4
            for batch, whole in zip(own, expected, strict=True):
                assert torch.equal(batch.indices, whole.indices[rank::processes])
                assert torch.equal(batch.inputs.values, whole.inputs.values[rank::processes])
        used = {int(index) // 4 for batch in expected for index in batch.indices}
        # the last blocks, fewer than are open at a time, are dealt to both processes
        assert len(used) <= len(requests) <= len(used) + boundaries + (processes - 1) * SHUFFLE.open_blocks
    proxy.close()
    assert proxy.num_refused + proxy.num_cut
