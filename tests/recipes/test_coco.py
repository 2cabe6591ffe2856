"""The recipes of the paper's detection tables start, train, are stopped, go on and are scored, on small photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tests.data.coco_files import document, write_photos
from tests.data.coco_files import write as write_annotations
from tests.interrupts import reading_fails

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.detection_loader import DetectionLoader
from prepixel.recipes import DetectionRecipe, read_any_recipe
from prepixel.recipes.parsing import expand_path
from prepixel.runs import run_detection
from prepixel.runs.build_classifier import read_rgb_weights
from prepixel.runs.build_detector import (
    CocoFolders,
    build_detection_loader,
    build_detection_task,
    build_recipe_detector,
)

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted((FOLDER / "coco").glob("*.yaml"))
SMALL_SET = sorted(FOLDER.glob("coco_mini_*.yaml"))
ONE_PERSON = [FOLDER / f"coco_person_{name}.yaml" for name in ("rgb", "dct24", "dct64", "luma16")]
STEPS, STOPPED_AT = 20, 13
SMALL = ["--data.batch_size", "1", "--input.min_sizes", "[64]", "--input.max_size", "96", "--training.epochs", "1"]
SMALL += ["--training.checkpoint_steps", "10", "--training.device", "cpu", "--training.tensorboard", "false"]
SMALL += ["--training.precision", "float32", "--optimization.learning_rate", "0.0001"]


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write COCO's layout: twenty photos to train, two to score, each of one bright object."""
    folder = tmp_path_factory.mktemp("coco")
    generator = np.random.default_rng(5)
    (folder / "annotations").mkdir()
    for part, count in (("train2017", STEPS), ("val2017", 2)):
        (folder / part).mkdir()
        images, objects = [], []
        for number in range(1, count + 1):
            pixels = generator.integers(0, 90, (71, 97, 3), dtype=np.uint8)
            left, top, width, height = 9 + number, 11, 43, 37
            pixels[top : top + height, left : left + width] = 230
            Image.fromarray(pixels).save(folder / part / f"{number}.jpg", quality=90)
            images.append({"id": number, "file_name": f"{number}.jpg", "height": 71, "width": 97})
            corners = [left, top, left + width, top, left + width, top + height, left, top + height]
            one = {"id": number, "image_id": number, "category_id": 3, "bbox": [left, top, width, height]}
            objects.append({**one, "iscrowd": 0, "area": width * height, "segmentation": [corners]})
        document = {"images": images, "annotations": objects, "categories": [{"id": 3, "name": "lamp"}]}
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(document))
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50().state_dict(), folder / "resnet50.pt")
    return folder


def test_the_tables_are_whole() -> None:
    assert {path.stem for path in RECIPES} == {
        f"{k}_rcnn_{r}" for k in ("faster", "mask") for r in ("rgb", "dct24", "dct64")
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_twenty_steps_goes_on_where_it_was_stopped_and_is_scored(
    path: Path, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COCO", str(coco))
    monkeypatch.setenv("RESNET50", str(coco / "resnet50.pt"))
    recipe = read_any_recipe(path, SMALL)
    assert isinstance(recipe, DetectionRecipe)
    with reading_fails(DetectionLoader, STOPPED_AT):
        run_detection(recipe, tmp_path / "run")
    result = run_detection(recipe, tmp_path / "run", resume=True)
    assert (result.training.resumed_at, result.training.steps) == (STOPPED_AT // 10 * 10, STEPS)
    assert result.training.evaluation is not None
    scores = result.training.evaluation.row()
    assert ("mask_ap" in scores) == path.stem.startswith("mask")
    assert 0 <= scores["box_ap"] <= 1


@pytest.mark.data
@pytest.mark.parametrize("path", [*SMALL_SET, *ONE_PERSON], ids=lambda path: path.stem)
def test_a_recipe_of_the_small_set_learns_from_its_photos(
    path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPIXEL_DATA", str(photos))
    recipe = read_any_recipe(path, ["--input.min_sizes", "[64]", "--input.max_size", "96"])
    assert isinstance(recipe, DetectionRecipe)
    folders = CocoFolders.of(recipe)
    expected = (330, ("person",)) if path in ONE_PERSON else (169, ("object",))  # one photo shows nothing
    assert (len(folders.train), folders.train.classes) == expected
    assert recipe.network.rgb_weights is not None
    weights = read_rgb_weights(expand_path(recipe.network.rgb_weights, "network.rgb_weights"))
    network = build_recipe_detector(recipe, 1, None, weights).train()
    loader = build_detection_loader(recipe, folders.train, None, training=True)
    loss = build_detection_task(network, folders.train).loss(network, next(iter(loader.epoch(0))))
    loss.backward()
    assert 0 < loss.item() < 20
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_a_recipe_may_use_no_indexes(tmp_path: Path) -> None:
    write_photos(tmp_path)
    photos = CocoDataset(write_annotations(tmp_path, document()), tmp_path)
    for words, choice in (((), "auto"), (("--data.use_indexes=false",), None)):
        recipe = read_any_recipe(SMALL_SET[0], words)
        assert isinstance(recipe, DetectionRecipe)
        loader = build_detection_loader(recipe, photos, None, training=False)
        assert loader.dataset.indexes.choice == choice


@pytest.mark.parametrize(("paths", "count"), [(SMALL_SET, 5), (ONE_PERSON, 4)])
def test_recipes_of_a_small_set_differ_in_what_they_see_alone(paths: list[Path], count: int) -> None:
    recipes = [read_any_recipe(path) for path in paths]
    assert len(recipes) == count
    common = {(one.data, one.optimization, one.training, one.input.min_sizes) for one in recipes}
    assert len(common) == 1
