"""The command `index`: what it prints, its exit status, and the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.jpeg.small_files import by_pillow

from prepixel.cli import main
from prepixel.jpeg import embedded_index, index_jpeg
from prepixel.jpeg.folder_index import open_folder_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, quality in enumerate((50, 70, 90)):
        (tmp_path / f"{number}.jpg").write_bytes(by_pillow(quality=quality))
    return tmp_path


def test_a_folder_is_indexed_once(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["index", str(folder), "--every", "1"]) == 0
    assert "indexed  3 of 3 JPEGs\n" in capsys.readouterr().out
    indexes = open_folder_index(folder)
    assert indexes is not None
    assert (len(indexes), indexes.every) == (3, 1)
    assert main(["index", str(folder), "--every", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_indexed"], report["num_earlier"], report["bad"]) == (0, 3, [])
    assert report["index_bytes"] == sum(len(record.data) for record in indexes)
    assert main(["index", str(folder), "--verify"]) == 0
    assert "verified  3 of 3 JPEGs" in capsys.readouterr().out


def test_files_that_cannot_be_indexed_are_listed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "1.jpg").write_bytes(by_pillow()[:500])
    assert main(["index", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "indexed  2 of 3 JPEGs" in out
    assert f"TruncatedJpeg: {folder / '1.jpg'}, byte 500: the file ends" in out


def test_a_stale_index_is_found(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    output = folder / "elsewhere.ppi"
    assert main(["index", str(folder), "--output", str(output)]) == 0
    assert not (folder / "prepixel.ppi").exists()
    (folder / "1.jpg").write_bytes(by_pillow(quality=33))
    capsys.readouterr()
    assert main(["index", str(folder), "--output", str(output), "--verify"]) == 1
    assert "MalformedIndex: 1.jpg: the index is not of this file" in capsys.readouterr().out


def test_indexes_inside_the_files(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["index", str(folder), "--embed"]) == 0
    held = embedded_index(folder / "0.jpg")
    assert held is not None
    assert held.every == index_jpeg(by_pillow(quality=50)).every == 8
    assert main(["index", str(folder), "--embed", "--verify"]) == 0
    capsys.readouterr()
    assert main(["index", str(folder), "--embed", "--output", "x.ppi"]) == 2
    assert "--embed writes into the JPEGs and --output names one file for all; give one" in capsys.readouterr().err


def test_what_is_no_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["index", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["index", str(tmp_path)]) == 2
    assert "no JPEG below it" in capsys.readouterr().err
