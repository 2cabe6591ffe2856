"""Networks and sizes that cannot be folded: the reason is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torchvision
from tests.models.folding.fold_cases import Net, conv, difference, random_spectrum, rgb_pipeline
from torch import Tensor, nn
from torch.nn import functional

from prepixel.errors import ModelError
from prepixel.models import CannotFold, fold
from prepixel.spectrum import BandSet


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 2, 1), conv(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.first(x)) * self.second(x)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 1, 1, features=3)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.first(x))


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) if x.size(0) > 1 else -self.first(x)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "nonlinear": (lambda: Net(conv(3, 2, 1), lambda x: x.clamp(0, 1)), r"all over.*not linear.*first layer: clamp"),
    "reflected": (lambda: Net(conv(3, 2, 1, padding_mode="reflect")), r"at the borders.*reflected"),
    "padded black, then normalized": (
        lambda: Net(conv(3), lambda x: functional.pad(functional.pad(x, (1, 1, 1, 1)) - 1, (1, 1, 1, 1))),
        r"padding is not one color",
    ),
    "twice": (Twice, r"used twice: by first, and again by conv2d in second"),
    "skip": (Skip, r"used twice: by first, and again by add"),
    "branch": (Branch, r"torch.fx cannot trace it"),
    "no layer": (lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), r"no convolution and no linear layer"),
    "no weights": (lambda: nn.Sequential(nn.ReLU()), r"has no weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_with_the_reason(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(CannotFold, match=message):
        fold(make(), pixels=(56, 40), grid=(14, 10), form="composed")


@pytest.mark.parametrize("name", ["nonlinear", "reflected", "padded black, then normalized", "twice", "skip", "branch"])
def test_what_cannot_be_composed_is_computed_on_pixels(name: str) -> None:
    torch.manual_seed(0)
    network = REFUSED[name][0]().double().eval()
    folded = fold(network, pixels=(56, 40), grid=(7, 5), bands="192")
    assert (folded.settings.form, folded.structure.stem) == ("factored", None)
    spectrum = random_spectrum((7, 5))
    with torch.no_grad():
        got = folded(spectrum)
    assert difference(got, rgb_pipeline(network, spectrum, 8)) < 1e-9
    assert folded.cost.pixels or not folded.cost.composed


def test_refuses_sizes_that_do_not_fit_and_names_those_that_do() -> None:
    network = Net(conv(3, 2, 1))
    with pytest.raises(ModelError, match=r"take a grid of 28 x 28, 56 x 56, 112 x 112, 224 x 224"):
        fold(network, pixels=224, grid=32)
    with pytest.raises(ModelError, match=r"299 x 299.*grid of 299 x 299, or give the network 296 x 296 pixels"):
        fold(network, pixels=299, grid=56)
    with pytest.raises(ModelError, match=r"along both axes"):
        fold(network, pixels=(56, 40), grid=(14, 5))
    with pytest.raises(ModelError, match=r"pixels and grid must be 1 or greater"):
        fold(network, pixels=0, grid=5)
    with pytest.raises(ModelError, match=r"one number above 0 each for R, G and B"):
        fold(network, std=(1.0, 0.0, 1.0))
    with pytest.raises(ModelError, match=r"none of the channels of high reaches the 4 x 4 pixels"):
        fold(network, pixels=56, grid=14, bands=BandSet("high", (63, 127)))
    with pytest.raises(ModelError, match=r"fold it for at least \d+ blocks"):
        fold(Net(conv(31, 1, 15)), pixels=16, grid=4)


def test_a_body_that_differs_in_training_refuses_training() -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.googlenet(num_classes=11, transform_input=True, init_weights=False)
    folded = fold(network, pixels=(56, 72), grid=(14, 18), form="composed")
    spectrum = random_spectrum((14, 18), BandSet.parse("S-24"), n=2)
    folded(spectrum)
    with pytest.raises(CannotFold, match=r"auxiliary heads"):
        folded.train()(spectrum)
