"""Fixtures of the replayed reports."""

from __future__ import annotations

import pytest
from tests.oracles.libjpeg import Libjpeg


@pytest.fixture(scope="session")
def libjpeg(tmp_path_factory: pytest.TempPathFactory) -> Libjpeg:
    """Compile the reader of libjpeg's coefficients, once."""
    return Libjpeg(tmp_path_factory.mktemp("libjpeg"))
