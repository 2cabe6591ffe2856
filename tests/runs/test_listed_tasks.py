"""Recipes for several labels and for numbers: trained, resumed, evaluated and predicted by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.interrupts import reading_fails
from tests.small_photos import jpeg

from prepixel.cli import main
from prepixel.data import CropLoader
from prepixel.errors import ModelError, RecipeError, RunError
from prepixel.export import CannotExport, export_classifier
from prepixel.recipes import Recipe, parse_recipe
from prepixel.runs import fold_run, load_run, run

Captured = pytest.CaptureFixture[str]
NAMES = {"multi_label": ("cat", "dog", "emu"), "regression": ("age", "price")}


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    rows = {kind: ["file," + ",".join(names)] for kind, names in NAMES.items()}
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(64 + number, 71))
        rows["multi_label"].append(f"{number}.jpg,{number % 2},{number % 3 // 2},1")
        rows["regression"].append(f"{number}.jpg,{number},{1000 + 50 * number}")
    for kind, lines in rows.items():
        (tmp_path / f"{kind}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def recipe(listing: Path, kind: str, inputs: str = "bands: S-6, grid: 4", more: str = "") -> Recipe:
    network = "name: 'timm:test_resnet'" + ("" if "rgb" in inputs else ", stem: light, pixels: 32")
    text = (
        f"network: {{{network}}}\n"
        f"data: {{train: '{listing}/{kind}.csv', val: '{listing}/{kind}.csv', batch_size: 2, threads: 1}}\n"
        f"input: {{{inputs}}}\ntask: {{kind: {kind}}}\n{more}"
        "optimization: {optimizer: adamw, learning_rate: 0.0005}\n"
        "training: {epochs: 1, device: cpu, tensorboard: false, checkpoint_steps: 1}\n"
    )
    return parse_recipe(text, source="r.yaml", name="r")


@pytest.mark.parametrize(("kind", "score"), [("multi_label", "map"), ("regression", "r2")])
@pytest.mark.parametrize("inputs", ["bands: S-6, grid: 4", "kind: rgb, pixels: 32"])
def test_a_run_is_trained_resumed_and_scored(
    listing: Path, kind: str, score: str, inputs: str, tmp_path: Path, capsys: Captured
) -> None:
    made = recipe(listing, kind, inputs)
    with reading_fails(CropLoader, 4):
        run(made, tmp_path / "run")
    result = run(made, tmp_path / "run", resume=True)
    assert (result.training.steps, result.training.resumed_at) == (6, 4)
    straight = run(made, tmp_path / "straight")
    trained = load_run(tmp_path / "run", device="cpu", weights="last")
    assert trained.classes == NAMES[kind]
    scores, failures = trained.evaluate()
    assert failures == ()
    expected = straight.training.evaluation
    assert expected is not None
    assert scores.row()[score] == pytest.approx(expected.row()[score], abs=1e-5)
    capsys.readouterr()
    command = ["evaluate", str(tmp_path / "run"), "--data", str(listing / f"{kind}.csv"), "--json", "--device", "cpu"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 12
    first = "ap" if kind == "multi_label" else "r2"
    assert [name for name in report["targets"] if name.startswith(first)] == [f"{first}/{n}" for n in NAMES[kind]]
    assert main([*command[:-3], "--device", "cpu"]) == 0
    assert score in capsys.readouterr().out
    with pytest.raises(CannotExport, match=r"gives each image (labels|values)"):
        export_classifier(trained, tmp_path / "graph")
    with pytest.raises(ModelError, match=r"gives each image (labels|values); only classifiers are folded into files"):
        fold_run(tmp_path / "run", weights="last", grid=8)


def test_a_resumed_regression_keeps_the_scaling_that_its_weights_learned(listing: Path, tmp_path: Path) -> None:
    made = recipe(listing, "regression")
    with reading_fails(CropLoader, 4):
        run(made, tmp_path / "run")
    learned = (tmp_path / "run" / "targets.json").read_text()
    file = listing / "regression.csv"
    head, *rows = file.read_text().splitlines()
    file.write_text("\n".join([head, *(row.replace(",1", ",9") for row in rows)]) + "\n")
    run(made, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "targets.json").read_text() == learned


def test_answers_are_chances_of_labels_or_values(listing: Path, tmp_path: Path, capsys: Captured) -> None:
    photos = [str(listing / "0.jpg"), str(listing / "3.jpg")]
    for kind in NAMES:
        run(recipe(listing, kind), tmp_path / kind)
    labels = load_run(tmp_path / "multi_label", device="cpu")
    for answer in labels.predict(photos):
        assert set(answer.classes) == set(NAMES["multi_label"])  # type: ignore[union-attr]
        assert sum(answer.probabilities) != pytest.approx(1.0, abs=1e-3)  # type: ignore[union-attr]
    with pytest.raises(RunError, match="gives classes: use predict"):
        next(labels.predict_values(photos))
    values = load_run(tmp_path / "regression", device="cpu")
    found = list(values.predict_values([*photos, str(listing / "multi_label.csv")], batch_size=2))
    assert [list(one) for one in found[:2]] == [["age", "price"]] * 2  # type: ignore[call-overload]
    assert all(500 < one["price"] < 2500 for one in found[:2])  # type: ignore[index]
    assert "multi_label.csv" in str(found[2])
    with pytest.raises(RunError, match="which gives values: use predict_values"):
        next(values.predict(photos))
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "regression"), *photos, "--json", "--device", "cpu"]) == 0
    printed = [json.loads(line)["values"] for line in capsys.readouterr().out.splitlines()]
    for one, expected in zip(printed, found, strict=False):
        assert one == pytest.approx(expected)
    assert main(["predict", str(tmp_path / "regression"), *photos, "--device", "cpu"]) == 0
    assert "price" in capsys.readouterr().out
    assert main(["sensitivity", str(tmp_path / "regression"), str(listing), "-o", str(tmp_path / "s.json")]) == 2
    assert "gives each image values" in capsys.readouterr().err


def test_sections_that_need_classes_are_refused(listing: Path) -> None:
    for more in ("gate: {kind: dynamic, channels: 3}\n", "augment: {mixup: 0.2}\n"):
        with pytest.raises(RecipeError, match=r"gates, mixup and cutmix are for task\.kind classification"):
            recipe(listing, "multi_label", more=more)
    text = "data: {train: x.csv}\ninput: {bands: S-6, grid: 8}\ntask: {kind: regression, label_smoothing: 0.1}\n"
    with pytest.raises(RecipeError, match="kind regression has no labels"):
        parse_recipe(text, source="r.yaml", name="r")
    text = "data: {train: x.csv}\ninput: {bands: S-6, grid: 8}\ntask: {kind: multi_label, loss: binary_cross_entropy}\n"
    with pytest.raises(RecipeError, match="kind multi_label has one of its own"):
        parse_recipe(text, source="r.yaml", name="r")
