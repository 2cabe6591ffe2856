"""Folded files by command: networks of one's own, untrained ones, weights by name, standard input, progress."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.small_photos import Captured, jpeg

from prepixel.cli import main
from prepixel.cli.open_network import UNTRAINED
from prepixel.runs import read_folded

NET = """
import torch
from torch import nn
def build():
    torch.manual_seed(11)
    return nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with photos of two classes, a network of one's own, and its folded file."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(2):
            (folder / "photos" / name / f"{number}.jpg").write_bytes(jpeg(40 + number, 50))
    (folder / "net.py").write_text(NET)
    (folder / "classes.txt").write_text("cat\ndog\n")
    words = ["--weights", "none", "--pixels", "32", "--bands", "192", "--classes", str(folder / "classes.txt")]
    assert main(["fold", f"{folder}/net.py:build", *words, "-o", str(folder / "own.pt")]) == 0
    return folder


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_ones_own_network_needs_its_function(command: str, place: Path, capsys: Captured) -> None:
    images = [str(place / "photos")] if command == "predict" else ["--data", str(place / "photos")]
    line = [command, str(place / "own.pt"), *images]
    assert main(line) == 2
    err = capsys.readouterr().err
    assert "--build FILE.py:FUNCTION" in err
    assert err.count("\n") == 1
    assert main([*line, "--build", f"{place}/net.py:build"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert UNTRAINED in captured.out
    assert main([*line, "--build", f"{place}/net.py:build", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["trained"] is False


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("none.py:build", "no such file; give FILE.py:FUNCTION"),
        ("net.py:nothing", "has no function nothing; define one that returns a torch.nn.Module"),
    ],
)
def test_a_function_that_is_not_there_is_named(function: str, message: str, place: Path, capsys: Captured) -> None:
    out = str(place / "x.pt")
    for line in (
        ["fold", f"{place}/{function}", "--weights", "none", "-o", out],
        ["predict", str(place / "own.pt"), str(place / "photos"), "--build", f"{place}/{function}"],
    ):
        assert main(line) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert not (place / "x.pt").exists()


def test_sensitivity_shows_progress_and_says_that_a_network_is_untrained(place: Path, capsys: Captured) -> None:
    line = ["sensitivity", str(place / "own.pt"), str(place / "photos"), "--build", f"{place}/net.py:build"]
    line += ["--images", "2", "--greedy-images", "1", "--channels", "2", "-o", str(place / "bands.json")]
    assert main(line) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("reading images ...\nmeasuring channels")
    assert UNTRAINED in captured.out


def test_classes_that_have_no_names_are_pointed_out(place: Path, capsys: Captured) -> None:
    line = ["fold", f"{place}/net.py:build", "--weights", "none", "--pixels", "32", "-o", str(place / "bare.pt")]
    assert main(line) == 0
    assert "2, numbered; name them by --classes FILE" in capsys.readouterr().out
    assert main(["evaluate", str(place / "bare.pt"), "--data", str(place / "photos"), "--build", line[1]]) == 2
    err = capsys.readouterr().err
    assert (
        "'cat' is none of the 2 classes, which are only numbered; give the network its class names (prepixel fold"
        in err
    )
    assert err.count("\n") == 1
    assert main([*line, "--classes", str(place / "classes.txt"), "--overwrite"]) == 0
    assert "2: 'cat', 'dog'\n" in capsys.readouterr().out


def test_a_file_with_damaged_weights_answers_nothing(place: Path, capsys: Captured) -> None:
    contents = torch.load(place / "own.pt", weights_only=True)
    name = next(name for name, value in contents["weights"].items() if value.is_floating_point())
    contents["weights"][name].view(-1)[0] = float("nan")
    torch.save(contents, place / "nan.pt")
    for line in (
        ["predict", str(place / "nan.pt"), str(place / "photos")],
        ["evaluate", str(place / "nan.pt"), "--data", str(place / "photos")],
    ):
        assert main([*line, "--build", f"{place}/net.py:build"]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"nan.pt: weights: {name} holds 1 of" in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(("given", "status"), [(jpeg(), 0), (b"", 1), (b"words", 1)])
def test_predict_reads_standard_input(
    given: bytes, status: int, place: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    line = ["predict", str(place / "own.pt"), "-", "--json", "--build", f"{place}/net.py:build"]
    assert main(line) == status
    captured = capsys.readouterr()
    if status:
        assert captured.out == ""
        assert captured.err.startswith("prepixel: standard input: ")
    else:
        assert json.loads(captured.out)["file"] == "standard input"


def test_a_networks_own_input_size_is_the_default(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "net.pt"
    words = ["fold", "timm:vit_tiny_patch16_384", "--weights", "none", "--bands", "S-6", "--form", "factored"]
    assert main([*words, "-o", str(out)]) == 0
    assert "384 x 384 pixels" in capsys.readouterr().out
    assert read_folded(out).network.settings.grid == (96, 96)


def test_timms_tags_are_known_and_no_others(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "net.pt"
    assert main(["fold", "timm:resnet10t.zzz", "--weights", "none", "-o", str(out)]) == 2
    assert "timm has no 'resnet10t.zzz'; of resnet10t it has c3_in1k" in capsys.readouterr().err
    assert not out.exists()
    words = ["fold", "timm:resnet10t.c3_in1k", "--weights", "none", "--pixels", "32", "-o", str(out)]
    assert main(words) == 0
    assert UNTRAINED in capsys.readouterr().out


def test_without_a_connection_one_line_says_so_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "prepixel.cli", "fold", "timm:resnet10t.c3_in1k", "--weights", "DEFAULT"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "net.pt")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("prepixel: the weights c3_in1k of timm:resnet10t.c3_in1k could not be had")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "net.pt").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_devices_are_checked_for_folded_files_too(command: str, place: Path, capsys: Captured) -> None:
    images = [str(place / "photos")] if command == "predict" else ["--data", str(place / "photos")]
    device = f"cuda:{torch.cuda.device_count()}"
    assert main([command, str(place / "own.pt"), *images, "--device", device]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"prepixel: --device is {device}, and ")
    assert err.count("\n") == 1
