"""Trace how a network uses its image: which layer consumes it, and which operations come before.

The network runs once under a torch function mode. Folding replaces everything that is computed from the image alone,
up to and including the first convolution or linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from prepixel.errors import ModelError
from prepixel.models.input_size import input_size

CONSUMERS = (functional.conv2d, functional.linear)  # what the modules of these names call, too


class CannotFold(ModelError):
    """Report a network, or settings, that cannot be folded, and why."""


class CannotRun(CannotFold):
    """Report a network that does not run on the image that it is folded for."""


@dataclass
class ImageUse:
    """Store what a watched network does with its image.

    Attributes:
        stem: path of the module that consumes it; "" for the network itself.
        is_module: whether that module returns just what the layer gives, so that it can be replaced as a whole;
            otherwise the layer is a function call in that module's own code.
        preparations: paths of modules that only prepare the image.
        touched: paths of modules whose own code touches the image and that contain the stem, innermost first.
        calls: for modules that were called with the image or what was made of it: that, and what they returned.
        output: what the layer gave.
        weight: the layer's weight.
        layer: the kind of layer.
        stride: of a convolution, in samples of what it was given.
        dilation: of a convolution.
        given: what the layer was given.
        padding: rows and columns of zeros that a convolution adds, before and after together; None where a module of
            its own kind decides that by the image's size.
        steps: what was done to the image before, as (module, function).
        trains: whether the layer's weight, and its bias, require gradients.
        own_weights: names of the layer's weight and bias where they are parameters of the module at ``stem``.
        image: what the network was run on.
    """

    stem: str
    is_module: bool
    preparations: tuple[str, ...]
    touched: tuple[str, ...]
    calls: dict[str, tuple[Tensor, Any]]
    output: Tensor
    weight: Tensor
    layer: Literal["conv2d", "linear"]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    given: Tensor
    padding: tuple[int, int] | None
    steps: tuple[tuple[str, str], ...]
    trains: tuple[bool, bool]
    own_weights: tuple[str, ...]
    image: Tensor


class _Reached(BaseException):
    """Stop a network at the layer that consumes the image; no network should catch it."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


@dataclass
class _Watch(TorchFunctionMode):
    """Follow what is computed from an image."""

    image: Tensor
    stop: bool = False
    stack: list[str] = field(default_factory=list)
    followed: dict[int, Tensor] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    consumer: tuple[str, Any, Any, Tensor] | None = None
    again: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.followed[id(self.image)] = self.image

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not any(id(x) in self.followed for x in given):
            return func(*args, **kwargs)
        owner = self.stack[-1] if self.stack else ""
        result = func(*args, **kwargs)
        made = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
        if not made:
            self.asked.append(owner)
            return result
        name = getattr(func, "__name__", str(func))
        if self.consumer is not None:
            self.again.append((owner, name))
        elif func in CONSUMERS and id(_argument(args, kwargs, 0, "input")) in self.followed:
            if self.stop:
                raise _Reached(result)
            self.consumer = owner, func, (args, kwargs), result
        else:
            self.steps.append((owner, name))
            self.followed.update((id(x), x) for x in made)
        return result


def _argument(args: Any, kwargs: Any, place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


@contextmanager
def _hooks(network: nn.Module, watch: _Watch, calls: dict[str, tuple[Tensor, Any]]) -> Iterator[None]:
    """Keep the stack of running modules, and what those were called with, and returned, that were given the image."""
    handles = []
    given: dict[str, Tensor] = {}

    def enter(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            watch.stack.append(path)
            first = _argument(args, kwargs, 0, next(iter(kwargs), ""))
            if isinstance(first, Tensor) and id(first) in watch.followed and watch.consumer is None:
                given.setdefault(path, first)

        return hook

    def leave(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, result: Any) -> None:
            if watch.stack and watch.stack[-1] == path:
                watch.stack.pop()
            if path in given:
                calls.setdefault(path, (given[path], result))

        return hook

    try:
        for path, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(enter(path), with_kwargs=True))
            handles.append(module.register_forward_hook(leave(path), always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def watch_image(network: nn.Module, image: Tensor) -> ImageUse:
    """Run a network once and say how it uses its image.

    Args:
        network: in evaluation mode.
        image: what to run it on; its values do not matter, its size does.

    Raises:
        CannotFold: no convolution or linear layer consumes the image, or something else does as well.
    """
    watch = _Watch(image)
    calls: dict[str, tuple[Tensor, Any]] = {}
    with torch.no_grad(), _hooks(network, watch, calls), watch:
        try:
            network(image)
        except CannotFold:
            raise
        except Exception as error:  # the network's own code may raise anything
            raise CannotRun(_cannot_run(network, image, error)) from error
    if watch.consumer is None:
        last = f"; the last thing done with it is {watch.steps[-1][1]} in {name_of(watch.steps[-1][0])}"
        raise CannotFold(
            "no convolution and no linear layer takes the image or what is made of it" + (last if watch.steps else "")
        )
    if watch.again:
        owner, what = watch.again[0]
        raise CannotFold(
            f"the image is used twice: by {name_of(watch.consumer[0])}, and again by {what} in {name_of(owner)}; "
            "only a network that sees it through one convolution or linear layer can be folded"
        )
    stem, func, (args, kwargs), output = watch.consumer
    is_module = stem in calls and calls[stem][1] is output and stem != ""
    above = _ancestors(stem) | (set() if is_module else {stem})
    preparations, touched = [], []
    for owner in [owner for owner, _ in watch.steps] + watch.asked:
        if owner in above:
            touched.append(owner)
        elif is_module and (owner == stem or owner.startswith(f"{stem}.")):
            continue
        else:
            preparations.append(_topmost(owner, above))
    if not is_module:
        touched.append(stem)
    weight: Tensor = _argument(args, kwargs, 1, "weight")
    given: Tensor = _argument(args, kwargs, 0, "input")
    is_linear = "linear" in func.__name__
    stride, dilation = (1, 1), (1, 1)
    padding: tuple[int, int] | None = None
    if not is_linear:
        stride, dilation = _pair(args, kwargs, 3, "stride", 1), _pair(args, kwargs, 5, "dilation", 1)
        asked = _argument(args, kwargs, 4, "padding")
        if isinstance(asked, str):
            same = (dilation[0] * (weight.shape[2] - 1), dilation[1] * (weight.shape[3] - 1))
            padding = same if asked == "same" else (0, 0)
        else:
            down, across = _pair(args, kwargs, 4, "padding", 0)
            padding = (2 * down, 2 * across)
    if is_module and type(network.get_submodule(stem)).forward is not nn.Conv2d.forward:
        padding = None
    return ImageUse(
        stem,
        is_module,
        tuple(dict.fromkeys(preparations)),
        tuple(sorted(set(touched), key=lambda path: -len(path.split(".")) if path else 0)),
        calls,
        output,
        weight,
        "linear" if is_linear else "conv2d",
        stride,
        dilation,
        given,
        padding,
        tuple(watch.steps),
        _trains(network.get_submodule(stem), weight, _argument(args, kwargs, 2, "bias")),
        _own_weights(network.get_submodule(stem), weight, _argument(args, kwargs, 2, "bias")),
        image,
    )


def _own_weights(layer: nn.Module, *weights: Tensor | None) -> tuple[str, ...]:
    parameters = layer.named_parameters(recurse=False)
    return tuple(name for name, parameter in parameters if any(parameter is weight for weight in weights))


def _trains(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> tuple[bool, bool]:
    """Tell whether a layer's weight and bias are trained; a weight that it computes is if its parameters are."""
    if isinstance(weight, nn.Parameter):
        trained = weight.requires_grad
    else:
        trained = any(parameter.requires_grad for parameter in layer.parameters(recurse=False))
    return trained, bias.requires_grad if isinstance(bias, nn.Parameter) else trained


def _cannot_run(network: nn.Module, image: Tensor, error: Exception) -> str:
    """Word the error of a network that does not run on its image, with what would do."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    text = f"the network does not run on an image of {' x '.join(map(str, image.shape[1:]))} values ({reason})"
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != 3 and "channel" in reason:
        return (
            f"{text}; its first convolution takes {first.in_channels} channel(s), and folding starts from RGB: put a "
            "module before it that makes them of R, G and B (a 1 x 1 convolution with fixed weights, for gray)"
        )
    size = input_size(network)
    if size is not None and size != tuple(image.shape[2:]):
        return f"{text}; its own size is {size[0]} x {size[1]}: pixels=({size[0]}, {size[1]})"
    return f"{text}; give the size that it takes as pixels="


def _pair(args: Any, kwargs: Any, place: int, name: str, default: int) -> tuple[int, int]:
    """Return a convolution's argument for both axes."""
    value = _argument(args, kwargs, place, name)
    value = default if value is None else value
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def stem_output(network: nn.Module, image: Tensor) -> Tensor:
    """Run a network as far as the layer that consumes its image, and return that layer's output."""
    with torch.no_grad():
        try:
            with _Watch(image, stop=True):
                network(image)
        except _Reached as reached:
            return reached.output
        except Exception as error:  # the network's own code may raise anything
            raise CannotRun(_cannot_run(network, image, error)) from error
    raise CannotFold("no convolution and no linear layer takes the image")


def _ancestors(path: str) -> set[str]:
    """List the modules that contain a module, without itself; of the network itself none."""
    if not path:
        return set()
    parts = path.split(".")
    return {".".join(parts[:count]) for count in range(len(parts))}


def _topmost(path: str, above: set[str]) -> str:
    """Return the outermost module on the way to ``path`` that does not contain the stem."""
    parts = path.split(".")
    return next(".".join(parts[:n]) for n in range(1, len(parts) + 1) if ".".join(parts[:n]) not in above)


def name_of(path: str) -> str:
    """Name a module in messages."""
    return path or "the network itself"
