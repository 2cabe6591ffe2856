"""Fixtures that the tests of more than one room use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from prepixel.optional import installed

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_small_tensors() -> None:
    """Keep torch from splitting tiny tensors over cores: with parallel test workers that costs more than it gives."""
    if installed("torch"):  # the tests of reading and packing also run in the light install
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos() -> Path:
    """Return the folder of real photos, or skip with the reason; fail where PREPIXEL_DATA promises it, as in CI."""
    promised = os.environ.get("PREPIXEL_DATA")
    folder = Path(promised) if promised else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if promised:
        pytest.fail(f"PREPIXEL_DATA is {promised}, which is no folder")
    pytest.skip(f"no photos at {folder}; set PREPIXEL_DATA to the folder that holds imagenet_samples and its neighbors")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small exported network; tests copy it to change it."""
    from tests.exported_network import small_classifier

    from prepixel.export import export_classifier

    return export_classifier(small_classifier(), tmp_path_factory.mktemp("exported") / "small").folder


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 128 KiB and return its folder; skip where this user may not mount one."""
    folder = tmp_path / "full_disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command mount")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape file names that are not UTF-8 in captured output: pytest-xdist ends the session where it meets one."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report
