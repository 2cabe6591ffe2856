"""Training from the command line: what a run keeps, killed and interrupted runs, mistakes, bad files."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.interrupts import start_command, wait_until

from prepixel.cli import main
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.records import ConfusionRow, MetricRow, RunRow, describe_environment, read_records

Captured = pytest.CaptureFixture[str]
CLASSES = 10


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = read_checkpoint(run / "checkpoints" / "last.pt")["network"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def test_run_keeps_all_that_tells_about_it(runs: Path) -> None:
    kept = {path.relative_to(runs / "dct-3").as_posix() for path in (runs / "dct-3").rglob("*") if path.is_file()}
    assert kept == {
        *("recipe.yaml", "environment.json", "classes.json", "bands.json", "statistics.json", "records.jsonl"),
        *("checkpoints/last.pt", "checkpoints/best.pt", ".prepixel-lock"),
    }
    assert "${SYNTHETIC_DATA}/train" in (runs / "dct-3" / "recipe.yaml").read_text(encoding="utf-8")
    assert not (runs / "rgb-3" / "bands.json").exists()
    records = read_records(runs / "dct-3" / "records.jsonl")
    assert not records.unread
    (start,) = records.of_kind(RunRow)
    assert (start.run, start.seed, start.resumed_at) == ("dct-3", 3, 0)
    assert start.recipe["seed"] == 3
    assert start.environment == describe_environment()
    facts = start.facts
    assert (facts["values_per_sample"], facts["bytes_per_sample"]) == (24 * 3 * 5, 24 * 3 * 5)
    assert (facts["source"], facts["train_images"], facts["val_images"]) == ("24 x 40", 40, 20)
    assert [row.epoch for row in records.metrics("val", "top1")] == [1.0, 2.0]
    assert [row.step for row in records.metrics("train", "loss")] == [1, 2, 3, 4, 5, 6]
    (confusion,) = records.of_kind(ConfusionRow)
    assert sum(map(sum, confusion.counts)) == 20
    hits = sum(row[place] for place, row in enumerate(confusion.counts))
    assert records.metrics("val", "top1")[-1].value == hits / 20
    recalls = [row.value for row in records.of_kind(MetricRow) if row.name.startswith("recall/")]
    assert len(recalls) == CLASSES
    assert sum(recalls) / CLASSES == pytest.approx(hits / 20)


def test_folder_of_a_run_is_not_used_twice(capsys: Captured, runs: Path, recipes: Path) -> None:
    words = ["train", str(recipes / "dct.yaml"), "-o", str(runs / "dct-3"), "--seed", "3"]
    before = weights(runs / "dct-3")
    assert main(words) == 2
    assert "dct-3: holds a run already; resume it with --resume" in capsys.readouterr().err
    assert main([*words, "--optimization.learning_rate", "0.5", "--resume"]) == 2
    assert "optimization.learning_rate was 0.01, is 0.5" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert ": finished before, after step 6; nothing is left to train" in capsys.readouterr().out
    after = weights(runs / "dct-3")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_killed_run_resumed_equals_an_undisturbed_one(runs: Path, recipes: Path, tmp_path: Path) -> None:
    words = ["train", str(recipes / "dct.yaml"), "-o", str(tmp_path / "dct-3"), "--seed", "3"]
    code = (
        "import os, signal, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from prepixel.runs import session\n"
        "from prepixel.cli import main\n"
        "append = session.append_records\n"
        "def killed(path, rows, **more):\n"
        "    append(path, rows, **more)\n"
        "    if any(getattr(row, 'step', 0) == 4 for row in rows): os.kill(os.getpid(), signal.SIGKILL)\n"
        "session.append_records = killed\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with (tmp_path / "dct-3" / "records.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert main([*words, "--resume"]) == 0
    straight, resumed = weights(runs / "dct-3"), weights(tmp_path / "dct-3")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())
    records = read_records(tmp_path / "dct-3" / "records.jsonl")
    assert len(records.unread) == 1
    assert [row.resumed_at for row in records.of_kind(RunRow)] == [0, 3]
    undisturbed = read_records(runs / "dct-3" / "records.jsonl")
    for split, name in (("train", "loss"), ("val", "loss"), ("val", "top1")):
        rows = [(row.step, row.value) for row in records.metrics(split, name)]  # type: ignore[arg-type]
        assert rows == [(row.step, row.value) for row in undisturbed.metrics(split, name)]  # type: ignore[arg-type]


def test_interrupted_training_saves_and_says_how_to_go_on(recipes: Path, tmp_path: Path) -> None:
    words = ["train", str(recipes / "dct.yaml"), "-o", str(tmp_path / "run"), "--training.epochs", "1000"]
    with start_command(*words, stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "run" / "checkpoints" / "last.pt").exists, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "prepixel: SIGINT: stopped after step" in err
    assert "Resume with: the same command and --resume" in err
    assert "Traceback" not in err


def test_mistakes_of_train_are_one_line(
    capsys: Captured, recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", str(recipes / "dct.yaml"), "-o", str(tmp_path / "run")]
    assert main([*words, "--training.epoch", "3"]) == 2
    assert capsys.readouterr().err == "prepixel: --training.epoch: no such key; nearest: training.epochs\n"
    assert main([*words, "--data.train", str(tmp_path / "none")]) == 2
    assert f"prepixel: {tmp_path / 'none'}: no such folder" in capsys.readouterr().err
    assert main([*words, "--data.batch_size", "41"]) == 2
    assert "data.batch_size is 41, and" in capsys.readouterr().err
    monkeypatch.delenv("SYNTHETIC_DATA")
    assert main(words[:2]) == 2
    assert "the environment has no SYNTHETIC_DATA; set it: export SYNTHETIC_DATA=FOLDER" in capsys.readouterr().err


def test_bad_files_are_reported_and_the_status_says_so(
    capsys: Captured, data: Path, recipes: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    victim = next((tmp_path / "data" / "train" / "ring").iterdir())
    victim.write_bytes(victim.read_bytes()[:300])
    words = ["train", str(recipes / "dct.yaml"), "-o", str(tmp_path / "run"), "--training.epochs", "1"]
    words += ["--data.train", str(tmp_path / "data" / "train"), "--data.batch_size", "40"]
    assert main(words) == 2
    assert str(victim) in capsys.readouterr().err
    shutil.rmtree(tmp_path / "run")
    assert main([*words, "--data.on_error", "skip"]) == 1
    assert "1 file could not be read and was left out" in capsys.readouterr().err
