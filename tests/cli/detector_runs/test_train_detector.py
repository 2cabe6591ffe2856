"""A detector's run from the command line: trained, stopped, resumed, folded, on several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.oracles import folded_reference

from prepixel.cli import main
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.models.detectors import SpectralBackbone
from prepixel.recipes import DetectionRecipe, read_any_recipe
from prepixel.records import MetricRow, RunRow, read_records
from prepixel.runs import RunFolder, load_detector
from prepixel.runs.build_detector import build_recipe_detector
from prepixel.spectrum import BandSet, PaddedSpectrum, Statistics, open_images

Captured = pytest.CaptureFixture[str]


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
    assert ": finished before, after step 1; nothing is left to train" in capsys.readouterr().out
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
    "path", sorted((Path(__file__).parents[3] / "recipes" / "coco").glob("*.yaml")), ids=lambda one: one.stem
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
