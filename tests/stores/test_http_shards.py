"""Shards behind a plain HTTP server: prepixel streams from them, and the library webdataset opens them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from benchmarks.object_server import object_server
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.small_photos import Captured
from tests.stores.s3_server import FaultyProxy

from prepixel.cli import main
from prepixel.data import CenterCrop, PackedDataset, SpectrumLoader, SpectrumReader
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.errors import DatasetError, StoreError
from prepixel.spectrum import BandSet
from prepixel.stores import client


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Pack photos, and serve the folder of shards; yield both their places."""
    root = tmp_path_factory.mktemp("served")
    write_source(root / "source", 40)
    pack_source(open_source(root / "source"), root / "shards", OPTIONS)
    with object_server(root) as url:
        yield root / "shards", f"{url}/shards"


@pytest.fixture(scope="module")
def served(direct: tuple[Path, str]) -> Iterator[tuple[Path, str]]:
    """Serve the shards behind a proxy that refuses every tenth request and cuts every tenth answer."""
    proxy = FaultyProxy(urlsplit(direct[1]).port or 0, refused=0.1, cut=0.1)
    yield direct[0], f"{proxy.url}/shards"
    client._store.cache_clear()
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut


def test_batches_stream_over_http(served: tuple[Path, str]) -> None:
    local, remote = map(PackedDataset, served)
    assert remote.sources([3, 30, 4, 3]) == local.sources([3, 30, 4, 3])
    reader = SpectrumReader((4, 4), BandSet.parse("S-24"))
    batches = [
        list(SpectrumLoader(files, reader, batch_size=8, crop=CenterCrop(), seed=5, training=True).epoch(1))
        for files in (local, remote)
    ]
    assert len(batches[0]) == 5
    for one, other in zip(*batches, strict=True):
        assert one.indices.tolist() == other.indices.tolist()
        assert np.array_equal(one.inputs.values.numpy(), other.inputs.values.numpy())


def test_a_recipe_trains_on_shards_over_http(served: tuple[Path, str], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "small.yaml").write_text(
        f"data: {{train: '{served[1]}', batch_size: 8, threads: 1}}\n"
        "input: {kind: spectrum, bands: S-6, grid: [3, 5], statistics_images: 9}\n"
        "training: {epochs: 1, device: cpu, tensorboard: false}\n"
    )
    assert main(["train", str(tmp_path / "small.yaml"), "-o", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "checkpoints" / "last.pt").is_file()


def test_the_library_webdataset_opens_shards_over_http(
    direct: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    webdataset = pytest.importorskip("webdataset", reason="the extra loops is not installed")
    monkeypatch.setenv("GOPEN_VERBOSE", "0")
    local = PackedDataset(direct[0])  # the library repeats no request
    tars = [f"{direct[1]}/{path.name}" for path in sorted(direct[0].glob("*.tar"))]
    assert len(tars) == 3
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert len(samples) == len(local) == 40
    for index, sample in enumerate(samples):
        ending = Path(local.samples[index].path).suffix.lstrip(".")
        assert sample["__key__"] == Path(local.samples[index].path).stem
        assert sample[ending] == local.sources([index])[0]


def test_what_http_cannot_do_is_named(served: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing: holds no manifest\.json; name a folder that prepixel pack wrote"):
        PackedDataset(f"{os.path.dirname(served[1])}/nothing")  # noqa: PTH120  (a URL)
    with pytest.raises(StoreError, match="photos: folders of an HTTP server cannot be listed; name a folder of shards"):
        open_source(f"{served[1]}/photos")
    with pytest.raises(StoreError, match="files cannot be written over HTTP; name a folder, or a bucket of a store"):
        pack_source(open_source(served[0].parent / "source"), f"{served[1]}-more", OPTIONS)
