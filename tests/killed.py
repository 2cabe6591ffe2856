"""Work in child processes that are killed at random times, until one comes to the end."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[1]

# Works into a target: undisturbed where there is None; else slowly, and calls it when work has begun, from any thread.
Work: TypeAlias = Callable[[Path, Callable[[], None] | None], None]


def run_killed(module: str, folder: Path) -> dict[str, Any]:
    """Run a program that calls `kill_until_done`, on a folder and with at most 12 kills, and give what it printed."""
    command = [sys.executable, "-m", module, str(folder), "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    met: dict[str, Any] = json.loads(done.stdout)
    print(met)
    assert met["killed"] >= 5
    assert met["finished"] == sorted(met["finished"])
    return met


def kill_until_done(
    work: Work,
    folder: Path,
    *,
    kills: int,
    longest: float,
    count: Callable[[Path], int],
    check: Callable[[Path, Path], None] = lambda straight, killed: None,
) -> None:
    """Work undisturbed, then with kills, and print as JSON what was met on the way.

    Args:
        work: works into a target, undisturbed or to be killed.
        folder: gets the targets ``straight`` and ``killed``.
        kills: at most.
        longest: seconds, drawn from 0 on, between that and a kill.
        count: how much is finished in a target.
        check: asserts that whatever is whole in the second target equals the first.
    """
    straight, target = folder / "straight", folder / "killed"
    assert not _child(work, straight, None)
    draws = random.Random(1)
    killed, writing, finished = 0, 0, []
    while killed < kills:
        if not _child(work, target, draws.uniform(0.0, longest)):
            break
        killed += 1
        writing += any(target.rglob("*.partial"))
        finished.append(count(target))
        check(straight, target)
    assert not _child(work, target, None)
    check(straight, target)
    print(json.dumps({"killed": killed, "writing": writing, "finished": finished}))


def _child(work: Work, target: Path, delay: float | None) -> bool:
    """Work in a child; kill it after a delay counted from its sign of life. Say whether the kill came in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            calls = itertools.count()  # whose next is one step for all threads
            work(target, None if delay is None else lambda: next(calls) or os.close(writing))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)  # comes back when the child closes its end, or ends
    os.close(reading)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, f"the child failed by itself, with status {status}"
    return killed
