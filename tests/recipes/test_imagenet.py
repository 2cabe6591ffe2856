"""The recipes of the paper's tables: each kind trains, is stopped and resumes, on a data set as small as it may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.interrupts import reading_fails

from prepixel.data import CropLoader, write_synthetic
from prepixel.recipes import read_recipe
from prepixel.runs import run

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "imagenet").glob("*.yaml"))
STEPS, STOPPED_AT = 20, 13
# Images, batch and grid are small, so is the rate that such batches bear, and what only counts at full size is off.
SMALL = ["--optimization.learning_rate", "0.001"]
SMALL += ["--data.batch_size", "4", "--data.threads", "1", "--training.epochs", "1", "--training.checkpoint_steps", "5"]
SMALL += ["--training.device", "cpu", "--training.tensorboard", "false", "--training.precision", "float32"]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagenet") / "data"
    write_synthetic(folder, num_train_per_class=8, num_val_per_class=1, min_side=64, max_side=128)
    return folder


def test_the_tables_are_whole() -> None:
    rows = {"rgb", "dct192", "dct64", "dct48", "dct48t", "dct24", "dct24t", "dct24l", "gates24"}
    names = {f"resnet50_{row}" for row in rows} | {
        f"mobilenet_v2_{row}" for row in ("rgb", "dct6", "dct12", "dct24", "dct32")
    }
    assert {path.stem for path in RECIPES} == names


# One of each kind is trained: with the others it has all in common but the bands, which other tests read and build.
TRAINED = ("resnet50_rgb", "resnet50_dct24", "resnet50_gates24", "mobilenet_v2_rgb", "mobilenet_v2_dct6")


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem not in TRAINED], ids=lambda path: path.stem)
def test_a_recipe_that_is_not_trained_differs_from_one_that_is_in_its_bands_alone(path: Path) -> None:
    like = path.with_name("resnet50_dct24.yaml" if "resnet50" in path.stem else "mobilenet_v2_dct6.yaml")
    values, expected = (yaml.safe_load(recipe.read_text(encoding="utf-8")) for recipe in (path, like))
    assert values.pop("name") != expected.pop("name")
    assert values["input"].pop("bands") != expected["input"].pop("bands")
    assert values == expected


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem in TRAINED], ids=lambda path: path.stem)
def test_a_recipe_trains_twenty_steps_and_goes_on_where_it_was_stopped(
    path: Path, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGENET", str(imagenet))
    # not smaller: batch norm over a few values, layer after layer, makes MobileNetV2's gradients explode
    size = (
        ["--input.pixels", "64"] if "rgb" in path.stem else ["--input.grid", "16" if "mobilenet" in path.stem else "8"]
    )
    recipe = read_recipe(path, [*SMALL, *size])
    with reading_fails(CropLoader, STOPPED_AT):
        run(recipe, tmp_path / "run")
    result = run(recipe, tmp_path / "run", resume=True)
    assert (result.training.resumed_at, result.training.steps) == (STOPPED_AT // 5 * 5, STEPS)
    assert result.training.evaluation is not None
    assert result.training.evaluation.images == 10


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_header_says_how_to_run_it_what_the_paper_has_and_that_we_have_not(path: Path) -> None:
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"torchrun --nproc-per-node 8 -m prepixel.cli train recipes/imagenet/{path.name}" in header
    assert "Not yet run by us." in header
    assert re.search(r"# (Paper \(Table [12]\): top-1 \d\d\.\d{3}, top-5 \d\d\.\d{3}|The paper's )", header)
