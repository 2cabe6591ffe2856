"""The examples in the package's docstrings run and are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parent.parent / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in SOURCES.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, exclude_empty=False)
    assert result.attempted > 0, "doctest does not find the example: is it in a docstring?"
    assert result.failed == 0


def test_rooms_have_examples() -> None:
    assert {name.split(".")[1] for name in MODULES} >= {"data", "models", "spectrum"}
