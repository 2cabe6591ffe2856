"""Folded networks as objects: other grids, attributes, frozen layers, half precision, copies; and what is refused."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from prepixel.models import BatchTooSmall, CannotFold, GridMismatch, ModelError, fold
from prepixel.spectrum import BandSet, Spectrum

ALL = BandSet.parse("192")


def spectrum(grid: tuple[int, int], n: int = 1) -> Spectrum:
    generator = torch.Generator().manual_seed(3)
    values = 30 * torch.randn(n, 192, *grid, generator=generator, dtype=torch.float64)
    return Spectrum.of_coefficients(values, ALL)


class Upsampled(nn.Module):
    """Asks for its image's size beside the first layer, and decides by it if told to."""

    def __init__(self, decides: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 4, 4)
        self.decides = decides
        self.note = "plain"

    def extra(self) -> str:
        return self.note

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.decides and height != 2 * width // 2 + 24:
            raise ValueError("another size")
        return functional.interpolate(torch.tanh(self.stem(x)), size=(height // 2, width - 3), mode="nearest")


def test_sizes_are_right_at_every_grid() -> None:
    torch.manual_seed(0)
    network = Upsampled().double()
    composed, factored = (
        fold(network, pixels=(40, 56), grid=(5, 7), bands=ALL, form=f) for f in ("composed", "factored")
    )
    for grid in ((5, 7), (11, 3), (2, 13)):
        with torch.no_grad():
            got, expected = composed(spectrum(grid)), factored(spectrum(grid))
        assert got.shape == expected.shape == (1, 5, 4 * grid[0], 8 * grid[1] - 3)
        assert float((got - expected).abs().max()) <= 1e-10


def test_a_decision_by_the_size_is_refused_where_it_would_be_another() -> None:
    network = Upsampled(decides=True).double()
    folded = fold(network, pixels=(64, 40), grid=(8, 5), bands=ALL, form="composed")
    assert folded(spectrum((11, 8))).shape[2] == 44  # 88 = 64 + 24: the same decision
    with pytest.raises(GridMismatch, match=r"code of Upsampled decides by its image's size .*fold it for this grid"):
        folded(spectrum((8, 8)))


def test_attributes_methods_and_copies_survive() -> None:
    folded = fold(Upsampled().double(), pixels=40, grid=5, bands=ALL, form="composed")
    assert (folded.network.note, folded.network.extra(), type(folded.network).__name__) == (
        "plain",
        "plain",
        "Upsampled",
    )
    assert isinstance(folded.network, Upsampled)
    buffer = io.BytesIO()
    torch.save(folded, buffer)
    buffer.seek(0)
    copies = [pickle.loads(pickle.dumps(folded)), copy.deepcopy(folded), torch.load(buffer, weights_only=False)]
    for one in copies:
        assert torch.equal(one(spectrum((6, 7))), folded(spectrum((6, 7))))
        one.network.stem.weight.data.zero_()
        assert float(folded.network.stem.weight.detach().abs().max()) > 0


def test_timms_dynamic_sizes_stay_dynamic() -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=5, dynamic_img_size=True, depth=1).eval()
    folded, factored = (fold(network, pixels=64, grid=8, bands=ALL, form=f) for f in ("composed", "factored"))
    for grid in ((8, 8), (12, 10)):
        with torch.no_grad():
            got, expected = folded(spectrum(grid)), factored(spectrum(grid))
        assert float((got - expected).abs().max()) <= 1e-3 * float(expected.abs().max())
    with pytest.raises(GridMismatch):
        folded(spectrum((9, 8)))


@pytest.mark.parametrize("form", ["composed", "factored"])
def test_frozen_first_layers_stay_frozen(form: Any) -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Conv2d(5, 7, 1))
    network[0].requires_grad_(False)
    folded = fold(network, pixels=40, grid=5, bands=ALL, form=form)
    trained = {name for name, parameter in folded.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2
    assert len(list(folded.parameters())) == 4
    network[0].bias.requires_grad_(True)
    assert sum(p.requires_grad for p in fold(network, pixels=40, grid=5, bands=ALL, form=form).parameters()) == 3


@pytest.mark.parametrize("form", ["composed", "factored"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_fold_and_run(dtype: torch.dtype, form: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Tanh(), nn.Flatten(), nn.Linear(500, 7)).to(dtype)
    folded = fold(network, pixels=40, grid=10, form=form)
    reference = fold(copy.deepcopy(network).float(), pixels=40, grid=10, form=form)
    values = spectrum((10, 10)).select(BandSet.parse("S-24"))
    with torch.no_grad():
        got, expected = folded(values), reference(values)
    assert got.dtype == dtype
    assert float((got.float() - expected).abs().max()) <= 0.05 * float(expected.abs().max())


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = x.split(1, dim=1)
        return torch.tanh(self.stem(torch.cat([blue * 2, green, red - 1], dim=1)))


def test_split_channels_fold() -> None:
    folded, factored = (fold(Split().double(), pixels=40, grid=5, bands=ALL, form=f) for f in ("composed", "factored"))
    assert folded(spectrum((5, 9))).shape == factored(spectrum((5, 9))).shape
    torch.manual_seed(0)
    network = Split().double()
    folded, factored = (fold(network, pixels=40, grid=5, bands=ALL, form=f) for f in ("composed", "factored"))
    with torch.no_grad():
        assert float((folded(spectrum((5, 9))) - factored(spectrum((5, 9)))).abs().max()) <= 1e-10


class Whitened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.stem((x - x.mean()) / x.std()))


def not_finite() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4))
    network[0].weight.data[1, 2] = float("nan")
    return network


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "one channel": (lambda: nn.Sequential(nn.Conv2d(1, 5, 3)), r"takes 1 channel\(s\), and folding starts from RGB"),
    "script": (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 5, 4, 4))), r"is a ScriptModule"),
    "whitening": (Whitened, r"not finite for an image of one color"),
    "mixed": (lambda: nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Conv2d(5, 5, 1).half()), r"are float16 and float32"),
    "not finite": (not_finite, r"0\.weight holds 16 of 240 values that are NaN or infinite"),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of scripting
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_would_do(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        fold(make(), pixels=40, grid=10, form="composed" if name == "whitening" else "auto")


def test_networks_of_another_size_state_it_and_their_own_is_the_default() -> None:
    network = timm.create_model("vit_tiny_patch16_384", num_classes=5, depth=1)
    with pytest.raises(CannotFold, match=r"its own size is 384 x 384: pixels=\(384, 384\)"):
        fold(network, pixels=224, bands="S-6")
    folded = fold(network, bands="S-6")
    assert (folded.settings.pixels, folded.settings.grid) == ((384, 384), (96, 96))


def test_a_batch_of_one_says_what_to_do() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(5), nn.Flatten())
    folded = fold(network, pixels=40, grid=10, bands=ALL).train()
    with pytest.raises(BatchTooSmall, match=r"a single image .*take batches of 2 images or more"):
        folded(spectrum((10, 10)))
    assert folded(spectrum((10, 10), n=2)).shape == (2, 5)
    assert folded.eval()(spectrum((10, 10))).shape == (1, 5)
