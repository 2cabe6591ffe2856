"""Lists of class names and listings of images: any name comes back, and what is wrong is named with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prepixel.data import DatasetError, FolderDataset
from prepixel.data.datasets.text_formats import MAX_CLASSES, class_lines, read_class_names, read_listing

NAMES = st.text(st.characters(codec=None), min_size=1, max_size=12).filter(str.strip)


@given(st.lists(NAMES, min_size=1, max_size=5))
@example([" cat", "dog ", "a\nb", "a\r", '"quoted"', '"', "caf\udce9", "x\u0085y", "\u2028z", "\ufeffcat", "#1", "a,b"])
def test_any_class_names_come_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("names") / "classes.txt"
    path.write_bytes(class_lines(names).encode("utf-8"))
    assert read_class_names(path) == tuple(names)


def test_lists_of_people_are_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(b'\xef\xbb\xbfn01 tench, Tinca\r\n\r\n  goldfish \r\n"no json\r\n12\n')
    assert read_class_names(path) == ("n01 tench, Tinca", "goldfish", '"no json', "12")


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ("cat\ndog\n".encode("utf-16"), "the list of class names is in UTF-16; save it as UTF-8"),
        ("cat\n".encode("utf-32"), "is in UTF-32; save it as UTF-8"),
        ("cat\n".encode("utf-16-le"), "byte 1: the list of class names holds a zero byte"),
        (b"cat\ncaf\xe9\n", "line 2: byte 0xE9 is not UTF-8; save the list as UTF-8"),
        (b"\n\n", "the list of class names is empty"),
        (b'cat\n" "\n', "class name 1 is blank"),
    ],
)
def test_lists_that_cannot_be_read_are_named(tmp_path: Path, contents: bytes, text: str) -> None:
    (tmp_path / "classes.txt").write_bytes(contents)
    with pytest.raises(DatasetError, match=text):
        read_class_names(tmp_path / "classes.txt")


def listed(folder: Path, contents: bytes, *names: str | bytes) -> list[tuple[str, int]]:
    """Read a listing of a folder that has the named files; give names below the folder."""
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"")
    (folder / "labels.txt").write_bytes(contents)
    return [(str(Path(path).relative_to(folder)), label) for path, label in read_listing(folder, folder / "labels.txt")]


@pytest.mark.parametrize(
    ("line", "name", "label"),
    [
        ("a.jpg 3", "a.jpg", 3),
        ("a.jpg\t3", "a.jpg", 3),
        ("a.jpg,3", "a.jpg", 3),
        ("a.jpg , 3 ", "a.jpg", 3),
        ("a b, c.jpg 3", "a b, c.jpg", 3),
        ("a, b.jpg,3", "a, b.jpg", 3),
        ("a 1 2.jpg 3", "a 1 2.jpg", 3),
        ("#1.jpg 3", "#1.jpg", 3),
        ('"a, ""b"".jpg",3', 'a, "b".jpg', 3),
        ('" a.jpg", 3', " a.jpg", 3),
        ('"a.jpg"', None, 0),
        ("x\u0085y.jpg 3", "x\u0085y.jpg", 3),
        ("x\u2028y.jpg 3", "x\u2028y.jpg", 3),
        ("./a.jpg 003", "a.jpg", 3),
    ],
)
def test_lines_of_a_listing(tmp_path: Path, line: str, name: str | None, label: int) -> None:
    contents = b"\xef\xbb\xbf# file class\r\n\r\n" + line.encode() + b"\r\n"
    if name is None:
        with pytest.raises(DatasetError, match=r"line 3: .* is not 'file class-number'"):
            listed(tmp_path, contents)
    else:
        assert listed(tmp_path, contents, name) == [(name, label)]


def test_names_that_are_not_utf8_are_listed_by_their_bytes(tmp_path: Path) -> None:
    assert listed(tmp_path, b"caf\xe9.jpg 3\n", b"caf\xe9.jpg") == [("caf\udce9.jpg", 3)]


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ("a.jpg 3\n".encode("utf-16"), "labels.txt: the listing is in UTF-16; save it as UTF-8"),
        (b"caf\xe9.jpg 3\n", "line 1: no file .*; byte 0xE9 is not UTF-8: save the listing as UTF-8"),
        (b"a.jpg 300000000\n", "line 1: class number 300000000 is not from 0 to 1048575"),
        (b"a.jpg 0\na.jpg " + b"9" * 5000, "line 2: class number 9{30} is not from 0 to"),
        (b"a.jpg -1\n", "line 1: class number -1 is not from 0 to"),
        ("a.jpg ٣\n".encode(), "class number ٣ is not from 0 to"),
        (b"a.jpg 3\n./b.jpg 1\na.jpg 4\n", "line 3: 'a.jpg' has class 4 here, and 3 in a line before"),
        (b"../a.jpg 3\n", "line 1: '../a.jpg' lies outside"),
        (b"/etc/passwd 3\n", "line 1: '/etc/passwd' lies outside"),
        (b"x" * 300 + b" 3\n", "line 1: no file"),
        (b"# nothing\n", "labels.txt: lists no image; it should hold lines 'file class-number'"),
    ],
)
def test_listings_that_are_wrong_are_named(tmp_path: Path, contents: bytes, text: str) -> None:
    with pytest.raises(DatasetError, match=text):
        listed(tmp_path, contents, "a.jpg", "b.jpg")


def test_a_pipe_is_no_listing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match=r"pipe: the listing cannot be read \(is no regular file\)"):
        FolderDataset(tmp_path, listing=tmp_path / "pipe")


def test_the_bound_of_class_numbers_keeps_names_small(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "labels.txt").write_text(f"a.jpg {MAX_CLASSES - 1}\n", encoding="ascii")
    assert len(FolderDataset(tmp_path).classes) == MAX_CLASSES
