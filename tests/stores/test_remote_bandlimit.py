"""Band-limiting from and to a store: the bytes of a local run, whatever the network does, killed or in parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.object_server import object_server
from tests.data.jobs.bandlimit_source import png
from tests.data.photos import write_photos
from tests.interrupts import wait_until
from tests.jpeg.small_files import by_pillow
from tests.killed import ROOT
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import contents, upload

from prepixel.cli import main
from prepixel.data.jobs import bandlimit_sources as reading
from prepixel.data.jobs import bandlimit_units as bandlimiting
from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder, estimate_bandlimiting
from prepixel.data.jobs.bandlimit_plan import STATE_NAME
from prepixel.data.jobs.bandlimit_units import bandlimit_units, merge_bandlimited
from prepixel.data.units import PartNumber
from prepixel.errors import DatasetError, ObjectReplaced, StoreError
from prepixel.jpeg import bandlimit_jpeg
from prepixel.spectrum import BandSet
from prepixel.stores.remote_path import RemotePath

S24 = BandSet.parse("S-24")
OPTIONS = BandlimitOptions(S24, restart_rows=1, non_jpegs="copy", on_error="copy")
OTHERS = {
    "labels.txt": b"a 0\n",
    "class2/card.png": png(),
    "class3/named.dat": by_pillow("L"),
    "class3/photo #1? 50%.jpg": by_pillow(),
    "class3/é ü[*]+.jpg": by_pillow(progressive=True),
    "empty.txt": b"",
}
KEPT = (S24.of_component(0), S24.of_component(1), S24.of_component(2))
COUNT = 60


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandlimiting, "UNIT_SIZE", 7)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write_photos(root, COUNT, cut=20)
    for name, inside in OTHERS.items():
        (root / name).write_bytes(inside)
    return root


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("local") / "out"
    report = bandlimit_folder(source, out, OPTIONS)
    assert (report.num_files, report.num_bandlimited, report.num_copied, len(report.bad)) == (66, 62, 3, 1)
    return tree(out)


def tree(place: Path | str) -> dict[str, bytes]:
    """Return every file's bytes; of the journal, what does not name the source's time of change."""
    if isinstance(place, str):
        found = contents(place)
    else:
        found = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        found.pop(f"{STATE_NAME}/.prepixel-lock", None)
    rows = [json.loads(line) for line in found[f"{STATE_NAME}/files.jsonl"].splitlines()]
    for row in rows:
        row.pop("etag", None)
        assert row.pop("modified_ns") > 1e18
    found[f"{STATE_NAME}/files.jsonl"] = json.dumps(rows).encode()
    return found


@pytest.fixture(params=["to a store", "from a store", "from a store to a store"])
def places(request: pytest.FixtureRequest, bucket: str, source: Path, tmp_path: Path) -> tuple[Any, Any]:
    """Return a source and a target, at least one of them in a store; the photos are in either."""
    if "from" in request.param:
        upload(source, f"{bucket}/photos")
    target = f"{bucket}/small" if "to" in request.param.split() else tmp_path / "small"
    return (f"{bucket}/photos" if "from" in request.param else source), target


def test_failing_and_broken_connections_leave_the_bytes_of_a_local_run(
    places: tuple[Any, Any], server: str, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.05, cut=0.05, latency=0.002)
    use_server(monkeypatch, proxy.url)
    seen: list[tuple[int, int]] = []
    report = bandlimit_folder(*places, OPTIONS, threads=2, progress=lambda done, total: seen.append((done, total)))
    use_server(monkeypatch, server)
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut
    assert (report.num_files, report.num_bandlimited, report.num_copied, len(report.bad)) == (66, 62, 3, 1)
    assert report.bad[0].message.startswith("class6/020.jpg, byte ")
    assert (seen[-1], len(seen)) == ((66, 66), 10)
    assert tree(places[1]) == expected


def test_each_photo_is_read_once_and_written_once(
    bucket: str, server: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(source, f"{bucket}/photos")
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    bandlimit_folder(f"{bucket}/photos", f"{bucket}/small", OPTIONS)
    use_server(monkeypatch, server)
    proxy.close()
    for verb, folder in (("GET", "photos"), ("PUT", "small")):
        lines = [line for line in proxy.lines if line.startswith(f"{verb} /") and f"/{folder}/class" in line]
        photos = [line for line in lines if ".jpg" in line]
        again = verb == "GET"  # the damaged one, to be copied
        assert (len(photos), len(set(photos))) == (COUNT + 2 + again, COUNT + 2)


def test_a_killed_run_is_resumed(
    places: tuple[Any, Any], server: str, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Kill a process when it has recorded its second unit; the next one does the others."""
    root, target = places
    words = [str(root), str(target), "--restart-rows", "1", "--non-jpegs", "copy", "--on-error", "copy"]
    proxy = FaultyProxy(int(server.rpartition(":")[2]), latency=0.02)
    use_server(monkeypatch, proxy.url)
    program = (
        "import sys; from prepixel.data.jobs import bandlimit_units as b; b.UNIT_SIZE = 7; "
        "from prepixel.cli import main; sys.exit(main(['bandlimit', *sys.argv[1:]]))"
    )

    def recorded() -> int:
        records = f"{STATE_NAME}/.prepixel-parts"
        if isinstance(target, str):
            return sum(line.startswith("PUT") and "/unit-" in line for line in list(proxy.lines))
        return len(list((target / records).glob("unit-*")))

    with subprocess.Popen([sys.executable, "-c", program, *words], cwd=ROOT, env=os.environ) as process:
        wait_until(lambda: recorded() >= 3, process)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    use_server(monkeypatch, server)
    assert main(["bandlimit", *words, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)["report"]
    assert 13 <= report["num_earlier"] < 65
    assert tree(target) == expected
    assert main(["bandlimit", *words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["report"]["num_earlier"] == 65  # the bad one is tried again


def test_parts_merge_to_the_bytes_of_a_local_run(
    bucket: str, source: Path, expected: dict[str, bytes], capsys: Captured
) -> None:
    upload(source, f"{bucket}/photos")
    root, target = f"{bucket}/photos", f"{bucket}/small"
    for part in (3, 1):
        assert bandlimit_units(root, target, OPTIONS, part=PartNumber(part, 3)) is None
    with pytest.raises(DatasetError, match=r"small/\.prepixel-thin/\.prepixel-parts: 3 of 10 units are not finished"):
        merge_bandlimited(RemotePath.parse(target))
    words = ["bandlimit", root, target, "--restart-rows", "1", "--non-jpegs", "copy", "--on-error", "copy"]
    assert main([*words, "--part", "2/3"]) == 0
    assert f"after all parts  prepixel merge {target}" in capsys.readouterr().out
    assert main(["merge", target]) == 1
    assert "62 of 66 files" in capsys.readouterr().out
    assert tree(target) == expected


def test_what_has_changed_is_done_again(bucket: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{bucket}/photos")
    names = ("class0/000.jpg", "class1/001.jpg", "class2/002.jpg", "labels.txt")
    (place, target) = (RemotePath.parse(f"{bucket}/{name}") for name in ("photos", "small"))
    options = BandlimitOptions(S24, non_jpegs="copy")
    bandlimit_units(place, target, options)
    other = (source / names[1]).read_bytes()
    replaced = bytearray((source / names[0]).read_bytes())
    replaced[-30] ^= 1  # of the same size, within the same second: the ETag tells
    _put(place / names[0], bytes(replaced), tmp_path)
    (target / names[1]).unlink()
    _put(target / names[2], b"shorter", tmp_path)
    (place / names[3]).unlink()
    report = bandlimit_units(place, target, options)
    assert report is not None
    assert (report.num_files, report.num_earlier) == (65, 65 - 3 - 1)
    assert (target / names[0]).read_bytes() == bandlimit_jpeg(bytes(replaced), KEPT)
    assert (target / names[1]).read_bytes() == bandlimit_jpeg(other, KEPT)
    assert (target / names[2]).read_bytes() == bandlimit_jpeg(source / names[2], KEPT)


def test_a_source_replaced_while_it_is_read_ends_the_run(
    bucket: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(source, f"{bucket}/photos")
    listed = reading.list_source

    def listing(root: Any) -> reading.SourceFiles:
        found = listed(root)
        _put(RemotePath.parse(f"{bucket}/photos/class3/named.dat"), by_pillow(quality=31), tmp_path)
        return found

    monkeypatch.setattr(bandlimiting, "list_source", listing)
    with pytest.raises(ObjectReplaced, match=r"class3/named\.dat: was replaced after it was listed"):
        bandlimit_folder(f"{bucket}/photos", tmp_path / "small", OPTIONS)
    assert not list(tmp_path.rglob("*.partial"))


def test_of_other_files_only_the_first_bytes_are_read(
    bucket: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(source, f"{bucket}/photos")
    sizes: dict[str, list[int | None]] = {}
    read = reading.read_listed

    def counting(path: str, offset: int = 0, size: int | None = None) -> bytes:
        sizes.setdefault(path.removeprefix(f"{bucket}/photos/"), []).append(size)
        return read(path, offset, size)

    monkeypatch.setattr(reading, "read_listed", counting)
    report = bandlimit_folder(f"{bucket}/photos", tmp_path / "small", BandlimitOptions(S24))
    assert (report.num_bandlimited, report.num_skipped) == (62, 3)
    assert [sizes.get(name) for name in OTHERS] == [[2], [2], [2, None], [None], [None], None]


def test_an_estimate_of_a_store_is_that_of_the_folder(bucket: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{bucket}/photos")
    one, other = (estimate_bandlimiting(root, tmp_path / "out", OPTIONS) for root in (source, f"{bucket}/photos"))
    assert vars(one) | {"seconds": 0} == vars(other) | {"seconds": 0}
    assert one.num_sampled > 20
    assert main(["bandlimit", f"{bucket}/photos", f"{bucket}/small", "--dry-run"]) == 0
    assert not contents(f"{bucket}/small")


def test_single_files(bucket: str, source: Path, tmp_path: Path, capsys: Captured) -> None:
    upload(source / "class1", f"{bucket}/photos")
    small = bandlimit_jpeg(source / "class1" / "001.jpg", KEPT)
    (tmp_path / "out").mkdir()
    shutil.copytree(source / "class1", tmp_path / "served" / "class1")
    with object_server(tmp_path / "served") as url:
        for words in (
            (f"{bucket}/photos/001.jpg", f"{bucket}/small.jpg"),
            (str(source / "class1/001.jpg"), f"{bucket}/photos"),  # a folder: the source's name in it
            (f"{bucket}/photos/008.jpg", str(tmp_path / "out")),
            (f"{url}/class1/001.jpg", str(tmp_path / "one.jpg")),
        ):
            assert main(["bandlimit", *words, "--bands", "S-24"]) == 0
        assert main(["bandlimit", f"{url}/class1/nothing.jpg", str(tmp_path / "two.jpg")]) == 2
    assert "class1/nothing.jpg: there is no such object" in capsys.readouterr().err
    assert RemotePath.parse(f"{bucket}/small.jpg").read_bytes() == contents(f"{bucket}/photos")["001.jpg"] == small
    assert (tmp_path / "one.jpg").read_bytes() == small
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["008.jpg"]
    assert main(["bandlimit", f"{bucket}/small.jpg", f"{bucket}/small.jpg"]) == 2
    assert "small.jpg: is the source itself; name another file to write" in capsys.readouterr().err


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused(bucket: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{bucket}/photos")
    upload(source / "class1", f"{bucket}/full")
    _put(RemotePath.parse(f"{bucket}/both/a"), b"words", tmp_path)
    _put(RemotePath.parse(f"{bucket}/both/a/b.jpg"), by_pillow(), tmp_path)
    (tmp_path / "latin" / "a").mkdir(parents=True)
    (tmp_path / "latin" / "a" / os.fsdecode(b"\xe9.jpg")).write_bytes(by_pillow())
    photos, http = f"{bucket}/photos", "http://127.0.0.1:9/photos"
    refusals: list[tuple[Any, Any, type[Exception], str]] = [
        (photos, photos, DatasetError, "photos: lies inside .*/photos, or holds it; write into a folder beside it"),
        (photos, f"{photos}/class1/small", DatasetError, "or holds it; write into a folder beside it"),
        (f"{photos}/class1", photos, DatasetError, "or holds it; write into a folder beside it"),
        (photos, f"{photos}/labels.txt/small", DatasetError, "or holds it"),
        (photos, f"{bucket}/full", DatasetError, "full: holds files that no run of this command wrote"),
        (f"{photos}/class1", f"{bucket}/both/a", DatasetError, "both/a: holds files that no run of this command wrote"),
        (photos, f"{bucket}/full/001.jpg", DatasetError, "001.jpg: is a file, not a folder; name another target"),
        (f"{bucket}/nothing", tmp_path / "out", DatasetError, "nothing: no such folder; name one that holds JPEGs"),
        (source, http, StoreError, "photos: files cannot be written over HTTP; name a folder, or a bucket of a store"),
        (f"{bucket}/both", tmp_path / "out", DatasetError, "both/a: is an object, and objects lie below it"),
        (
            tmp_path / "latin",
            f"{bucket}/out",
            DatasetError,
            "its name is not UTF-8, as names in a store are; rename it",
        ),
    ]
    for root, target, kind, message in refusals:
        for act in (bandlimit_folder, estimate_bandlimiting):
            with pytest.raises(kind, match=message):
                act(root, target, OPTIONS)
    assert not contents(f"{bucket}/out")
    assert not (tmp_path / "out").exists()
    report = bandlimit_folder(f"{bucket}/both", f"{bucket}/both out", OPTIONS)
    assert (report.num_bandlimited, report.num_copied) == (1, 1)


def test_other_options_and_folders_over_http_are_refused(
    bucket: str, source: Path, tmp_path: Path, capsys: Captured
) -> None:
    bandlimit_folder(source / "class1", f"{bucket}/small", OPTIONS)
    with pytest.raises(DatasetError, match=r"small: was begun with other options \(metadata all\)"):
        bandlimit_folder(source / "class1", f"{bucket}/small", replace(OPTIONS, metadata="none"))
    with object_server(tmp_path) as url:
        assert main(["bandlimit", f"{url}/class1", str(tmp_path / "out"), "--part", "1/2"]) == 2
        assert "class1: is no folder; --part and --engine ray are for folders" in capsys.readouterr().err
        with pytest.raises(StoreError, match="class1: folders of an HTTP server cannot be listed"):
            bandlimit_folder(f"{url}/class1", tmp_path / "out", OPTIONS)


def _put(place: RemotePath, inside: bytes, tmp_path: Path) -> None:
    (tmp_path / "put").write_bytes(inside)
    with (tmp_path / "put").open("rb") as file:
        place.upload(file)
