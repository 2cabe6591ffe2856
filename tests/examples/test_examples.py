"""Every training loop in examples/ runs against the real library, as a user starts it, and learns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LOOPS = [path for path in EXAMPLES if path.stem.endswith("_loop")]
LIMIT = 60  # lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where all examples run, so that its photos are written once."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LIMIT


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_a_loop_runs_and_its_loss_falls(path: Path, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, path],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"^epoch \d+: loss (\d+\.\d+)", done.stdout, re.MULTILINE)]
    assert len(losses) >= 4, done.stdout
    assert min(losses[-2:]) < 0.9 * losses[0], done.stdout
