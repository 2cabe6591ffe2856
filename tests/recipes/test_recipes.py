"""A recipe says all that a run is; whatever is wrong with one is named by its key, with what would be right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tests.recipes.small import PIXELS, PIXELS_INPUT, SMALL, parse

from prepixel.errors import RecipeError
from prepixel.gates import GateSettings
from prepixel.recipes import Recipe, read_any_recipe, read_recipe, recipe_values, write_recipe
from prepixel.recipes.parsing import expand_path, recipe_differences
from prepixel.runs import RunFolder
from prepixel.runs import build_classifier as building
from prepixel.runs.build_classifier import build_network
from prepixel.spectrum import BandSet

ROOT = Path(__file__).resolve().parents[2]


def test_recipe_is_typed_and_completed() -> None:
    recipe = parse(SMALL + "training: {epochs: 7, checkpoint_steps: 3}\noptimization: {learning_rate: 1e-3}\nseed: 13")
    assert (recipe.name, recipe.seed, recipe.data.batch_size) == ("small", 13, 11)
    assert recipe.input.grid == (3, 5)
    assert (recipe.training.epochs, recipe.training.checkpoint_steps) == (7, 3)
    assert recipe.optimization.learning_rate == 0.001
    assert recipe.optimization.momentum == 0.9


def test_overrides_are_typed_and_win() -> None:
    words = [
        "--optimization.learning_rate",
        "2e-2",
        "--input.grid=[7, 13]",
        "--seed",
        "3",
        "--training.compile",
        "true",
    ]
    recipe = parse(SMALL, *words, "--optimization.max_gradient_norm", "1", "--data.val", "null", "--name", "5")
    assert recipe.optimization.learning_rate == 0.02
    assert recipe.optimization.max_gradient_norm == 1.0
    assert isinstance(recipe.optimization.max_gradient_norm, float)
    assert recipe.input.grid == (7, 13)
    assert (recipe.seed, recipe.training.compile, recipe.data.val, recipe.name) == (3, True, None, "5")


def test_one_number_is_a_square_and_a_number_names_a_band_set() -> None:
    recipe = parse(SMALL, "--input.grid", "7", "--input.bands", "192")
    assert (recipe.input.grid, recipe.input.bands) == ((7, 7), "192")


def test_written_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = parse(SMALL + "seed: 5\ntask: {label_smoothing: 0.1}\nname: größer\n")
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8")) == recipe_values(recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_name_of_a_recipe_without_one_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMALL)
    assert read_recipe(tmp_path / "tiny.yaml").name == "tiny"


def test_yaml_that_would_expand_is_refused_before_it_does(tmp_path: Path) -> None:
    """Aliases of nine levels stand for a thousand million values; nothing of a recipe needs them."""
    levels = ["&b0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        levels.append(f"&b{level} [{levels[-1]}, {', '.join([f'*b{level - 1}'] * 9)}]")
    (tmp_path / "recipe.yaml").write_text(f"name: {levels[-1]}\n{SMALL}")
    message = r"recipe.yaml: not YAML: line 1, column \d+: the alias \*b0: recipes have no aliases; write the value out"
    with pytest.raises(RecipeError, match=message):
        read_any_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match="the alias"):
        RunFolder(tmp_path).read_recipe()
    with pytest.raises(RecipeError, match="nested more than 20 levels deep"):
        parse("name: " + "[" * 100_000)
    with pytest.raises(RecipeError, match="nested more than 20 levels deep"):
        parse("name: " + "[" * 25 + "]" * 25)
    (tmp_path / "large.yaml").write_text("# " + "x" * 1_000_000)
    with pytest.raises(RecipeError, match=r"large.yaml: is larger than 1,000,000 bytes, which no recipe is"):
        read_any_recipe(tmp_path / "large.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match=r"pipe.yaml: is not a regular file; give a recipe's .yaml file"):
        read_any_recipe(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match="must be") as caught:
        parse(SMALL, "--seed", "[" + "1, " * 10_000 + "1]")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["? [a, b]\n: 3", "2020-99-99", "!!binary x", "{a: !!int x}", "- 3", "? {a: 1}\n: 2"])
def test_yaml_of_another_kind_is_one_line(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^small.yaml: "):
        parse(f"{text}\n")


def test_recipes_are_read_without_torch() -> None:
    code = "import sys, prepixel.recipes, prepixel.reports.run_table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
CLASSIFIERS = [path for path in RECIPES if isinstance(read_any_recipe(path), Recipe)]


@pytest.mark.parametrize("path", CLASSIFIERS, ids=lambda path: path.stem)
def test_committed_recipe_is_a_recipe_with_a_network(path: Path) -> None:
    recipe = read_recipe(path)
    bands = None if recipe.input.bands is None else BandSet.parse(recipe.input.bands)
    with torch.device("meta" if recipe.network.stem == "removed" else "cpu"):  # others compute
        building.build_task(recipe, 10)
        assert sum(p.numel() for p in build_network(recipe, 10, bands, None).parameters()) > 2_000_000
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("optimizaton: {lr: 3}", "optimizaton: no such key; nearest: optimization"),
        ("training: {epoch: 3}", "training.epoch: no such key; nearest: training.epochs"),
        ("task: {epoch: 3}", "task.epoch: no such key; nearest: training.epochs"),
        ("task: {epochs: 3}", "task.epochs: no such key; nearest: training.epochs"),
        ("label_smoothing: .1", "label_smoothing: no such key; nearest: task.label_smoothing"),
        ("gate: {kind: static, chanels: 3}", "gate.chanels: no such key; nearest: gate.channels"),
        ("gate: {kind: static}", "gate: loss budget needs one of channels and bytes; for example channels: 24"),
        ("gate: {floors: [1, 2]}", "gate.floors is [1, 2]; it must be a list of 3, each a whole number"),
        ("network: {from_run: a, rgb_weights: b}", "network: network.from_run and network.rgb_weights both say how"),
        ("task: {qqq: 3}", "task.qqq: no such key; task has kind, label_smoothing"),
        ("training: {epochs: many}", "training.epochs is 'many'; it must be a whole number"),
        ("training: {epochs: 1.5}", "training.epochs is 1.5; it must be a whole number"),
        ("training: {epochs: true}", "training.epochs is true; it must be a whole number"),
        ("training: {epochs: null}", "training.epochs is null; it must be a whole number"),
        ("training: {checkpoint_steps: x}", "training.checkpoint_steps is 'x'; it must be a whole number or null"),
        ("training: {compile: 3}", "training.compile is 3; it must be true or false"),
        ("training: {precision: int8}", "training.precision is 'int8'; it must be float32 or bfloat16 or float16"),
        ("optimization: {learning_rate: [1]}", "optimization.learning_rate is [1]; it must be a number"),
        ("optimization: {learning_rate: -1}", "optimization: learning_rate is -1.0; it must be greater than 0"),
        ("training: 3", "training is 3; it must be a section with epochs, seed, precision"),
        ("training: {seed: 3}", "training.seed is set; the seed is stated once, as seed at the top of the recipe"),
        ("seed: -3", "seed is -3; it must be from 0 to 4294967295"),
        ("task: {label_smoothing: 1}", "task: label_smoothing is 1.0; it must be at least 0 and below 1"),
        ("seed: 3\nseed: 5", "not YAML: line 5, column 1: the key 'seed' is given twice"),
        ("task: [", "not YAML: line 5, column 1: expected the node content"),
    ],
)  # fmt: skip
def test_mistake_in_the_file_is_named(extra: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(f"{SMALL}{extra}\n")
    assert str(caught.value).startswith(f"small.yaml: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": None}, "kind spectrum needs grid; for example grid: 28, the blocks of a 224 x 224 image"),
        ({"bands": None}, "kind spectrum needs bands; for example bands: S-24"),
        ({"kind": "rgb", "bands": None, "grid": None}, "kind rgb needs pixels; for example pixels: 224"),
        ({"pixels": 3}, "pixels belongs to kind rgb, and kind is spectrum; remove one of the two"),
        ({"kind": "rgb", "pixels": 3}, "bands belongs to kind spectrum, and kind is rgb; remove one of the two"),
        (PIXELS_INPUT | {"filter": "bicubic"}, "and kind rgb resizes by"),
        ({"kind": "dct"}, "input.kind is 'dct'; it must be spectrum or rgb"),
        ({"grid": [0, 5]}, "grid is [0, 5]; both sides must be 1 or greater"),
        ({"grid": [3]}, "input.grid is [3]; it must be a list of 2, each a whole number, or one number"),
        ({"areas": [0.5, 0.25]}, "areas is [0.5, 0.25]; it must be [low, high] with 0 < low <= high <= 1"),
        ({"areas": [0.5, 1.25]}, "areas is [0.5, 1.25]; it must be [low, high] with 0 < low <= high <= 1"),
        ({"ratios": [0, 1]}, "ratios is [0.0, 1.0]; it must be [low, high] with 0 < low <= high"),
        ({"crop_fraction": 0}, "crop_fraction is 0.0; it must be above 0 and at most 1"),
        ({"flip_probability": 2}, "flip_probability is 2.0; it must be from 0 to 1"),
        ({"statistics_images": 0}, "statistics_images is 0; it must be 1 or greater"),
    ],
)  # fmt: skip
def test_input_that_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    values = yaml.safe_load(SMALL)
    values["input"] |= change
    with pytest.raises(RecipeError) as caught:
        parse(yaml.safe_dump(values))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "data: batch_size is 0; it must be 1 or greater"),
        ({"batch_size": 6, "repeats": 4}, "data: batch_size is 6; it must be a multiple of repeats, 4"),
        ({"threads": -1}, "data: threads is -1; it must be 0 or greater"),
        ({"val_batch_size": 0}, "data: val_batch_size is 0; it must be 1 or greater, or null"),
        ({"max_bad_fraction": 1.5}, "data: max_bad_fraction is 1.5; it must be from 0 to 1"),
        ({"on_error": "ignore"}, "data.on_error is 'ignore'; it must be raise or skip"),
        ({"train": None}, "data.train is null; it must be text"),
    ],
)
def test_data_settings_outside_their_range_are_named(change: dict[str, object], message: str) -> None:
    values = yaml.safe_load(SMALL)
    values["data"] |= change
    with pytest.raises(RecipeError) as caught:
        parse(yaml.safe_dump(values))
    assert message in str(caught.value)


def test_stride_of_a_network_on_pixels_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"network.layer2_stride belongs to kind spectrum, and input.kind is rgb"):
        parse(f"{PIXELS}network: {{layer2_stride: 1}}")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("gate: {kind: static, channels: 3}", "gate.kind is static, and input.kind is rgb; a gate chooses frequencies"),
        ("network: {from_run: x}", "network.from_run belongs to kind spectrum, and input.kind is rgb; remove it"),
    ],
)
def test_choosing_of_channels_is_refused_on_pixels(extra: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(f"{PIXELS}{extra}")


def test_a_recipe_without_gate_reads_as_before_and_one_with_it_reads_back(tmp_path: Path) -> None:
    assert parse(SMALL).gate == GateSettings(kind="none")
    gate = "gate: {kind: dynamic, channels: 12, temperature_end: 0.5, floors: [3, 1, 1]}"
    recipe = parse(SMALL + gate, "--gate.strength", "0.5")
    assert recipe.gate == GateSettings("dynamic", "budget", 0.5, 12, None, 1.0, 0.5, "exponential", (3, 1, 1))
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {train: x}", "small.yaml: input must be given"),
        ("input: {kind: rgb, pixels: 3}", "small.yaml: data must be given"),
        ("seed: 3", "small.yaml: data and input must be given"),
        ("data: {}\ninput: {kind: rgb, pixels: 3}", "small.yaml: data.train must be given"),
        ("- 3", "small.yaml: holds no recipe; a recipe is a list of 'key: value', see recipes/"),
        ("", "small.yaml: holds no recipe; a recipe is a list of 'key: value', see recipes/"),
    ],
)
def test_what_is_missing_is_named(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training.epoch", "3"], "--training.epoch: no such key; nearest: training.epochs"),
        (["--training.epochs=x"], "--training.epochs is 'x'; it must be a whole number"),
        (["--training.epochs"], "--training.epochs needs a value: --training.epochs VALUE"),
        (["epochs", "3"], "'epochs' is neither an option nor an option's value; say --section.key value"),
        (["--seed.more", "3"], "--seed.more: seed is no section of a recipe"),
        (["--data.threads", "-1"], "small.yaml with --data.threads: data: threads is -1; it must be 0 or greater"),
    ],
)  # fmt: skip
def test_mistake_on_the_command_line_is_named_as_an_option(words: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(SMALL + "seed: 5", *words)
    assert str(caught.value) == message


def test_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.yaml: the recipe cannot be read \(No such file or directory\); check"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "photo.yaml").write_bytes(b"data: \xff\xd8")
    with pytest.raises(RecipeError, match=r"photo.yaml: not a text file in UTF-8 \(invalid start byte at byte 6\)"):
        read_recipe(tmp_path / "photo.yaml")


def test_paths_take_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PHOTOS", "/photos")
    assert expand_path("${SOME_PHOTOS}/train", "data.train") == Path("/photos/train")
    monkeypatch.delenv("SOME_PHOTOS")
    message = (
        r"data.train is \$\{SOME_PHOTOS\}/train, and the environment has no SOME_PHOTOS; set it: export SOME_PHOTOS"
    )
    with pytest.raises(RecipeError, match=message):
        expand_path("${SOME_PHOTOS}/train", "data.train")


def test_differences_name_keys() -> None:
    old, new = parse(SMALL), parse(SMALL, "--seed", "3", "--input.grid", "7")
    assert list(recipe_differences(old, new).values()) == ["seed was 0, is 3", "input.grid was [3, 5], is [7, 7]"]


# -- building ----------------------------------------------------------------------------------------------------------


def test_a_detectors_recipe_is_none_of_a_classifier() -> None:
    text = (ROOT / "recipes" / "coco" / "mask_rcnn_dct24.yaml").read_text(encoding="utf-8")
    with pytest.raises(
        RecipeError, match=r"^small.yaml: task.kind is detection, and a classifier .*; read_any_recipe and"
    ):
        parse(text)
