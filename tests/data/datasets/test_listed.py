"""Listings of labels and numbers: both formats, their order of names, and every mistake by its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.small_photos import jpeg

from prepixel.data import DatasetError, ListedDataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    for name in ("a.jpg", "b, c.jpg", "deep/d.jpg"):
        (tmp_path / name).write_bytes(jpeg(17, 19))
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_csv_holds_labels_or_numbers(root: Path) -> None:
    text = 'file,cat,"a ""dog"""\r\na.jpg,1,0\r\n\r\n"b, c.jpg",0,1\r\ndeep/d.jpg,1,1.0\r\n'
    files = ListedDataset(write(root, "t.csv", text), kind="labels")
    assert files.classes == ("cat", 'a "dog"')
    assert files.targets.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert files.sources([2, 0]) == [str(root / "deep" / "d.jpg"), str(root / "a.jpg")]
    assert (len(files), repr(files).splitlines()[-1].strip()) == (3, "Targets: 2")
    numbers = ListedDataset(write(root, "n.csv", "file,age\na.jpg,-3.5\ndeep/d.jpg,1e3\n"), kind="values")
    assert numbers.targets.tolist() == [[-3.5], [1000]]


def test_json_lines_hold_lists_of_labels_or_numbers(root: Path) -> None:
    text = '{"file": "a.jpg", "labels": ["dog", "cat"]}\n\n{"labels": [], "file": "b, c.jpg"}\n'
    listing = write(root, "t.jsonl", text)
    files = ListedDataset(listing, kind="labels")
    assert (files.classes, files.targets.tolist()) == (("cat", "dog"), [[1, 1], [0, 0]])
    known = ListedDataset(listing, kind="labels", class_names=["dog", "emu", "cat"])
    assert known.targets.tolist() == [[1, 0, 1], [0, 0, 0]]
    numbers = write(root, "n.jsonl", '{"file": "a.jpg", "x": 1, "y": 2.5}\n{"file": "deep/d.jpg", "y": 0, "x": -1}\n')
    assert ListedDataset(numbers, kind="values", class_names=("y", "x")).targets.tolist() == [[2.5, 1], [0, -1]]


def test_a_class_may_be_named_labels(root: Path) -> None:
    text = '{"file": "a.jpg", "labels": ["labels", "cat"]}\n{"file": "deep/d.jpg", "labels": ["cat"]}\n'
    files = ListedDataset(write(root, "t.jsonl", text), kind="labels")
    assert (files.classes, files.targets.tolist()) == (("cat", "labels"), [[1, 1], [1, 0]])
    numbers = ListedDataset(write(root, "n.jsonl", '{"file": "a.jpg", "labels": 0, "cat": 1}\n'), kind="labels")
    assert (numbers.classes, numbers.targets.tolist()) == (("labels", "cat"), [[0, 1]])


@pytest.mark.parametrize(
    ("name", "text", "kind", "message"),
    [
        ("t.csv", "", "labels", "its header is missing"),
        ("t.csv", "file,cat\n", "labels", "lists no image"),
        ("t.csv", "name,cat\na.jpg,1\n", "labels", "its header is name,cat; it should be CSV with a header"),
        ("t.csv", "file,cat,cat\na.jpg,1,1\n", "labels", "its header is file,cat,cat"),
        ("t.csv", "file,cat\na.jpg\n", "labels", "line 2: has 1 fields, and the header 2"),
        ("t.csv", "file,cat\na.jpg,0.5\n", "labels", "line 2: 'cat' is 0.5; a label is 0 or 1"),
        ("t.csv", "file,age\na.jpg,old\n", "values", "line 2: 'age' is 'old'; it must be a number"),
        ("t.csv", "file,age\na.jpg,nan\n", "values", "it must be finite"),
        ("t.csv", "file,age\na.jpg,1e39\n", "values", "it must be finite, in single precision"),
        ("t.csv", "file,age\nz.jpg,1\n", "values", "line 2: no file .*z.jpg; the listing and its folder do not agree"),
        ("t.csv", "file,age\n../a.jpg,1\n", "values", "line 2: '../a.jpg' lies outside"),
        ("t.csv", 'file,age\n"a.jpg,1\n', "values", "is not CSV"),
        ("t.csv", "file,cat\n\n\na.jpg,2\n", "labels", "line 4: 'cat' is 2; a label is 0 or 1"),
        ("t.txt", "file,cat\na.jpg,1\n", "labels", "a listing's name ends in .csv or .jsonl; it should be CSV"),
        ("t.json", '{"file": "a.jpg", "age": 3}\n', "values", "a listing's name ends in .csv or .jsonl"),
        ("t.jsonl", '{"file": "a.jpg", "age": 1' + "0" * 400 + "}\n", "values", "it must be finite, in single"),
        ("t.jsonl", '{"file": "a.jpg", "cat": 1' + "0" * 400 + "}\n", "labels", "a label is 0 or 1"),
        ("t.jsonl", '{"file": "a.jpg", "labels": null}\n', "labels", "line 1: 'labels' is null; give the list"),
        ("t.jsonl", '{"file": "a.jpg", "labels": null, "cat": 0}\n', "labels", "line 1: 'labels' is null"),
        ("t.jsonl", "[" * 100_000 + "\n", "labels", "line 1: is not JSON"),
        ("t.jsonl", "{]\n", "values", "line 1: is not JSON"),
        ("t.jsonl", '{"age": 3}\n', "values", "line 1: has no text under 'file'"),
        ("t.jsonl", '{"file": "a.jpg", "age": true}\n', "values", "'age' is True; it must be a number"),
        ("t.jsonl", '{"file": "a.jpg", "x": 1}\n{"file": "deep/d.jpg"}\n', "values", "line 2: 'x' is None"),
        ("t.jsonl", '{"file": "a.jpg", "labels": ["x"]}\n', "values", "line 1: has 'labels', and numbers are wanted"),
        ("t.jsonl", '{"file": "a.jpg", "labels": [1]}\n', "labels", "'labels' must be a list of names"),
        ("t.jsonl", '{"file": "a.jpg"}\n', "labels", "names no target"),
    ],
)
def test_mistakes_are_named(root: Path, name: str, text: str, kind: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        ListedDataset(write(root, name, text), kind=kind)  # type: ignore[arg-type]


def test_names_that_a_network_does_not_know_are_named(root: Path) -> None:
    listing = write(root, "t.csv", "file,cat,emu\na.jpg,1,0\n")
    with pytest.raises(DatasetError, match=re.escape("has 'emu', and the network knows cat, dog, ...")):
        ListedDataset(listing, kind="labels", class_names=["cat", "dog"])
