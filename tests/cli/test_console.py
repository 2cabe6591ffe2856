"""What reaches the terminal: no control characters out of names, JSON that reads back, columns that line up."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_photos import Captured, jpeg

import prepixel.cli
from prepixel.cli import main
from prepixel.cli.console import print_error, print_json, print_pairs, print_table, printable
from prepixel.errors import ReadFailure, UnreadableImage

EVIL = "a\x1b]0;owned\x07\x1b[31m\x9b5m\u202egpj.\r\u2028b"


def is_harmless(text: str) -> bool:
    return all(c == "\n" or (c >= " " and not 0x7F <= ord(c) < 0xA0 and c not in "\u2028\u2029\u202e") for c in text)


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_printable_leaves_no_control_character(text: str) -> None:
    assert is_harmless(printable(text))
    assert "\n" not in printable(text)
    printable(text).encode("utf-8")


def test_printable_shows_what_it_escapes() -> None:
    assert printable("caf\u00e9 \u732b") == "caf\u00e9 \u732b"
    assert printable("\x1b[31m") == "\\x1b[31m"
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
    assert printable("a\u202eb") == "a\\u202eb"


def test_lines_tables_and_errors_pass_it(capsys: Captured) -> None:
    print_pairs([(EVIL, EVIL)])
    print_table([EVIL], [[EVIL]])
    print_error(EVIL)
    captured = capsys.readouterr()
    assert is_harmless(captured.out)
    assert captured.err.count("\n") == 1
    assert is_harmless(captured.err)


def test_json_reads_back_and_is_harmless(capsys: Captured) -> None:
    value = {"name": EVIL, "raw": os.fsdecode(b"\xff\xfe.jpg"), "share": float("nan"), "inner": [(1, float("inf"))]}
    value["failure"] = ReadFailure(3, EVIL, UnreadableImage("no image"))  # type: ignore[assignment]
    print_json(value)
    out = capsys.readouterr().out
    assert is_harmless(out)
    found = json.loads(out)
    assert (found["name"], found["raw"], found["share"], found["inner"]) == (EVIL, value["raw"], None, [[1, None]])
    assert found["failure"] == {"source": EVIL, "kind": "UnreadableImage", "message": "no image"}


def test_only_the_console_prints() -> None:
    folder = Path(prepixel.cli.__file__).parent
    for file in folder.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        prints = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not prints or file.name == "console.py", f"{file.name}: {prints}"


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """Make photos whose names hold what terminals obey, and bytes that are not UTF-8."""
    folder = tmp_path / "photos"
    for name in (b"ok", b"caf\xe9", b"e\x1b]0;owned\x07s"):
        inner = os.fsencode(folder) + b"/" + name
        os.makedirs(inner)  # noqa: PTH103
        for number in range(2):
            with open(inner + b"/%d-" % number + name + b".jpg", "wb") as file:  # noqa: PTH123
                file.write(jpeg())
        with open(inner + b"/broken-" + name + b".jpg", "wb") as file:  # noqa: PTH123
            file.write(jpeg()[:600])
    return folder


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "line",
    [
        ["scan", "photos"],
        ["inspect", os.fsdecode(b"photos/caf\xe9/0-caf\xe9.jpg")],
        ["inspect", "photos/e\x1b]0;owned\x07s/0-e\x1b]0;owned\x07s.jpg"],
        ["inspect", "photos/ok/none\x1b[31m.jpg"],
        ["bandlimit", "photos", "out"],
        ["bandlimit", "--dry-run", "photos", "out"],
        ["pack", os.fsdecode(b"photos/caf\xe9"), "shards"],
        ["pack", "photos/e\x1b]0;owned\x07s", "shards"],
        ["stats", "photos", "--grid", "2", "2", "--skip-bad", "-o", "s.json"],
    ],
)
def test_odd_names_pass_through_every_command(line: list[str], as_json: bool, encoding: str, odd_folder: Path) -> None:
    if as_json and line[0] == "stats":
        pytest.skip("stats prints no JSON")
    environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "prepixel.cli", *line, *(["--json"] if as_json else [])]
    done = subprocess.run(
        command, cwd=odd_folder.parent, env=environment, capture_output=True, check=False, timeout=300
    )
    err = done.stderr.decode(encoding)
    assert "Traceback" not in err, err
    assert done.returncode in {0, 1, 2}
    assert is_harmless(done.stdout.decode(encoding) + err)
    if as_json and done.returncode < 2:
        json.loads(done.stdout)


def test_two_component_files_are_inspected(capsys: Captured, tmp_path: Path) -> None:
    """Two of a gray JPEG's component in one frame: T.81 allows it, and no color is defined for it."""
    (tmp_path / "two.jpg").write_bytes(two_components())
    assert main(["inspect", str(tmp_path / "two.jpg"), "--plot", str(tmp_path / "channels.png")]) == 0
    out = capsys.readouterr().out
    assert "component 1" in out
    assert "component 2" in out
    assert main(["inspect", str(tmp_path / "two.jpg"), "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["components"]] == ["component 1", "component 2"]


def two_components() -> bytes:
    """Write an 8 x 8 JPEG of two components whose blocks hold a DC difference of 0 and an end of block."""
    table = bytes([0, *([1] * 64)])
    codes = bytes([1, *([0] * 15), 0])  # one code, 0, of length 1, for the symbol 0

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body

    frame = bytes([8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0])
    scan = bytes([2, 1, 0, 2, 0, 0, 63, 0])
    tables = segment(0xC4, bytes([0]) + codes) + segment(0xC4, bytes([0x10]) + codes)
    return b"\xff\xd8" + segment(0xDB, table) + segment(0xC0, frame) + tables + segment(0xDA, scan) + b"\x0f\xff\xd9"


def test_standard_input_and_output(odd_folder: Path) -> None:
    contents = jpeg()
    command = [sys.executable, "-m", "prepixel.cli"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*line: str, given: bytes = contents) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*command, *line],
            input=given,
            cwd=odd_folder,
            env=environment,
            capture_output=True,
            check=False,
            timeout=300,
        )

    inspected = run("inspect", "-", "--json")
    assert json.loads(inspected.stdout)["file"] == "standard input"
    smaller = run("bandlimit", "-", "-", "--bands", "S-6")
    assert smaller.returncode == 0
    assert smaller.stdout.startswith(b"\xff\xd8")
    assert len(smaller.stdout) < len(contents)
    assert b"standard output: " in smaller.stderr
    broken = run("bandlimit", "-", "-", given=b"words")
    assert (broken.returncode, broken.stdout) == (2, b"")
    assert broken.stderr.startswith(b"prepixel: standard input, byte 0: not a JPEG")
