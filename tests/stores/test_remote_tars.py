"""Tar files in a store as sources: the shards of a local run, headers and members read in few ranges."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.object_server import object_server
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.data.jobs.test_tar_members import Member, write_tar
from tests.interrupts import wait_until
from tests.jpeg.small_files import by_pillow
from tests.killed import ROOT
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import contents, local_contents, upload

from prepixel.cli import main
from prepixel.data.jobs.pack_dataset import estimate_packing, pack_source
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_reads import PlacedEntry, neighbors
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import merge_packed, pack_units
from prepixel.data.units import PartNumber
from prepixel.errors import DatasetError, ObjectReplaced
from prepixel.stores import client, object_file
from prepixel.stores.object_file import ObjectFile
from prepixel.stores.remote_path import RemotePath

JPEG = by_pillow()
WORDS = ["--bands", "S-24", "--shard-size", "17"]


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 61 photos into three tar files, with classes, other members, links, and 5 MB between two of them."""
    root = tmp_path_factory.mktemp("tars")
    write_source(root / "photos", 60)
    paths = sorted((root / "photos").rglob("*.*"))
    (root / "tars").mkdir()
    for number in range(3):
        members: list[Member] = [("folder", (tarfile.DIRTYPE, ""))]
        for path in paths[number::3]:
            key = f"folder/{number}-{path.stem}"
            members += [(f"{key}{path.suffix}", path.read_bytes()), (f"{key}.json", b"{}" * 40)]
            members += [(f"{key}.cls", path.parent.name.encode())]
        members += [
            ("folder/large.bin", bytes(5 << 20)),
            (f"folder/{number}-link.jpg", (tarfile.LNKTYPE, members[1][0])),
        ]
        members += [(f"folder/{number}-word", b"class6"), (f"folder/{number}-last.jpg", JPEG)]
        members += [(f"folder/{number}-last.cls", (tarfile.LNKTYPE, f"folder/{number}-word"))]
        members.insert(-3, (f"folder/{number}-link.cls", b"class0"))
        write_tar(root / "tars" / f"{number}.tar", *members)
    shutil.rmtree(root / "photos")
    return root / "tars"


@pytest.fixture(scope="module")
def expected(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("local") / "one"
    source = open_source(tars)
    assert source.other_members == {".json": 61, ".bin": 3, "folder": 3, "without an ending": 3}
    report = pack_source(source, out, OPTIONS)
    assert (report.num_samples, report.num_packed, len(report.bad)) == (67, 65, 1)
    return local_contents(out)


def test_shards_are_those_of_a_local_run_whatever_the_network_does(
    bucket: str, server: str, tars: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(tars, f"{bucket}/tars")
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.1, cut=0.1, latency=0.002)
    use_server(monkeypatch, proxy.url)
    remote = open_source(f"{bucket}/tars")
    local = open_source(tars)
    assert (remote.classes, remote.other_members) == (local.classes, local.other_members)
    assert [(e[:3], e.offset) for e in remote.entries] == [(e[:3], e.offset) for e in local.entries]
    pack_units(remote, f"{bucket}/shards", OPTIONS)
    pack_source(remote, tmp_path / "from store", OPTIONS)
    use_server(monkeypatch, server)
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut
    assert contents(f"{bucket}/shards") == local_contents(tmp_path / "from store") == expected


def test_members_are_read_in_few_requests(
    bucket: str, server: str, tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(tars, f"{bucket}/tars")
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    source = open_source(f"{bucket}/tars")
    headers = [line for line in proxy.lines if line.startswith("GET") and ".tar" in line]
    sizes = list[int]()
    read = object_file.read_listed
    monkeypatch.setattr("prepixel.data.jobs.pack_reads.read_listed", lambda *a: sizes.append(a[2]) or read(*a))
    report = pack_source(source, tmp_path / "shards", OPTIONS)
    members = [line for line in proxy.lines if line.startswith("GET") and ".tar" in line][len(headers) :]
    proxy.close()
    assert report.num_samples == 67
    assert len(members) == 3 * 3  # of each tar: the photos; the link, which points back; the last one, behind 5 MB
    assert len(sizes) == 3
    assert len(headers) <= 3 * 5  # one range that grows, one behind the 5 MB, and the tar's end


def test_a_tar_is_not_read_where_it_is_jumped_over(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tars").mkdir()
    large, small = (
        [(f"x/{i}.jpg", JPEG + bytes(3 << 20)) for i in range(5)],
        [(f"x/s{i}.jpg", JPEG) for i in range(1500)],
    )
    tar = write_tar(tmp_path / "tars" / "a.tar", *large, *small)
    upload(tmp_path / "tars", f"{bucket}/tars")
    sizes, read = list[int](), object_file.read_listed
    monkeypatch.setattr(object_file, "read_listed", lambda *a: sizes.append(a[2]) or read(*a))
    assert len(open_source(f"{bucket}/tars/a.tar").entries) == 1505
    assert sum(sizes) < tar.stat().st_size - (14 << 20)
    assert len(sizes) <= 5 + 8
    assert max(sizes) <= 8 << 20


def test_an_object_is_read_as_a_file(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    whole = os.urandom(5000)
    (tmp_path / "one" / "a").write_bytes(whole)
    upload(tmp_path / "one", bucket)
    monkeypatch.setattr(object_file, "_FIRST", 64)
    monkeypatch.setattr(object_file, "_MOST", 256)
    monkeypatch.setattr(object_file, "_NEAR", 100)
    file = ObjectFile(RemotePath.parse(f"{bucket}/a").listed())
    for place, size in ((0, 10), (5, 500), (700, 1), (4990, 20), (6000, 5), (100, 0), (3, 64)):
        assert file.seek(place) == place
        assert file.read(size) == whole[place : place + size]
        assert file.tell() == min(place + size, max(place, 5000))
    file.seek(-7, os.SEEK_END)
    assert file.read() == whole[-7:]
    assert file.seek(-1, os.SEEK_CUR) == 4999


def test_neighbors_are_joined() -> None:
    def placed(*offsets: int, size: int = 100, path: str = "s3://b/a.tar") -> list[PlacedEntry]:
        return [PlacedEntry(place, PackEntry("", 0, size, path, offset)) for place, offset in enumerate(offsets)]

    def runs(entries: list[PlacedEntry]) -> list[list[int]]:
        return [[one.entry.offset for one in run] for run in neighbors(entries)]

    assert runs(placed(0, 200, 66_000, 200)) == [[0, 200], [66_000], [200]]
    assert runs(placed(0, 100, 100)) == [[0, 100], [100]]
    assert runs(placed(*range(0, 20 << 20, 4 << 20), size=4 << 20)) == [[0, 4 << 20], [8 << 20, 12 << 20], [16 << 20]]
    assert runs(placed(0, 100) + placed(200, path="s3://b/b.tar")) == [[0, 100], [200]]
    assert runs([]) == []


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_single_tar(scheme: str, bucket: str, tars: Path, tmp_path: Path, capsys: Captured) -> None:
    pack_source(open_source(tars / "1.tar"), tmp_path / "local", OPTIONS)
    upload(tars, f"{bucket}/tars")
    with object_server(tars.parent) as url:
        place = f"{bucket}/tars" if scheme == "s3" else f"{url}/tars"
        assert main(["pack", f"{place}/1.tar", str(tmp_path / "remote"), *WORDS]) == 1  # a photo is cut
        assert f"{2 + 21} of the tar files are not packed" in capsys.readouterr().out
        assert local_contents(tmp_path / "remote") == local_contents(tmp_path / "local")
        estimates = [
            estimate_packing(open_source(tar), tmp_path / "out", OPTIONS) for tar in (f"{place}/1.tar", tars / "1.tar")
        ]
        assert vars(estimates[0]) | {"seconds": 0} == vars(estimates[1]) | {"seconds": 0}
        missing = "there is no such file; check the URL" if scheme == "http" else "no object lies below it"
        with pytest.raises(DatasetError, match=rf"9\.tar: {missing}"):
            open_source(f"{place}/9.tar")
    client._store.cache_clear()


def test_a_killed_run_is_resumed_and_parts_are_merged(
    bucket: str, server: str, tars: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    upload(tars, f"{bucket}/tars")
    words = ["pack", f"{bucket}/tars", f"{bucket}/shards", *WORDS]
    proxy = FaultyProxy(int(server.rpartition(":")[2]), latency=0.03)
    use_server(monkeypatch, proxy.url)
    with subprocess.Popen([sys.executable, "-m", "prepixel.cli", *words], cwd=ROOT, env=os.environ) as process:
        wait_until(lambda: any(line.startswith("PUT") and "/unit-" in line for line in list(proxy.lines)), process)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    use_server(monkeypatch, server)
    proxy.close()
    for part in ("2/2", "1/2"):
        assert main([*words, "--part", part]) == 0
    assert main(["merge", f"{bucket}/shards"]) == 1
    assert "65 of 67 images" in capsys.readouterr().out
    assert contents(f"{bucket}/shards") == expected
    pack_units(open_source(f"{bucket}/tars"), f"{bucket}/parts", OPTIONS, part=PartNumber(1, 2))
    with pytest.raises(DatasetError, match="2 of 4 shards are not finished"):
        merge_packed(f"{bucket}/parts")


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole, step: whole[: 2 * step],
        lambda whole, step: whole[: 2 * step + 700],
        lambda whole, step: whole[: 2 * step] + b"\xff" + whole[2 * step + 1 :],
        lambda whole, step: whole + whole,
        lambda whole, step: b"",
        lambda whole, step: b"no tar at all" * 100,
    ],
    ids=["no end", "in a member", "a header", "joined", "empty", "no tar"],
)
def test_damaged_tars_are_refused_in_the_words_of_files(
    damage: Callable[[bytes, int], bytes], bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "tars").mkdir()
    path = write_tar(tmp_path / "tars" / "a.tar", *((f"x/{i}.jpg", JPEG) for i in range(3)))
    path.write_bytes(damage(path.read_bytes(), 512 + -(-len(JPEG) // 512) * 512))
    upload(tmp_path / "tars", f"{bucket}/tars")
    with pytest.raises(DatasetError) as local:
        open_source(path)
    for place in (f"{bucket}/tars", f"{bucket}/tars/a.tar"):
        with pytest.raises(DatasetError) as remote:
            open_source(place)
        assert str(remote.value) == str(local.value).replace(str(path), f"{bucket}/tars/a.tar")


def test_a_tar_replaced_after_it_was_listed_ends_the_run(bucket: str, tars: Path, tmp_path: Path) -> None:
    upload(tars, f"{bucket}/tars")
    source = open_source(f"{bucket}/tars")
    listed = RemotePath.parse(f"{bucket}/tars/2.tar").listed()
    upload(tars.parent / "tars", f"{bucket}/tars")  # the same bytes: the ETag is the same
    assert len(ObjectFile(listed).read(100)) == 100
    write_tar(tmp_path / "2.tar", ("a.jpg", JPEG), ("a.cls", b"1"))
    with (tmp_path / "2.tar").open("rb") as file:
        RemotePath.parse(f"{bucket}/tars/2.tar").upload(file)
    message = rf"{re.escape(bucket)}/tars/2\.tar: was replaced after it was listed \(its ETag is another\)"
    with pytest.raises(ObjectReplaced, match=message):
        ObjectFile(listed).read(100)
    with pytest.raises(ObjectReplaced, match=message):
        pack_units(source, f"{bucket}/shards", OPTIONS)
    assert not [name for name in contents(f"{bucket}/shards") if name.startswith("shard-000003")]


def test_what_stands_beside_tars_is_as_in_folders(bucket: str, tars: Path, tmp_path: Path) -> None:
    upload(tars, f"{bucket}/tars")
    with pytest.raises(DatasetError, match="tars: holds tar files, and only a listing of class folders is saved"):
        open_source(f"{bucket}/tars", listing=tmp_path / "saved.jsonl")
    assert not (tmp_path / "saved.jsonl").exists()
    (tmp_path / "more" / "class1").mkdir(parents=True)
    (tmp_path / "more" / ".hidden.tar").write_bytes(b"")
    (tmp_path / "more" / "class1" / "a.jpg").write_bytes(JPEG)
    upload(tmp_path / "more", f"{bucket}/tars")
    assert len(open_source(f"{bucket}/tars").entries) == 67
    (tmp_path / "more" / "b.TGZ").write_bytes(b"")
    shutil.move(tmp_path / "more" / "b.TGZ", tmp_path / "more" / "b.tgz")
    upload(tmp_path / "more", f"{bucket}/tars")
    with pytest.raises(DatasetError, match=r"tars/b\.tgz: a compressed tar file beside plain ones; unpack it"):
        open_source(f"{bucket}/tars")
    with pytest.raises(DatasetError, match=r"tars/b\.tgz: cannot be read as a tar file"):
        open_source(f"{bucket}/tars/b.tgz")
