"""Answers for many images fit the width there is: names of files are shortened in the middle, answers never."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.small_photos import Captured, jpeg

from prepixel.cli import main
from prepixel.cli.answer_table import AnswerRow, print_answers, shorten_middle

LONG = "/data/photos/of/a/folder/with/a/long/name/n01665541_leatherback_turtle.JPEG"
ANSWERS = ("leatherback turtle 99.3 %", "loggerhead 0.1 %", "terrapin 0.1 %", "mud turtle 0.0 %", "dung beetle 0.0 %")


def printed(capsys: Captured, rows: list[AnswerRow], *, columns: bool = True) -> list[str]:
    names = ("file", *(["objects"] if rows[0].cells else []), "classes, best first")
    print_answers(rows, names, columns=columns)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [None, 60, 80, 100, 140, 240])
@pytest.mark.parametrize("cells", [(), ("17",)])
def test_lines_fit_and_hold_every_answer(
    width: int | None, cells: tuple[str, ...], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
    rows = [AnswerRow(LONG, cells, ANSWERS), AnswerRow("b.jpg", cells, ("gong 9.5 %",))]
    lines = printed(capsys, rows)
    assert max(map(len, lines)) <= (width or 100)
    text = " ".join(" ".join(lines).split())
    for answer in (*ANSWERS, "gong 9.5 %"):
        assert text.count(answer) == 1
    assert any("turtle.JPEG" in line for line in lines)
    assert any(line.startswith("b.jpg ") for line in lines)


def test_short_names_keep_a_column_for_each_place(capsys: Captured) -> None:
    rows = [AnswerRow("a.jpg", (), ("gong 9.5 %", "ring 3.0 %")), AnswerRow("bb.jpg", (), ("ring 80.0 %",))]
    assert printed(capsys, rows) == [
        "file    1            2",
        "a.jpg   gong 9.5 %   ring 3.0 %",
        "bb.jpg  ring 80.0 %",
    ]


def test_lists_go_on_below(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "64")
    lines = printed(
        capsys, [AnswerRow("photo.jpg", ("3",), ("cat 90.1 %", "dog 70.0 %", "sofa 60.0 %"))], columns=False
    )
    assert lines == [
        "file       objects  classes, best first",
        "photo.jpg  3        cat 90.1 %, dog 70.0 %, sofa 60.0 %",
    ]
    monkeypatch.setenv("COLUMNS", "44")
    lines = printed(
        capsys, [AnswerRow("photo.jpg", ("3",), ("cat 90.1 %", "dog 70.0 %", "sofa 60.0 %"))], columns=False
    )
    assert lines[1:] == ["photo.jpg  3        cat 90.1 %, dog 70.0 %,", "                    sofa 60.0 %"]


def test_names_are_shortened_in_the_middle() -> None:
    assert shorten_middle("abcdefghijklm", 13) == "abcdefghijklm"
    assert shorten_middle("abcdefghijklm", 9) == "ab...jklm"
    wide = "\u732b" * 20  # two cells each
    assert shorten_middle(wide, 12) == "\u732b...\u732b\u732b\u732b"


def test_predict_fits_100_characters_without_a_terminal(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / ("a_folder_of_a_very_long_name_" * 4)
    folder.mkdir()
    (folder / "the_photo.jpg").write_bytes(jpeg(40, 50))
    assert main(["fold", "timm:resnet10t", "--weights", "none", "--pixels", "32", "-o", str(tmp_path / "n.pt")]) == 0
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "n.pt"), str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) >= 2
    assert max(map(len, lines)) <= 100
    assert lines[1].split("  ")[0].endswith("the_photo.jpg")
    assert "..." in lines[1]
