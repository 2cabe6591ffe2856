"""Read small JSON files of this library strictly: bounded size, no duplicate keys, no NaN, checked types."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The largest file that `Statistics.write` makes of 192 channels has about 40 KiB.
MAX_BYTES = 1 << 20


class DuplicateKey(ValueError):
    """Report a JSON object that holds a key twice."""


def read_object(path: Path, *, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON object whose keys are known.

    Raises:
        ValueError: the file is no regular file, is larger than 1 MiB, is not JSON in UTF-8, or holds other keys.
        OSError: the file cannot be read.
    """
    return checked_keys(read_value(path), "it", required=required, optional=optional)


def read_value(path: Path, *, most_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON value of any kind, strictly: bounded size, no key twice in an object, no NaN.

    Raises:
        ValueError: the file is no regular file, is larger than ``most_bytes``, or is not JSON in UTF-8.
        OSError: the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor, so that what is checked is what is read)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        contents = file.read(most_bytes + 1)
    if len(contents) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes} bytes")
    return parse_value(contents)


def parse_value(contents: bytes) -> Any:
    """Parse JSON strictly: no key twice in an object, no NaN.

    Raises:
        ValueError: it is not JSON in UTF-8.
    """
    try:
        return json.loads(contents, object_pairs_hook=unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def checked_keys(fields: Any, what: str, *, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return an object's fields if its keys are the required ones and at most the optional ones beside them."""
    if not isinstance(fields, dict):
        raise ValueError(f"{what} holds {_kind(fields)}, not an object")
    needed = set(required)
    if missing := sorted(needed - fields.keys()):
        raise ValueError(f"{what} lacks {', '.join(map(repr, missing))}")
    if unknown := sorted(fields.keys() - needed - set(optional)):
        raise ValueError(f"{what} has unknown keys: {_shortened(unknown)}")
    return fields


def text_of(fields: Mapping[str, Any], key: str) -> str:
    """Return a field that must be text; an absent one is empty."""
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is {_kind(value)}, not text")
    return value


def integer_of(value: Any, what: str) -> int:
    """Return a value that must be a whole number below 2**63."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{what} is {_kind(value)}, not a whole number")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{what} is beyond 64 bits")
    return value


def integers_of(fields: Mapping[str, Any], key: str, *, most: int) -> tuple[int, ...]:
    """Return a field that must be a list of at most so many whole numbers."""
    return tuple(integer_of(item, f"an item of {key!r}") for item in _list_of(fields, key, most))


def numbers_of(fields: Mapping[str, Any], key: str, *, most: int) -> tuple[float, ...]:
    """Return a field that must be a list of at most so many numbers; an integer too large for float64 is refused."""
    numbers = []
    for item in _list_of(fields, key, most):
        if not isinstance(item, int | float) or isinstance(item, bool):
            raise ValueError(f"an item of {key!r} is {_kind(item)}, not a number")
        try:
            numbers.append(float(item))
        except OverflowError:
            raise ValueError(f"an item of {key!r} is beyond float64") from None
    return tuple(numbers)


def _list_of(fields: Mapping[str, Any], key: str, most: int) -> list[Any]:
    value = fields[key]
    if not isinstance(value, list):
        raise ValueError(f"{key!r} is {_kind(value)}, not a list")
    if len(value) > most:
        raise ValueError(f"{key!r} has {len(value)} items; there can be {most} at most")
    return value


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names[type(value)]


def _shortened(keys: list[str]) -> str:
    return ", ".join(repr(key[:40]) for key in keys[:4]) + (", ..." if len(keys) > 4 else "")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object, of which JSON's own reader would keep the last of equal keys.

    Raises:
        DuplicateKey: a key stands twice.
    """
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    of = f" of id {fields['id']}" if isinstance(fields.get("id"), int) and key != "id" else ""
    raise DuplicateKey(f"the key {_shortened([key])} stands twice in one object{of}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not JSON")
