"""A detector's run from the command line: trained, stopped, gone on with, scored in COCO's figures and format."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from tests.older_runs import forget
from tests.oracles import folded_reference

from prepixel.cli import main
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.models.detectors import SpectralBackbone
from prepixel.recipes import DetectionRecipe, read_any_recipe
from prepixel.records import MetricRow, RunRow, ScoreRow, read_records
from prepixel.runs import RunFolder, load_detector
from prepixel.runs.build_detector import build_recipe_detector
from prepixel.spectrum import BandSet, PaddedSpectrum, Statistics, open_images

Captured = pytest.CaptureFixture[str]
RECIPE = """
data: {{train: '{0}/photos', train_annotations: '{0}/train.json', val: '{0}/photos', val_annotations: '{0}/val.json',
  batch_size: 2, threads: 1}}
input: {{kind: spectrum, bands: S-6, min_sizes: [64], max_size: 96}}
network: {{kind: faster_rcnn, name: resnet18, channels: 8}}
task: {{kind: detection}}
optimization: {{learning_rate: 0.001}}
training: {{epochs: 1, device: cpu, tensorboard: false, record_steps: 1}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five photos of one bright object each, the last of none, and a recipe that learns the first three."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(3)
    images, annotations = [], []
    for number in range(1, 6):
        height, width = 71 + 4 * number, 97 + 6 * number
        pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        if number < 5:
            left, top, w, h = 11 + number, 9, 40 + number, 43
            pixels[top : top + h, left : left + w] = 230
            corners = [float(place) for place in (left, top, left + w, top, left + w, top + h, left, top + h)]
            one = {"id": number, "image_id": number, "category_id": 3, "bbox": [left, top, w, h], "iscrowd": 0}
            annotations.append({**one, "area": w * h, "segmentation": [corners]})
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number}.jpg", "height": height, "width": width})
    categories = [{"id": 3, "name": "lamp"}, {"id": 8, "name": "moon"}]
    for part, kept in (("train", (1, 2, 3)), ("val", (4, 5))):
        document = {
            "images": [one for one in images if one["id"] in kept],
            "annotations": [one for one in annotations if one["image_id"] in kept],
            "categories": categories,
        }
        (folder / f"{part}.json").write_text(json.dumps(document))
    (folder / "detector.yaml").write_text(RECIPE.format(folder))
    return folder / "detector.yaml"


@pytest.fixture(scope="module")
def run(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "detector"
    assert main(["train", str(recipe), "--output", str(folder)]) == 0
    return folder


def test_a_run_keeps_all_that_tells_about_it(run: Path) -> None:
    place = RunFolder(run)
    recipe = read_any_recipe(place.recipe)
    assert isinstance(recipe, DetectionRecipe)
    assert recipe.name == "detector"
    assert place.read_classes() == ("lamp", "moon")
    assert Statistics.read(place.statistics).num_images == 3
    rows = read_records(place.records).rows
    (first,) = [row for row in rows if isinstance(row, RunRow)]
    assert first.facts["network"] == "faster_rcnn, resnet18"
    assert (first.facts["train_images"], first.facts["val_images"]) == (3, 2)
    assert first.facts["source"] == "frames of 64 to 96, from 128 to 192"
    blocks = 16 * 21  # of a photo of 480 x 640 the frame is 64 x 84
    assert (first.facts["values_per_sample"], first.facts["bytes_per_sample"]) == (6 * blocks, 4 * 6 * blocks)
    assert int(first.facts["macs"]) > 1e8
    names = {(row.split, row.name) for row in rows if isinstance(row, MetricRow)}
    assert {("train", "loss_classifier"), ("val", "box_ap"), ("val", "box_ar100"), ("val", "box_ap/lamp")} <= names
    assert ("val", "box_ap/moon") not in names


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


def test_photos_that_cannot_be_read_are_told_by_the_exit_status(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    """Of training, of a resumed part of it, and of evaluation; a finished run reads nothing when it is resumed."""
    shutil.copytree(recipe.parent / "photos", tmp_path / "photos")
    for number in (1, 5):  # one of either part
        path = tmp_path / "photos" / f"{number}.jpg"
        path.write_bytes(path.read_bytes()[:900])
    folder = tmp_path / "run"
    words = [f"--data.train={tmp_path}/photos", f"--data.val={tmp_path}/photos", "--data.on_error=skip"]
    words += ["--data.max_bad_fraction=0.9", "--output", str(folder)]
    assert main(["train", str(recipe), *words]) == 1
    assert "2 files could not be read and were left out" in capsys.readouterr().err
    assert main(["evaluate", str(folder)]) == 1
    assert "1 file could not be read and was left out" in capsys.readouterr().err
    assert main(["train", str(recipe), *words, "--resume"]) == 0
    assert "left out" not in capsys.readouterr().err
    shutil.rmtree(folder / "checkpoints")  # as a run that was killed in its first epoch
    assert main(["train", str(recipe), *words, "--resume"]) == 1
    assert "2 files could not be read and were left out" in capsys.readouterr().err
    document = json.loads(recipe.with_name("val.json").read_text())
    bad = {**document["annotations"][0], "id": 99, "iscrowd": "0"}
    (tmp_path / "val.json").write_text(json.dumps({**document, "annotations": [*document["annotations"], bad]}))
    written = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(written.replace(str(recipe.with_name("val.json")), str(tmp_path / "val.json")))
    shutil.copy(recipe.parent / "photos" / "5.jpg", tmp_path / "photos")
    assert main(["evaluate", str(folder)]) == 1
    assert "1 entry of the annotations left out, the first: " in capsys.readouterr().err
    (tmp_path / "val.json").write_text(json.dumps({**document, "annotations": [bad]}))
    assert main(["evaluate", str(folder)]) == 2
    assert (
        "the 2 images that were counted show no object, so nothing can be scored; validate" in capsys.readouterr().err
    )


def test_a_run_goes_on_where_it_was_and_not_with_another_recipe(run: Path, recipe: Path, capsys: Captured) -> None:
    assert main(["train", str(recipe), "--output", str(run)]) == 2
    assert "holds a run already; resume it with --resume" in capsys.readouterr().err
    assert main(["train", str(recipe), "--output", str(run), "--resume"]) == 0
    assert "since step 1" in capsys.readouterr().out
    other = ["train", str(recipe), "--output", str(run), "--resume", "--network.channels", "4"]
    assert main(other) == 2
    assert "network.channels was 8, is 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        ["--network.kind=mask_rcnn", "--network.name=mobilenet_v2", "--network.stem=folded", "--input.bands=192"],
        ["--network.kind=fcos", "--network.channels=64", "--gate.kind=static", "--gate.channels=4"],
        ["--input={kind: rgb, min_sizes: [64], max_size: 96}", "--network.kind=retinanet"],
        ["--network.kind=mask_rcnn", "--network.heads=small", "--input.encoding=int8", "--data.one_class=true"],
    ],
)
def test_other_detectors_and_inputs_train(changes: list[str], recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["train", str(recipe), "--output", str(tmp_path / "run"), *changes]) == 0
    told = capsys.readouterr().out
    assert ("mask" in told) == ("mask_rcnn" in changes[0])
    assert ("channels on" in told) == any("gate" in change for change in changes)
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert main(["predict", str(tmp_path / "run"), str(recipe.parent / "photos" / "4.jpg"), "--min-score", ".1"]) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("--network.stem=folded --input.pixels_per_block=3", "pixels_per_block is 3; it can be 1, 2, 4 or 8"),
        ("--input.pixels_per_block=8", "a trunk without its stem has 4; set it, or take network.stem: folded"),
        ("--input.bands=null", "kind spectrum needs bands, for example bands: S-24"),
        ("--input.max_size=32", "1 <= every min size <= max_size"),
        ("--data.val=null", "val and val_annotations go together; give both, or neither"),
        ("--data.batch_size=0", "batch_size is 0; it must be 1 or greater"),
        ("--data.batch_size=4", "data.batch_size is 4, and"),
        ("--input.kind=rgb --input.bands=null --input.encoding=int8", "encoding, statistics and filter belong to kind"),
        ("--gate.kind=dynamic --gate.bytes=99", "gate.bytes counts the bytes of one size of grid"),
        ("--network.kind=fcos", "channels is 8; fcos normalizes 32 groups of them: take 64, 96, ... or 256"),
        ("--input.min_size=3", "nearest: input.min_sizes"),
        ("--network.name=vgg11", "vgg11 without its stem is no trunk for detectors"),
        ("--data.val_annotations=nowhere.json", "nowhere.json: the annotations cannot be read"),
        ("--network.rgb_weights=nowhere.pt", "nowhere.pt cannot be read as a file of torch weights"),
    ],
)
def test_what_does_not_fit_is_named(change: str, told: str, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["train", str(recipe), "--output", str(tmp_path / "run"), *change.split()]) == 2
    assert told in capsys.readouterr().err


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


def test_bad_annotations_are_left_out_and_told_where_the_recipe_says_so(
    recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    document = json.loads(recipe.with_name("train.json").read_text())
    document["annotations"][0]["bbox"] = [1, 2, 0, 5]
    (tmp_path / "bad.json").write_text(json.dumps(document))
    arguments = ["train", str(recipe), f"--data.train_annotations={tmp_path / 'bad.json'}"]
    assert main([*arguments, "--output", str(tmp_path / "raised")]) == 2
    assert "its bbox is [1, 2, 0, 5], and has no area" in capsys.readouterr().err
    assert main([*arguments, "--output", str(tmp_path / "skipped"), "--data.on_error=skip"]) == 1
    assert "1 entry of the annotations left out, the first: " in capsys.readouterr().out


def test_a_detectors_run_is_scored_on_its_own_photos(run: Path, recipe: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(run), "--data", str(recipe.parent)]) == 2
    assert "is a detector's run, scored on its recipe's images; leave out --data" in capsys.readouterr().err


def test_a_detector_on_pixels_is_folded_and_goes_on_behind_a_gate(
    recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    pixels = ["--input={kind: rgb, min_sizes: [64], max_size: 96}", "--network.freeze_norms=true"]
    assert main(["train", str(recipe), "-o", str(tmp_path / "rgb"), *pixels]) == 0
    start = ["--network.stem=folded", "--network.freeze_norms=true", f"--network.from_run={tmp_path / 'rgb'}"]
    start += ["--input.bands=192", "--input.pixels_per_block=8", "--gate.kind=static", "--gate.channels=24"]
    still = [*start, "--optimization.learning_rate=1e-12"]
    assert main(["train", str(recipe), "-o", str(tmp_path / "folded"), *still]) == 0
    trained, original = (load_detector(tmp_path / name, weights="last") for name in ("folded", "rgb"))
    assert isinstance(trained.network.backbone, SpectralBackbone)
    trained.network.backbone.gate = None
    photo = str(recipe.parent / "photos" / "4.jpg")
    draw = FrameSettings((64,), 96, 8).make_params((87, 121), np.random.default_rng(0), training=False)
    values = SpectrumFrames(BandSet.parse("192"), 8, multiple=4)
    frame = values.read(open_images([photo]), [draw], 1).inputs
    assert isinstance(frame, PaddedSpectrum)
    rows, columns = frame.grids[0]
    spectrum = frame.spectrum.values[0, :, :rows, :columns]
    exact = torch.from_numpy(folded_reference.rgb(spectrum.double().numpy(), 8, "dct")).float()
    with torch.inference_mode():
        ours = trained.network(frame)[0]
        theirs = original.network([exact])[0]
    assert len(theirs["boxes"]) > 0
    torch.testing.assert_close(ours["boxes"], theirs["boxes"], rtol=0, atol=1e-2)
    torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=0, atol=1e-4)
    capsys.readouterr()
    other = ["--network.kind=mask_rcnn", "--network.heads=small"]
    assert main(["train", str(recipe), "-o", str(tmp_path / "other"), *start, *other]) == 2
    assert "network.from_run: " in (told := capsys.readouterr().err)
    assert "rgb is of another network: faster_rcnn, not mask_rcnn" in told


def test_two_processes_train_and_score_a_detector_together(recipe: Path, tmp_path: Path) -> None:
    launcher = ["torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    words = ["train", str(recipe), "-o", str(tmp_path / "run"), "--network.kind=mask_rcnn", "--network.heads=small"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "--nproc-per-node=2", "-m", "prepixel.cli", *words, "--training.epochs=2"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 steps") == 1  # one of them speaks; three photos are one batch of two an epoch
    records = read_records(tmp_path / "run" / "records.jsonl")
    assert records.of_kind(RunRow)[-1].facts["processes"] == 2
    assert [(row.epoch, row.n) for row in records.metrics("val", "mask_ap")] == [(1.0, 2), (2.0, 2)]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "recipes" / "coco").glob("*.yaml")), ids=lambda one: one.stem
)
def test_the_papers_recipes_build_their_detectors(path: Path) -> None:
    recipe = read_any_recipe(path)
    assert isinstance(recipe, DetectionRecipe)
    network = build_recipe_detector(recipe, 80)
    assert (network.kind, network.num_classes) == (recipe.network.kind, 80)
    channels = {None: "rgb", "S-24": "dct24", "S-64": "dct64"}[recipe.input.bands]
    assert path.stem == f"{recipe.network.kind}_{channels}"
    assert "Not yet run by us" in path.read_text()
    others = [read_any_recipe(one) for one in path.parent.glob("*.yaml")]
    assert all((one.optimization, one.training) == (recipe.optimization, recipe.training) for one in others)


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
    assert "some recipes are of classifiers, some of detectors; compare them separately" in capsys.readouterr().err
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
