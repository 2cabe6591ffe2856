from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.engine.toy import same

from prepixel.engine.checkpoint import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_killed_again_and_again_ends_with_the_bits_of_an_undisturbed_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.killed_run", str(tmp_path), "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts["killed"] >= 5
    assert counts["writing"] >= 2, "no kill fell into the writing of a checkpoint; make killed_run's pause longer"
    assert counts["steps"] == sorted(counts["steps"])
    assert len(set(counts["steps"])) >= 3
    for name in ("last.pt", "best.pt"):
        straight, killed = (read_checkpoint(tmp_path / run / "checkpoints" / name) for run in ("straight", "killed"))
        assert same(straight, killed)
    assert not list((tmp_path / "killed").rglob("*.partial"))
