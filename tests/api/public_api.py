"""Describe the public API as text: each room's public names, with their signatures.

``python -m tests.api.public_api`` writes the description to tests/api/public_api.txt; a change of the API is seen,
and reviewed, as a change of that file.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(__file__).with_suffix(".txt")
ROOMS = (
    "prepixel",
    *(f"prepixel.{room}" for room in ("jpeg", "spectrum", "transforms", "data", "gates", "models", "tasks", "engine")),
    *(f"prepixel.{room}" for room in ("recipes", "runs", "export", "runtime", "serving")),
    *(f"prepixel.{room}" for room in ("reports", "errors", "records")),
)


def describe() -> str:
    """Return the description of all rooms."""
    return "\n\n".join("\n".join(_room(importlib.import_module(name))) for name in ROOMS) + "\n"


def _room(module: ModuleType) -> Iterator[str]:
    yield f"[{module.__name__}]"
    for name in sorted(_names(module)):
        yield from _entry(name, getattr(module, name))


def _names(module: ModuleType) -> list[str]:
    stated: list[str] | None = getattr(module, "__all__", None)
    if stated is not None:
        return stated
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _entry(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    constructor = "" if issubclass(value, Exception | Enum) and "__init__" not in vars(value) else _signature(value)
    yield f"class {name}{constructor}" + (f" of {bases}" if bases else "")
    for member, found in sorted(vars(value).items()):
        if member.startswith("_") or member in {field.name for field in _fields(value)}:
            continue
        if isinstance(found, property):
            yield f"    {member}: {_return(found.fget)}"
        elif isinstance(found, classmethod | staticmethod):
            yield f"    {member}{_signature(found.__func__)}"
        elif inspect.isfunction(found):
            yield f"    {member}{_signature(found)}"


def _fields(value: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()


def _return(function: Any) -> str:
    return str(inspect.unwrap(function).__annotations__.get("return", "?"))


class _Source(str):
    """Source text that is shown without quotes: annotations are strings, and defaults are objects."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self).replace('"', "'")


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "(...)"
    parameters = [
        parameter.replace(annotation=_source(parameter.annotation)) for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_source(signature.return_annotation)))


def _source(annotation: Any) -> Any:
    return _Source(annotation) if isinstance(annotation, str) else annotation


if __name__ == "__main__":
    FILE.write_text(describe(), encoding="utf-8")
