"""The public API is the one that was reviewed, and every room states its names once."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
from pathlib import Path

import pytest
from tests.api.public_api import FILE, ROOMS, describe

import prepixel

SOURCES = Path(__file__).resolve().parents[2] / "src"
LAZY = [room for room in ROOMS if hasattr(importlib.import_module(room), "_PLACES")]


def test_names_and_signatures_are_those_of_the_reviewed_file() -> None:
    changes = difflib.unified_diff(FILE.read_text("utf-8").splitlines(), describe().splitlines(), "file", "code", n=0)
    assert not list(changes), "if this is meant, write the file by python -m tests.api.public_api and review its diff"


def test_version_is_the_installed_packages() -> None:
    assert prepixel.__version__ == importlib.metadata.version("prepixel")


@pytest.mark.parametrize("room", LAZY)
def test_a_lazy_rooms_three_lists_of_names_agree(room: str) -> None:
    module = importlib.import_module(room)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == module._PLACES
    assert sorted(imported) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("room", LAZY)
def test_a_name_that_is_not_there_is_an_attribute_error_that_lists_the_names(room: str) -> None:
    module = importlib.import_module(room)
    with pytest.raises(
        AttributeError, match=f"module '{room}' has no attribute 'no_such_name'; it has .*{module.__all__[0]}"
    ):
        module.no_such_name  # noqa: B018
