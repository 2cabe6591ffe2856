"""Indexes of a folder: found by path, resumed, made again where files changed, verified; and put into the files."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.jpeg.small_files import by_pillow, small_files

from prepixel.data.jobs.index_folder import embed_folder, index_folder, verify_folder
from prepixel.errors import DatasetError, MalformedIndex
from prepixel.jpeg import JpegIndex, index_jpeg, read_jpeg
from prepixel.jpeg.folder_index import SIDECAR_NAME, FolderIndex, open_folder_index, path_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of small files in two subfolders, one file broken and one no JPEG."""
    root = tmp_path / "photos"
    for number, (name, contents) in enumerate(small_files().items()):
        place = root / ("a", "b/c")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.jpg").write_bytes(contents)
    (root / "broken.jpg").write_bytes(small_files()["gray"][:300])
    (root / "notes.txt").write_text("no image")
    return root


def paths_of(folder: Path) -> list[str]:
    return sorted(os.fspath(path) for path in folder.rglob("*.jpg") if path.name != "broken.jpg")


def test_every_file_is_found_by_its_path(folder: Path) -> None:
    seen: list[int] = []
    report = index_folder(folder, every=2, threads=2, progress=seen.append)
    paths = paths_of(folder)
    assert seen == list(range(1, len(paths) + 2))
    assert (report.num_files, report.num_indexed, report.num_earlier) == (len(paths) + 1, len(paths), 0)
    assert [failure.source for failure in report.bad] == ["broken.jpg"]
    assert report.bad[0].kind == "TruncatedJpeg"
    indexes = open_folder_index(folder)
    assert indexes is not None
    assert (len(indexes), indexes.every) == (len(paths), 2)
    for found, path in zip(indexes.find(paths), paths, strict=True):
        assert found is not None
        assert bytes(found) == index_jpeg(path, every=2).data
    assert report.index_bytes == sum(len(record.data) for record in indexes)
    assert report.file_bytes == sum(Path(path).stat().st_size for path in paths)
    others = [
        folder / "a" / "none.jpg",
        folder / "broken.jpg",
        b"bytes",
        os.fspath(folder.parent / "x.jpg"),
        "a/gray.jpg",
    ]
    assert indexes.find(others) == [None] * len(others)
    assert indexes.find([Path(paths[0])]) == indexes.find(paths[:1])
    again = pickle.loads(pickle.dumps(indexes))
    assert again.find(paths) == indexes.find(paths)
    assert verify_folder(folder).bad[0].source == "broken.jpg"
    assert len(verify_folder(folder).bad) == 1


def test_only_what_has_changed_is_indexed_again(folder: Path) -> None:
    index_folder(folder)
    before = (folder / SIDECAR_NAME).read_bytes()
    again = index_folder(folder)
    assert (again.num_indexed, again.num_earlier) == (0, len(paths_of(folder)))
    assert {r.path for r in FolderIndex(folder)} == {os.path.relpath(p, folder) for p in paths_of(folder)}
    assert len((folder / SIDECAR_NAME).read_bytes()) == len(before)
    changed, gone = Path(paths_of(folder)[0]), Path(paths_of(folder)[1])
    changed.write_bytes(by_pillow(quality=33))
    gone.unlink()
    third = index_folder(folder)
    assert (third.num_indexed, third.num_earlier) == (1, len(paths_of(folder)) - 1)
    indexes = FolderIndex(folder)
    assert len(indexes) == len(paths_of(folder))
    assert indexes.find([gone]) == [None]
    found = indexes.find([changed])[0]
    assert found is not None
    assert bytes(found) == index_jpeg(changed).data
    assert index_folder(folder, every=1).num_indexed == len(paths_of(folder))  # other checkpoints


def test_a_stopped_run_is_resumed(folder: Path) -> None:
    def stop(done: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, threads=1, progress=stop)
    partial = folder / f"{SIDECAR_NAME}.partial"
    assert partial.stat().st_size > 300
    with partial.open("r+b") as file:  # the last record was not written whole
        file.truncate(partial.stat().st_size - 5)
    assert not (folder / SIDECAR_NAME).exists()
    report = index_folder(folder, threads=1)
    assert report.num_earlier in {5, 6}  # broken.jpg may be among the seven
    assert report.num_earlier + report.num_indexed == len(paths_of(folder))
    assert not partial.exists()
    assert not [f for f in verify_folder(folder).bad if f.source != "broken.jpg"]
    assert index_folder(folder).num_indexed == 0


def test_the_file_is_what_its_page_says(folder: Path) -> None:
    index_folder(folder, every=3)
    data = (folder / SIDECAR_NAME).read_bytes()
    assert data[:8] == b"ppi\x01\x03\x00\x00\x00"
    count, table, size, magic, zero = struct.unpack("<QQQ4sI", data[-32:])
    assert (size, magic, zero, table % 8) == (len(data), b"ppi\x01", 0, 0)
    hashes = np.frombuffer(data, "<u8", count, table)
    assert (np.diff(hashes.astype(object)) >= 0).all()
    for hashed, offset in zip(
        hashes.tolist(), np.frombuffer(data, "<u8", count, table + 8 * count).tolist(), strict=True
    ):
        modified_ns, index_size, path_size, zero = struct.unpack_from("<qIHH", data, offset)
        path = data[offset + 16 : offset + 16 + path_size]
        assert (path_hash(path), zero) == (hashed, 0)
        file = folder / os.fsdecode(path)
        assert file.stat().st_mtime_ns == modified_ns
        index = data[offset + 16 + path_size : offset + 16 + path_size + index_size]
        assert index == index_jpeg(file, every=3).data


def test_a_damaged_file_of_indexes_is_told(folder: Path) -> None:
    index_folder(folder)
    path = folder / SIDECAR_NAME
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[:20], b"", whole[:-8] + bytes(8), b"\0" + whole[1:], whole + b"\0"):
        path.write_bytes(broken)
        with pytest.raises(MalformedIndex, match=r"prepixel.ppi: .*Make it again: prepixel index FOLDER"):
            FolderIndex(folder)
    for at in range(0, len(whole), 11):  # a changed byte is an error, a file that is not found, or another index
        changed = bytearray(whole)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        try:
            FolderIndex(folder).find(paths_of(folder))
            list(FolderIndex(folder))
        except MalformedIndex:
            continue
    path.write_bytes(whole[:-1])
    assert index_folder(folder).num_indexed == len(paths_of(folder))  # it is made again


def test_names_that_are_not_utf_8(folder: Path) -> None:
    name = os.fsencode(folder) + b"/a/\xff.jpg"
    Path(os.fsdecode(name)).write_bytes(by_pillow(quality=50))
    index_folder(folder)
    found = FolderIndex(folder).find([os.fsdecode(name)])[0]
    assert found is not None


def test_indexes_elsewhere(folder: Path, tmp_path: Path) -> None:
    index_folder(folder, output=tmp_path / "x.ppi")
    assert open_folder_index(folder) is None
    assert len(FolderIndex(folder, tmp_path / "x.ppi")) == len(paths_of(folder))
    assert len(verify_folder(folder, path=tmp_path / "x.ppi").bad) == 1


def test_verifying_finds_a_stale_index_and_a_forged_one(folder: Path) -> None:
    index_folder(folder)
    stale = Path(paths_of(folder)[2])
    stale.write_bytes(by_pillow(quality=71))
    fresh = Path(paths_of(folder)[3]).with_name("fresh.jpg")
    fresh.write_bytes(by_pillow(quality=72))
    bad = {failure.source: failure.message for failure in verify_folder(folder).bad}
    assert set(bad) == {"broken.jpg", *(os.path.relpath(path, folder) for path in (stale, fresh))}
    assert "not of this file" in bad[os.path.relpath(stale, folder)]
    assert "has no index" in bad[os.path.relpath(fresh, folder)]


def test_indexes_inside_the_files(folder: Path) -> None:
    paths = paths_of(folder)
    before = {path: Path(path).read_bytes() for path in paths}
    Path(paths[0]).chmod(0o640)
    report = embed_folder(folder, every=2)
    assert (report.num_indexed, [failure.source for failure in report.bad]) == (len(paths), ["broken.jpg"])
    assert Path(paths[0]).stat().st_mode & 0o777 == 0o640
    for path in paths:
        held = Path(path).read_bytes()
        assert report.index_bytes > 0
        assert len(held) > len(before[path])
        for ours, theirs in zip(read_jpeg(path).components, read_jpeg(before[path]).components, strict=True):
            assert np.array_equal(ours.quantized, theirs.quantized)
    again = embed_folder(folder, every=2)
    assert (again.num_indexed, again.num_earlier, again.index_bytes) == (0, len(paths), report.index_bytes)
    assert len(verify_folder(folder, embedded=True).bad) == 1


def test_what_is_no_folder_of_jpegs(tmp_path: Path) -> None:
    for work in (index_folder, embed_folder, verify_folder):
        with pytest.raises(DatasetError, match="no such folder"):
            work(tmp_path / "none")
    with pytest.raises(DatasetError, match="no JPEG below it"):
        index_folder(tmp_path)
    assert not list(tmp_path.glob("*.ppi*"))
    (tmp_path / "a.jpg").write_bytes(by_pillow())
    with pytest.raises(DatasetError, match=r"no such file of indexes; make it: prepixel index"):
        verify_folder(tmp_path)
    with pytest.raises(ValueError, match="every is 70000"):
        index_folder(tmp_path, every=70000)
    index_folder(tmp_path)
    assert JpegIndex(FolderIndex(tmp_path).record("a.jpg").data).every == 8  # type: ignore[union-attr]
