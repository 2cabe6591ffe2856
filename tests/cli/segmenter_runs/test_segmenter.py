"""A segmenter's run from the command line: trained, stopped, resumed, folded, scored, drawn, compared."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.segmentation_files import SIZES
from tests.interrupts import reading_fails

from prepixel.cli import main
from prepixel.data.loading.loader import BatchLoader
from prepixel.recipes import SegmentationRecipe, read_any_recipe
from prepixel.records import MetricRow, RunRow, read_records
from prepixel.runs import RunFolder, load_segmenter, open_run, run_segmentation
from prepixel.spectrum import Statistics

Captured = pytest.CaptureFixture[str]


def test_a_run_keeps_all_that_tells_about_it(run: Path) -> None:
    place = RunFolder(run)
    recipe = read_any_recipe(place.recipe)
    assert isinstance(recipe, SegmentationRecipe)
    assert recipe.input.frame == (48, 64)
    assert place.read_classes() == ("background", "lamp")
    assert Statistics.read(place.statistics).num_images == 3
    rows = read_records(place.records).rows
    (first,) = [row for row in rows if isinstance(row, RunRow)]
    assert first.facts["network"] == "lraspp, resnet18"
    assert first.facts["source"] == "frames of 48 x 64, from 96 x 128"
    assert (first.facts["values_per_sample"], first.facts["bytes_per_sample"]) == (6 * 192, 4 * 6 * 192)
    assert (first.facts["classes"], first.facts["train_images"], first.facts["val_images"]) == (2, 3, 2)
    assert int(first.facts["macs"]) > 1e6
    names = {(row.split, row.name) for row in rows if isinstance(row, MetricRow)}
    assert {("train", "loss"), ("val", "miou"), ("val", "pixel_accuracy"), ("val", "iou/background")} <= names
    assert repr(open_run(run)).startswith("TrainedSegmenter('segmenter', 2 classes, lraspp")


def test_training_and_evaluation_agree(run: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(run), "--weights", "last"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("weights         last, of step 1\nimages          2\n")
    assert "class" in told
    assert "background" in told
    assert main(["evaluate", str(run), "--weights", "last", "--json", "--batch-size", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    records = read_records(RunFolder(run).records)
    for name in ("loss", "miou", "pixel_accuracy"):
        assert report[name] == pytest.approx(records.metrics("val", name)[-1].value, rel=1e-5)
    assert report["pixels"] == sum(row["pixels"] for row in report["classes"]) > 2 * 48 * 64 / 2
    assert [row["class"] for row in report["classes"]] == ["background", "lamp"]


def test_a_run_goes_on_where_it_was_and_not_with_another_recipe(run: Path, recipe: Path, capsys: Captured) -> None:
    assert main(["train", str(recipe), "--output", str(run)]) == 2
    assert "holds a run already; resume it with --resume" in capsys.readouterr().err
    assert main(["train", str(recipe), "--output", str(run), "--resume"]) == 0
    assert ": finished before, after step 1; nothing is left to train" in capsys.readouterr().out
    assert main(["train", str(recipe), "--output", str(run), "--resume", "--network.kind", "fcn"]) == 2
    assert "network.kind was lraspp, is fcn" in capsys.readouterr().err


def test_resumed_it_is_the_run_that_was_not_stopped(recipe: Path, tmp_path: Path) -> None:
    changes = ["--data.batch_size=1", "--training.checkpoint_steps=1"]
    whole, parts = (read_any_recipe(recipe, changes) for _ in range(2))
    assert isinstance(whole, SegmentationRecipe)
    assert isinstance(parts, SegmentationRecipe)
    run_segmentation(whole, tmp_path / "whole")
    with reading_fails(BatchLoader, 2):
        run_segmentation(parts, tmp_path / "parts")
    result = run_segmentation(parts, tmp_path / "parts", resume=True)
    assert (result.training.resumed_at, result.training.steps) == (2, 3)
    expected, found = (load_segmenter(tmp_path / name).network.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    "changes",
    [
        ["--network.kind=deeplabv3", "--network.name=mobilenet_v2", "--network.stem=folded", "--network.aux=true"],
        ["--network.kind=fcn", "--input.encoding=int8", "--network.aux=true", "--task.aux_weight=0.2"],
        ["--network.name=mobilenet_v3_small", "--network.stem=folded", "--input.pixels_per_block=8"],
        ["--input={kind: rgb, pixels: [48, 64]}"],
    ],
)
def test_other_segmenters_and_inputs_train(changes: list[str], recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["train", str(recipe), "--output", str(tmp_path / "run"), *changes]) == 0
    assert "mIoU" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert main(["predict", str(tmp_path / "run"), str(recipe.parent / "photos" / "4.jpg")]) == 0


def test_masks_teach_what_annotations_teach(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    folder = recipe.parent
    masked = tmp_path / "masked.yaml"
    data = f"train: '{folder}/photos', train_masks: '{folder}/masks', train_names: '{folder}/train.txt', "
    data += f"val: '{folder}/photos', val_masks: '{folder}/masks', val_names: '{folder}/val.txt', "
    data += f"classes: '{folder}/classes.txt', batch_size: 2, threads: 1"
    written = recipe.read_text()
    masked.write_text(f"data: {{{data}}}\n" + written[written.index("input:") :])
    assert main(["train", str(masked), "--output", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    masks = json.loads(capsys.readouterr().out)
    assert main(["train", str(recipe), "--output", str(tmp_path / "other")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "other"), "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert 0 < drawn["pixels"] - masks["pixels"] < 0.05 * drawn["pixels"]  # the row that the masks ignore
    assert masks["classes"][1]["pixels"] == drawn["classes"][1]["pixels"]
    asked = [str(tmp_path / "run"), str(folder / "photos" / "4.jpg"), "--annotations", str(folder / "masks")]
    assert main(["predict", *asked]) == 0


def test_a_run_on_pixels_is_folded_and_trained_further(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    pixels = ["--input={kind: rgb, pixels: [48, 64]}"]
    assert main(["train", str(recipe), "--output", str(tmp_path / "rgb"), *pixels]) == 0
    start = ["--network.stem=folded", "--network.from_run", str(tmp_path / "rgb"), "--input.bands=192"]
    rate = ["--optimization.learning_rate=1e-9"]
    assert main(["train", str(recipe), "--output", str(tmp_path / "folded"), *start, *rate]) == 0
    before, after = (load_segmenter(tmp_path / name).network.state_dict() for name in ("rgb", "folded"))
    name = "network.classifier.high_classifier.weight"
    (folded_name,) = (key for key in after if key.endswith("classifier.high_classifier.weight"))
    torch.testing.assert_close(after[folded_name], before[name], rtol=0, atol=1e-6)
    capsys.readouterr()
    other = ["--network.stem=folded", "--network.from_run", str(tmp_path / "rgb"), "--network.kind=fcn"]
    assert main(["train", str(recipe), "--output", str(tmp_path / "fcn"), *other]) == 2
    assert "is of another network: lraspp, resnet18, not fcn, resnet18" in capsys.readouterr().err
    assert main(["train", str(recipe), "--output", str(tmp_path / "back"), *pixels, *other[1:3]]) == 0
    back = ["--network.from_run", str(tmp_path / "folded"), *pixels]
    assert main(["train", str(recipe), "--output", str(tmp_path / "wrong"), *back]) == 2
    assert "it is on coefficients, and pixels are asked for" in capsys.readouterr().err


def test_photos_are_drawn_and_their_labels_written(run: Path, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    photos = recipe.with_name("photos")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    asked = [str(run), str(photos / "5.jpg"), str(tmp_path / "broken.jpg"), str(photos / "4.jpg")]
    out = tmp_path / "out"
    assert main(["predict", *asked, "--json", "--output", str(out), "--beside", str(run)]) == 1
    told = capsys.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["5.jpg", "4.jpg"]
    assert "broken.jpg" in told.err
    assert "1 of 3 files could not be read" in told.err
    for row, number in zip(rows, (5, 4), strict=True):
        with Image.open(row["labels"]) as labels:
            values = np.asarray(labels)
        assert values.shape == SIZES[number]
        shares = {"background": float((values == 0).mean()), "lamp": float((values == 1).mean())}
        assert row["shares"] == pytest.approx({name: share for name, share in shares.items() if share}, abs=1e-6)
        with Image.open(row["drawn"]) as drawn:
            assert min(drawn.size) > 100
    assert main(["predict", str(run), str(photos), "--annotations", str(recipe.with_name("val.json"))]) == 0
    told = capsys.readouterr().out
    assert "share of pixels" in told
    assert f"drawn, and as label maps: {run / 'predictions'}" in told
    assert len(list((run / "predictions").glob("*-labels.png"))) == 5


def test_a_segmenter_draws_what_its_network_answers(run: Path, recipe: Path) -> None:
    trained = load_segmenter(run, weights="last")
    (photo,) = trained.predict([recipe.parent / "photos" / "1.jpg"])
    assert photo.labels.shape == photo.scores.shape == SIZES[1]  # type: ignore[union-attr]
    assert float(photo.scores.min()) >= 0.5  # type: ignore[union-attr]  # of two classes the better one
    assert sum(photo.shares(2)) == pytest.approx(1)  # type: ignore[union-attr]


def test_commands_say_what_does_not_fit_a_segmenter(run: Path, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    photo = str(recipe.parent / "photos" / "4.jpg")
    for words, text in (
        (["evaluate", str(run), "--data", str(recipe.parent)], "is a segmenter's run, scored on its recipe's photos"),
        (["predict", str(run), photo, "--min-score", ".5"], "is a segmenter's run; leave out --build and --min-score"),
        (["predict", str(run), "-"], "a segmenter draws on named files; it does not read standard input"),
        (["select", str(run), "--channels", "3", "-o", str(tmp_path / "s.json")], "has no gate"),
        (
            ["fold", str(run), "-o", str(tmp_path / "f.pt")],
            "task.kind is segmentation, and a classifier is wanted here",
        ),
    ):
        assert main(words) == 2
        assert text in capsys.readouterr().err


def test_the_table_has_segmenters_scores(run: Path, capsys: Captured) -> None:
    assert main(["table", str(run), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    last = read_records(run / "records.jsonl").metrics("val", "miou")[-1]
    assert row["mIoU %"] == f"{100 * last.value:.1f}"
    assert (row["n"], row["network"], row["bytes"]) == ("2", "lraspp, resnet18", "4608")
    assert "top-1 %" not in row


def test_segmenters_are_compared_and_not_with_classifiers(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    other = tmp_path / "eight.yaml"
    other.write_text(recipe.read_text().replace("bands: S-6", "bands: S-6, encoding: int8"))
    output = tmp_path / "compared"
    assert main(["compare", str(recipe), str(other), "-o", str(output)]) == 0
    with (output / "table.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert [int(rows[name]["bytes"]) for name in ("segmenter", "eight")] == [4608, 1152]
    assert (output / "score_over_bytes.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    classifier = tmp_path / "classifier.yaml"
    classifier.write_text("data: {train: a, val: b}\ninput: {bands: S-6, grid: [2, 3]}\n")
    assert main(["compare", str(recipe), str(classifier), "-o", str(tmp_path / "mixed")]) == 2
    assert "the recipes are of several kinds (classification, segmentation)" in capsys.readouterr().err


def test_annotations_of_other_classes_are_not_drawn(run: Path, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    values = json.loads(recipe.with_name("val.json").read_text())
    values["categories"][0]["name"] = "moon"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(values))
    photos = str(recipe.parent / "photos")
    assert main(["predict", str(run), photos, "--annotations", str(other), "-o", str(tmp_path / "drawn")]) == 2
    assert "other.json: has the classes background, moon" in capsys.readouterr().err


def test_photos_that_cannot_be_read_are_told_by_the_exit_status(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    shutil.copytree(recipe.parent / "photos", tmp_path / "photos")
    for number in (1, 5):  # one of either part
        path = tmp_path / "photos" / f"{number}.jpg"
        path.write_bytes(path.read_bytes()[:900])
    words = [f"--data.train={tmp_path}/photos", f"--data.val={tmp_path}/photos", "--data.on_error=skip"]
    words += ["--data.max_bad_fraction=0.9", "--output", str(tmp_path / "run")]
    assert main(["train", str(recipe), *words]) == 1
    assert "2 files could not be read and were left out" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run")]) == 1
    assert "1 file could not be read and was left out" in capsys.readouterr().err
