"""Pixel networks by name: built, filled, normalized as their users do; what is not to be had is said."""

from __future__ import annotations

import math
import re
import sys
import textwrap
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from prepixel.errors import ModelError
from prepixel.models import build_function, imagenet_classes, import_build_function, pixel_model
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD


def test_torchvisions_networks_by_name() -> None:
    model = pixel_model("resnet18", num_classes=7, weights="none")
    assert isinstance(model.network, torchvision.models.ResNet)
    assert not model.network.training
    assert (model.mean, model.std, model.num_classes, model.classes) == (IMAGENET_MEAN, IMAGENET_STD, 7, ())
    assert pixel_model("googlenet", weights="none").network.transform_input


def test_shipped_weights_are_those_of_imagenet() -> None:
    model = pixel_model("efficientnet_lite0")
    assert model.mean == (127 / 255,) * 3
    assert model.std == (128 / 255,) * 3
    assert model.classes == imagenet_classes()
    assert model.classes[985] == "daisy"
    assert float(model.network.bn1.running_var.std()) > 0.1  # trained ones differ from channel to channel
    random = pixel_model("efficientnet_lite0", weights="none")
    assert float(random.network.bn1.running_var.std()) == 0


def test_number_of_classes_is_that_of_the_weights(tmp_path: Path) -> None:
    source = torchvision.models.squeezenet1_1(num_classes=13)
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "weights.pt")
    model = pixel_model("squeezenet1_1", weights=str(tmp_path / "weights.pt"))
    assert model.num_classes == 13
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_timm_and_recipes_networks() -> None:
    model = pixel_model("timm:vit_tiny_patch16_224", num_classes=5, weights="none")
    assert model.mean == (0.5, 0.5, 0.5)
    with torch.no_grad():
        assert model.network(torch.zeros(1, 3, 224, 224)).shape == (1, 5)
    own = pixel_model("prepixel:resnet18", num_classes=5, weights="none")
    assert own.mean == (0.0, 0.0, 0.0)
    with torch.no_grad():
        assert own.network(torch.zeros(1, 3, 40, 56)).shape == (1, 5)


OWN = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def number():
    return 7
"""


def test_own_networks_are_given_by_the_caller_and_never_imported_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_of_this_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (f"{tmp_path / 'mine_of_this_test.py'}:build", "mine_of_this_test:build", "os:abort"):
        with pytest.raises(ModelError, match=r"no network .*your own code is given by build="):
            pixel_model(name)
    assert "mine_of_this_test" not in sys.modules
    for reference in (f"{tmp_path / 'mine_of_this_test.py'}:build", "mine_of_this_test:build"):
        model = pixel_model("mine", build=import_build_function(reference))
        assert isinstance(model.network, nn.Sequential)
        assert (model.name, model.trained) == ("mine", True)
    monkeypatch.delitem(sys.modules, "mine_of_this_test")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("num_classes", "num_classes=7"),
        ("count", "count=7"),
        ("pretrained=False", "pretrained=False"),
        ("pretrained=False, num_classes=1000", "pretrained=False, num_classes=7"),
        ("*, num_classes=1000", "num_classes=7"),
        ("*, count, width=2", "count=7, width=2"),
        ("count, /, width=2", "count=7, width=2"),
        ("*layers, **options", "layers=(), options={}"),
    ],
)
def test_own_functions_get_the_number_of_classes_where_they_ask_for_it(
    parameters: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_function, "_allowed", {})
    code = f"""
        from torch import nn
        def build({parameters}):
            given = dict(locals())
            network = nn.Identity()
            network.got = ", ".join(f"{{name}}={{value}}" for name, value in given.items())
            return network
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(code))
    reference = f"{tmp_path / 'mine.py'}:build"
    build_function.allow_build_function(reference)
    network: Any = build_function.allowed_network(reference, 7)
    assert network.got == expected


def test_own_code_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    for reference, message in (
        (f"{tmp_path / 'mine.py'}:missing", "has no function missing"),
        (f"{tmp_path / 'none.py'}:build", "no such file; give FILE.py:FUNCTION"),
        ("nowhere_at_all:build", "no module nowhere_at_all can be imported"),
        ("build", "names no function"),
    ):
        with pytest.raises(ModelError, match=message):
            import_build_function(reference)
    with pytest.raises(ModelError, match=r"its build function returns int, not a torch\.nn\.Module"):
        pixel_model("mine", build=import_build_function(f"{tmp_path / 'mine.py'}:number"))


def test_weights_are_a_choice_that_must_be_made() -> None:
    for name in ("squeezenet1_1", "prepixel:resnet18", "timm:mobilenetv4_conv_small"):
        with pytest.raises(ModelError, match=rf"{name}: choose its weights: DEFAULT .* a torch FILE .* or none"):
            pixel_model(name)
        assert not pixel_model(name, weights="none").trained
    assert pixel_model("efficientnet_lite0").trained
    assert not pixel_model("efficientnet_lite0", weights="none").trained


def test_timm_tags_choose_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []
    create = timm.create_model

    def record(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
        asked.append((name, pretrained))
        network: nn.Module = create(name, pretrained=False, **options)
        return network

    monkeypatch.setattr(timm, "create_model", record)
    monkeypatch.setattr("prepixel.models.pretrained._check_hub", lambda configuration: None)
    for name, weights in (("resnet18.a1_in1k", None), ("resnet18", "a1_in1k"), ("resnet18", "DEFAULT")):
        model = pixel_model(f"timm:{name}", weights=weights)
        assert model.trained
        assert model.num_classes == 1000
    assert not pixel_model("timm:resnet18.a1_in1k", weights="none").trained
    assert asked == [("resnet18.a1_in1k", True)] * 2 + [("resnet18", True), ("resnet18.a1_in1k", False)]
    with pytest.raises(ModelError, match=r"timm has no 'resnet18\.best'; of resnet18 it has .*a1_in1k"):
        pixel_model("timm:resnet18.best")


def test_downloads_that_fail_say_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: Any, **options: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    monkeypatch.setattr("os.makedirs", lambda *args, **options: None)
    with pytest.raises(ModelError, match=r"the weights DEFAULT of squeezenet1_1 could not be had .*give a FILE"):
        pixel_model("squeezenet1_1", weights="DEFAULT")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_weights_in_torchvisions_layout_may_hold_auxiliary_heads(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's own
        source = getattr(torchvision.models, name)(aux_logits=True, init_weights=False, num_classes=13)
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    model = pixel_model(name, weights=tmp_path / "weights.pt")
    assert model.num_classes == 13
    assert model.trained
    own = model.network.state_dict()
    assert len(own) < len(source.state_dict())
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in own.items())


def older_densenet(state: dict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """The names of torchvision's own file, from when names of modules held dots, and batch norm counted nothing."""
    return OrderedDict(
        (re.sub(r"(denselayer\d+\.(?:norm|conv))(\d\.)", r"\1.\2", name), value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    )


@pytest.mark.parametrize("name", ["densenet121", "mnasnet0_5", "maxvit_t"])
def test_weights_in_torchvisions_layout_are_loaded_whatever_its_age(name: str, tmp_path: Path) -> None:
    """DenseNet's file has older names, MNASNet asks for the version of its weights, MaxViT's head has no bias."""
    source = torchvision.models.get_model(name, num_classes=7).eval()
    state = source.state_dict()
    wrapped = OrderedDict((f"module.{key}", value) for key, value in state.items())
    wrapped._metadata = OrderedDict((f"module.{key}".rstrip("."), value) for key, value in state._metadata.items())  # type: ignore[attr-defined]
    layouts = {"official": older_densenet(state) if name == "densenet121" else state}
    if name != "maxvit_t":
        layouts |= {"parallel": wrapped, "plain": dict(state)}  # the latter without versions
    for layout, saved in layouts.items():
        torch.save(saved, tmp_path / f"{layout}.pth")
        model = pixel_model(name, weights=tmp_path / f"{layout}.pth")
        assert model.num_classes == 7
        for key, value in state.items():
            if not (name == "densenet121" and key.endswith("num_batches_tracked")):
                assert torch.equal(model.network.state_dict()[key], value), (layout, key)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = torchvision.models.squeezenet1_1().state_dict()
    state["features.3.squeeze.weight"][0, 0] = math.nan
    state["features.3.squeeze.weight"][0, 1] = math.inf
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(ModelError, match=r"nan\.pt: features\.3\.squeeze\.weight holds 2 of 1,024 values that are NaN"):
        pixel_model("squeezenet1_1", weights=tmp_path / "nan.pt")


def test_the_input_size_is_the_networks_own() -> None:
    assert pixel_model("timm:vit_tiny_patch16_384", weights="none").pixels == (384, 384)
    assert pixel_model("vit_b_32", weights="none").pixels == (224, 224)
    assert pixel_model("squeezenet1_1", weights="none").pixels == (224, 224)


def test_what_is_not_to_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(message: str, name: str, weights: str | None = None) -> None:
        with pytest.raises(ModelError, match=message):
            pixel_model(name, weights=weights)

    refused(r"no network 'resnet17' \(did you mean resnet18\?\); there are efficientnet_lite0, torch", "resnet17")
    refused("timm has no network 'nothing'", "timm:nothing")
    refused("timm has no network 'hf-hub:someone/thing'", "timm:hf-hub:someone/thing")
    refused("weights: W1 is no file, and resnet18 has no weights of that name", "resnet18", "W1")
    refused(
        r"timm has no 'vit_tiny_patch16_224\.W1'; of vit_tiny_patch16_224 it has", "timm:vit_tiny_patch16_224", "W1"
    )
    torch.save({"x": 3}, tmp_path / "empty.pt")
    refused("holds no weights by name", "resnet18", str(tmp_path / "empty.pt"))
    (tmp_path / "text.pt").write_text("no")
    refused("cannot be read as a file of torch weights", "resnet18", str(tmp_path / "text.pt"))
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "other.pt")
    refused("not the weights of resnet18: Missing key", "resnet18", str(tmp_path / "other.pt"))
    monkeypatch.setitem(sys.modules, "timm", None)
    refused("efficientnet_lite0 needs the package timm; install it: pip install timm", "efficientnet_lite0")
