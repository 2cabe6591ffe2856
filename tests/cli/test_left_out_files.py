"""Training with files that cannot be read, and with odd names: listed, counted once, and told by the exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from tests.small_photos import Captured, jpeg

from prepixel.cli import main

RECIPE = """
data: {train: photos/train, val: photos/val, batch_size: 5, on_error: skip}
input: {kind: spectrum, bands: S-6, grid: [2, 3]}
optimization: {learning_rate: 0.01}
training: {epochs: 1, device: cpu, tensorboard: false}
"""
ODD = os.fsdecode(b"do\xe9\x1b]0;owned\x07g")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write photos of two classes, one of an odd name, of which one training photo is broken."""
    for part in ("train", "val"):
        for name in ("cat", ODD):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(2):
                (folder / f"{number}\n\x1b[31m.jpg").write_bytes(jpeg(31 + number, 47))
    (tmp_path / "photos" / "train" / ODD / "broken.jpg").write_bytes(jpeg()[:600])
    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "small.yaml"


def is_harmless(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


def test_train_says_what_it_left_out(recipe: Path, capsys: Captured, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["train", "small.yaml", "-o", "run"]) == 1
    assert "1 file could not be read and was left out" in capsys.readouterr().err
    assert "broken.jpg, byte 600: the file ends" in caplog.text
    assert main(["train", "small.yaml", "-o", "run", "--resume"]) == 0  # of a finished run: nothing was read
    assert "left out" not in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [["0"], ["0", "1"]])
def test_compare_counts_a_file_once(seeds: list[str], recipe: Path, capsys: Captured) -> None:
    assert main(["compare", "small.yaml", "--seeds", *seeds, "-o", "compared"]) == 1
    assert "1 file could not be read and was left out" in capsys.readouterr().err
    assert main(["compare", "small.yaml", "--seeds", *seeds, "-o", "compared"]) == 0


def test_odd_names_reach_no_terminal_and_no_table(recipe: Path, capsys: Captured) -> None:
    odd = "ru\x1b]0;owned\x07n"
    assert main(["train", "small.yaml", "-o", odd, "--name", "na\x1b[31mme"]) == 1
    assert main(["evaluate", odd]) == 0
    assert main(["evaluate", odd, "--json"]) == 0
    assert main(["predict", odd, "photos/val"]) == 0
    assert main(["predict", odd, "photos/val", "photos/train", "--json"]) == 1
    assert main(["predict", odd, "no\nsuch\x1b[31m.jpg"]) == 1
    for form in ("text", "markdown", "csv"):
        assert main(["table", odd, "--format", form]) == 0
    assert main(["plot", odd, "-o", "curves.png"]) == 0
    captured = capsys.readouterr()
    assert is_harmless(captured.out)
    assert is_harmless(captured.err)
    lines = [json.loads(line) for line in captured.out.splitlines() if line.startswith("{")]
    assert {line["file"] for line in lines if "file" in line} >= {
        str(path.relative_to(recipe.parent)) for path in (recipe.parent / "photos" / "val").rglob("*.jpg")
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_training_on_a_device_that_is_not_there_is_one_line(recipe: Path, capsys: Captured) -> None:
    assert main(["train", "small.yaml", "-o", "run", "--training.device", "cuda"]) == 2
    err = capsys.readouterr().err
    assert "device is cuda, and torch finds only " in err
    assert err.count("\n") == 1
    assert not (recipe.parent / "run" / "records.jsonl").exists()
