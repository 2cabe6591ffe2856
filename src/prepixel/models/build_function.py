"""Import a function that builds a network from the caller's own code."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from prepixel.errors import ModelError

BuildFunction = Callable[..., nn.Module]
_OWN_REFERENCE = ".py:"
_allowed: dict[str, BuildFunction] = {}


def import_build_function(reference: str) -> BuildFunction:
    """Import a function by reference. This executes the code that it names.

    Pass only what the user of this process typed (a command-line option, for instance), never a string from a file.

    Args:
        reference: ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``; the function returns a module. It is called without
            arguments, but for the number of classes where `allow_build_function` lets a recipe name it.

    Raises:
        ModelError: there is no such file, module or function.
    """
    place, _, function = reference.rpartition(":")
    if not place or not function:
        raise ModelError(f"{reference!r} names no function; give FILE.py:FUNCTION or MODULE:FUNCTION")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, reference)
    build: Any = getattr(module, function, None)
    if not callable(build):
        raise ModelError(f"{reference}: {place} has no function {function}; define one that returns a torch.nn.Module")
    return build  # type: ignore[no-any-return]


def allow_build_function(reference: str) -> None:
    """Import a function by reference, and let recipes and runs of this process name it as their network.

    Without it a recipe that names ``FILE.py:FUNCTION`` is refused: what a file says is never executed.

    Args:
        reference: as `import_build_function` takes it, written as in the recipe. The number of classes is passed
            to its parameter ``num_classes``, else to its first parameter without a default, and to no other.

    Raises:
        ModelError: there is no such file, module or function.
    """
    _allowed[reference] = import_build_function(reference)


def allowed_network(reference: str, num_classes: int) -> nn.Module | None:
    """Build the network of a function that was allowed; None for a name that is no reference to a file's function.

    Raises:
        ModelError: the function was not allowed, or returns no module.
    """
    build = _allowed.get(reference)
    if build is None:
        if _OWN_REFERENCE not in reference:
            return None
        raise ModelError(
            f"{reference} is code of your own, which is never imported because a file names it; allow it: "
            f"--build {reference} (in Python: prepixel.models.allow_build_function({reference!r}))"
        )
    return call_build_function(_with_classes(build, num_classes), reference)


def _with_classes(build: BuildFunction, num_classes: int) -> BuildFunction:
    """Pass the number of classes to the parameter ``num_classes``, else to the first one without a default."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(build).parameters
    if "num_classes" in parameters and parameters["num_classes"].kind in by_name:
        return functools.partial(build, num_classes=num_classes)
    for parameter in parameters.values():
        if parameter.default is not inspect.Parameter.empty:
            continue
        if parameter.kind in by_name:
            return functools.partial(build, **{parameter.name: num_classes})
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            return functools.partial(build, num_classes)
    return build


def call_build_function(build: BuildFunction, name: str) -> nn.Module:
    """Call a build function and check what it returns.

    Raises:
        ModelError: it returns something else than a module.
    """
    network: Any = build()
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name}: its build function returns {type(network).__name__}, not a torch.nn.Module")
    return network


def _import_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ModelError(f"{path}: no such file; give FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _import_module(name: str, reference: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{reference}: no module {name} can be imported ({error})") from error
