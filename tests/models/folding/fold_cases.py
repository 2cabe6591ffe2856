"""Networks to fold and the RGB pipeline to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tests.oracles import folded_reference
from torch import Tensor, nn

from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD
from prepixel.spectrum import BandSet, Spectrum

ALL = BandSet.parse("192")


FORMS = ("composed", "factored")


def random_spectrum(grid: tuple[int, int], bands: BandSet = ALL, *, n: int = 1, seed: int = 5) -> Spectrum:
    """Draw coefficients as large as a photograph's."""
    generator = np.random.default_rng(seed)
    spread = np.array([(300 if v == u == 0 else 60) / (1 + v + u) / (1 + (c > 0)) for c, v, u in bands])
    values = generator.normal(size=(n, len(bands), *grid)) * spread[:, None, None]
    return Spectrum.of_coefficients(torch.from_numpy(values), bands)


def rgb_pipeline(
    network: nn.Module,
    spectrum: Spectrum,
    size: int,
    reduction: str = "dct",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """Run a network on the pixels that a spectrum of all channels stands for."""
    images = np.stack([folded_reference.rgb(one, size, reduction) for one in spectrum.values.double().numpy()])
    normalized = (images - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    with torch.no_grad():
        output: Tensor = network(torch.from_numpy(normalized).to(next(network.parameters()).dtype))
    return output


def difference(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


class Net(nn.Module):
    """A stem, a nonlinearity and a head, with a step of choice before the stem."""

    def __init__(self, stem: nn.Module, before: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.stem = stem
        self.before = before
        self.weight = nn.Parameter(torch.randn(7, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        if self.before is not None:
            x = self.before(x)
        return torch.tanh(self.stem(x)).flatten(1)


def conv(kernel: Any, stride: Any = 1, padding: Any = 0, **options: Any) -> nn.Module:
    return nn.Conv2d(3, options.pop("features", 5), kernel, stride, padding, **options)


def batch_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm
