"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_small_tensors() -> None:
    """Keep torch from splitting tiny tensors over cores: with parallel test workers that costs more than it gives."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos() -> Path:
    """Give the folder of real photos, or skip and say why; in CI, where it must be there, fail."""
    folder = Path(os.environ.get("PREPIXEL_DATA", ROOT.parent / "shared" / "data"))
    if folder.is_dir():
        return folder
    reason = f"no photos at {folder}; set PREPIXEL_DATA to the folder that holds imagenet_samples and its neighbors"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


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
