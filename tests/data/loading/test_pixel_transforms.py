"""Batches of spectra are not passed over by torchvision's transforms, which would mix their labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree
from torchvision.transforms import v2

from prepixel.data import Batch
from prepixel.data.loading.detection_loader import DetectionBatch
from prepixel.spectrum import BandSet, PaddedSpectrum, SpectraRead, Spectrum

BANDS = BandSet("three", (0, 1, 64))
LABELS = torch.tensor([1, 2])
TRANSFORMS = [
    v2.MixUp(num_classes=5),
    v2.CutMix(num_classes=5),
    v2.RandomHorizontalFlip(1.0),
    v2.Compose([v2.RandomVerticalFlip(1.0), v2.Normalize([0.5] * 3, [0.5] * 3)]),
]


def spectrum() -> Spectrum:
    values = torch.arange(2 * 3 * 5 * 7, dtype=torch.float32).reshape(2, 3, 5, 7)
    return Spectrum.of_coefficients(values, BANDS)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
def test_a_batch_of_spectra_is_refused_by_name(transform: Any) -> None:
    batch = Batch(spectrum(), LABELS, torch.tensor([3, 4]))
    for inputs in [(batch,), (batch, LABELS), ({"deep": [batch]},), (SpectraRead(spectrum(), np.arange(2)),)]:
        with pytest.raises(TypeError, match=r"torchvision's \w+ is made for pixels, and a Spectr\w+ holds frequencies"):
            transform(*inputs)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("kind", ["spectra", "pixels"])
def test_boxes_and_masks_of_a_batch_are_not_left_as_they_are(transform: Any, kind: str) -> None:
    targets = [{"boxes": torch.zeros(1, 4), "labels": torch.ones(1, dtype=torch.int64)}] * 2
    pixels = [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 2
    batch = DetectionBatch(PaddedSpectrum.of([spectrum()]) if kind == "spectra" else pixels, targets)
    with pytest.raises(TypeError, match="made for pixels, and a DetectionBatch holds boxes and masks, which it would"):
        transform(batch)


def test_a_batch_of_pixels_is_transformed() -> None:
    pixels = torch.arange(2 * 3 * 5 * 7, dtype=torch.uint8).reshape(2, 3, 5, 7)
    flipped = v2.RandomHorizontalFlip(1.0)(Batch(pixels, LABELS, torch.tensor([3, 4])))
    assert torch.equal(flipped.inputs, pixels.flip(3))
    assert torch.equal(flipped.targets, LABELS)
    assert flipped.indices.tolist() == [3, 4]


def test_batches_are_nodes_of_pytrees() -> None:
    batch = Batch(spectrum(), LABELS, torch.tensor([3, 4]))
    doubled = pytree.tree_map(lambda t: t * 2, batch)
    assert torch.equal(doubled.inputs.values, spectrum().values * 2)
    assert doubled.targets.tolist() == [2, 4]
    leaves, spec = pytree.tree_flatten(batch)
    restored = pytree.tree_unflatten(leaves, pytree.treespec_loads(pytree.treespec_dumps(spec)))
    assert torch.equal(restored.inputs.values, spectrum().values)
