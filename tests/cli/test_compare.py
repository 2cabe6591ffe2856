"""Recipes and seeds in, one table and one figure out; what was trained is not trained again."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.records import RunRow, read_records
from prepixel.reports import plot_score_over_bytes
from prepixel.reports.run_table import read_rows
from prepixel.tasks import Classification

Captured = pytest.CaptureFixture[str]
COMMON = (
    "data: {train: '${COMPARE_DATA}/train', val: '${COMPARE_DATA}/val', batch_size: 10}\n"
    "optimization: {learning_rate: 0.01}\n"
    "training: {epochs: 1, device: cpu, tensorboard: false}\n"
)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    write_synthetic(folder / "data", num_train_per_class=2, num_val_per_class=1, min_side=64, max_side=128)
    (folder / "dct.yaml").write_text(f"{COMMON}input: {{bands: S-6, grid: [2, 3], encoding: int8}}\nname: DCT-6\n")
    (folder / "rgb.yaml").write_text(f"{COMMON}input: {{kind: rgb, pixels: [33, 35]}}\n")
    return folder


@pytest.fixture(autouse=True)
def _data_by_environment(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPARE_DATA", str(recipes / "data"))


@pytest.fixture(scope="module")
def output(recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compare both recipes once, with two seeds."""
    target = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPARE_DATA", str(recipes / "data"))
        words = ["compare", str(recipes / "dct.yaml"), str(recipes / "rgb.yaml"), "--seeds", "3", "5"]
        assert main([*words, "-o", str(target), "--optimization.learning_rate", "0.02"]) == 0
    return target


def test_each_recipe_is_trained_with_each_seed_and_the_overrides(output: Path) -> None:
    folders = sorted(path.name for path in output.iterdir() if path.is_dir())
    assert folders == ["dct-3", "dct-5", "rgb-3", "rgb-5"]
    starts = [read_records(output / name / "records.jsonl").of_kind(RunRow)[0] for name in folders]
    assert [start.seed for start in starts] == [3, 5, 3, 5]
    assert {start.recipe["optimization"]["learning_rate"] for start in starts} == {0.02}


def test_the_table_has_a_row_a_recipe_with_costs_start_and_spread(output: Path) -> None:
    with (output / "table.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["DCT-6", "rgb"]
    assert rows["DCT-6"]["made from"] == "16 x 24"
    assert rows["DCT-6"]["values"] == rows["DCT-6"]["bytes"] == "36"
    assert rows["rgb"]["bytes"] == "3465"
    assert {row["started from"] for row in rows.values()} == {"random"}
    assert {row["seeds"] for row in rows.values()} == {"2"}
    found = [read_records(output / f"dct-{seed}" / "records.jsonl").metrics("val", "top1")[-1].value for seed in (3, 5)]
    mean, deviation = 50 * sum(found), 100 * abs(found[0] - found[1]) / 2**0.5
    assert rows["DCT-6"]["top-1 %"] == f"{mean:.1f} ± {deviation:.1f}"
    markdown = (output / "table.md").read_text()
    assert markdown.splitlines()[2].startswith("| DCT-6 | DCT S-6 | 16 x 24 | 36 | 36 | resnet18 | random |")
    assert (output / "score_over_bytes.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_trained_is_not_trained_again(output: Path, recipes: Path, capsys: Captured) -> None:
    before = {path: path.read_bytes() for path in output.glob("*/records.jsonl")}
    words = ["compare", str(recipes / "dct.yaml"), str(recipes / "rgb.yaml"), "--seeds", "3", "5"]
    assert main([*words, "-o", str(output), "--optimization.learning_rate", "0.02"]) == 0
    assert {path: path.read_bytes() for path in output.glob("*/records.jsonl")} == before
    assert len(re.findall(r"\d of 4: .*: already trained", capsys.readouterr().out)) == 4


def test_what_was_stopped_is_gone_on_with(
    recipes: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["compare", str(recipes / "dct.yaml"), "-o", str(tmp_path)]

    def fail(*_: object) -> None:
        raise RuntimeError("stopped while scoring")

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "measure", fail)
        with pytest.raises(RuntimeError, match="stopped while scoring"):
            main(words)
    assert not read_rows([tmp_path])[0].is_finished()
    assert main(words) == 0
    assert "1 of 1" in (said := capsys.readouterr().out)
    assert "trained before" not in said
    assert read_rows([tmp_path])[0].is_finished()


def test_other_settings_are_refused_before_anything_is_trained(
    output: Path, recipes: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert (
        main(["compare", str(recipes / "rgb.yaml"), str(recipes / "dct.yaml"), "-o", str(output), "--seeds", "7", "3"])
        == 2
    )
    assert (
        "rgb-3: cannot be resumed by another recipe: optimization.learning_rate was 0.02, is 0.01"
        in capsys.readouterr().err
    )
    assert not (output / "rgb-7").exists()
    twice = tmp_path / "dct.yaml"
    twice.write_text((recipes / "dct.yaml").read_text())
    assert main(["compare", str(recipes / "dct.yaml"), str(twice), "-o", str(tmp_path / "out")]) == 2
    assert "another recipe or seed would be trained into" in capsys.readouterr().err
    assert main(["compare", str(twice), "-o", str(tmp_path / "out"), "--seed", "4"]) == 2
    assert "--seed would make all runs alike; give seeds by --seeds" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_figure_needs_scores(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw: no row has a score"):
        plot_score_over_bytes({"a": (100, [])}, tmp_path / "figure.png")
    plot_score_over_bytes({"a": (100, [0.5, 0.7]), "b": (300, [0.6])}, tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    assert "a: 60.0 %, 2 seeds" in drawn
    assert "b: 60.0 %" in drawn
