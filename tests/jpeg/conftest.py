"""Fixtures of the tests that read JPEG files."""

from __future__ import annotations

import pytest
from tests.jpeg.small_files import small_files
from tests.oracles.libjpeg import Libjpeg


@pytest.fixture(scope="session")
def libjpeg(tmp_path_factory: pytest.TempPathFactory) -> Libjpeg:
    """Compile libjpeg's word on coefficients, once."""
    return Libjpeg(tmp_path_factory.mktemp("libjpeg"))


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """Make the small files of every kind, once."""
    return small_files()
