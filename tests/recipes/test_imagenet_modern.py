"""Present ImageNet recipes: inputs of a network are trained alike, and each kind trains at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from prepixel.data import write_synthetic
from prepixel.recipes import read_recipe
from prepixel.runs import load_run, run

FOLDER = Path(__file__).parents[2] / "recipes" / "imagenet_modern"
KINDS = ("v2", "a3")
TRANSFORMERS = ("tiny", "small")
SMALL = ["--data.batch_size", "4", "--data.threads", "1", "--training.epochs", "1", "--training.checkpoint_steps", "5"]
SMALL += ["--training.device", "cpu", "--training.tensorboard", "false", "--training.precision", "float32"]
SMALL += ["--optimization.learning_rate", "0.001"]


def values(kind: str, row: str, network: str = "resnet50") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{network}_{kind}_{row}.yaml").read_text(encoding="utf-8"))
    return loaded


def test_each_kind_has_three_inputs() -> None:
    names = {f"resnet50_{kind}_{row}" for kind in KINDS for row in ("rgb", "dct24", "dct64")}
    names |= {f"vit_{size}_{row}" for size in TRANSFORMERS for row in ("rgb", "dct192", "dct24")}
    assert {path.stem for path in FOLDER.glob("*.yaml")} == names


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_a_kind_differ_in_nothing_else(kind: str) -> None:
    rgb, *spectra = (values(kind, row) for row in ("rgb", "dct24", "dct64"))
    pixels = rgb["input"].pop("pixels"), rgb["input"].pop("val_pixels")
    assert rgb["input"].pop("kind") == "rgb"
    rgb.pop("name")
    for number, other in zip((24, 64), spectra, strict=True):
        own = other["input"]
        assert (own.pop("kind"), own.pop("encoding"), own.pop("bands")) == ("spectrum", "int8", f"S-{number}")
        # conv1 and max-pool of the RGB network leave a quarter of its pixels, along each axis
        assert (4 * own.pop("grid"), 4 * own.pop("val_grid")) == pixels
        other.pop("name")
        assert other == rgb


@pytest.mark.parametrize("size", TRANSFORMERS)
def test_transformers_differ_in_what_a_patch_is_made_of(size: str) -> None:
    rgb, *spectra = (values(size, row, "vit") for row in ("rgb", "dct192", "dct24"))
    assert rgb.pop("input") == {"kind": "rgb", "pixels": 224}
    rgb.pop("name")
    for other, bands, grid in zip(spectra, (192, "S-24"), (28, 56), strict=True):
        assert other.pop("input") == {"kind": "spectrum", "bands": bands, "grid": grid}
        assert (other["network"].pop("stem"), other["network"].pop("pixels")) == ("light", 224)
        other.pop("name")
        assert other == rgb


@pytest.mark.parametrize("row", ["rgb", "dct192", "dct24"])
def test_a_transformer_trains(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_synthetic(tmp_path / "data", num_train_per_class=1, num_val_per_class=1, min_side=64, max_side=96)
    monkeypatch.setenv("IMAGENET", str(tmp_path / "data"))
    size = ["--input.pixels", "32"] if row == "rgb" else ["--network.pixels", "32"]
    size += {"rgb": [], "dct192": ["--input.grid", "4"], "dct24": ["--input.grid", "8"]}[row]
    recipe = read_recipe(FOLDER / f"vit_tiny_{row}.yaml", [*SMALL, *size])
    result = run(recipe, tmp_path / "run")
    assert result.training.steps == 2
    assert result.training.evaluation is not None
    assert result.training.evaluation.images == 10


@pytest.mark.parametrize(("kind", "row"), [("v2", "rgb"), ("v2", "dct24"), ("a3", "rgb"), ("a3", "dct64")])
def test_a_kind_trains_and_is_scored_on_its_larger_grid(
    kind: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_synthetic(tmp_path / "data", num_train_per_class=2, num_val_per_class=1, min_side=64, max_side=96)
    monkeypatch.setenv("IMAGENET", str(tmp_path / "data"))
    size = ["--input.pixels", "44", "--input.val_pixels", "56"]
    if row != "rgb":
        size = ["--input.grid", "11", "--input.val_grid", "14"]
    recipe = read_recipe(FOLDER / f"resnet50_{kind}_{row}.yaml", [*SMALL, *size])
    result = run(recipe, tmp_path / "run")
    assert result.training.steps == 5
    assert result.training.evaluation is not None
    assert result.training.evaluation.images == 10
    crops = load_run(tmp_path / "run", device="cpu").loader(None).epoch(0)
    inputs = next(iter(crops)).inputs
    assert inputs.shape[2:] == ((56, 56) if row == "rgb" else (14, 14))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_header_says_how_to_run_it_and_that_we_have_not(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"torchrun --nproc-per-node 8 -m prepixel.cli train recipes/imagenet_modern/{path.name}" in text
    assert "Not yet run by us." in text
    assert read_recipe(path).training.epochs in {90, 100, 600}
