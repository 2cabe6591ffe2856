"""Readers, statistics, networks and tasks that a recipe of a classifier builds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.recipes.small import PIXELS, SMALL, parse

from prepixel.data import BlockShuffle, FolderDataset, write_synthetic
from prepixel.data.random_streams import draw_order
from prepixel.errors import ModelError, RecipeError, RunError
from prepixel.gates import GatedNetwork
from prepixel.models import FoldedNetwork, rgb_network
from prepixel.runs import build_classifier as building
from prepixel.runs import measure_statistics
from prepixel.runs.build_classifier import build_network, build_reader, reuse_rgb_weights, statistics_of
from prepixel.spectrum import BandSet, Spectrum, Statistics, read_spectrum
from prepixel.tasks import GatedClassification


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FolderDataset:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    train, _ = write_synthetic(folder, num_train_per_class=2, num_val_per_class=1, min_side=64, max_side=128)
    return FolderDataset(train)


def test_statistics_are_those_of_the_centered_crops(files: FolderDataset) -> None:
    bands = BandSet.parse("S-6")
    measured = measure_statistics(files, grid=(3, 5), bands=bands, crop_fraction=0.75, max_images=7, threads=1)
    assert (measured.num_images, measured.grid, measured.bands) == (7, (3, 5), bands)
    from prepixel.data import CenterCrop
    from prepixel.data.random_streams import sample_generator
    from prepixel.jpeg import read_size

    expected = Statistics.empty(bands, (3, 5))
    for index in [place * len(files) // 7 for place in range(7)]:
        path = files.samples[index].path
        box = CenterCrop(0.75).make_params(read_size(path), 5 / 3, sample_generator(0, 0, 0)).box
        expected.update(read_spectrum(path, grid=(3, 5), bands=bands, box=box))
    torch.testing.assert_close(measured.mean, expected.mean)
    torch.testing.assert_close(measured.std(), expected.std())


def test_statistics_of_a_file_are_cut_to_the_bands(files: FolderDataset, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    whole = measure_statistics(files, grid=(3, 5), bands=BandSet.parse("192"), max_images=3)
    whole.write(path)
    recipe = parse(SMALL, "--input.statistics", str(path))
    bands = BandSet.parse("S-24")
    found = statistics_of(recipe, files, bands, None)
    assert found.bands == bands
    torch.testing.assert_close(found.mean, whole.for_bands(bands).mean, rtol=0, atol=0)
    other = parse(SMALL, "--input.statistics", str(path), "--input.grid", "7")
    with pytest.raises(RunError, match=r"statistics of a 3 x 5 grid, and input.grid is 7 x 7; measure them again"):
        statistics_of(other, files, bands, None)


def test_int8_reader_uses_the_statistics_units(files: FolderDataset) -> None:
    recipe = parse(SMALL, "--input.encoding", "int8")
    bands = BandSet.parse("S-24")
    statistics = statistics_of(recipe, files, bands, None)
    reader = build_reader(recipe.input, bands, statistics)
    assert getattr(reader, "dtype") == torch.int8  # noqa: B009
    torch.testing.assert_close(getattr(reader, "unit"), statistics.int8_unit().float(), rtol=0, atol=0)  # noqa: B009


def test_network_depends_on_the_seed_alone() -> None:
    bands = BandSet.parse("S-24")

    def first(seed: str) -> torch.Tensor:
        torch.rand(3)
        return next(build_network(parse(SMALL, "--seed", seed), 3, bands, None).parameters())

    assert torch.equal(first("7"), first("7"))
    assert not torch.equal(first("7"), first("11"))


def test_rgb_weights_are_reused_and_bad_ones_named(tmp_path: Path) -> None:
    rgb = rgb_network("resnet18", 10)
    state = {rgb.torchvision_key(key): value for key, value in rgb.state_dict().items()}
    torch.save({"state_dict": {key: value for key, value in state.items() if key}}, tmp_path / "rgb.pt")
    recipe = parse(SMALL, "--network.rgb_weights", str(tmp_path / "rgb.pt"))
    network = build_network(recipe, 10, BandSet.parse("S-24"), None)
    reused = reuse_rgb_weights(recipe, network, 10)
    assert reused is not None
    assert len(reused.copied) > 90
    torch.testing.assert_close(network.trunk.layer4[1].conv2.weight, rgb.trunk.layer4[1].conv2.weight, rtol=0, atol=0)

    def refused(file: str, message: str) -> None:
        bad = dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, rgb_weights=str(tmp_path / file)))
        with pytest.raises(RunError, match=message):
            reuse_rgb_weights(bad, network, 10)

    refused("none.pt", "network.rgb_weights: .*none.pt cannot be read as a file of torch weights")
    (tmp_path / "text.pt").write_text("not weights")
    refused("text.pt", "network.rgb_weights: .*text.pt cannot be read as a file of torch weights")
    torch.save([3, 5], tmp_path / "list.pt")
    refused("list.pt", r"list.pt: holds no weights by name; save the network's state_dict\(\) there")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pt")
    refused("other.pt", "network.rgb_weights: .*other.pt: not the weights of a resnet18: ")


def test_a_recipe_may_use_no_indexes(files: FolderDataset) -> None:
    reader = build_reader(parse(SMALL).input, BandSet.parse("S-24"), None)
    for words, choice in (((), "auto"), (("--data.use_indexes", "false"), None)):
        loader = building.build_loader(parse(SMALL, *words), files, reader, training=False)
        assert loader.dataset.indexes.choice == choice


@pytest.mark.parametrize("block", [1, 3])
def test_training_is_shuffled_by_blocks_and_evaluation_not_at_all(files: FolderDataset, block: int) -> None:
    recipe = parse(SMALL, "--data.batch_size", "4", "--data.shuffle_block", str(block), "--data.shuffle_open", "2")
    reader = build_reader(recipe.input, BandSet.parse("S-6"), None)
    loader = building.build_loader(recipe, files, reader, training=True)
    n = len(files)
    expected = draw_order(n, recipe.seed, 1) if block == 1 else BlockShuffle(3, 2).order(n, recipe.seed, 1)
    assert loader.order(1).tolist() == expected.tolist()
    assert building.build_loader(recipe, files, reader, training=False).order(1).tolist() == list(range(n))


def test_batch_larger_than_the_data_set_is_refused(files: FolderDataset) -> None:
    recipe = parse(SMALL, "--data.batch_size", "23")
    reader = build_reader(recipe.input, BandSet.parse("S-24"), None)
    with pytest.raises(RunError, match=r"data.batch_size is 23, and .*train has 20 images; lower the batch size"):
        building.build_loader(recipe, files, reader, training=True)


FOLDED = """
data: {train: photos/train, batch_size: 11}
input: {kind: spectrum, bands: S-24, grid: [14, 18]}
network: {name: resnet18, stem: folded, pixels: [56, 72]}
seed: 5
"""


def test_folded_network_starts_as_the_rgb_network_of_its_seed_and_weights(tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = {k: v for k, v in rgb_network("resnet18", 1000).state_dict().items() if not k.startswith("input.")}
    weights = {k.removeprefix("trunk.").removeprefix("head."): v for k, v in weights.items()}
    torch.save(weights, tmp_path / "rgb.pt")
    bands = BandSet.parse("S-24")
    outputs = {}
    for kind in ("random", "reused"):
        words = [] if kind == "random" else ["--network.rgb_weights", str(tmp_path / "rgb.pt")]
        recipe = parse(FOLDED, *words)
        pixels = parse(PIXELS, "--seed", "5", *words)
        folded, rgb = build_network(recipe, 7, bands, None), build_network(pixels, 7, None, None)
        reused = [reuse_rgb_weights(r, n, 7) for r, n in ((recipe, folded), (pixels, rgb))]
        assert (reused[0] is None) == (kind == "random")
        assert reused[0] == reused[1]
        assert isinstance(folded, FoldedNetwork)
        spectrum = Spectrum.of_coefficients(50 * torch.randn(2, 24, 14, 18), bands)
        front = folded.network[0]  # the form that this network takes: pixels, then itself
        with torch.no_grad():
            images = front(folded.input(spectrum))
            expected = rgb.eval()(images)
            torch.testing.assert_close(folded.eval()(spectrum), expected, rtol=1e-5, atol=1e-5)
        outputs[kind] = folded.state_dict()["network.1.trunk.conv1.weight"]
    assert not torch.equal(outputs["random"], outputs["reused"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("{stem: folded}", "a folded stem needs network.pixels"),
        ("{pixels: 224}", "network.pixels belongs to a folded or light stem, and network.stem is removed"),
        ("{stem: folded, pixels: 224, layer2_stride: 1}", "layer2_stride belongs to a removed stem"),
        ("{stem: light}", "a light stem needs network.pixels"),
        ("{stem: light, pixels: 224, from_run: x}", "network.from_run slices a removed or folded stem"),
    ],
)
def test_folded_stems_want_their_pixels_and_nothing_else(network: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(SMALL + f"network: {network}")


def test_pixels_have_no_stem_to_fold() -> None:
    with pytest.raises(RecipeError, match=r"network\.stem belongs to kind spectrum, and input\.kind is rgb"):
        parse(PIXELS + "network: {stem: folded, pixels: 24}")


def test_folded_grid_that_does_not_fit_says_which_would() -> None:
    recipe = parse(FOLDED, "--input.grid", "[13, 18]")
    with pytest.raises(ModelError, match="take a grid of 7 x 9, 14 x 18"):
        build_network(recipe, 7, BandSet.parse("S-24"), None)


@pytest.mark.parametrize("stem", ["removed", "folded"])
def test_gate_stands_before_the_network_that_the_recipe_builds_without_it(stem: str) -> None:
    words = ["--input.grid", "[8,4]", "--network.stem", stem, "--seed", "7"]
    words += ["--network.pixels", "[32,16]"] if stem == "folded" else []
    gate = ["--gate.kind", "dynamic", "--gate.bytes", "1500"]  # a channel takes 4 x 8 x 4 bytes, 24 take 3,072
    bands = BandSet.parse("S-24")
    plain = build_network(parse(SMALL, *words), 5, bands, None)
    gated = build_network(parse(SMALL, *words, *gate), 5, bands, None)
    assert isinstance(gated, GatedNetwork)
    assert gated.gate.budget == pytest.approx(1500 / 128)
    state = gated.network.state_dict()
    own = {name: value for name, value in plain.state_dict().items() if isinstance(value, torch.Tensor)}
    assert all(torch.equal(state[name], value) for name, value in own.items())
    task = building.build_task(parse(SMALL, *words, *gate), 5, gated)
    assert isinstance(task, GatedClassification)
    assert task.budget == gated.gate.budget
    less = [*gate[:3], "24", "--input.encoding", "int8"]  # a channel takes 8 x 4 bytes
    with pytest.raises(RunError, match="gate: bytes is 24, too few for the channels that must be on"):
        build_network(parse(SMALL, *words, *less), 5, bands, None)
