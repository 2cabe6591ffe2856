"""Shards of a store behind a local cache: the bytes of the store, without its requests from the second epoch on."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import upload
from tests.stores.test_remote_training import losses

from prepixel.cli import main
from prepixel.data import (
    BlockShuffle,
    CenterCrop,
    FolderDataset,
    PackedDataset,
    SpectrumLoader,
    SpectrumReader,
    open_dataset,
)
from prepixel.data.datasets import shards as shards_module
from prepixel.data.datasets.shard_cache import DEFAULT_BYTES
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.errors import DatasetError, MalformedPack, RecipeError
from prepixel.recipes import DataSettings, read_recipe
from prepixel.runs.build_classifier import DataFolders
from prepixel.spectrum import BandSet
from prepixel.stores.remote_path import RemotePath


@pytest.fixture
def stored(
    bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str, FaultyProxy]]:
    """Pack photos into a folder and a store; yield both their places, and a proxy that counts."""
    write_source(tmp_path / "source", 40)
    pack_source(open_source(tmp_path / "source"), tmp_path / "shards", OPTIONS)
    upload(tmp_path / "shards", f"{bucket}/shards")
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    yield tmp_path / "shards", f"{bucket}/shards", proxy
    proxy.close()


@pytest.mark.parametrize("shuffle", [None, BlockShuffle(4, 3)])
def test_the_second_epoch_needs_no_request(
    shuffle: BlockShuffle | None, stored: tuple[Path, str, FaultyProxy], tmp_path: Path
) -> None:
    place, url, proxy = stored
    local, cached = PackedDataset(place), PackedDataset(url, cache=tmp_path / "cache")
    reader = SpectrumReader((4, 4), BandSet.parse("S-24"))
    one, other = (
        SpectrumLoader(
            files,
            reader,
            batch_size=8,
            crop=CenterCrop(),
            seed=5,
            training=True,
            block_shuffle=shuffle,
        )
        for files in (local, cached)
    )
    assert cached.cache is not None
    requests = []
    for epoch in range(3):
        before = proxy.num_requests
        for batch, expected in zip(other.epoch(epoch), one.epoch(epoch), strict=True):
            assert np.array_equal(batch.inputs.values.numpy(), expected.inputs.values.numpy())
        requests.append(proxy.num_requests - before)
    assert requests[0] > 3
    assert requests[1:] == [0, 0]
    assert (cached.cache.misses, cached.cache.hits) == (40, 80)
    again = PackedDataset(url, cache=tmp_path / "cache")
    before = proxy.num_requests
    assert again.sources(range(40)) == local.sources(range(40))
    assert proxy.num_requests == before


def test_only_what_the_cache_lacks_is_requested(stored: tuple[Path, str, FaultyProxy], tmp_path: Path) -> None:
    place, url, _ = stored
    local, cached = PackedDataset(place), PackedDataset(url, cache=tmp_path / "cache")
    asked = [3, 30, 4, 3]
    assert cached.sources(asked) == local.sources(asked)
    with pytest.MonkeyPatch.context() as patch:
        read: list[int] = []
        whole = shards_module.read_object
        patch.setattr(shards_module, "read_object", lambda *w, **m: (read.append(m["offset"]), whole(*w, **m))[1])
        more = [30, 3, 31, 4]
        assert cached.sources(more) == local.sources(more)
        assert cached.select([31, 2]).sources([1, 0]) == local.sources([2, 31])
        assert len(read) == 2
        assert pickle.loads(pickle.dumps(cached)).sources([2, 30, 31]) == local.sources([2, 30, 31])
        assert len(read) == 2
    assert cached.cache is not None
    assert (cached.cache.hits, cached.cache.misses) == (3 + 1, 4 + 1 + 1)


def test_shards_that_were_packed_again_are_read_again(stored: tuple[Path, str, FaultyProxy], tmp_path: Path) -> None:
    _, url, _ = stored
    before = PackedDataset(url, cache=tmp_path / "cache")
    before.sources(range(40))
    shutil.rmtree(tmp_path / "shards")
    for path in sorted((tmp_path / "source").rglob("*.jpg"))[::2]:
        path.unlink()
    pack_source(open_source(tmp_path / "source"), tmp_path / "shards", OPTIONS)
    upload(tmp_path / "shards", url)
    after, local = PackedDataset(url, cache=tmp_path / "cache"), PackedDataset(tmp_path / "shards")
    assert len(after) == len(local) < 25
    assert after.sources(range(len(after))) == local.sources(range(len(local)))


def test_verifying_reads_the_store(stored: tuple[Path, str, FaultyProxy], tmp_path: Path) -> None:
    place, url, _ = stored
    cached = PackedDataset(url, cache=tmp_path / "cache")
    cached.sources(range(40))
    cached.verify()
    shard = place / "shard-000001.tar"
    held = bytearray(shard.read_bytes())
    held[cached._table[20, 1] + 50] ^= 1
    shard.write_bytes(held)
    with shard.open("rb") as file:
        RemotePath.parse(f"{url}/{shard.name}").upload(file)
    with pytest.raises(MalformedPack, match="its bytes are not those that were written"):
        cached.verify()


def test_a_recipe_trains_from_the_cache_to_the_same_losses(
    stored: tuple[Path, str, FaultyProxy], tmp_path: Path, capsys: Captured
) -> None:
    _, url, proxy = stored
    (tmp_path / "small.yaml").write_text(
        f"data: {{train: '{url}', val: '{url}', batch_size: 8, threads: 1}}\n"
        "input: {kind: spectrum, bands: S-6, grid: [3, 5], statistics_images: 9}\n"
        "training: {epochs: 2, device: cpu, tensorboard: false, record_steps: 1}\n"
    )
    words = ["train", str(tmp_path / "small.yaml")]
    assert main([*words, "-o", str(tmp_path / "plain")]) == 0
    cached = [*words, "--data.cache", str(tmp_path / "cache"), "--data.cache_bytes", "9000000"]
    assert main([*cached, "-o", str(tmp_path / "cached")]) == 0
    proxy.lines.clear()
    assert main([*cached, "-o", str(tmp_path / "again")]) == 0
    assert proxy.lines
    assert not [line for line in proxy.lines if "GET" in line and ".tar" in line]
    assert losses(tmp_path / "again") == losses(tmp_path / "plain")
    assert losses(tmp_path / "cached") == losses(tmp_path / "plain")


def test_a_cache_that_nothing_would_use_is_refused(
    stored: tuple[Path, str, FaultyProxy], bucket: str, tmp_path: Path
) -> None:
    place, url, _ = stored
    with pytest.raises(DatasetError, match="shards: is on this machine and needs no cache; leave it out"):
        PackedDataset(place, cache=tmp_path / "cache")
    upload(tmp_path / "source", f"{bucket}/photos")
    with pytest.raises(DatasetError, match="photos: holds no shards, and only shards are cached; pack it"):
        open_dataset(f"{bucket}/photos", cache=tmp_path / "cache")
    assert isinstance(open_dataset(f"{bucket}/photos"), FolderDataset)
    (tmp_path / "local.yaml").write_text(
        f"data: {{train: {place}, cache: {tmp_path / 'cache'}}}\ninput: {{bands: S-6, grid: 4}}\n"
    )
    with pytest.raises(RecipeError, match=r"data\.cache keeps shards of a store, and neither data\.train"):
        DataFolders.of(read_recipe(tmp_path / "local.yaml"))
    with pytest.raises(RecipeError, match=r"cache_bytes.*1048576 \(1 MiB\) or greater"):
        DataSettings(train=url, cache_bytes=1000)
    assert DataSettings(train=url).cache_bytes == DEFAULT_BYTES
    assert not (tmp_path / "cache").exists()
