"""Tar files as sources: WebDataset's rules, and no member that is lost without a word."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from tests.jpeg.small_files import by_pillow

from prepixel.data import DatasetError
from prepixel.data.jobs.pack_sources import PackSource, open_source

JPEG = by_pillow()
Member = tuple[str, bytes | tuple[bytes, str]]


def write_tar(path: Path, *members: Member) -> Path:
    """Write a tar of files, and of links: (type, target)."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, contents in members:
            member = tarfile.TarInfo(name)
            if isinstance(contents, tuple):
                member.type, member.linkname = contents
                archive.addfile(member)
            else:
                member.size = len(contents)
                archive.addfile(member, io.BytesIO(contents))
    return path


def opened(tmp_path: Path, *members: Member) -> PackSource:
    return open_source(write_tar(tmp_path / "a.tar", *members))


def labels(source: PackSource) -> list[tuple[str, int]]:
    return [(entry.name.removeprefix("a.tar/"), entry.label) for entry in source.entries]


def test_numbers_stay_what_they_are_whatever_is_absent(tmp_path: Path) -> None:
    source = opened(tmp_path, ("t/a.jpg", JPEG), ("t/a.cls", b"3\n"), ("t/b.JPEG", JPEG), ("t/b.cls", b"1"))
    assert (source.classes, labels(source)) == (("0", "1", "2", "3"), [("t/a.jpg", 3), ("t/b.JPEG", 1)])
    assert all(entry.read() == JPEG for entry in source.entries)


def test_names_are_sorted_classes(tmp_path: Path) -> None:
    source = opened(tmp_path, ("a.jpg", JPEG), ("a.cls", b"wasp"), ("b.jpg", JPEG), ("b.cls", "bée".encode()))
    assert (source.classes, labels(source)) == (("bée", "wasp"), [("a.jpg", 1), ("b.jpg", 0)])


def test_every_other_member_is_counted(tmp_path: Path) -> None:
    source = opened(
        tmp_path,
        ("a.jpg", JPEG),
        ("a.seg.png", JPEG),
        ("a.cls", b"1"),
        ("a.json", b"{}"),
        ("b.seg.png.txt", b""),
        (".hidden.jpg", JPEG),
        ("README", b""),
        ("folder", (tarfile.DIRTYPE, "")),
        ("pipe", (tarfile.FIFOTYPE, "")),
    )
    assert labels(source) == [("a.jpg", 1)]
    assert source.other_members == {
        ".seg.png": 1, ".json": 1, ".seg.png.txt": 1, "hidden": 1, "without an ending": 1, "folder": 1,
        "device or pipe": 1,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_are_followed(tmp_path: Path, kind: bytes) -> None:
    target = "x/a.jpg" if kind == tarfile.LNKTYPE else "../x/a.jpg"
    source = opened(tmp_path, ("x/a.jpg", JPEG), ("y/b.jpg", (kind, target)))
    assert (source.classes, labels(source)) == (("x", "y"), [("x/a.jpg", 0), ("y/b.jpg", 1)])
    assert source.entries[1].read() == JPEG
    by_class = opened(
        tmp_path, ("a.jpg", JPEG), ("a.cls", b"1"), ("b.jpg", (tarfile.LNKTYPE, "a.jpg")), ("b.cls", (kind, "a.cls"))
    )
    assert labels(by_class) == [("a.jpg", 1), ("b.jpg", 1)]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (
            [("t/22.05.jpg", JPEG), ("t/22.05.cls", b"1"), ("t/22.06.jpg", JPEG), ("t/22.06.cls", b"0")],
            r"a\.tar: t/22\.05\.jpg has the key t/22, which ends at the first dot",
        ),
        ([("x.jpg", JPEG), ("x.cls", b"1"), ("22.06.jpg", JPEG), ("22.06.cls", b"0")], r"22\.06\.jpg has the key 22,"),
        ([("a.jpg", JPEG), ("b.jpg", JPEG), ("b.cls", b"1")], r"1 of 2 images have no KEY\.cls, the first is a\.tar/a"),
        ([("a.jpg", JPEG), ("a.cls", b"1"), ("b.cls", b"1")], r"b\.cls is the class of key b, which has no image"),
        ([("a.jpg", JPEG), ("a.cls", b"1"), ("a.jpg", JPEG), ("a.cls", b"0")], "key a has two images, a.jpg and a.jpg"),
        ([("a.jpg", JPEG), ("a.png", JPEG)], r"key a has two images, a\.jpg and a\.png; give each sample a key"),
        ([("a.cls", b"1"), ("a.jpg", JPEG), ("a.cls", b"1")], "key a has two classes"),
        ([("a.jpg", JPEG), ("a.cls", b"1"), ("b.jpg", JPEG), ("b.cls", b"1"), ("a.txt", b"")], "key a is that of two"),
        ([("a.jpg", JPEG), ("a.cls", b" \n")], r"a\.cls is empty; it should hold the class's number or name"),
        ([("a.jpg", JPEG), ("a.cls", b"\xe9")], r"a\.cls is not UTF-8 \(byte 0\)"),
        ([("a.jpg", JPEG), ("a.cls", b"1" * 2000)], r"a\.cls has 2000 bytes; a class has 1024 at most"),
        ([("a.jpg", JPEG), ("a.cls", b"200000000")], "class number 200000000, and there are 1048576 at most"),
        ([("a.jpg", JPEG), ("a.cls", b"9" * 1000)], "class number 9{30}, and there are 1048576 at most"),
        ([("a.jpg", JPEG)], r"a\.tar/a\.jpg: has no class; add KEY\.cls, or a folder for each class"),
        (
            [("x/a.jpg", (tarfile.SYMTYPE, "../../b.jpg"))],
            r"x/a\.jpg is a link to \.\./b\.jpg, which is no file",
        ),
        ([("x/a.jpg", (tarfile.LNKTYPE, "x/a.jpg"))], r"x/a\.jpg is a link to x/a\.jpg, which is no file of this tar"),
        ([("x/y", (tarfile.DIRTYPE, "")), ("x/a.jpg", (tarfile.SYMTYPE, "y"))], r"x/a\.jpg is a link to a folder"),
        ([("a.txt", b"")], "no image in its tar files"),
    ],
)
def test_what_would_shift_or_lose_samples_is_refused(tmp_path: Path, members: list[Member], text: str) -> None:
    with pytest.raises(DatasetError, match=text):
        opened(tmp_path, *members)


def test_damaged_tars_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", *((f"x/{i}.jpg", JPEG) for i in range(3)))
    whole = path.read_bytes()
    step = 512 + -(-len(JPEG) // 512) * 512
    assert len(open_source(path).entries) == 3
    path.write_bytes(whole[: 2 * step])
    with pytest.raises(
        DatasetError, match=rf"a\.tar, byte {2 * step}: ends without the mark of a tar's end; it is truncated"
    ):
        open_source(path)
    path.write_bytes(whole[: 2 * step + 700])
    with pytest.raises(DatasetError, match=r"a\.tar: cannot be read as a tar file"):
        open_source(path)
    path.write_bytes(whole[: 2 * step] + b"\xff" + whole[2 * step + 1 :])
    with pytest.raises(DatasetError, match=rf"a\.tar, byte {2 * step}: a damaged header, or further data"):
        open_source(path)
    path.write_bytes(whole + whole)
    with pytest.raises(DatasetError, match=r"a\.tar, byte \d+: a damaged header, or further data behind the tar's end"):
        open_source(path)
    path.write_bytes(whole)
    (tmp_path / "b.tar.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"b\.tar\.gz: a compressed tar file beside plain ones"):
        open_source(tmp_path)
