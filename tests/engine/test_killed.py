from __future__ import annotations

from pathlib import Path

from tests.engine.toy import same
from tests.killed import run_killed

from prepixel.engine.checkpoint import read_checkpoint


def test_a_run_killed_again_and_again_ends_with_the_bits_of_an_undisturbed_one(tmp_path: Path) -> None:
    counts = run_killed("tests.engine.killed_run", tmp_path)
    assert counts["writing"] >= 2, "no kill fell into the writing of a file"
    assert len(set(counts["finished"])) >= 3
    for name in ("last.pt", "best.pt"):
        straight, killed = (read_checkpoint(tmp_path / run / "checkpoints" / name) for run in ("straight", "killed"))
        assert same(straight, killed)
    assert not list((tmp_path / "killed").rglob("*.partial"))
