"""The examples in this room's docstrings run and are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

ROOM = ["arrays", "bands", "boxes", "dct", "geometry", "spectrum", "photometry", "reference", "statistics"]


@pytest.mark.parametrize("name", ROOM)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(f"prepixel.spectrum.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
