"""Trained runs scored and asked: on folders, files and bytes, by the weights that are named."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from prepixel import load_run
from prepixel.cli import main
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.records import read_records
from prepixel.runs import Prediction

Captured = pytest.CaptureFixture[str]
CLASSES = 10


@pytest.mark.parametrize("run", ["dct-3", "rgb-3"])
def test_evaluate_scores_as_training_did(capsys: Captured, runs: Path, run: str) -> None:
    assert main(["evaluate", str(runs / run), "--weights", "last", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    records = read_records(runs / run / "records.jsonl")
    assert report["images"] == 20
    assert report["top1"] == records.metrics("val", "top1")[-1].value
    assert report["loss"] == pytest.approx(records.metrics("val", "loss")[-1].value, rel=1e-5)
    assert [row["images"] for row in report["classes"]] == [2] * CLASSES
    assert len(Image.open(runs / run / "confusion.png").convert("RGB").getcolors(2**24)) > 10  # not a blank figure


def test_evaluate_takes_a_folder_of_some_classes(capsys: Captured, runs: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train" / "ring", tmp_path / "some" / "ring")
    assert main(["evaluate", str(runs / "dct-3"), "--data", str(tmp_path / "some")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^images   4$", out, re.MULTILINE)
    assert re.search(r"^ring +4 +[\d.]+ %", out, re.MULTILINE)
    assert re.search(r"^not shown: [5-9] classes without images and without answers$", out, re.MULTILINE)
    assert (runs / "dct-3" / "confusion-some.png").exists()
    shutil.copytree(data / "train" / "ring", tmp_path / "other" / "rings")
    assert main(["evaluate", str(runs / "dct-3"), "--data", str(tmp_path / "other")]) == 2
    assert "'rings' is none of the 10 classes named; nearest: ring" in capsys.readouterr().err


@pytest.mark.parametrize("run", ["dct-3", "rgb-3"])
def test_predict_answers_for_good_files_and_names_bad_ones(
    capsys: Captured, runs: Path, data: Path, tmp_path: Path, run: str
) -> None:
    (tmp_path / "words.jpg").write_text("not an image")
    photos = sorted((data / "val" / "ring").iterdir())
    (tmp_path / "cut.jpg").write_bytes(photos[0].read_bytes()[:-500])  # its header is good
    bad = [str(tmp_path / name) for name in ("words.jpg", "none.jpg", "cut.jpg")]
    files = [*bad[:2], str(photos[0]), bad[2], str(data / "val" / "ring")]
    assert main(["predict", str(runs / run), *files, "--top", "3", "--json", "--batch-size", "5"]) == 1
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["file"] for answer in answers] == list(map(str, [photos[0], *photos]))
    assert answers[0]["classes"] == answers[1]["classes"]
    shares = [share["probability"] for share in answers[0]["classes"]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    errors = captured.err.splitlines()
    assert errors[0].startswith(f"prepixel: {bad[0]}: no image of a format")
    assert errors[1] == f"prepixel: {bad[1]}: No such file or directory; check the path"
    assert errors[2].startswith((f"prepixel: {bad[2]}, byte", f"prepixel: {bad[2]}: Pillow cannot decode it"))
    assert errors[3] == "3 of 6 files could not be read"


def test_predict_agrees_with_the_loader(capsys: Captured, runs: Path, data: Path) -> None:
    assert main(["predict", str(runs / "dct-3"), str(data / "val"), "--top", "1", "--json", "--weights", "last"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = sum(Path(answer["file"]).parent.name == answer["classes"][0]["class"] for answer in answers)
    result, _ = load_run(runs / "dct-3", weights="last").evaluate()
    assert (len(answers), right / 20) == (20, result.top1)


def test_predict_on_bytes_names_them_by_their_size(runs: Path, data: Path) -> None:
    photo = next((data / "val" / "ring").iterdir())
    contents = photo.read_bytes()
    run = load_run(runs / "dct-3")
    by_path, by_bytes, broken = run.predict([photo, contents, contents[:300]], top=2)
    assert isinstance(by_path, Prediction)
    assert isinstance(by_bytes, Prediction)
    assert by_bytes == dataclasses.replace(by_path, source=f"buffer of {len(contents)} bytes")
    assert broken.source == "buffer of 300 bytes"


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuda:77", "--device is cuda:77, and "),
        ("tpu", "--device is 'tpu'; it must be auto, cpu, cuda or cuda:0, cuda:1, ..."),
        ("meta", "--device is meta, which computes nothing; set it to auto or cpu"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_devices_that_are_not_there_are_named(
    command: str, device: str, says: str, capsys: Captured, runs: Path, data: Path
) -> None:
    images = [str(data / "val" / "ring")] if command == "predict" else []
    assert main([command, str(runs / "dct-3"), *images, "--device", device]) == 2
    err = capsys.readouterr().err
    assert err.startswith("prepixel: --device is ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_weights_that_are_not_finite_answer_nothing(
    command: str, capsys: Captured, runs: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "dct-3", tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    state = read_checkpoint(last)
    name = next(name for name, value in state["average"].items() if value.is_floating_point())
    state["average"][name].view(-1)[0] = float("nan")
    torch.save(state, last)
    images = [str(data / "val" / "ring")] if command == "predict" else []
    assert main([command, str(tmp_path / "run"), *images, "--weights", "last"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"prepixel: {last}: {name} is not finite")
    assert captured.err.count("\n") == 1


def test_predict_prints_a_table(capsys: Captured, runs: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # room for whole paths
    photo = next((data / "val" / "ring").iterdir())
    assert main(["predict", str(runs / "rgb-3"), str(photo), "--top", "2"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "1", "2"]
    assert re.fullmatch(rf"{re.escape(str(photo))}  \w+ [\d.]+ %  +\w+ [\d.]+ %", line)


def test_run_without_weights_or_folder_says_so(capsys: Captured, runs: Path, data: Path, tmp_path: Path) -> None:
    photo = str(next((data / "val" / "ring").iterdir()))
    assert main(["predict", str(tmp_path / "none"), photo]) == 2
    assert "none: no such file or folder; give a run's folder, or a file" in capsys.readouterr().err
    assert main(["predict", str(runs / "rgb-3"), str(tmp_path)]) == 2
    assert f"{tmp_path}: holds no image file; name files, or a folder that holds some" in capsys.readouterr().err
    shutil.copytree(runs / "rgb-3", tmp_path / "begun", ignore=shutil.ignore_patterns("checkpoints"))
    assert main(["evaluate", str(tmp_path / "begun")]) == 2
    assert "begun: has saved no weights yet; train it, or resume it with --resume" in capsys.readouterr().err
    (tmp_path / "begun" / "statistics.json").unlink(missing_ok=True)


def test_loaded_run_has_the_weights_asked_for(runs: Path, tmp_path: Path) -> None:
    last, best = (load_run(runs / "dct-3", weights=which).position for which in ("last", "best"))
    assert (last.epoch, last.step) == (2, 6)
    assert best.epoch == best.best_epoch == last.best_epoch
    shutil.copytree(runs / "dct-3", tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best.pt").unlink()
    assert load_run(tmp_path / "run").position == last


def test_loaded_run_takes_the_averaged_weights(runs: Path) -> None:
    state = read_checkpoint(runs / "dct-3" / "checkpoints" / "last.pt")
    network = load_run(runs / "dct-3", weights="last").network
    name, value = next(iter(network.named_parameters()))
    assert torch.equal(value, state["average"][name])
    assert not torch.equal(value, state["network"][name])
    assert not network.training
