"""Every option of every command, with values it must refuse: one line on standard error, exit code 2, nothing written.

``pytest -s -k every_option`` prints the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.small_photos import Captured, jpeg

from prepixel.cli import main
from prepixel.cli.option_types import integer, number, output_file, path, words
from prepixel.cli.parser import build_parser

_, COMMANDS = build_parser()
HUGE = {
    "digits": "9" * 400,
    "text": "x" * 5000,
}


def actions() -> Iterator[tuple[str, argparse.Action]]:
    """Yield every command with each of its options and arguments that take a value."""
    for name, command in COMMANDS.items():
        for action in command._actions:
            if action.nargs != 0:
                yield name, action


CASES = [pytest.param(name, action, id=f"{name} {action.dest}") for name, action in actions()]


def takes_number(action: argparse.Action) -> bool:
    kind = action.type
    return kind is not None and getattr(kind, "__qualname__", "").startswith(("integer.", "number."))


def refused_values(action: argparse.Action) -> dict[str, str]:
    """Return values that an option must refuse: out of range, of the wrong type, empty, huge."""
    if takes_number(action):
        return {
            "out of range": "-3",
            "far out of range": HUGE["digits"],
            "wrong type": "abc",
            "empty": "",
            "nan": "nan",
        }
    if action.choices is not None:
        return {"no such choice": "zzz", "empty": "", "huge": HUGE["text"]}
    return {"empty": "", "huge": HUGE["text"]}


def command_line(name: str, action: argparse.Action, value: str) -> list[str]:
    """Return a command line in which all is well but one value."""
    line = [name]
    for other in COMMANDS[name]._actions:
        given = [value] if other.dest == action.dest else None
        if other.dest != action.dest and not (other.required and other.nargs != 0):
            continue
        count = other.nargs if isinstance(other.nargs, int) else 1
        is_file = "output_file" in getattr(other.type, "__qualname__", "")
        good = {"heatmap": "out.png"}.get(name, "out.json") if is_file else "7"
        given = (given or [good]) * count
        if other.option_strings:
            line += [f"{other.option_strings[-1]}={given[0]}"] if count == 1 else [other.option_strings[-1], *given]
        else:
            line += given
    return line


@pytest.mark.parametrize(("name", "action"), CASES)
def test_every_option_refuses_bad_values_in_one_line(
    name: str, action: argparse.Action, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = []
    for what, value in refused_values(action).items():
        status = main(command_line(name, action, value))
        captured = capsys.readouterr()
        table.append(f"{name:12} {action.dest:14} {what:17} {status}  {captured.err.strip()[:150]}")
        assert status == 2, (what, captured)
        assert captured.out == ""
        assert captured.err.startswith("prepixel: ")
        assert captured.err.count("\n") == 1
        assert len(captured.err) < 700, captured.err
        option = "/".join(action.option_strings) or str(action.metavar or action.dest)
        assert f"argument {option}" in captured.err, captured.err
    assert not list(tmp_path.iterdir())
    print("\n".join(table))


def test_every_number_has_a_range_and_every_path_a_type() -> None:
    """A new option that takes text as it comes would pass by the test above; there is none."""
    assert len(CASES) > 90
    unchecked = [f"{name} {action.dest}" for name, action in actions() if action.type in {None, int, float, str, Path}]
    assert [one for one in unchecked if not one.endswith(CHOICES)] == []


CHOICES = (
    "weights",
    "non_jpegs",
    "compression",
    "on_error",
    "reduction",
    "form",
    "filter",
    "format",
    "encoding",
    "engine",
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (integer(0, 7), "7", 7),
        (integer(-7, 7), "-7", -7),
        (number(0.0, 1.0), "1", 1.0),
        (number(0.0, 1.0, exclusive=True), "1e-9", 1e-9),
        (output_file(".png"), "a/B.PNG", Path("a/B.PNG")),
        (path, "x" * 255, Path("x" * 255)),
        (words, " a ", " a "),
    ],
)
def test_values_at_the_edge_are_taken(kind: object, text: str, value: object) -> None:
    assert callable(kind)
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (integer(0, 7), "8", "'8' is out of range; give an integer from 0 to 7"),
        (integer(0, 7), "1_0", "'1_0' is not an integer in this range"),
        (integer(0, 7), "\u0663", "is not an integer"),
        (integer(0, 7), "3.5", "'3.5' is not an integer"),
        (number(0.0, 1.0, exclusive=True), "0", "'0' is out of range; give a number above 0, at most 1"),
        (number(0.0, 1.0), "inf", "'inf' is out of range; give a number from 0 to 1"),
        (number(0.0, 1.0), "1,0", "'1,0' is not a number"),
        (output_file(".png", ".svg"), "a.xyz", "'a.xyz' must end in .png or .svg"),
        (output_file(), "/", "'/' is a folder; name a file to write"),
        (path, "a\0b", "holds a NUL byte"),
        (path, "x" * 256, "is too long for a path"),
        (path, "é" * 128, "is too long for a path"),
        (words, " ", "is empty"),
    ],
)
def test_values_beyond_the_edge_are_not(kind: object, text: str, message: str) -> None:
    assert callable(kind)
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        kind(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        ["fold", "resnet18", "--weights", "none", "--mean", "128", "128", "128", "-o", "x.pt"],
        ["evaluate", "run", "--batch-size", "0"],
        ["stats", "photo.jpg", "--images", "0", "--grid", "1", "1", "-o", "s.json"],
        ["predict", "run", "photo.jpg", "--threads", "-3"],
        ["synthesize", "data", "--train", "0"],
        ["stats", "photo.jpg", "--grid", "0", "28", "-o", "s.json"],
        ["inspect", "photo.jpg", "--plot", "a.xyz"],
        ["bench", "photos", "--grid", "1", "2", "3"],
        ["fold", "resnet18", "--weights", "none", "--pixels", "1", "2", "3", "-o", "x.pt"],
        ["bandlimit", "photo.jpg", "out.jpg", "--bands", "S-25"],
        ["pack", "photo.jpg", "out", "--bands", "S-25"],
        ["predict", "run", "photo.jpg", "--device", "tpu"],
        ["--nothing"],
        ["x" * 5000],
        ["inspect", "photo.jpg", "--" + "y" * 5000],
    ],
)
def test_the_lines_of_the_report_are_refused(
    line: list[str], capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    assert main(line) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert len(captured.err) < 700
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.jpg"]
