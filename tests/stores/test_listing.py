"""Listings of a store: objects that show folders, names that are no paths, ETags that never match."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.stores.test_remote_jobs import contents, local_contents, upload

from prepixel.data import FolderDataset
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.read_ahead import read_objects
from prepixel.errors import StoreError
from prepixel.files import image_files
from prepixel.stores import client, remote_path
from prepixel.stores.remote_path import RemotePath, split_folder


def put(server: str, bucket: str, *keys: str, contents: bytes = b"x") -> None:
    s3 = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    for key in keys:
        body = b"" if key.endswith("/") or "empty" in key else contents
        s3.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=body)


@pytest.mark.parametrize("page", [3, 4, 5, 1000])
def test_objects_that_show_folders_are_no_files(
    page: int, bucket: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console makes the empty objects p/, p/cat/ and p/cat/deep/; each page of a listing may end at one."""
    folders = ("p/", "p/cat/", "p/cat/deep/", "p/dog/")
    objects = ("p/cat-1", "p/cat-2", "p/cat.jpg", "p/cat/a", "p/cat/deep/b", "p/dog-empty", "p/dog/c", "p/empty")
    put(server, bucket, *folders, *objects)
    monkeypatch.setattr(client, "PAGE", page)
    names = [path.removeprefix(f"{bucket}/") for path in image_files(f"{bucket}/p", extensions=("",))]
    assert sorted(names) == sorted(objects)
    files, inner = split_folder(RemotePath.parse(f"{bucket}/p"))
    assert [info.key for info in files] == ["p/cat-1", "p/cat-2", "p/cat.jpg", "p/dog-empty", "p/empty"]
    assert inner == ["cat", "dog"]
    listed = [info.key for info in client.list_objects(bucket, "p", page=page)]
    assert len(listed) == len(set(listed)) == len({*folders, *objects})


def test_a_page_of_empty_objects_alone_does_not_repeat_for_ever(bucket: str, server: str) -> None:
    put(server, bucket, "p/dog-empty", "p/dog/", "p/dog/c")
    assert {info.key for info in client.list_objects(bucket, "p", page=2)} == {"p/dog-empty", "p/dog", "p/dog/c"}


def test_a_target_that_a_console_has_made_is_empty(bucket: str, server: str, tmp_path: Path) -> None:
    write_source(tmp_path / "source", 21)
    put(server, bucket, "shards/")
    report = pack_units(open_source(tmp_path / "source"), f"{bucket}/shards", OPTIONS)
    assert report is not None
    assert report.num_samples == 22


@pytest.mark.parametrize("name", ["p/../x.jpg", "p/a//b.jpg", "p/./c.jpg"])
def test_a_name_that_is_no_path_is_named(name: str, bucket: str, server: str, tmp_path: Path) -> None:
    put(server, bucket, name, "p/a.jpg")
    with pytest.raises(StoreError, match=rf"/p: the name of the object '{name}' is no path; rename or remove"):
        list(image_files(f"{bucket}/p"))


def test_names_with_signs_that_a_url_gives_a_meaning_to(bucket: str, tmp_path: Path) -> None:
    write_source(tmp_path / "source", 21)
    (tmp_path / "source" / "class1").rename(tmp_path / "source" / "class #1? [é]")
    (tmp_path / "source" / "class2" / "002.jpg").rename(tmp_path / "source" / "class2" / "photo #2? 50%20+.jpg")
    upload(tmp_path / "source", f"{bucket}/photos")
    pack_source(open_source(tmp_path / "source"), tmp_path / "one", OPTIONS)
    pack_units(open_source(f"{bucket}/photos"), f"{bucket}/shards", OPTIONS)
    expected = local_contents(tmp_path / "one")
    expected["manifest.json"] = expected["manifest.json"].replace(b'"source": "source"', b'"source": "photos"')
    assert contents(f"{bucket}/shards") == expected
    files = FolderDataset(f"{bucket}/photos")
    assert read_objects([path for path, _ in files.samples]) == [
        Path(path).read_bytes() for path, _ in FolderDataset(tmp_path / "source").samples
    ]


def test_a_weak_etag_is_not_asked_for(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_bytes(b"words")
    upload(tmp_path / "one", bucket)
    meta = {"path": "a.txt", "size": 5, "last_modified": datetime.now(UTC), "e_tag": 'W/"1"'}
    listed = remote_path.ListedObject.of(bucket, client._info(meta))
    assert remote_path.read_listed(listed) == b"words"
