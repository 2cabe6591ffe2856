"""A listing of a folder in a store is saved once and reused; one that does not fit is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import contents, local_contents, upload

from prepixel.cli import main
from prepixel.data.jobs.pack_dataset import estimate_packing, pack_source
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.saved_listing import SavedEntries, list_images
from prepixel.errors import DatasetError, ObjectReplaced, StoreError
from prepixel.stores import remote_path
from prepixel.stores.remote_path import RemotePath


@pytest.fixture
def photos(bucket: str, tmp_path: Path) -> str:
    write_source(tmp_path / "source", 40)
    upload(tmp_path / "source", f"{bucket}/photos")
    return f"{bucket}/photos"


def test_a_saved_listing_is_the_listing(photos: str, tmp_path: Path) -> None:
    fresh = open_source(photos)
    saved = open_source(photos, listing=tmp_path / "saved.jsonl")
    written = (tmp_path / "saved.jsonl").read_bytes()
    again = open_source(photos, listing=tmp_path / "saved.jsonl")
    for source in (saved, again):
        assert source.classes == fresh.classes
        assert list(source.entries) == list(fresh.entries)
        assert [entry.path.info for entry in source.entries] == [entry.path.info for entry in fresh.entries]  # type: ignore[attr-defined]
        assert [source.entries[i] for i in (0, 7, -1)] == [fresh.entries[i] for i in (0, 7, -1)]
        for part in (slice(3, 17, 2), slice(None, None, -1), slice(17, 3, -3), slice(30, 99, 4), slice(9, 9, -1)):
            assert source.entries[part] == tuple(fresh.entries)[part]
    assert (tmp_path / "saved.jsonl").read_bytes() == written
    with pytest.raises(IndexError):
        _ = fresh.entries[41]


def test_parts_share_a_listing_in_the_store(
    photos: str, bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    words = [photos, f"{bucket}/shards", "--bands", "S-24", "--shard-size", "17", "--listing", f"{bucket}/photos.jsonl"]
    assert main(["pack", *words, "--part", "2/3"]) == 0
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    for part in ("1/3", "3/3"):
        assert main(["pack", *words, "--part", part]) == 0
    proxy.close()
    assert not [line for line in proxy.lines if "list-type=2" in line and "prefix=photos" in line]
    use_server(monkeypatch, server)
    assert main(["merge", f"{bucket}/shards"]) == 1
    assert "39 of 41 images" in capsys.readouterr().out
    pack_source(open_source(tmp_path / "source"), tmp_path / "one", OPTIONS)
    expected = local_contents(tmp_path / "one")
    expected["manifest.json"] = expected["manifest.json"].replace(b'"source": "source"', b'"source": "photos"')
    assert contents(f"{bucket}/shards") == expected


def test_an_object_replaced_since_the_listing_was_saved_ends_the_run(photos: str, tmp_path: Path) -> None:
    source = open_source(photos, listing=tmp_path / "saved.jsonl")
    victim = RemotePath.parse(source.entries[5].path)
    with (tmp_path / "source" / "class3" / "other.png").open("rb") as file:
        victim.upload(file)
    with pytest.raises(ObjectReplaced, match="was replaced after it was listed"):
        pack_source(open_source(photos, listing=tmp_path / "saved.jsonl"), tmp_path / "shards", OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-200], r"is cut, or damaged; remove it, and it is made again"),
        (lambda b: b.replace(b'"num_images": 41', b'"num_images": 42'), r"is cut, or damaged"),
        (lambda b: b"", r"is no listing that prepixel wrote"),
        (lambda b: b"[]\n" + b, r"is no listing that prepixel wrote"),
        (
            lambda b: b.replace(b"prepixel listing 1", b"prepixel listing 9"),
            r"is no listing .* \(its format is",
        ),
        (lambda b: b.replace(b"/photos", b"/videos"), r"is the listing of s3://.*/videos, and s3://.*/photos is asked"),
        (lambda b: re.sub(rb"\n\[[^\n]*", b"\n[1, 2]", b, count=1), r"is damaged \(not enough values to unpack"),
    ],
)
def test_a_listing_that_does_not_fit_is_refused(change, message: str, photos: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    saved = tmp_path / "saved.jsonl"
    open_source(photos, listing=saved)
    changed = change(saved.read_bytes())
    assert changed != saved.read_bytes()
    saved.write_bytes(changed)
    with pytest.raises(DatasetError, match=rf"saved\.jsonl: {message}"):
        list(list_images(RemotePath.parse(photos), None, saved)[1])


def test_files_named_by_their_class_are_listed_without_folders(photos: str, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for path in (tmp_path / "source").rglob("*.jpg"):
        (tmp_path / "flat" / f"{path.parent.name}_{path.name}").write_bytes(path.read_bytes())
    upload(tmp_path / "flat", f"{bucket}/flat")
    names = open_source(photos).classes
    flat = open_source(f"{bucket}/flat", class_names=names)
    assert [(e.name, e.label, e.size) for e in flat.entries] == [
        (e.name, e.label, e.size) for e in open_source(tmp_path / "flat", class_names=names).entries
    ]


def test_a_listing_of_other_classes_and_one_of_a_local_folder_are_refused(photos: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.jsonl"
    classes = open_source(photos, listing=saved).classes
    with pytest.raises(DatasetError, match="has other classes than those named"):
        open_source(photos, listing=saved, class_names=[*classes, "more"])
    with pytest.raises(DatasetError, match="is no folder in a store, and only such a listing is saved"):
        open_source(tmp_path / "source", listing=saved)


def test_a_listing_is_refused_where_none_is_saved(photos: str, bucket: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "flat").mkdir()
    for path in (tmp_path / "source" / "class1").glob("*.jpg"):
        (tmp_path / "flat" / f"class1_{path.name}").write_bytes(path.read_bytes())
    upload(tmp_path / "flat", f"{bucket}/flat")
    with pytest.raises(DatasetError, match=r"flat: holds no class folders, .* leave --listing out"):
        open_source(f"{bucket}/flat", class_names=["class1"], listing=tmp_path / "saved.jsonl")
    words = [
        "pack",
        photos,
        str(tmp_path / "out"),
        "--annotations",
        "a.json",
        "--listing",
        str(tmp_path / "saved.jsonl"),
    ]
    assert main(words) == 2
    assert "--annotations and --listing: the annotations list the images" in capsys.readouterr().err
    assert not (tmp_path / "saved.jsonl").exists()


def test_a_listing_of_numbers_in_a_store_is_refused_also_beside_class_folders(photos: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("class1/000.jpg 0\n")
    with (tmp_path / "labels.txt").open("rb") as file:
        (RemotePath.parse(photos) / "labels.txt").upload(file)
    for names in (None, ["class1"]):
        with pytest.raises(DatasetError, match=r"labels\.txt: listings are read from folders, not from stores"):
            open_source(photos, class_names=names)


def test_nothing_is_listed_for_a_listing_that_cannot_be_saved(photos: str, server: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="files cannot be written over HTTP"):
        list_images(RemotePath.parse(f"{photos}-missing"), None, f"{server}/missing/saved.jsonl")


def test_class_folders_are_listed_once(
    photos: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = open_source(photos).classes
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    open_source(photos, class_names=classes, listing=tmp_path / "saved.jsonl")
    proxy.close()
    roots = [
        line for line in proxy.lines if "list-type=2" in line and "prefix=photos%2F&" in f"{line}&".replace(" ", "&")
    ]
    assert len(roots) == 1, roots


def test_a_listing_in_the_store_is_copied_in_ranges(
    photos: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = open_source(photos, listing=f"{bucket}/saved.jsonl")
    sizes, read = list[int | None](), remote_path.read_object

    def counting(*place: str, size: int | None = None, **options: Any) -> bytes:
        sizes.append(size)
        return read(*place, size=size, **options)

    monkeypatch.setattr(remote_path, "read_object", counting)
    monkeypatch.setattr(remote_path, "_RANGE", 100, raising=False)
    assert list(open_source(photos, listing=f"{bucket}/saved.jsonl").entries) == list(fresh.entries)
    assert len(sizes) > 10
    assert all(size is not None and size <= 100 for size in sizes)


def test_each_line_of_a_saved_listing_is_parsed_once_for_the_plan_and_once_to_pack_it(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(photos)
    parse, parsed = SavedEntries._entry, Counter[bytes]()

    def counted(entries: SavedEntries, line: bytes) -> PackEntry:
        parsed[line] += 1
        return parse(entries, line)

    monkeypatch.setattr(SavedEntries, "_entry", counted)
    pack_source(source, tmp_path / "shards", OPTIONS)
    assert len(parsed) == 41
    checked = 8  # at most: beartype reads an entry of a sequence that it checks
    assert 2 * 41 <= sum(parsed.values()) <= 2 * 41 + checked
    parsed.clear()
    estimate_packing(source, tmp_path / "other", OPTIONS)
    assert 2 * 41 + 24 <= sum(parsed.values()) <= 2 * 41 + 24 + checked  # the plan, the bytes, and the sample
