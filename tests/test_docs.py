"""The documentation's generators: every public name and command has its entry. `make docs` builds the site."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import prepixel

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ROOT / "docs" / "_ext"
PRIVATE_ROOMS = {"prepixel.cli", "prepixel.bench"}  # programs, not libraries


def _extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", EXTENSIONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


api_pages = _extension("api_pages")
command_pages = _extension("command_pages")


def test_every_package_with_public_names_has_a_page() -> None:
    packages = [info.name for info in pkgutil.walk_packages(prepixel.__path__, "prepixel.") if info.ispkg]
    exporting = {name for name in packages if hasattr(importlib.import_module(name), "__all__")}
    assert exporting - PRIVATE_ROOMS - set(api_pages.MODULES) == set()


@pytest.mark.parametrize("module", api_pages.MODULES)
def test_every_public_name_has_an_entry(module: str) -> None:
    pages = {name: api_pages.page(name) for name in {module, *api_pages.MODULES}}
    for name in api_pages.public_names(module):
        link = re.search(rf"\{{py:obj\}}`{name} <([\w.]+)\.{name}>`", pages[module])
        assert link, f"{module}.{name} is not listed"
        entry = re.compile(rf"\.\. auto(class|function|data):: {re.escape(link[1])}\.{name}$", re.MULTILINE)
        assert entry.search(pages[link[1]]), f"{module}.{name} has no entry on the page of {link[1]}"


@pytest.mark.parametrize("module", api_pages.MODULES)
def test_every_entry_has_a_purpose(module: str) -> None:
    rows = re.findall(r"^\| \{py:obj\}`(\w+) <[^>]+>` \| (.*) \|$", api_pages.page(module), re.MULTILINE)
    assert rows
    assert [name for name, purpose in rows if not purpose.strip()] == []


def test_signatures_keep_the_shapes_of_the_source() -> None:
    from prepixel.spectrum import read_spectra

    signature, returned = api_pages.source_signature(
        None, "function", "prepixel.spectrum.read_spectra", read_spectra, None, "()", None
    )
    assert re.search(r"boxes: Float64\[np\.ndarray, ['\"]n 4['\"]\] \| None = None", signature)
    assert returned == "SpectraRead"


def test_every_command_and_option_is_on_the_page() -> None:
    page = command_pages.page()
    for name, parser in command_pages.subcommands().items():
        section = page.split(f"\n## prepixel {name}\n")[1].split("\n## ")[0]
        assert "exit status:" not in section  # stated once, at the top
        for action in (action for action in parser._actions if action.help != argparse.SUPPRESS):
            for option in action.option_strings:
                assert option in {"-h", "--help"} or f"`{option}" in section, f"{name} {option}"


def test_exit_codes_are_those_that_main_states() -> None:
    table = command_pages.exit_codes()
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["`0`", "`1`", "`2`", "`128 + n`"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "contributing").glob("*.md")), ids=lambda page: page.name)
def test_every_file_that_contributors_are_sent_to_exists(page: Path) -> None:
    """A file named without its folder is in the folder of the one named before it, in the same row."""
    lost, folder = [], ""
    for line in page.read_text(encoding="utf-8").splitlines():
        named = re.findall(r"`((?:src|native|tests|benchmarks|docs)/[\w/.*-]+|\w+\.(?:py|cpp|hpp|\*))`", line)
        for name in (name for name in named if not name.startswith("NAME_")):
            path = name.rstrip("/") if "/" in name else f"{folder}/{name}"
            folder = path.rpartition("/")[0]
            lost += [] if list(ROOT.glob(path)) else [path]
    assert lost == []


def test_the_architecture_map_names_what_there_is() -> None:
    changes = (ROOT / "docs" / "contributing" / "architecture.md").read_text(encoding="utf-8").split("Where do I")[1]
    names = set(re.findall(r"`(?:struct |BandSet\.)?([A-Za-z]\w+|_\w+)(?:\([^`]*\))?`", changes)) - {"NAME"}
    files = [path for room in ("src", "native", "tests", "benchmarks") for path in (ROOT / room).rglob("*.*")]
    code = [path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".pyi", ".cpp", ".hpp"}]
    words = set(re.findall(r"\w+", "\n".join(code)))
    assert len(names) > 50
    assert sorted(names - words) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
