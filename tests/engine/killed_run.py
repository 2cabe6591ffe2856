"""Train in child processes that are killed at random steps, until one comes to the end. Run as a program.

Usage: python -m tests.engine.killed_run FOLDER KILLS
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # noqa: F401 -- else each child imports it again
from tests.engine.toy import Loader, drawing_network, run
from tests.killed import kill_until_done

from prepixel.engine.checkpoint import read_checkpoint


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many of them while writing, and the steps they had saved."""
    torch.set_num_threads(1)

    def work(target: Path, step: Callable[[], None] | None) -> None:
        loader = Loader()
        if step is not None:
            torch.save = functools.partial(_save_in_halves, torch.save, step)
            loader.before_batch = lambda epoch, batch: step()
        optimized = {"gradient_accumulation": 2, "checkpoint_steps": 1, "epochs": 12}
        run(target, drawing_network(), loader, evaluation=Loader(13), resume=True, **optimized)

    def count(target: Path) -> int:
        last = target / "checkpoints" / "last.pt"
        return int(read_checkpoint(last)["position"]["step"]) if last.exists() else 0

    kill_until_done(work, folder, kills=kills, steps=9, count=count)


def _save_in_halves(save: Any, step: Callable[[], None], state: Any, file: Any) -> None:
    """Write one half, make a step, at which the child may be killed, and write the other half."""
    buffer = io.BytesIO()
    save(state, buffer)
    content = buffer.getvalue()
    file.write(content[: len(content) // 2])
    file.flush()
    step()
    file.write(content[len(content) // 2 :])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
