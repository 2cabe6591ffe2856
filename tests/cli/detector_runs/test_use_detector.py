"""A trained detector: scored in COCO's figures and format, drawn, compared, its gate shown."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from tests.older_runs import forget

from prepixel.cli import main
from prepixel.records import MetricRow, ScoreRow, read_records
from prepixel.runs import RunFolder, load_detector
from prepixel.spectrum import BandSet

Captured = pytest.CaptureFixture[str]


def test_a_run_is_scored_in_coco_figures_and_its_findings_are_readable(
    run: Path, recipe: Path, capsys: Captured
) -> None:
    assert main(["evaluate", str(run)]) == 0
    told = capsys.readouterr().out
    assert "AP, IoU .50 to .95" in told
    assert "AR, large" in told
    assert main(["evaluate", str(run), "--json", "--weights", "last"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["objects"]) == (2, 1)
    assert report["classes"][1] == {"class": "moon", "box_ap": None}
    found = json.loads((run / "found-box.json").read_text())
    assert all(one["image_id"] in {4, 5} and one["category_id"] in {3, 8} for one in found)
    if found:
        COCO(str(recipe.with_name("val.json"))).loadRes(str(run / "found-box.json"))
        capsys.readouterr()


def test_training_and_evaluation_agree_and_name_the_weights(
    run: Path, recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    """What `train` prints of the last weights, `evaluate` prints of them, digit by digit.

    A detector of few steps finds nothing; here it takes every proposal for a lamp, so that the figures say something.
    """
    start, folder = tmp_path / "start", tmp_path / "run"
    shutil.copytree(run, start)
    last = start / "checkpoints" / "last.pt"
    saved = torch.load(last, weights_only=True)
    (bias,) = (name for name in saved["network"] if name.endswith("cls_score.bias"))
    saved["network"][bias] = torch.tensor([0.0, 3.0, 0.0])
    torch.save(saved, last)
    words = ["--training.epochs", "2", "--optimization.learning_rate", "1e-8", "--network.from_run", str(start)]
    assert main(["train", str(recipe), "--output", str(folder), *words]) == 0
    trained = capsys.readouterr().out.split("\n", 1)[1]
    assert trained.startswith("weights  last, of step 2\n")
    assert main(["evaluate", str(folder), "--weights", "last"]) == 0
    assert capsys.readouterr().out.startswith(trained.rstrip("\n"))
    assert main(["evaluate", str(folder), "--weights", "last", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["weights"] == "last, of step 2"
    rows = [row for row in read_records(RunFolder(folder).records).rows if isinstance(row, MetricRow)]
    figures = {row.name: row.value for row in rows if (row.split, row.step) == ("val", 2) and row.name in report}
    assert figures["box_ar100"] > 0
    assert {name: report[name] for name in figures} == figures
    assert main(["evaluate", str(folder), "--json"]) == 0
    position = load_detector(folder, weights="best").position
    assert json.loads(capsys.readouterr().out)["weights"] == f"best, of step {position.step}"


def test_photos_are_drawn_and_their_objects_written(run: Path, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    photos = recipe.with_name("photos")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    asked = [str(run), str(photos / "5.jpg"), str(tmp_path / "broken.jpg"), str(photos / "4.jpg")]
    out = tmp_path / "out"
    assert main(["predict", *asked, "--json", "--min-score", "0.05", "--output", str(out)]) == 1
    told = capsys.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(Path(row["file"]).name, row["image_id"]) for row in rows] == [("5.jpg", 1), ("4.jpg", 3)]
    assert "broken.jpg" in told.err
    assert "1 of 3 files could not be read" in told.err
    assert sorted(path.name for path in out.iterdir()) == ["000001-5.png", "000003-4.png", "found-box.json"]
    found = json.loads((out / "found-box.json").read_text())
    assert len(found) == sum(len(row["found"]) for row in rows) > 0
    assert {one["category_id"] for one in found} <= {3, 8}
    assert all(one["score"] >= 0.05 for one in found)
    with Image.open(out / "000003-4.png") as drawn:
        assert min(drawn.size) > 100
    assert main(["predict", str(run), str(photos), "--min-score", "1"]) == 0
    assert "/photos/5.jpg  0\n" in capsys.readouterr().out
    assert json.loads((run / "predictions" / "found-box.json").read_text()) == []


def test_a_detectors_run_is_scored_on_its_own_photos(run: Path, recipe: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(run), "--data", str(recipe.parent)]) == 2
    assert "is a detector's run, scored on its recipe's images; leave out --data" in capsys.readouterr().err


def test_the_table_puts_a_detector_of_an_older_version_beside_one_that_states_more(
    run: Path, tmp_path: Path, capsys: Captured
) -> None:
    for seed in (0, 1):
        shutil.copytree(run, tmp_path / f"detector-{seed}")
    forget(tmp_path / "detector-1" / "records.jsonl", "network.from_run", "network.heads")
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["run"] for row in rows] == ["detector"]


def test_the_table_has_detectors_scores_apart_from_classifiers(run: Path, capsys: Captured) -> None:
    assert main(["table", str(run), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    last = read_records(run / "records.jsonl").metrics("val", "box_ap50")[-1]
    assert row["box AP50"] == f"{100 * last.value:.1f}"
    assert (row["n"], row["network"], row["bytes"]) == ("2", "faster_rcnn, resnet18", "8064")
    assert not {"mask AP", "top-1 %"} & row.keys()


def test_detectors_are_compared_and_not_with_classifiers(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    other = tmp_path / "eight.yaml"
    other.write_text(recipe.read_text().replace("bands: S-6", "bands: S-6, encoding: int8"))
    output = tmp_path / "compared"
    assert main(["compare", str(recipe), str(other), "-o", str(output)]) == 0
    with (output / "table.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert [int(rows[name]["bytes"]) for name in ("detector", "eight")] == [8064, 2016]
    assert (output / "score_over_bytes.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    classifier = recipe.parents[0] / "classifier.yaml"
    classifier.write_text("data: {train: a, val: b}\ninput: {bands: S-6, grid: [2, 3]}\n")
    assert main(["compare", str(recipe), str(classifier), "-o", str(tmp_path / "mixed")]) == 2
    assert (
        "the recipes are of several kinds (classification, detection); compare each kind by itself"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "mixed").exists()


def test_what_others_found_and_what_there_is_are_drawn_beside(
    run: Path, recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    photo = str(recipe.parent / "photos" / "4.jpg")
    widths = []
    for name, more in (
        ("alone", []),
        ("beside", ["--beside", str(run), "--annotations", str(recipe.with_name("val.json"))]),
    ):
        assert main(["predict", str(run), photo, "--min-score", ".05", "-o", str(tmp_path / name), *more]) == 0
        with Image.open(tmp_path / name / "000001-4.png") as drawn:
            widths.append(drawn.width)
    assert widths[1] > 1.5 * widths[0]  # three panels, not one
    capsys.readouterr()
    assert main(["predict", str(run), photo, "--annotations", str(tmp_path / "none.json")]) == 2
    assert "none.json: the annotations cannot be read" in capsys.readouterr().err


def test_how_often_a_detectors_gate_leaves_channels_on_is_drawn(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    run = tmp_path / "gated"
    assert main(["train", str(recipe), "-o", str(run), "--gate.kind=dynamic", "--gate.channels=4"]) == 0
    assert main(["heatmap", str(run), "-o", str(tmp_path / "map.png")]) == 0
    (row,) = read_records(tmp_path / "map.jsonl").of_kind(ScoreRow)
    told = read_records(run / "records.jsonl").metrics("val", "channels_on")[-1]
    assert (row.n, row.scores["channels_on"]) == (2, pytest.approx(told.value))
    assert main(["select", str(run), "--channels", "3", "-o", str(tmp_path / "three.json")]) == 0
    assert len(BandSet.read(tmp_path / "three.json")) == 3
    capsys.readouterr()
    assert main(["heatmap", str(run), "--data", str(tmp_path), "-o", str(tmp_path / "map.png")]) == 2
    assert "is a detector's, whose photos its recipe names; leave out --data" in capsys.readouterr().err
