"""Train in child processes that are killed at random times, until one comes to the end. Run as a program.

Usage: python -m tests.engine.killed_run FOLDER KILLS
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # noqa: F401 -- else each child imports it anew
from tests.engine.toy import Loader, drawing_network, run

from prepixel.engine.checkpoint import read_checkpoint

PAUSE = 0.05


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many of them while writing, and the steps they had saved."""
    torch.set_num_threads(1)
    assert _child(folder / "straight", None) == 0
    draws = random.Random(1)
    last = folder / "killed" / "checkpoints" / "last.pt"
    killed, writing, steps = 0, 0, []
    while killed < kills:
        if _child(folder / "killed", draws.uniform(0.0, 0.4), slow=True) == 0:
            break
        killed += 1
        writing += any(last.parent.glob("*.partial"))
        steps.append(read_checkpoint(last)["position"]["step"] if last.exists() else 0)
    assert _child(folder / "killed", None) == 0
    print(json.dumps({"killed": killed, "writing": writing, "steps": steps}))


def _child(folder: Path, delay: float | None, *, slow: bool = False) -> int:
    """Train in a child; kill it after a delay counted from its first batch."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            if slow:
                torch.save = functools.partial(_save_slowly, torch.save)
            began = itertools.count()
            loader = Loader(before_batch=lambda epoch, batch: next(began) or os.close(writing))
            optimized = {"gradient_accumulation": 2, "checkpoint_steps": 1, "epochs": 12}
            run(folder, drawing_network(), loader, evaluation=Loader(13), resume=True, **optimized)
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)  # comes back when the child closes its end
    os.close(reading)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _save_slowly(save: Any, state: Any, file: Any) -> None:
    """Write one half, wait, write the other: most of a child's life is spent in the middle of a file."""
    buffer = io.BytesIO()
    save(state, buffer)
    content = buffer.getvalue()
    file.write(content[: len(content) // 2])
    file.flush()
    time.sleep(PAUSE)
    file.write(content[len(content) // 2 :])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
