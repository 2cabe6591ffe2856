"""A spectrum is a node of torch's pytrees, and no tensor to torchvision's transforms."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torchvision.transforms import v2

from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum

BANDS = BandSet("three", (0, 1, 64))


def spectrum(n: int = 2) -> Spectrum:
    values = torch.arange(n * 3 * 5 * 7, dtype=torch.float32).reshape(n, 3, 5, 7)
    return Spectrum(values, BANDS, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 2.0, 4.0]))


def padded() -> PaddedSpectrum:
    return PaddedSpectrum.of(
        [spectrum(1), Spectrum(spectrum(1).values[..., :3, :2], BANDS, spectrum().shift, spectrum().unit)]
    )


def test_maps_reach_the_tensors_and_nothing_else() -> None:
    doubled = pytree.tree_map(lambda t: t * 2, {"x": spectrum(), "y": [padded()]})
    assert torch.equal(doubled["x"].values, spectrum().values * 2)
    assert torch.equal(doubled["x"].unit, spectrum().unit * 2)
    assert doubled["x"].bands == BANDS
    assert doubled["y"][0].grids == padded().grids
    assert torch.equal(doubled["y"][0].spectrum.values, padded().spectrum.values * 2)
    assert [tuple(leaf.shape) for leaf in pytree.tree_leaves(spectrum())] == [(2, 3, 5, 7), (3,), (3,)]
    shapes = pytree.tree_map(lambda t: tuple(t.shape), spectrum())
    assert shapes.values == (2, 3, 5, 7)
    names = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(padded())[0]]
    assert names == [".spectrum.values", ".spectrum.shift", ".spectrum.unit"]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("make", [spectrum, padded])
def test_copies_are_the_same(make: Any, again: Any) -> None:
    one, other = make(), again(make())
    assert type(other) is type(one)
    for a, b in zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True):
        assert torch.equal(a, b)


class _Mean(torch.nn.Module):
    def forward(self, inputs: Spectrum) -> torch.Tensor:
        return inputs.normalized(torch.zeros(3), torch.ones(3)).mean((2, 3))


def test_networks_that_take_spectra_are_exported() -> None:
    network, inputs = _Mean(), spectrum()
    exported = torch.export.export(network, (inputs,))
    assert torch.equal(exported.module()(inputs), network(inputs))
    for one in (spectrum(), padded()):
        leaves, spec = pytree.tree_flatten(one)
        restored = pytree.tree_unflatten(leaves, pytree.treespec_loads(pytree.treespec_dumps(spec)))
        assert type(restored) is type(one)
        assert pytree.tree_structure(restored) == spec


TRANSFORMS = {
    "MixUp": lambda: v2.MixUp(num_classes=5),
    "CutMix": lambda: v2.CutMix(num_classes=5),
    "RandomHorizontalFlip": lambda: v2.RandomHorizontalFlip(1.0),
    "RandomVerticalFlip": lambda: v2.RandomVerticalFlip(0.0),
    "RandAugment": v2.RandAugment,
    "TrivialAugmentWide": v2.TrivialAugmentWide,
    "AugMix": v2.AugMix,
    "RandomResizedCrop": lambda: v2.RandomResizedCrop(8),
    "CenterCrop": lambda: v2.CenterCrop(3),
    "ColorJitter": lambda: v2.ColorJitter(0.5),
    "Normalize": lambda: v2.Normalize([0.5] * 3, [0.5] * 3),
    "ToDtype": lambda: v2.ToDtype(torch.float32, scale=True),
    "Compose": lambda: v2.Compose([v2.RandomHorizontalFlip(), v2.Normalize([0.5] * 3, [0.5] * 3)]),
    "RandomErasing": lambda: v2.RandomErasing(1.0),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_pixels_refuse(name: str) -> None:
    transform, labels = TRANSFORMS[name](), torch.tensor([1, 2])
    wrapped = [
        spectrum(),
        (spectrum(), labels),
        {"inputs": [{"deep": spectrum()}], "labels": labels},
        (padded(), labels),
    ]
    for inputs in wrapped:
        with pytest.raises(
            TypeError, match=r"torchvision's \w+ is made for pixels, and a (Padded)?Spectrum holds frequ"
        ):
            transform(inputs)
    with pytest.raises(TypeError, match="made for pixels"):
        transform(spectrum(), labels)


def test_the_message_names_what_to_take() -> None:
    with pytest.raises(
        TypeError,
        match=r"RandomHorizontalFlip is made .* take RandomHorizontalFlip of prepixel\.transforms when reading",
    ):
        v2.RandomHorizontalFlip()(spectrum())
    with pytest.raises(TypeError, match=r"MixUp is made .* take MixUp of prepixel\.transforms"):
        v2.MixUp(num_classes=5)(spectrum(), torch.tensor([1, 2]))
    with pytest.raises(TypeError, match=r"RandomRotation is made .* use transforms of prepixel, or the pixel pipeline"):
        v2.RandomRotation(10)(spectrum())


@pytest.mark.parametrize("call", [v2.functional.horizontal_flip, v2.functional.rotate, v2.functional.normalize])
def test_functionals_of_pixels_refuse(call: Any) -> None:
    options: dict[str, Any] = {
        v2.functional.rotate: {"angle": 3.0},
        v2.functional.normalize: {"mean": [0.5], "std": [0.5]},
    }.get(call, {})
    with pytest.raises((TypeError, AttributeError)):
        call(spectrum(), **options)
