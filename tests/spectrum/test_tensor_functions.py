"""A spectrum given to a network on pixels, or to a function of tensors: one line says what takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from prepixel.models import fold
from prepixel.spectrum import PaddedSpectrum, Spectrum

FOLD = r"holds frequencies and is no tensor\. A network on pixels takes spectra once it is folded: prepixel\.fold\("


@pytest.fixture
def spectrum() -> Spectrum:
    return Spectrum.of_coefficients(torch.randn(2, 24, 5, 7), "S-24")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "convnext_tiny"])
def test_networks_of_torchvision_say_fold(name: str, spectrum: Spectrum) -> None:
    models = pytest.importorskip("torchvision.models")
    with pytest.raises(TypeError, match=f"torch's conv2d got a Spectrum, which {FOLD}"):
        models.get_model(name)(spectrum)


def test_networks_of_timm_say_fold(spectrum: Spectrum) -> None:
    timm = pytest.importorskip("timm")
    with pytest.raises(TypeError, match=f"torch's conv2d got a Spectrum, which {FOLD}"):
        timm.create_model("resnet10t")(spectrum)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda given: functional.interpolate(given, scale_factor=2), "interpolate"),
        (lambda given: torch.flip(given, (3,)), "flip"),
        (lambda given: torch.cat([given, given]), "cat"),
        (lambda given: nn.Linear(7, 3)(given), "linear"),
        (lambda given: torch.add(given, 1), "add"),
    ],
)
def test_functions_of_tensors_are_named(call: Callable[[Any], Any], name: str, spectrum: Spectrum) -> None:
    with pytest.raises(TypeError, match=f"torch's {name} got a Spectrum, which {FOLD}"):
        call(spectrum)
    with pytest.raises(TypeError, match=f"torch's {name} got a PaddedSpectrum, which {FOLD}"):
        call(PaddedSpectrum.of([spectrum]))


def test_folded_it_takes_spectra(spectrum: Spectrum) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(TypeError, match="is folded"):
        network(spectrum)
    assert fold(network.eval(), pixels=(20, 28), grid=(5, 7))(spectrum).shape == (2, 4)
