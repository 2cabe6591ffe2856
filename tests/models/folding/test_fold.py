"""A folded network against the pixel network: every family, odd grids, stems of every kind."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from tests.models.folding.fold_cases import ALL, FORMS, Net, batch_norm, conv, difference, random_spectrum, rgb_pipeline
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from prepixel.errors import ModelError
from prepixel.models import FoldedNetwork, count_macs, fold
from prepixel.models.input_norm import IMAGENET_MEAN, PixelInput
from prepixel.spectrum import BandSet, Spectrum, encode_int8

# name: height and width that it takes where that matters; all others get sides that are no multiples of their strides.
FAMILIES: dict[str, tuple[int, int]] = {
    "alexnet": (88, 104),
    "vgg11": (40, 56),
    "resnet18": (56, 72),
    "resnext50_32x4d": (56, 72),
    "wide_resnet50_2": (56, 72),
    "densenet121": (56, 72),
    "inception_v3": (88, 104),
    "googlenet": (56, 72),
    "squeezenet1_0": (56, 72),
    "squeezenet1_1": (56, 72),
    "mobilenet_v2": (56, 72),
    "mobilenet_v3_small": (56, 72),
    "mnasnet0_5": (56, 72),
    "shufflenet_v2_x0_5": (56, 72),
    "efficientnet_b0": (56, 72),
    "efficientnet_v2_s": (56, 72),
    "regnet_y_400mf": (56, 72),
    "convnext_tiny": (56, 72),
    "swin_t": (56, 72),
    "swin_v2_t": (56, 72),
    "vit_b_16": (224, 224),
    "vit_b_32": (224, 224),
    "maxvit_t": (224, 224),
}
TIMM: dict[str, tuple[int, int]] = {
    "tf_efficientnet_lite0": (56, 72),  # pads as TensorFlow does, by the size
    "vit_tiny_patch16_224": (224, 224),
    "deit_tiny_patch16_224": (224, 224),
    "mixer_s32_224": (224, 224),
    "swin_tiny_patch4_window7_224": (224, 224),
    "convnextv2_atto": (56, 72),
    "resnet26d": (56, 72),
    "mobilenetv4_conv_small": (56, 72),
    "ghostnet_100": (56, 72),
    "regnetx_002": (56, 72),
    "poolformer_s12": (64, 96),
    "vit_base_patch14_dinov2": (56, 56),
}


def build(name: str, size: tuple[int, int]) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's and torchvision's own
        if name in FAMILIES:
            extra: dict[str, Any] = {"aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
            if extra:  # as their ImageNet weights come: normalized again inside
                extra |= {"transform_input": True, "init_weights": False}
            network: nn.Module = getattr(torchvision.models, name)(weights=None, num_classes=11, **extra)
        else:
            extra = {"img_size": size} if "dinov2" in name else {}
            network = timm.create_model(name, num_classes=11, **extra)
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():  # heads that start at zero say nothing
            nn.init.normal_(module.weight, std=0.05)
    return network.eval()


@pytest.mark.parametrize("name", [*FAMILIES, *TIMM])
def test_every_family_gives_the_pixel_networks_logits(name: str) -> None:
    size = (FAMILIES | TIMM)[name]
    network = build(name, size)
    # 8 pixels a block, so that most grids are odd: 7 x 9, 11 x 13, 5 x 7. Other ratios are test_stems_of_every_kind's.
    grid = (size[0] // 8, size[1] // 8)
    spectrum = random_spectrum(grid)
    exact = rgb_pipeline(network.double(), spectrum, 8)
    form: Any = "factored" if "patch14" in name else "composed"  # 7 x 7 blocks of 192 channels are too many weights
    folded = fold(network, pixels=size, grid=grid, bands=ALL, form=form)
    with torch.no_grad():
        assert difference(folded(spectrum), exact) <= 1e-8
        assert difference(folded.float()(spectrum), exact) <= 1e-4


STEMS: dict[str, Callable[[], nn.Module]] = {
    "3/1": lambda: conv(3, 1, 1),
    "3/2": lambda: conv(3, 2, 1),
    "3/2 unpadded": lambda: conv(3, 2),
    "7/2": lambda: conv(7, 2, 3),
    "11/4": lambda: conv(11, 4, 2),
    "4/4": lambda: conv(4, 4),
    "even kernel, no bias": lambda: conv(6, 2, 2, bias=False),
    "unequal": lambda: conv((3, 5), (2, 4), (0, 2)),
    "dilated": lambda: conv(3, 2, 2, dilation=2),
    "strides that divide no block": lambda: conv(5, 3, 1),
    "patches of 14": lambda: conv(14, 14),
    "wide padding": lambda: conv(3, 2, 5),
    "grouped": lambda: conv(3, 2, 1, groups=3, features=6),
    "same": lambda: conv((3, 5), 1, "same"),
    "pixels": lambda: conv(1),
    "asymmetric": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), conv(3, 2)),
    "space to depth": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 5, 3, 1, 1)),
    "own normalization": lambda: nn.Sequential(PixelInput(), conv(3, 2, 1)),
    "batch norm first": lambda: nn.Sequential(batch_norm(), conv(3, 2, 1)),
    "gray": lambda: nn.Sequential(Gray(), nn.Conv2d(1, 5, 3, 2, 1)),
    "everything": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 56 * 40, 5)),
    "linear patches": lambda: LinearPatches(),
    "functional": lambda: Functional(),
}


class Gray(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] * 0.3 + x[:, 1:2] * 0.6 + x[:, 2:] * 0.1


class LinearPatches(nn.Module):
    """Patches as vision transformers written by hand make them."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        n, colors, height, width = x.shape
        assert colors == 3
        patches = x.reshape(n, 3, height // 8, 8, width // 8, 8).permute(0, 2, 4, 1, 3, 5)
        return self.project(patches.reshape(n, (height // 8) * (width // 8), 3 * 8 * 8))


class Functional(nn.Module):
    """A stem without a module, behind arithmetic and questions of all sorts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 5, 5))
        self.register_buffer("mean", torch.rand(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.dim() == 4 and x.ndim == 4, "an image")
        torch._assert(x.size(1) == 3 and x.size(dim=-1) == x.shape[3], "three colors")
        scale = torch.ones((), dtype=x.dtype, device=x.device)
        y = (x - self.mean) / 0.5 * scale
        y = functional.pad(y, (1, 2, 1, 2))
        features = functional.conv2d(y, self.weight, stride=2)
        return features * x.shape[2]


@pytest.mark.parametrize("reduction", ["dct", "box"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stem", STEMS)
def test_stems_of_every_kind(stem: str, form: Any, reduction: Any) -> None:
    torch.manual_seed(1)
    network = Net(STEMS[stem]()).double().eval()
    pixels = (112, 168) if "14" in stem or "no block" in stem else (56, 40)
    for ratio in (1, 2) if reduction == "dct" else (4,):
        grid = (pixels[0] * ratio // 8, pixels[1] * ratio // 8)
        spectrum = random_spectrum(grid, n=2)
        folded = fold(network, pixels=pixels, grid=grid, bands=ALL, form=form, reduction=reduction)
        with torch.no_grad():
            assert difference(folded(spectrum), rgb_pipeline(network, spectrum, 8 // ratio, reduction)) <= 1e-11


def test_neighborhood_is_the_smallest() -> None:
    folded = fold(Net(conv(7, 2, 3)), pixels=(64, 64), grid=(16, 16), bands=ALL, form="composed")
    stem = next(m for m in folded.modules() if type(m).__name__ == "FoldedStem")
    # 4 pixels a block, outputs at 0 and 2: pixels -3..3 and -1..5, so one block on either side.
    assert tuple(stem.weight.shape) == (7 * 0 + 5 * 4, 48, 3, 3)
    assert stem.extra_repr() == "192 channels (48 reach it), 3 x 3 blocks, stride 1 x 1, 2 x 2 outputs a step"


def test_channels_left_out_are_columns_left_out() -> None:
    torch.manual_seed(2)
    network = Net(conv(3, 2, 1)).double()
    bands = BandSet.parse("T-12")
    some = random_spectrum((14, 10), bands)
    embedded = torch.zeros(1, 192, 14, 10, dtype=torch.float64)
    embedded[:, list(bands.channels)] = some.values
    everything = Spectrum.of_coefficients(embedded, ALL)
    for form in FORMS:
        folded = fold(network, pixels=(56, 40), grid=(14, 10), bands=bands, form=form)
        with torch.no_grad():
            assert difference(folded(some), rgb_pipeline(network, everything, 4)) <= 1e-12


@pytest.mark.parametrize("bands", ["square-4-0-0", "square-4-1-0", "square-0-2-2"])
def test_a_component_left_out_is_that_of_the_mean_color(bands: str) -> None:
    torch.manual_seed(2)
    network = Net(conv(3, 2, 1)).double()
    kept = BandSet.parse(bands)
    some = random_spectrum((14, 10), kept)
    red, green, blue = (255 * value for value in IMAGENET_MEAN)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    everything = torch.zeros(1, 192, 14, 10, dtype=torch.float64)
    everything[:, [0, 64, 128]] = torch.tensor(
        [8 * (luma - 128), 8 * (blue - luma) / 1.772, 8 * (red - luma) / 1.402], dtype=torch.float64
    )[:, None, None]
    everything[:, list(kept.channels)] = some.values
    expected = rgb_pipeline(network, Spectrum.of_coefficients(everything, ALL), 4)
    for form in FORMS:
        folded = fold(network, pixels=(56, 40), grid=(14, 10), bands=kept, form=form)
        with torch.no_grad():
            assert difference(folded(some), expected) <= 1e-12


def test_a_fold_serves_other_grids_where_the_network_takes_any_size() -> None:
    torch.manual_seed(3)
    for stem in (conv(7, 2, 3), conv(5, 3, 1), conv(11, 4, 2), conv(3, 2, 2, dilation=2)):
        network = Net(stem).double()
        for form in FORMS:
            folded = fold(network, pixels=(56, 104), grid=(14, 26), bands=ALL, form=form)
            for grid in ((5, 7), (14, 11), (23, 17)):
                spectrum = random_spectrum(grid)
                with torch.no_grad():
                    assert difference(folded(spectrum), rgb_pipeline(network, spectrum, 4)) <= 1e-12


def test_a_detectors_backbone_folds_and_takes_images_of_any_size() -> None:
    torch.manual_seed(5)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5).double().eval()
    folded = fold(backbone, pixels=(64, 96), grid=(16, 24), bands=ALL, form="composed")
    for grid in ((16, 24), (26, 14)):
        spectrum = random_spectrum(grid)
        expected: Any = rgb_pipeline(backbone, spectrum, 4)
        with torch.no_grad():
            got = folded(spectrum)
        assert list(got) == ["0", "1", "2", "3", "pool"]
        assert all(difference(got[level], expected[level]) <= 1e-8 for level in got)


def test_a_fold_that_pads_by_size_says_which_grid_it_cannot_take() -> None:
    folded = fold(build("tf_efficientnet_lite0", (56, 72)), pixels=(56, 72), grid=(14, 18), form="composed")
    folded.network.conv_stem.plans = tuple(  # a stride of which a block is no multiple
        type(plan)(plan.grid, plan.num_outputs, plan.pixels, 8, plan.slack, plan.first, plan.reach)
        for plan in folded.network.conv_stem.plans
    )
    with pytest.raises(ModelError, match=r"folded for 14 blocks along an axis, got 15.*fold it for 15 blocks"):
        folded(random_spectrum((15, 18), BandSet.parse("S-24")))


def test_int8_and_float32_spectra_give_the_same_answer_within_their_rounding() -> None:
    torch.manual_seed(4)
    bands = BandSet.parse("S-24")
    folded = fold(Net(conv(7, 2, 3)), pixels=(56, 40), grid=(14, 10), bands=bands)
    spectrum = random_spectrum((14, 10), bands)
    coarse = encode_int8(spectrum, folded.input.shift, torch.full((24,), 8.0))
    with torch.no_grad():
        assert difference(folded(coarse), folded(Spectrum.of_coefficients(coarse.coefficients(), bands))) <= 1e-5
        assert difference(folded(spectrum.select(bands)), folded(spectrum)) == 0


def test_auto_takes_the_cheaper_form_and_costs_are_what_is_counted() -> None:
    for stem, cheaper in ((conv(7, 2, 3, features=64), "factored"), (conv(16, 16, features=64), "composed")):
        network = nn.Sequential(stem)
        folded = {form: fold(network, pixels=64, grid=16, form=form) for form in ("auto", *FORMS)}
        cost = folded["auto"].cost
        assert folded["auto"].settings.form == cheaper
        example = random_spectrum((16, 16), BandSet.parse("S-24"))
        assert count_macs(folded["composed"], example) == cost.composed
        assert count_macs(folded["factored"], example) == cost.factored
        assert count_macs(network, torch.empty(1, 3, 64, 64)) == cost.pixels
        assert min(cost.composed, cost.factored) == getattr(cost, cheaper)


def test_the_given_network_is_left_as_it_is() -> None:
    network = build("resnet18", (56, 72)).train()
    before = copy.deepcopy(network.state_dict())
    folded = fold(network, pixels=(56, 72), grid=(14, 18), form="composed")
    assert network.training
    assert isinstance(network.conv1, nn.Conv2d)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    folded.network.fc.weight.data.zero_()
    assert float(network.fc.weight.detach().abs().max()) > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["resnet18", "vit_b_32"])
def test_weights_go_through_state_dicts_and_every_one_learns(name: str, form: Any) -> None:
    size = FAMILIES[name]
    grid = (size[0] // 8, size[1] // 8)
    first = fold(build(name, size), pixels=size, grid=grid, form=form)
    torch.manual_seed(6)
    other = fold(copy.deepcopy(build(name, size)).apply(_shake), pixels=size, grid=grid, form=form)
    spectrum = random_spectrum(grid, BandSet.parse("S-24"), n=2)
    with torch.no_grad():
        assert difference(other(spectrum), first(spectrum)) > 1e-3
        other.load_state_dict(first.state_dict())
        assert torch.equal(other(spectrum), first(spectrum))
    first.train()
    first(spectrum).square().sum().backward()
    assert [name for name, p in first.named_parameters() if p.grad is None] == []


def _shake(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data += 0.1 * torch.randn_like(parameter)


COMPILED = """
import torch, torchvision
from prepixel import BandSet, Spectrum
from prepixel.models import fold
torch.manual_seed(0)
network = torchvision.models.mobilenet_v3_small(num_classes=11).eval()
folded = fold(network, pixels=(56, 72), grid=(14, 18), form="{form}")
spectrum = Spectrum.of_coefficients(100 * torch.randn(2, 24, 14, 18), BandSet.parse("S-24"))
with torch.no_grad():
    expected = folded(spectrum)
    def off(got): return float((got - expected).abs().max() / expected.abs().max())
    print("compiled", off(torch.compile(folded, backend="aot_eager", fullgraph=True)(spectrum)))
    program = torch.export.export(folded.network, (folded.input(spectrum),))
    print("exported", off(program.module()(folded.input(spectrum))))
    print("whole", off(torch.export.export(folded, (spectrum,)).module()(spectrum)))
"""


@pytest.mark.parametrize("form", FORMS)
def test_compile_and_export(form: str) -> None:
    # In a process of its own: the tests' type checks of annotations cannot be compiled.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILED.format(form=form)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    errors = dict(line.split() for line in done.stdout.splitlines())
    assert set(errors) == {"compiled", "exported", "whole"}
    assert all(float(error) <= 1e-5 for error in errors.values())


@pytest.mark.parametrize("form", FORMS)
def test_autocast(form: Any) -> None:
    folded = fold(build("resnet18", (56, 72)), pixels=(56, 72), grid=(14, 18), form=form)
    spectrum = random_spectrum((14, 18), BandSet.parse("S-24"), n=2)
    with torch.no_grad():
        expected = folded(spectrum)
        with torch.autocast("cpu", torch.bfloat16):
            got = folded(spectrum)
    assert got.dtype == torch.bfloat16
    assert difference(got.float(), expected) <= 0.1


def test_a_layer_too_large_to_compose_is_factored() -> None:
    torch.manual_seed(7)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 104 * 104, 2400))
    with pytest.raises(ModelError, match=r"the composed layer would have 77,875,200 weights .* take form factored"):
        fold(network, pixels=104, grid=13, bands=ALL, form="composed")
    folded = fold(network, pixels=104, grid=13, bands=ALL)
    assert folded.settings.form == "factored"
    assert folded.cost.composed == 77_875_200
    spectrum = random_spectrum((13, 13))
    with torch.no_grad():
        assert difference(folded(spectrum), rgb_pipeline(network, spectrum, 8).double()) <= 1e-5


def test_front_door_type() -> None:
    assert isinstance(fold(Net(conv(4, 4)), pixels=(56, 40), grid=(14, 10)), FoldedNetwork)
