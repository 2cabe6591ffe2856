"""Train a recipe as `prepixel train` does, write down each step's samples, and die by SIGKILL before a given step.

Usage: python -m tests.stores.killed_training LOG STEP train RECIPE ...   (STEP -1: to the end)
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from prepixel.cli import main
from prepixel.engine.stepping import Stepper


def train_and_die(log: Path, last: int, words: list[str]) -> int:
    """Run a command; each process appends its share of each step to a file of its own."""
    rank = int(os.environ.get("RANK", "0"))
    take, step = Stepper.take, 0

    def logged(stepper: Stepper, group: list[Any], *arguments: Any) -> Any:
        nonlocal step
        if step == last and rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1
        with (log / f"{rank}.jsonl").open("a") as file:
            file.write(json.dumps([batch.indices.tolist() for batch in group]) + "\n")
        return take(stepper, group, *arguments)

    Stepper.take = logged  # type: ignore[method-assign]
    return main(words)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(train_and_die(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
