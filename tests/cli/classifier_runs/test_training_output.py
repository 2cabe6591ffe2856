"""What `train` and `compare` show while they work: on a terminal a bar and the lines that stay, in a log the lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.small_photos import Captured

from prepixel.cli import main

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)
import fcntl
import pty
import struct
import termios

NUMBER = r"[0-9.e+]+"
EPOCH = (
    rf"{{run}}: epoch {{epoch}}/2: loss {NUMBER}, validation loss {NUMBER}, top-1 {NUMBER} %, [0-9]+ images/s{{left}}"
)
DONE = (
    rf"{{output}}: 6 steps, [0-9]+ s; validation of the last weights: loss {NUMBER}, top1 {NUMBER} %, top5 {NUMBER} %"
)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def epoch_lines(run: str) -> list[str]:
    return [
        EPOCH.format(run=run, epoch=1, left=rf", {NUMBER} (s|min|h) left"),
        EPOCH.format(run=run, epoch=2, left=""),
    ]


def assert_lines(found: list[str], expected: list[str]) -> None:
    assert len(found) == len(expected), found
    for line, pattern in zip(found, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_a_log_has_a_line_for_each_epoch(recipes: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["train", str(recipes / "dct.yaml"), "-o", str(tmp_path / "log")]) == 0
    captured = capsys.readouterr()
    assert_lines(captured.err.splitlines(), epoch_lines("log"))
    assert_lines(captured.out.splitlines(), [DONE.format(output=re.escape(str(tmp_path / "log")))])


def test_compares_lines_name_their_runs(recipes: Path, tmp_path: Path, capsys: Captured) -> None:
    """The lines of four trainings looked alike."""
    words = ["compare", str(recipes / "dct.yaml"), str(recipes / "rgb.yaml"), "--seeds", "3", "-o", str(tmp_path)]
    assert main(words) == 0
    assert_lines(capsys.readouterr().err.splitlines(), [*epoch_lines("dct-3"), *epoch_lines("rgb-3")])


def on_a_terminal(words: list[str], folder: Path, columns: int) -> str:
    """Run a command on a pseudo-terminal, and return what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {name: value for name, value in environment.items() if name not in {"COLUMNS", "NO_COLOR", "CI"}}
    command = [sys.executable, "-m", "prepixel.cli", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says EIO where the other end is closed
                break
            if not part:
                break
            written += part
        assert process.wait(timeout=60) == 0, written.decode()
    os.close(ours)
    return written.decode()


def test_a_terminal_has_a_bar_and_the_lines_stay(recipes: Path, tmp_path: Path) -> None:
    text = on_a_terminal(["train", str(recipes / "dct.yaml"), "-o", "run"], tmp_path, columns=100)
    shown = [line.strip() for line in re.split(r"[\r\n]+", ESCAPE.sub("", text)) if line.strip()]
    bars = [line for line in shown if "\u2501" in line or "\u2578" in line]
    staying = [line for line in shown if line not in bars]
    assert_lines(staying, [*epoch_lines("run"), DONE.format(output="run")])
    assert max(map(len, bars)) <= 100
    steps = [line for line in bars if re.search(r"^run: epoch [12]/2 .* [1-3]/3 ", line)]
    assert steps
    for line in steps:
        assert re.search(rf"[1-3]/3 loss {NUMBER}, [0-9]+ images/s, {NUMBER} (s|min|h) left$", line), line
    assert any(line.startswith("run: validation ") for line in bars)


def test_answers_fit_a_terminal(runs: Path, data: Path, tmp_path: Path) -> None:
    photo = sorted((data / "val").rglob("*.jpg"))[0]
    text = on_a_terminal(["predict", str(runs / "dct-3"), str(photo)], tmp_path, columns=70)
    lines = ESCAPE.sub("", text).splitlines()
    assert max(map(len, lines)) <= 70
    assert sum(len(re.findall(r"\w %", line)) for line in lines) == 5
