"""Recipes train networks of torchvision and timm: on pixels, and folded over coefficients."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from tests.small_photos import jpeg

from prepixel.cli import main
from prepixel.models import (
    FoldedNetwork,
    LibraryNetwork,
    LightNetwork,
    ModelError,
    WeightsMismatch,
    fold,
    load_library_weights,
    pixel_network,
)
from prepixel.recipes.parsing import read_recipe
from prepixel.runs import Prediction, fold_run, load_run
from prepixel.runs.build_classifier import build_network, parse_bands, reuse_rgb_weights
from prepixel.spectrum import Spectrum

Captured = pytest.CaptureFixture[str]
CLASSES = 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "photos"
    for number in range(10):
        path = folder / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(164 + number, 171))
    return folder


def write_recipe(photos: Path, path: Path, network: str, inputs: str = "bands: S-6, grid: 8") -> Path:
    path.write_text(
        f"data: {{train: '{photos}', val: '{photos}', batch_size: 5, threads: 1}}\n"
        f"input: {{{inputs}}}\n"
        f"network: {{{network}}}\n"
        "training: {epochs: 1, device: cpu, tensorboard: false}\n"
    )
    return path


@pytest.mark.parametrize(
    ("name", "pixels", "grid"),
    [
        ("timm:test_resnet", 64, 16),
        ("timm:test_vit", 160, 20),
        ("timm:test_efficientnet", 64, 8),
        ("squeezenet1_1", 64, 8),
    ],
)
def test_a_folded_network_of_a_library_trains_and_is_opened(
    name: str, pixels: int, grid: int, photos: Path, tmp_path: Path
) -> None:
    network = f"name: '{name}', stem: folded, pixels: {pixels}"
    recipe = write_recipe(photos, tmp_path / "r.yaml", network, f"bands: S-6, grid: {grid}")
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 0
    run = load_run(tmp_path / "run", device="cpu")
    assert isinstance(run.network, FoldedNetwork)
    torch.manual_seed(0)
    first = fold(pixel_network(name, CLASSES), pixels=pixels, grid=grid, bands="S-6", mean=(0, 0, 0), std=(1, 1, 1))
    trained = dict(run.network.named_parameters())
    unchanged = [key for key, value in first.named_parameters() if torch.equal(value, trained[key])]
    assert unchanged == []
    assert main(["evaluate", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    ("name", "pixels", "grid"), [("timm:test_resnet", 64, 16), ("timm:test_vit", 160, 20), ("resnet18", 64, 8)]
)
def test_a_light_stem_trains_and_is_opened(name: str, pixels: int, grid: int, photos: Path, tmp_path: Path) -> None:
    network = f"name: '{name}', stem: light, pixels: {pixels}"
    recipe = write_recipe(photos, tmp_path / "r.yaml", network, f"bands: S-6, grid: {grid}")
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 0
    run = load_run(tmp_path / "run", device="cpu")
    assert isinstance(run.network, LightNetwork)
    assert not torch.equal(run.network.input.shift, torch.zeros(6))  # the training images' statistics
    assert main(["evaluate", str(tmp_path / "run")]) == 0


def test_a_network_of_a_library_trains_on_pixels_and_is_folded_after(photos: Path, tmp_path: Path) -> None:
    recipe = write_recipe(photos, tmp_path / "r.yaml", "name: 'timm:test_resnet'", "kind: rgb, pixels: 64")
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 0
    assert isinstance(load_run(tmp_path / "run", device="cpu").network, LibraryNetwork)
    folded = fold_run(tmp_path / "run", grid=16, bands="S-6")
    assert [type(answer) for answer in folded.predict([photos / "cat" / "1.jpg"])] == [Prediction]


def test_a_run_is_folded_for_the_size_that_it_is_scored_at(photos: Path, tmp_path: Path) -> None:
    recipe = write_recipe(
        photos, tmp_path / "r.yaml", "name: 'timm:test_resnet'", "kind: rgb, pixels: 64, val_pixels: 96"
    )
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 0
    folded = fold_run(tmp_path / "run", grid=24, bands="S-6")
    assert folded.network.settings.pixels == (96, 96)


def test_a_size_that_the_network_does_not_take_is_refused_before_training(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(
        photos, tmp_path / "r.yaml", "name: 'timm:vit_tiny_patch16_224'", "kind: rgb, pixels: 32, val_pixels: 48"
    )
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 2
    assert "input.val_pixels is set, and timm:vit_tiny_patch16_224 does not take that size (" in capsys.readouterr().err


def test_weights_of_the_library_s_own_network_are_taken_over(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    weights = timm.create_model("test_resnet", num_classes=1000).state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    network = f"name: 'timm:test_resnet', stem: folded, pixels: 64, rgb_weights: '{tmp_path}/weights.pt'"
    recipe = read_recipe(write_recipe(photos, tmp_path / "r.yaml", network, "bands: '192', grid: 8"))
    bands = parse_bands(recipe.input)
    assert bands is not None
    folded = build_network(recipe, CLASSES, bands, None)
    reuse = reuse_rgb_weights(recipe, folded, CLASSES)
    assert reuse is not None
    assert reuse.fresh == ("fc.weight", "fc.bias")
    assert len(reuse.copied) == len(weights) - 2
    on_pixels = pixel_network("timm:test_resnet", CLASSES)
    assert isinstance(on_pixels, LibraryNetwork)
    load_library_weights(on_pixels, weights, CLASSES)
    wanted = fold(on_pixels.eval(), pixels=64, grid=8, bands=bands, mean=(0, 0, 0), std=(1, 1, 1))
    assert isinstance(folded, FoldedNetwork)
    values = torch.randn(2, 192, 8, 8)
    for network_ in (folded.eval(), wanted):
        (head,) = (module for module in network_.modules() if isinstance(module, torch.nn.Linear))
        torch.manual_seed(1)
        head.reset_parameters()  # the heads were drawn apart
    spectrum = Spectrum.of_coefficients(values, bands)
    torch.testing.assert_close(folded(spectrum), wanted(spectrum), rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    network = pixel_network("timm:test_resnet", CLASSES)
    assert isinstance(network, LibraryNetwork)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = timm.create_model("test_efficientnet", num_classes=1000).state_dict()
    with pytest.raises(WeightsMismatch, match=r"not the weights of timm:test_resnet: .*has no place"):
        load_library_weights(network, weights, CLASSES)
    weights = network.network.state_dict()
    del weights["layer1.0.conv1.weight"]
    with pytest.raises(WeightsMismatch, match=r"layer1\.0\.conv1\.weight is missing"):
        load_library_weights(network, weights, CLASSES)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("name: 'timm:test_resnet'", "without its stem.*network.stem: folded"),
        ("name: 'timm:no_such', stem: folded, pixels: 64", "timm has no network 'no_such'"),
        ("name: 'no_such', stem: folded, pixels: 64", "no network 'no_such'"),
    ],
)
def test_networks_that_there_are_not_are_named(network: str, message: str, photos: Path, tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(photos, tmp_path / "r.yaml", network))
    with pytest.raises(ModelError, match=message):
        build_network(recipe, CLASSES, parse_bands(recipe.input), None)
