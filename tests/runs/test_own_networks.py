"""A recipe's network may be the caller's own code, allowed by the command line; weights may have a library's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from tests.small_photos import jpeg

from prepixel.cli import main
from prepixel.errors import RunError
from prepixel.models import LibraryNetwork, ModelError, allow_build_function, build_function, pixel_network
from prepixel.recipes import parse_recipe
from prepixel.runs import load_run
from prepixel.runs.build_classifier import build_network, parse_bands, reuse_rgb_weights

CODE = """
from torch import nn

def small(num_classes):
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), pool, nn.Linear(4, num_classes))

def fixed():
    return small(7)

def broken(num_classes):
    return nn.Linear(5, num_classes)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(build_function, "_allowed", {})
    (tmp_path / "mine.py").write_text(CODE)
    return f"{tmp_path / 'mine.py'}"


def recipe_text(folder: Path, network: str) -> str:
    return (
        f"data: {{train: '{folder}', val: '{folder}', batch_size: 4, threads: 1}}\n"
        "input: {bands: S-6, grid: 8}\n"
        f"network: {{{network}}}\n"
        "training: {epochs: 1, device: cpu, tensorboard: false}\n"
    )


def write_photos(root: Path) -> Path:
    """Write eight photos of two classes."""
    for number in range(8):
        path = root / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(64 + number, 71))
    return root


@pytest.mark.parametrize("stem", ["folded", "light"])
def test_own_code_trains_and_opens_where_the_command_line_names_it(
    code: str, stem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "photos")
    name = f"{code}:small"
    recipe = tmp_path / "own.yaml"
    recipe.write_text(recipe_text(photos, f"name: '{name}', stem: {stem}, pixels: 32"))
    command = ["train", str(recipe), "-o", str(tmp_path / "run")]
    assert main(command) == 2
    refusal = f"{name} is code of your own, which is never imported because a file names it; allow it: --build {name}"
    assert refusal in " ".join(capsys.readouterr().err.split())
    assert main([*command, "--build", name]) == 0
    build_function._allowed.clear()
    with pytest.raises(ModelError, match="never imported because a file names it"):
        load_run(tmp_path / "run", device="cpu")
    assert main(["evaluate", str(tmp_path / "run"), "--device", "cpu", "--build", name]) == 0
    assert len(list(load_run(tmp_path / "run", device="cpu").predict([photos / "cat" / "1.jpg"]))) == 1
    build_function._allowed.clear()
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "graph"), "--build", name]) == 0


def test_own_code_on_pixels_is_folded_where_the_command_line_names_it(code: str, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    name = f"{code}:small"
    recipe = tmp_path / "own.yaml"
    text = recipe_text(photos, f"name: '{name}'")
    recipe.write_text(text.replace("bands: S-6, grid: 8", "kind: rgb, pixels: 32"))
    assert main(["train", str(recipe), "-o", str(tmp_path / "run"), "--build", name]) == 0
    build_function._allowed.clear()
    fold = ["fold", str(tmp_path / "run"), "--grid", "8", "-o", str(tmp_path / "folded.pt")]
    assert main(fold) == 2
    assert main([*fold, "--build", name]) == 0


def test_a_build_that_no_recipe_names_is_not_run(code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text("raise SystemExit('was run')")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(recipe_text(tmp_path, "name: resnet18"))
    line = [str(recipe), "-o", str(tmp_path / "run"), "--build", f"{tmp_path}/bad.py:net"]
    for command in ("train", "compare"):
        assert main([command, *line]) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert "is resnet18; leave --build out, or write it as it stands there" in err


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fixed", r"gives \(1, 7\) for one image, and the data set has 3 classes; let the function take the number"),
        ("broken", "its network does not run on 32 x 32 pixels"),
    ],
)
def test_own_networks_that_do_not_fit_are_refused(code: str, function: str, message: str) -> None:
    allow_build_function(f"{code}:{function}")
    with pytest.raises(ModelError, match=message):
        pixel_network(f"{code}:{function}", 3, (32, 32))
    with pytest.raises(ModelError, match="has no function other"):
        allow_build_function(f"{code}:other")


def test_weights_by_name_come_from_the_library_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    cached.parent.mkdir(parents=True)
    torch.manual_seed(0)
    weights = torchvision.models.squeezenet1_1().state_dict()
    torch.save(weights, cached)
    text = recipe_text(tmp_path, "name: squeezenet1_1, stem: folded, pixels: 64, rgb_weights: DEFAULT")
    recipe = parse_recipe(text, source="r.yaml", name="r")
    bands = parse_bands(recipe.input)
    reuse = reuse_rgb_weights(recipe, build_network(recipe, 3, bands, None), 3)
    assert reuse is not None
    assert reuse.fresh == ("classifier.1.weight", "classifier.1.bias")
    rgb = parse_recipe(
        text,
        source="r.yaml",
        name="r",
        overrides=["--input", "{kind: rgb, pixels: 64}", "--network.stem", "removed", "--network.pixels", "null"],
    )
    network = build_network(rgb, 3, None, None)
    assert reuse_rgb_weights(rgb, network, 3) is not None
    assert isinstance(network, LibraryNetwork)
    assert torch.equal(network.network.features[0].weight, weights["features.0.weight"])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("IMAGENET1K_V9", "network.rgb_weights: weights: IMAGENET1K_V9 is no file, and squeezenet1_1 has no weights"),
        ("missing.pth", "network.rgb_weights: .*missing.pth"),
    ],
)
def test_weights_that_there_are_not_are_named(weights: str, message: str, tmp_path: Path) -> None:
    text = recipe_text(tmp_path, f"name: squeezenet1_1, stem: folded, pixels: 64, rgb_weights: {weights}")
    recipe = parse_recipe(text, source="r.yaml", name="r")
    network = build_network(recipe, 3, parse_bands(recipe.input), None)
    with pytest.raises(RunError, match=message):
        reuse_rgb_weights(recipe, network, 3)
