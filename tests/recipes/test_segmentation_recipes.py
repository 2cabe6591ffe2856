"""Recipes of segmenters: those that are committed build, and mistakes are named by their keys."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from prepixel.errors import RecipeError
from prepixel.recipes import SegmentationRecipe, parse_any_recipe, parse_recipe, read_any_recipe, recipe_values
from prepixel.runs.build_segmenter import build_recipe_segmenter

FOLDER = Path(__file__).parents[2] / "recipes"
PERSONS = sorted(FOLDER.glob("*_seg_*.yaml"))
SMALL = """
data: {train: photos, train_annotations: a.json, val: photos, val_annotations: b.json}
input: {bands: S-6, grid: [3, 5]}
network: {kind: fcn, name: resnet18}
task: {kind: segmentation}
"""
MASKS = {"train": "p", "train_masks": "m", "val": "p", "val_masks": "m", "classes": "c.txt"}
PIXELS = {"kind": "rgb", "pixels": 64}


@pytest.mark.parametrize("path", PERSONS, ids=lambda path: path.stem)
def test_committed_recipe_builds_its_segmenter(path: Path) -> None:
    recipe = read_any_recipe(path)
    assert isinstance(recipe, SegmentationRecipe)
    network = build_recipe_segmenter(recipe, 2)
    given = recipe.input.grid or recipe.input.pixels
    assert given is not None
    assert network.frame_size(given) == recipe.input.frame
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_committed_twins_differ_in_nothing_but_their_input() -> None:
    values = [recipe_values(read_any_recipe(path)) for path in PERSONS]
    assert len(values) == 3
    for one in values:
        for key in ("name", "input"):
            del one[key]
        del one["network"]["stem"]
    assert values[0] == values[1] == values[2]
    frames = {read_any_recipe(path).input.frame for path in PERSONS}  # type: ignore[union-attr]
    assert len(frames) == 1


def test_a_recipe_survives_being_written() -> None:
    recipe = parse_any_recipe(SMALL, source="small.yaml")
    assert isinstance(recipe, SegmentationRecipe)
    assert recipe.input.frame == (12, 20)
    assert parse_any_recipe(yaml.safe_dump(recipe_values(recipe)), source="again") == recipe


def test_first_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        recipe = parse_any_recipe(SMALL, source="small.yaml", overrides=["--seed", str(seed)])
        assert isinstance(recipe, SegmentationRecipe)
        return build_recipe_segmenter(recipe, 3).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert any(not torch.equal(other[name], value) for name, value in first.items())


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("data", {"train_annotations": None}, "train needs train_annotations, COCO's file, or train_masks, a folder"),
        (
            "data",
            {"train_masks": "m"},
            "train needs train_annotations, COCO's file, or train_masks, a folder; give one",
        ),
        ("data", {"val": None}, "val is null, and there are labels for it; give the folder of its photos"),
        ("data", {"val_names": "n"}, "val_names belongs to val_masks, which is not given; remove it"),
        ("data", {"classes": "c"}, "train_masks and classes, a text file of the classes' names, go together"),
        ("data", {"ignore_label": 0}, "ignore_label belongs to masks, and train_masks is not given; remove it"),
        ("data", {"batch_size": 0}, "batch_size is 0; it must be 1 or greater"),
        ("data", {"val_batch_size": 0}, "val_batch_size is 0; it must be 1 or greater, or null"),
        ("data", {"max_bad_fraction": 2}, "max_bad_fraction is 2.0; it must be from 0 to 1"),
        ("data=", {**MASKS, "one_class": True}, "one_class belongs to annotations, and train_masks is given"),
        ("data=", {**MASKS, "ignore_label": 256}, "ignore_label is 256; it must be from 0 to 255"),
        (
            "data=",
            {**MASKS, "val_masks": None, "val_annotations": "a"},
            "train and val must both have annotations, or both have masks",
        ),
        ("input", {"grid": None}, "kind spectrum needs grid; for example grid: 56, with pixels_per_block: 4 a frame"),
        ("input", {"pixels": 3}, "pixels belongs to kind rgb, and kind is spectrum; remove one of the two"),
        (
            "input=",
            {**PIXELS, "bands": "S-6"},
            "bands belongs to kind spectrum, and kind is rgb; remove one of the two",
        ),
        ("input=", {**PIXELS, "encoding": "int8"}, "encoding, filter and pixels_per_block belong to kind spectrum"),
        ("input", {"grid": 0}, "grid is [0, 0]; both sides must be 1 or greater"),
        ("input", {"pixels_per_block": 3}, "pixels_per_block is 3; it can be 1, 2, 4 or 8"),
        ("input", {"statistics_images": 0}, "statistics_images is 0; it must be 1 or greater"),
        ("input", {"scales": [2, 1]}, "scales is [2.0, 1.0]; it must be [low, high] with 0 < low <= high"),
        ("input", {"flip_probability": 2}, "flip_probability is 2.0; it must be from 0 to 1"),
        ("network", {"kind": "lraspp", "aux": True}, "lraspp has no auxiliary head; remove aux, or take fcn or"),
        ("task", {"aux_weight": -1}, "aux_weight is -1.0; it must be 0 or greater"),
    ],
)
def test_a_section_that_does_not_fit_is_named(section: str, change: dict[str, Any], message: str) -> None:
    values = copy.deepcopy(yaml.safe_load(SMALL))
    name = section.removesuffix("=")
    values[name] = change if section.endswith("=") else values[name] | change
    with pytest.raises(RecipeError) as caught:
        parse_any_recipe(yaml.safe_dump(values), source="small.yaml")
    assert str(caught.value).startswith(f"small.yaml: {name}: {message}")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("seed: -3", "seed is -3; it must be from 0 to 4294967295"),
        ("training: {seed: 3}", "training.seed is set; the seed is stated once"),
        ("gate: {kind: static}", "gate: no such key"),
    ],
)
def test_a_recipe_that_does_not_fit_is_named(extra: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_any_recipe(f"{SMALL}{extra}\n", source="small.yaml")
    assert str(caught.value).startswith(f"small.yaml: {message}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--input={kind: rgb, pixels: 64}", "--network.stem=folded"], "network.stem belongs to input.kind spectrum"),
        (
            ["--network.name=mobilenet_v2"],
            "input.pixels_per_block is 4, and mobilenet_v2 without its stem has 2; set it",
        ),
        (
            ["--input.pixels_per_block=8"],
            "input.pixels_per_block is 8, and resnet18 without its stem has 4; set it, or",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=r"small\.yaml") as caught:
        parse_any_recipe(SMALL, source="small.yaml", overrides=overrides)
    assert message in str(caught.value)


def test_a_segmenters_recipe_is_no_classifiers() -> None:
    with pytest.raises(RecipeError, match=r"small\.yaml: task\.kind is segmentation, and a classifier is wanted here"):
        parse_recipe(SMALL, source="small.yaml")
