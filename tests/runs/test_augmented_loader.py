"""Augmentation by recipe: its draws, its labels, the RGB baseline, and a resumed run that equals a straight one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.interrupts import reading_fails
from tests.small_photos import jpeg
from tests.transforms.pixel_twin import photo, spectrum_of
from torch import Tensor

from prepixel.data import CropLoader, FolderDataset, PixelReader, RandomCrop, SpectrumReader
from prepixel.errors import RecipeError
from prepixel.recipes import AugmentSettings, parse_recipe
from prepixel.runs import run
from prepixel.runs.augmented_loader import AugmentedLoader, build_augmentation
from prepixel.runs.pixel_augmentation import augment_pixels
from prepixel.spectrum import BandSet, Spectrum
from prepixel.tasks import Classification
from prepixel.transforms import RandAugment
from prepixel.transforms.auto_augment import augment

EVERYTHING = AugmentSettings(rand_augment=2, erasing=0.5, mixup=0.2, cutmix=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number in range(20):
        path = root / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(64 + number, 71))
    return root


def loader(folder: Path, kind: str, settings: AugmentSettings = EVERYTHING, **options: Any) -> AugmentedLoader:
    reader = PixelReader((24, 40)) if kind == "rgb" else SpectrumReader((3, 5), BandSet.of("S-24"))
    plain = CropLoader(FolderDataset(folder), reader, batch_size=5, crop=RandomCrop(), training=True, **options)
    return AugmentedLoader(plain, build_augmentation(settings, 2, pixels=kind == "rgb"), 3)


def values(inputs: Spectrum | Tensor) -> Tensor:
    return inputs.values if isinstance(inputs, Spectrum) else inputs


@pytest.mark.parametrize("kind", ["spectrum", "rgb"])
def test_batches_are_functions_of_seed_epoch_and_batch(folder: Path, kind: str) -> None:
    straight = [batch.to("cpu") for batch in loader(folder, kind).epoch(1)]
    torch.manual_seed(99)
    later = [batch.to("cpu") for batch in loader(folder, kind).epoch(1, 2)]
    assert len(straight) == 4
    for ours, resumed in zip(straight[2:], later, strict=True):
        assert torch.equal(values(ours.inputs), values(resumed.inputs))
        assert torch.equal(ours.targets, resumed.targets)
    other = next(iter(loader(folder, kind).epoch(2))).to("cpu")
    assert other.targets.shape == (5, 2)
    assert not torch.equal(values(other.inputs), values(straight[0].inputs))


def test_ranks_draw_apart(folder: Path) -> None:
    seeds = [batch.seed for rank in (0, 1) for batch in loader(folder, "spectrum", rank=rank, world_size=2).epoch(0)]
    assert len(set(seeds)) == 8


@pytest.mark.parametrize("kind", ["spectrum", "rgb"])
def test_mixed_labels_say_how_much_of_which_image(folder: Path, kind: str) -> None:
    """Two classes of flat color: the share of a label is the share of its color."""
    for settings in (AugmentSettings(mixup=1.0), AugmentSettings(cutmix=1.0)):
        change = build_augmentation(settings, 2, pixels=kind == "rgb")
        flat = torch.tensor([0.0, 255.0])[:, None, None, None].expand(2, 3, 24, 40).contiguous()
        inputs = flat.to(torch.uint8) if kind == "rgb" else spectrum_of(flat.double(), "S-24")
        for seed in range(5):
            mixed, labels = change(inputs, torch.tensor([0, 1]), torch.Generator().manual_seed(seed))
            if isinstance(mixed, Spectrum):
                light = (mixed.values[:, 0].mean((1, 2)) / 8 + 128) / 255
            else:
                light = mixed.mean((1, 2, 3))
            torch.testing.assert_close(labels[:, 1].double(), light.double(), rtol=0, atol=1e-5)


def test_both_kinds_of_runs_draw_the_same_operations() -> None:
    """Pixels are rounded at each step and clamped; mild operations on mid-gray images differ by that alone."""
    images = photo(24, (3, 5), low=110, high=140).round()
    params = RandAugment(num_ops=2, magnitude=3).make_params(24, (3, 5), torch.Generator().manual_seed(0))
    params = params._replace(magnitudes=torch.where(params.operations < 3, 0, params.magnitudes))
    pixels = augment_pixels(images.to(torch.uint8), params)
    exact = augment(spectrum_of(images), params)
    assert float((spectrum_of(pixels.double()).values - exact.values).abs().max()) < 8 * 3


def test_soft_labels_train_as_their_mean(folder: Path) -> None:
    task = Classification(3, label_smoothing=0.1)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    one_hot = torch.nn.functional.one_hot(labels, 3).float()
    torch.testing.assert_close(task.loss_of(logits, labels), task.loss_of(logits, one_hot))
    halves = (one_hot + one_hot.roll(1, 0)) / 2
    expected = (task.loss_of(logits, labels) + task.loss_of(logits, labels.roll(1))) / 2
    torch.testing.assert_close(task.loss_of(logits, halves), expected)


@pytest.mark.parametrize("kind", ["spectrum", "rgb"])
def test_a_run_that_is_stopped_and_resumed_equals_a_straight_one(folder: Path, tmp_path: Path, kind: str) -> None:
    shown = "{kind: rgb, pixels: [24, 40]}" if kind == "rgb" else "{kind: spectrum, bands: S-6, grid: [3, 5]}"
    text = (
        f"data: {{train: '{folder}', batch_size: 5, threads: 1}}\ninput: {shown}\n"
        "augment: {rand_augment: 2, erasing: 0.5, mixup: 0.2, cutmix: 1.0}\n"
        "training: {epochs: 2, device: cpu, tensorboard: false, progress: false, checkpoint_steps: 1}\n"
    )
    recipe = parse_recipe(text, source="small.yaml", name="small")
    run(recipe, tmp_path / "straight")
    with reading_fails(CropLoader, 3):
        run(recipe, tmp_path / "resumed")
    run(recipe, tmp_path / "resumed", resume=True)
    straight, resumed = (
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=False)["network"]
        for name in ("straight", "resumed")
    )
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    plain = parse_recipe(text.replace("augment: {", "augment: {} #"), source="small.yaml", name="small")
    run(plain, tmp_path / "plain")
    without = torch.load(tmp_path / "plain" / "checkpoints" / "last.pt", weights_only=False)["network"]
    assert not all(torch.equal(straight[name], without[name]) for name in straight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rand_augment": -1}, "rand_augment is -1 and magnitude 9"),
        ({"magnitude": 31}, "magnitude at most 30"),
        ({"erasing": 1.5}, "erasing is 1.5; it must be from 0 to 1"),
        ({"mixup": -0.1}, "mixup is -0.1; it must be 0, for none, or greater"),
        ({"rand_augment": 1, "trivial_augment": True}, "remove one of them"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        AugmentSettings(**change)
