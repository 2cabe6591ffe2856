from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _frozen_imports() -> Iterator[None]:
    """Keep what imports made out of garbage collection: every run ends with one, which else takes longer than it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
