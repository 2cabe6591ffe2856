"""A small run from the command line to its table: trained, resumed, scored, asked, drawn."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.interrupts import start_command, wait_until
from tests.older_runs import forget

from prepixel import load_run
from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.records import ConfusionRow, MetricRow, RunRow, append_records, describe_environment, read_records
from prepixel.reports.run_table import _mean_and_spread
from prepixel.runs import Prediction, read_folded
from prepixel.runtime import Predictor
from prepixel.spectrum import Spectrum

Captured = pytest.CaptureFixture[str]
CLASSES = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(folder, num_train_per_class=4, num_val_per_class=2, min_side=64, max_side=128)
    return folder


@pytest.fixture(scope="module")
def recipes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a recipe on spectra and one on pixels; the data's folder comes by the environment."""
    folder = tmp_path_factory.mktemp("recipes")
    common = (
        "data: {train: '${SYNTHETIC_DATA}/train', val: '${SYNTHETIC_DATA}/val', batch_size: 13}\n"
        "optimization: {learning_rate: 0.01, average_decay: 0.5}\n"
        "training: {epochs: 2, device: cpu, tensorboard: false, record_steps: 1, checkpoint_steps: 1}\n"
    )
    (folder / "dct.yaml").write_text(f"{common}input: {{kind: spectrum, bands: S-24, grid: [3, 5], encoding: int8}}\n")
    (folder / "rgb.yaml").write_text(f"{common}input: {{kind: rgb, pixels: [37, 41]}}\nname: RGB\n")
    return folder


@pytest.fixture(autouse=True)
def _data_by_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHETIC_DATA", str(data))


@pytest.fixture(scope="module")
def runs(data: Path, recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train both recipes, the one on spectra by two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHETIC_DATA", str(data))
        for recipe, seed in (("dct", 3), ("dct", 5), ("rgb", 3)):
            words = [
                "train",
                str(recipes / f"{recipe}.yaml"),
                "-o",
                str(folder / f"{recipe}-{seed}"),
                "--seed",
                str(seed),
            ]
            assert main(words) == 0
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = read_checkpoint(run / "checkpoints" / "last.pt")["network"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


# -- train -------------------------------------------------------------------------------------------------------------


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
    assert re.search(r": 6 steps, \d+ s since step 6", capsys.readouterr().out)
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


# -- evaluate and predict ----------------------------------------------------------------------------------------------


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
    assert errors[1] == f"prepixel: {bad[1]}: No such file or directory"
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


def test_predict_prints_a_table(capsys: Captured, runs: Path, data: Path) -> None:
    photo = next((data / "val" / "ring").iterdir())
    assert main(["predict", str(runs / "rgb-3"), str(photo), "--top", "2"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "1", "2"]
    assert re.fullmatch(rf"{re.escape(str(photo))}  \w+ [\d.]+ %  +\w+ [\d.]+ %", line)


def test_run_without_weights_or_folder_says_so(capsys: Captured, runs: Path, data: Path, tmp_path: Path) -> None:
    photo = str(next((data / "val" / "ring").iterdir()))
    assert main(["predict", str(tmp_path / "none"), photo]) == 2
    assert "none: no such folder; give a folder that prepixel train made" in capsys.readouterr().err
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


# -- table and plot ----------------------------------------------------------------------------------------------------


def test_table_puts_seeds_of_a_recipe_together(capsys: Captured, runs: Path) -> None:
    assert main(["table", str(runs), "--format", "csv"]) == 0
    dct, rgb = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (dct["run"], rgb["run"]) == ("dct", "RGB")
    assert (dct["seeds"], rgb["seeds"]) == ("2", "1")
    assert (dct["input"], dct["made from"], dct["values"], dct["bytes"]) == ("DCT S-24", "24 x 40", "360", "360")
    assert (rgb["input"], rgb["made from"], rgb["values"], rgb["bytes"]) == ("RGB", "37 x 41", "4551", "4551")
    assert (dct["epochs"], dct["n"]) == ("2", "20")
    shares = [read_records(runs / run / "records.jsonl").metrics("val", "top1")[-1].value for run in ("dct-3", "dct-5")]
    mean, spread = 50 * sum(shares), 100 * abs(shares[0] - shares[1]) / 2**0.5
    assert dct["top-1 %"] == f"{mean:.1f} ± {spread:.1f}"
    assert float(rgb["params M"]) == pytest.approx(11.18, abs=0.01)


def test_table_puts_a_run_of_an_older_version_beside_one_that_states_more(
    capsys: Captured, runs: Path, tmp_path: Path
) -> None:
    for seed in (3, 5):
        shutil.copytree(runs / f"dct-{seed}", tmp_path / f"dct-{seed}")
    forget(tmp_path / "dct-5" / "records.jsonl", "gate", "network.from_run")
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["seeds"] for row in rows] == ["2"]


def test_table_as_markdown_and_text_carry_a_caption(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    assert main(["table", str(runs / "dct-3"), str(runs / "rgb-3"), "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| run | input | made from | values | bytes |")
    assert {line.count("|") for line in lines[:4]} == {16}
    assert "n validation images" in lines[-1]
    assert describe_environment().cpu in lines[-1]
    assert main(["table", str(runs), "-o", str(tmp_path / "table.txt")]) == 0
    text = (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert text.splitlines()[0].split()[:3] == ["run", "input", "made"]
    assert "mean ± standard deviation over seeds" in text


def test_table_says_what_is_unfinished(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    records = read_records(runs / "dct-3" / "records.jsonl")
    start = records.of_kind(RunRow)[0]
    first = records.metrics("val", "top1")[0]
    (tmp_path / "cut").mkdir()
    append_records(tmp_path / "cut" / "records.jsonl", [dataclasses.replace(start, run="cut"), first])
    with (tmp_path / "cut" / "records.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(captured.out))
    assert (row["epochs"], row["train images/s"]) == ("1 of 2", "")
    assert "records.jsonl, line 3: cut short, as when a run is killed while it writes; passed over" in captured.err


def test_plot_draws_all_runs(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    assert main(["plot", str(runs), "-o", str(tmp_path / "curves.svg"), "--title", "small"]) == 0
    assert capsys.readouterr().out == f"drawn: {tmp_path / 'curves.svg'}\n"
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert "dct (2 seeds: mean, lowest to highest)" in text
    assert ">RGB<" in text


@pytest.mark.parametrize("verb", ["table", "plot"])
def test_folders_without_runs_say_so(capsys: Captured, tmp_path: Path, verb: str) -> None:
    assert main([verb, str(tmp_path)]) == 2
    assert f"{tmp_path}: holds no run (no records.jsonl); give folders that prepixel" in capsys.readouterr().err
    assert main([verb, str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert f"{tmp_path / 'a'}: no such folder; give folders that prepixel" in capsys.readouterr().err
    (tmp_path / "records.jsonl").write_text("")
    assert main([verb, str(tmp_path)]) == 2
    assert "records.jsonl: holds no row of a run" in capsys.readouterr().err


def test_mean_and_spread_of_shares() -> None:
    assert _mean_and_spread([]) == "-"
    assert _mean_and_spread([0.537]) == "53.7"
    assert _mean_and_spread([0.50, 0.53, 0.59]) == "54.0 ± 4.6"


def test_a_run_on_pixels_folds(runs: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "folded.pt"
    assert main(["fold", str(runs / "rgb-3"), "--bands", "192", "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert "192 on 37 x 41 blocks" in out  # eight pixels to one: the only whole number for sides that are odd
    folded, run = read_folded(output), load_run(runs / "rgb-3", device="cpu")
    assert folded.classes == run.classes
    assert folded.source == "prepixel:resnet18"
    assert folded.crop_fraction == run.crop_fraction
    spectrum = Spectrum.of_coefficients(100 * torch.randn(2, 192, 37, 41), folded.network.bands)
    pixels = (spectrum.values[:, [0, 64, 128]] / 8 + torch.tensor([128.0, 0, 0])[:, None, None]).unbind(1)
    y, cb, cr = pixels
    rgb = torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], dim=1) / 255
    with torch.no_grad():
        torch.testing.assert_close(folded.network(spectrum), run.network(rgb), rtol=1e-3, atol=1e-3)
    assert main(["predict", str(output), str(data / "val"), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 20


def test_a_run_on_spectra_or_with_words_of_its_own_is_not_folded(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["fold", str(runs / "dct-3"), "--grid", "3", "-o", str(tmp_path / "x.pt")]) == 2
    assert "a run on spectrum, which needs no folding" in capsys.readouterr().err
    assert main(["fold", str(runs / "rgb-3"), "--pixels", "32", "-o", str(tmp_path / "x.pt")]) == 2
    assert "which states its own pixels; leave out --pixels" in capsys.readouterr().err


def test_a_run_on_spectra_is_exported(runs: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", str(runs / "dct-3"), "-o", str(tmp_path / "net")]) == 0
    out = capsys.readouterr().out
    assert "S-24 on 3 x 5 blocks, int8; batches of any size" in out  # the recipe's encoding
    photos = sorted(str(path) for path in (data / "val").rglob("*.jpg"))
    expected = list(load_run(runs / "dct-3", device="cpu").predict(photos, top=3))
    found = list(Predictor.load(tmp_path / "net").predict_each(photos, top=3))
    for one, other in zip(expected, found, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert (one.source, one.classes) == (other.source, other.classes)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert main(["export", str(runs / "rgb-3"), "-o", str(tmp_path / "rgb")]) == 2
    assert "takes RGB pixels, and what is exported takes coefficients; fold it first" in capsys.readouterr().err
    assert not (tmp_path / "rgb").exists()
