"""Jobs from and to a store: the bytes of local runs, whatever the network does; messages for what cannot be."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.jpeg.small_files import by_pillow
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy

from prepixel.cli import main
from prepixel.data import CenterCrop, FolderDataset, PackedDataset, SpectrumLoader, SpectrumReader
from prepixel.data.datasets.shards import coalesce_ranges
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.jobs.scan import scan_folder
from prepixel.data.units import PartNumber
from prepixel.errors import DatasetError, ObjectReplaced, StoreError
from prepixel.files import image_files
from prepixel.spectrum import BandSet
from prepixel.stores import client
from prepixel.stores.remote_path import RemotePath, to_path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write_source(root, 40)
    return root


def upload(folder: Path, target: str) -> None:
    where = RemotePath.parse(target)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                (where / path.relative_to(folder).as_posix()).upload(file)


def contents(folder: str) -> dict[str, bytes]:
    where = RemotePath.parse(folder)
    return {
        info.key[len(where.key) + 1 :]: client.read_object(where.bucket, info.key)
        for info in client.list_objects(where.bucket, where.key)
    }


def local_contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".prepixel-lock"}


def test_files_are_listed_in_the_order_of_folders(bucket: str, tmp_path: Path) -> None:
    for name in (
        "b.jpg",
        "a-x/2.jpg",
        "a/1.jpg",
        "a/deep/0.JPG",
        "a.jpg",
        ".hidden/3.jpg",
        "a/.4.jpg",
        "a/5.txt",
        "é/ü.jpg",
    ):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(name.encode())
    upload(tmp_path / "tree", f"{bucket}/tree")
    listed = [path.removeprefix(f"{bucket}/tree/") for path in image_files(f"{bucket}/tree")]
    assert listed == [Path(path).relative_to(tmp_path / "tree").as_posix() for path in image_files(tmp_path / "tree")]
    assert len(listed) == 6
    pages = list(client.list_objects(bucket, "tree", page=2))
    assert pages == list(client.list_objects(bucket, "tree"))
    assert len(pages) == 9


def test_packing_from_and_to_a_store_leaves_the_bytes_of_a_local_run(bucket: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{bucket}/photos")
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    remote = open_source(f"{bucket}/photos")
    assert [entry[:3] for entry in remote.entries] == [entry[:3] for entry in open_source(source).entries]
    for part in (2, 1):
        pack_units(remote, f"{bucket}/shards", OPTIONS, part=PartNumber(part, 2))
    with pytest.raises(DatasetError, match="is missing"):
        PackedDataset(f"{bucket}/shards")
    report = pack_units(remote, f"{bucket}/shards", OPTIONS)
    assert report is not None
    assert (report.num_samples, report.num_earlier, len(report.bad)) == (41, 41, 1)
    expected = local_contents(tmp_path / "one")
    for name in ("manifest.json",):  # the source's name differs
        expected[name] = expected[name].replace(source.name.encode(), b"photos")
    assert contents(f"{bucket}/shards") == expected
    pack_source(remote, tmp_path / "from store", OPTIONS)
    assert local_contents(tmp_path / "from store") == expected


def test_scan_and_statistics_of_a_store_are_those_of_the_folder(
    bucket: str, source: Path, tmp_path: Path, capsys: Captured
) -> None:
    upload(source, f"{bucket}/photos")
    local, remote = scan_folder(source), scan_folder(f"{bucket}/photos")
    own = {"root", "broken"}
    assert {k: v for k, v in vars(remote).items() if k not in own} == {
        k: v for k, v in vars(local).items() if k not in own
    }
    assert [failure.source for failure in remote.broken] == [f"{bucket}/photos/class6/020.jpg"]
    words = ["--grid", "4", "4", "--bands", "S-6", "--skip-bad"]
    assert main(["stats", f"{bucket}/photos", "-o", str(tmp_path / "remote.json"), *words]) == 1
    assert main(["stats", str(source), "-o", str(tmp_path / "local.json"), *words]) == 1
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in ("remote.json", "local.json")]
    assert texts[0] == texts[1].replace(f'"source": "{source.name}"', '"source": "photos"')
    assert main(["pack", f"{bucket}/photos", f"{bucket}/shards", "--bands", "S-6"]) == 1
    assert "39 of 41 images" in capsys.readouterr().out


def test_training_batches_stream_from_shards_in_a_store(bucket: str, source: Path, tmp_path: Path) -> None:
    pack_source(open_source(source), tmp_path / "shards", OPTIONS)
    upload(tmp_path / "shards", f"{bucket}/shards")
    reader = SpectrumReader((4, 4), BandSet.parse("S-24"))
    local, remote = PackedDataset(tmp_path / "shards"), PackedDataset(f"{bucket}/shards")
    assert remote.sources([3, 30, 4, 3]) == local.sources([3, 30, 4, 3])

    def loader(files: PackedDataset, **ranks: int) -> SpectrumLoader:
        return SpectrumLoader(files, reader, batch_size=8, crop=CenterCrop(), seed=5, training=True, **ranks)

    straight = list(loader(local).epoch(2))
    for streamed, expected in zip(loader(remote).epoch(2), straight, strict=True):
        assert streamed.indices.tolist() == expected.indices.tolist()
        assert np.array_equal(streamed.inputs.values.numpy(), expected.inputs.values.numpy())
    # one process for two batches, then two: together they see what one process would have seen
    resumed = [list(loader(remote, rank=rank, world_size=2).epoch(2, first_batch=2)) for rank in range(2)]
    for batch, parts in zip(straight[2:], zip(*resumed, strict=True), strict=True):
        assert sorted(i for part in parts for i in part.indices.tolist()) == sorted(batch.indices.tolist())


def test_neighbors_in_a_shard_are_one_request() -> None:
    rows = [(0, 100, 10), (0, 300, 10), (1, 0, 5), (0, 112, 10)]
    assert coalesce_ranges(rows, gap=5) == [(0, 100, 22, [0, 3]), (0, 300, 10, [1]), (1, 0, 5, [2])]
    assert coalesce_ranges(rows, gap=200) == [(0, 100, 210, [0, 3, 1]), (1, 0, 5, [2])]


def test_failing_slow_and_broken_connections_lose_and_double_nothing(
    bucket: str, server: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(source, f"{bucket}/photos")
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.06, cut=0.06, latency=0.005)
    use_server(monkeypatch, proxy.url)
    pack_units(open_source(f"{bucket}/photos"), f"{bucket}/shards", OPTIONS)
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    use_server(monkeypatch, server)
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut
    expected = local_contents(tmp_path / "one")
    expected["manifest.json"] = expected["manifest.json"].replace(source.name.encode(), b"photos")
    assert contents(f"{bucket}/shards") == expected


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_an_object_that_was_replaced_ends_the_run(bucket: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{bucket}/photos")
    listed = open_source(f"{bucket}/photos")
    victim = RemotePath.parse(listed.entries[5].path)
    (tmp_path / "other.jpg").write_bytes(by_pillow(quality=31))
    with (tmp_path / "other.jpg").open("rb") as file:
        victim.upload(file)
    with pytest.raises(ObjectReplaced, match=rf"{victim}: was replaced after it was listed \(its ETag is another\)"):
        pack_units(listed, f"{bucket}/shards", OPTIONS)
    assert not [name for name in contents(f"{bucket}/shards") if name.startswith("shard-000000")]


def test_a_truncated_shard_is_found_at_opening(bucket: str, source: Path, tmp_path: Path) -> None:
    pack_source(open_source(source), tmp_path / "shards", OPTIONS)
    upload(tmp_path / "shards", f"{bucket}/shards")
    whole = PackedDataset(f"{bucket}/shards")
    tar = tmp_path / "shards" / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 3])
    with tar.open("rb") as file:
        (to_path(f"{bucket}/shards") / tar.name).upload(file)
    with pytest.raises(DatasetError, match=r"shard-000001\.tar: has \d+ bytes, and \d+ were written"):
        PackedDataset(f"{bucket}/shards")
    last = int(np.flatnonzero(whole._table[:, 0] == 1)[-1])
    assert whole.sources([last]) == [b""]  # a reader that is open gets what is there, and the image is damaged


def test_what_is_not_there_is_named(bucket: str, capsys: Captured) -> None:
    words = {
        f"{bucket}-missing/photos": "there is no such bucket; check its name and region",
        f"{bucket}/nothing": "no object lies below it",
        "s3://key:secret@photos/a": "holds credentials; give them by the provider's environment variables",
        "s3:///photos": "is no URL of a store",
        "s3://photos/a?X-Amz-Signature=secret": "is no URL of a store",
    }
    for url, message in words.items():
        assert main(["stats", url, "--grid", "4", "4", "-o", "s.json"]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert "secret" not in err
        assert err.count("\n") == 1


def test_a_store_that_does_not_answer_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_RETRIES", 1)
    monkeypatch.setattr(client, "_BODY_RETRIES", 1)
    use_server(monkeypatch, "http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(StoreError, match=rf"{bucket}/photos: the store does not answer as it should"):
        FolderDataset(f"{bucket}/photos")
    assert time.monotonic() - begin < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_refused_at_once(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"one")
    upload(tmp_path, bucket)
    one = RemotePath.parse(f"{bucket}/one.txt")
    assert one.read_bytes() == b"one"
    forked = multiprocessing.get_context("fork")
    answers = forked.Queue()

    def read() -> None:
        try:
            answers.put(repr(one.read_bytes()))
        except StoreError as error:
            answers.put(str(error))

    child = forked.Process(target=read)
    child.start()
    child.join(20)
    child.kill()
    assert "was forked after its parent had used a store" in answers.get(timeout=1)


def test_an_upload_whose_completion_is_answered_by_half_is_repeated(
    bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    proxy.cut_once = "?uploadId="
    (tmp_path / "large").write_bytes(np.random.default_rng(1).bytes(11 << 20))
    where = RemotePath.parse(f"{bucket}/large")
    with (tmp_path / "large").open("rb") as file:
        where.upload(file)
    proxy.close()
    assert proxy.num_cut == 1
    use_server(monkeypatch, server)
    assert where.read_bytes() == (tmp_path / "large").read_bytes()
