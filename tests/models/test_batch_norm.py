"""A single image whose map at a batch norm is 1 x 1 cannot be trained on: every network says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from prepixel.models import BatchTooSmall, frequency_resnet, light_network, pixel_network
from prepixel.spectrum import BandSet, Spectrum

BANDS = BandSet.of("S-6")


def spectra(images: int) -> Spectrum:
    return Spectrum.of_coefficients(torch.randn(images, 6, 4, 4), BANDS)


def pixels(images: int) -> Tensor:
    return torch.rand(images, 3, 32, 32)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any]]] = {
    "without stem": (lambda: frequency_resnet(18, BANDS, 3), spectra),
    "RGB": (lambda: pixel_network("resnet18", 3), pixels),
    "RGB of a library": (lambda: pixel_network("mobilenet_v3_small", 3), pixels),
    "light stem": (
        lambda: light_network(torchvision.models.resnet18(num_classes=3), BANDS, pixels=(32, 32), grid=(4, 4)),
        spectra,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_single_image_says_what_to_do(name: str) -> None:
    make, inputs = NETWORKS[name]
    network = make()
    with pytest.raises(BatchTooSmall, match=r"a single image .*: take batches of 2 images or more"):
        network.train()(inputs(1))
    assert network.train()(inputs(2)).shape == (2, 3)
    assert network.eval()(inputs(1)).shape == (1, 3)
