"""The page's build, once for all tests of it; skipped, with the reason, where a tool is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from web.build_page import ROOT, build_core, missing_tool


@pytest.fixture(scope="session")
def core_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled core and the page's modules."""
    if reason := missing_tool():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("core")
    for path in (*build_core(ROOT / "build" / "wasm"), *(ROOT / "web").glob("*.js")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
