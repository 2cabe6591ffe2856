"""Networks of every kind pickled, deeply copied and saved by torch: copies compute the same and share nothing."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from prepixel.models import fold, frequency_mobilenet_v2, frequency_resnet, light_network, pixel_network
from prepixel.models.detectors import build_detector
from prepixel.models.pyramid import fold_pyramid, frequency_pyramid, pixel_pyramid
from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum

BANDS = BandSet.of("S-24")


def spectrum() -> Spectrum:
    return Spectrum.of_coefficients(30 * torch.randn(2, 24, 8, 8, generator=torch.Generator().manual_seed(1)), BANDS)


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def padded() -> PaddedSpectrum:
    return PaddedSpectrum.of([spectrum()[:1], spectrum()[1:]], multiple=8)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "ResNet without stem": (lambda: frequency_resnet(18, BANDS, 3), spectrum),
    "MobileNetV2 without stem": (lambda: frequency_mobilenet_v2(BANDS, 3), spectrum),
    "RGB": (lambda: pixel_network("resnet18", 3), pixels),
    "RGB of a library": (lambda: pixel_network("squeezenet1_1", 3), pixels),
    "light stem": (
        lambda: light_network(torchvision.models.resnet18(num_classes=3), BANDS, pixels=(64, 64), grid=(8, 8)),
        spectrum,
    ),
    "factored": (
        lambda: fold(torchvision.models.squeezenet1_1(), pixels=64, grid=8, bands=BANDS, form="factored"),
        spectrum,
    ),
    "composed": (
        lambda: fold(torchvision.models.squeezenet1_1(), pixels=64, grid=8, bands=BANDS, form="composed"),
        spectrum,
    ),
    "detector": (lambda: build_detector("retinanet", frequency_pyramid("resnet18", BANDS, channels=32), 3), padded),
    "folded detector": (
        lambda: build_detector("fcos", fold_pyramid(pixel_pyramid("resnet18", channels=32), BANDS), 3),
        padded,
    ),
}


def numbers(answer: Any) -> list[torch.Tensor]:
    return [answer] if isinstance(answer, torch.Tensor) else [value for one in answer for value in one.values()]


@pytest.mark.parametrize("name", NETWORKS)
def test_copies_compute_the_same_and_share_nothing(name: str) -> None:
    make, inputs = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    saved = io.BytesIO()
    torch.save(network, saved)
    saved.seek(0)
    copies = [pickle.loads(pickle.dumps(network)), copy.deepcopy(network), torch.load(saved, weights_only=False)]
    with torch.inference_mode():
        expected = numbers(network(inputs()))
        for one in copies:
            assert all(torch.equal(*pair) for pair in zip(numbers(one(inputs())), expected, strict=True))
    with torch.no_grad():
        for one in copies:
            for parameter in one.parameters():
                parameter.zero_()
        assert all(torch.equal(*pair) for pair in zip(numbers(network(inputs())), expected, strict=True))
