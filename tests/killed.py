"""Work in child processes that are killed at random steps, until one comes to the end."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
KILLS = 12

# Works into a target; undisturbed where there is None, else it calls that at each of its steps, from any thread.
Work: TypeAlias = Callable[[Path, Callable[[], None] | None], None]


def run_killed(module: str, folder: Path) -> dict[str, Any]:
    """Run a program that calls `kill_until_done`, on a folder and with `KILLS` kills, and return what it printed.

    Every child but the last is killed, because each waits at its last step for that: no count depends on time.
    """
    command = [sys.executable, "-m", module, str(folder), str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    met: dict[str, Any] = json.loads(done.stdout)
    assert met["killed"] == KILLS, f"the work was done after {met['killed']} kills; let it have more steps"
    assert met["finished"] == sorted(met["finished"]), "a later child had less"
    return met


def kill_until_done(
    work: Work,
    folder: Path,
    *,
    kills: int,
    steps: int,
    count: Callable[[Path], int],
    check: Callable[[Path, Path], None] = lambda straight, killed: None,
) -> None:
    """Work undisturbed, then with kills, and print as JSON what was met on the way.

    Args:
        work: works into a target, undisturbed or to be killed.
        folder: gets the targets ``straight`` and ``killed``.
        kills: at most.
        steps: a child is killed at a step of its own drawn from 1 to this.
        count: how much is finished in a target.
        check: asserts that whatever is whole in the second target equals the first.
    """
    straight, target = folder / "straight", folder / "killed"
    assert not _child(work, straight, None)
    draws = random.Random(1)
    killed, writing, finished = 0, 0, []
    while killed < kills:
        if not _child(work, target, draws.randint(1, steps)):
            break
        killed += 1
        writing += any(target.rglob("*.partial"))
        finished.append(count(target))
        check(straight, target)
    assert not _child(work, target, None)
    check(straight, target)
    print(json.dumps({"killed": killed, "writing": writing, "finished": finished}))


def _child(work: Work, target: Path, last_step: int | None) -> bool:
    """Work in a child process, which is killed at a step, or not. Return whether it was."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        calls = itertools.count(1)  # whose next is one operation for all threads

        def step() -> None:
            if next(calls) == last_step:
                os.write(writing, b".")
                threading.Event().wait(timeout=300)  # for the kill, while the other threads go on

        try:
            work(target, None if last_step is None else step)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    reached = os.read(reading, 1)  # empty when the child ends
    os.close(reading)
    if reached:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, f"the child failed by itself, with status {status}"
    return killed
