"""The house, checked: typechecking is on, the front door is small, the stub speaks the truth, nothing is too long."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import prepixel
from prepixel import _native
from prepixel.jpeg.quality import estimate_quality
from prepixel.spectrum.dct import block_dct

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "prepixel").rglob("*.py"))


def test_annotations_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        block_dct("not a tensor")  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError):
        block_dct(torch.zeros(3, dtype=torch.int32))
    with pytest.raises(TypeCheckError):  # annotated by prepixel.array_types, which steps in for jaxtyping
        estimate_quality(np.zeros((8, 9), np.uint16))


def test_front_door_names_exist_and_are_few() -> None:
    names = [name for name in prepixel.__all__ if name != "__version__"]
    assert len(names) <= 16
    for name in names:
        assert getattr(prepixel, name).__doc__, f"{name} has no docstring"


def test_stub_names_what_the_compiled_module_holds() -> None:
    tree = ast.parse((ROOT / "src" / "prepixel" / "_native.pyi").read_text(encoding="utf-8"))
    declared = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    declared = {name for name in declared if not name.startswith("_")}  # shapes of results, for the type checker alone
    compiled = {name for name in dir(_native) if not name.startswith("_")}
    assert declared == compiled


@pytest.mark.parametrize("room", ["jpeg", "records", "errors", "reports"])
def test_rooms_without_torch_do_not_load_it(room: str) -> None:
    code = f"import sys, prepixel.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield what a reader may call: public functions and classes of a module, and of its public classes."""
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_carry_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [node.name for node in _public(tree) if not ast.get_docstring(node)]
    assert not bare


def test_no_room_without_a_name() -> None:
    forbidden = re.compile(r"(^|_)(utils?|helpers?|common|misc)(_|$)")
    assert not [path for path in SOURCES if forbidden.search(path.stem)]


def test_files_are_short_enough_to_be_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {name: length for name, length in lengths.items() if length >= 400}
    assert statistics.median(lengths.values()) < 150


def test_no_file_name_stands_twice() -> None:
    """`__init__.py` apart: a name in a traceback or an editor's tab says which file it is."""
    names = [path.name for path in SOURCES if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_what_the_source_distribution_leaves_out_is_named_from_the_top() -> None:
    """A pattern without a slash in front leaves out folders of that name below src, too, and so do wheels."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["scikit-build"]
    excluded = build["sdist.exclude"] if "sdist.exclude" in build else build["sdist"]["exclude"]
    assert excluded
    assert [pattern for pattern in excluded if not pattern.startswith("/")] == []


def test_no_path_of_a_machine_in_tracked_files() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    pattern = re.compile(r"(^|[^A-Za-z0-9_.])/(wor" + r"k|farm|tm" + r"p|hom" + r"e)/")
    hits = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if (
            path.suffix in {".py", ".cpp", ".hpp", ".c", ".md", ".toml", ".yaml", ".txt", ".sh", ".jsonl"}
            and path.exists()
        ):
            hits += [
                f"{name}: {line}" for line in path.read_text(encoding="utf-8").splitlines() if pattern.search(line)
            ]
    assert not hits
