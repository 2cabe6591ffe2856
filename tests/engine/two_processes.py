"""Scenarios that a launcher starts in each of its processes. Run as a program.

Usage: torchrun --nproc-per-node 2 -m tests.engine.two_processes FOLDER SCENARIO...
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.engine.toy import Loader, drawing_network, normalizing_network, plain_network, run

from prepixel.engine import OptimizationSettings, TrainingInterrupted, TrainSettings, start_accelerator
from prepixel.errors import NonFiniteLoss
from prepixel.records import MetricRow

OPTIMIZATION = OptimizationSettings(average_decay=0.9, max_gradient_norm=0.4, nesterov=True, warmup_epochs=0.5)
# All of epoch 0's second batch; and the whole share that the second of two processes has of its first batch.
ORDER = torch.randperm(41, generator=torch.Generator().manual_seed(1000)).tolist()
UNREADABLE = frozenset(ORDER[7:14]) | frozenset(ORDER[1:7:2])


def equal_shares(folder: Path, rank: int, world_size: int) -> None:
    """Train without bad files, two batches a step, the last step of an epoch with one."""
    settings = {"optimization": OPTIMIZATION, "gradient_accumulation": 2}
    _train(folder, Loader(29, 7, rank, world_size), Loader(13, 4, rank, world_size), **settings)


def unequal_shares(folder: Path, rank: int, world_size: int) -> None:
    """Train where shares differ, are empty on one process, and empty on all."""
    loader = Loader(41, 7, rank, world_size, bad=UNREADABLE)
    _train(folder, loader, Loader(13, 4, rank, world_size, bad=frozenset({0, 4})), optimization=OPTIMIZATION)


def batch_norm(folder: Path, rank: int, world_size: int) -> None:
    """Train with the statistics of all processes, whose shares of a batch differ."""
    _train_normalized(folder, rank, world_size, sync_batchnorm=True)


def own_batch_norm(folder: Path, rank: int, world_size: int) -> None:
    """Train the same with each process's own statistics."""
    _train_normalized(folder, rank, world_size, sync_batchnorm=False)


def _train_normalized(folder: Path, rank: int, world_size: int, *, sync_batchnorm: bool) -> None:
    rows: list[MetricRow] = []
    loader, evaluation = Loader(28, 7, rank, world_size), Loader(13, 4, rank, world_size)
    run(folder, normalizing_network(), loader, evaluation=evaluation, rows=rows, sync_batchnorm=sync_batchnorm)
    _write_rows(folder, rows)


def stopped(folder: Path, rank: int, world_size: int) -> None:
    """Interrupt one process only, resume, and train the same without interruption."""

    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch, rank) == (1, 3, world_size - 1):
            os.kill(os.getpid(), signal.SIGTERM)

    evaluation = Loader(13, 4, rank, world_size)
    try:
        cut = Loader(41, 7, rank, world_size, before_batch=before_batch)
        run(folder / "cut", drawing_network(), cut, evaluation=evaluation)
    except TrainingInterrupted as interrupted:
        (folder / f"stopped-{rank}.txt").write_text(str(interrupted))
    loader = Loader(41, 7, rank, world_size)
    run(folder / "cut", drawing_network(), loader, evaluation=evaluation, resume=True)
    rows: list[MetricRow] = []
    run(folder / "straight", drawing_network(), Loader(41, 7, rank, world_size), evaluation=evaluation, rows=rows)
    _write_rows(folder / "straight", rows)


def spoilt(folder: Path, rank: int, world_size: int) -> None:
    """Meet a loss that is not finite on one process only."""
    poison = frozenset({ORDER[15]})  # epoch 0, third batch, second process
    try:
        run(folder, plain_network(), Loader(41, 7, rank, world_size, poison=poison), checkpoint_steps=1)
    except NonFiniteLoss as error:
        (folder / f"spoilt-{rank}.txt").write_text(str(error))


def _train(folder: Path, loader: Loader, evaluation: Loader, **settings: Any) -> None:
    rows: list[MetricRow] = []
    run(folder, plain_network(), loader, evaluation=evaluation, rows=rows, **settings)
    _write_rows(folder, rows)


def _write_rows(folder: Path, rows: list[MetricRow]) -> None:
    if rows:
        kept = [[row.split, row.name, row.step, row.n, row.value] for row in rows]
        (folder / "rows.json").write_text(json.dumps(kept))


SCENARIOS: dict[str, Callable[[Path, int, int], None]] = {
    scenario.__name__: scenario
    for scenario in (equal_shares, unequal_shares, batch_norm, own_batch_norm, stopped, spoilt)
}


def main(folder: Path, names: list[str]) -> None:
    """Run scenarios, each in a folder of its name."""
    accelerator = start_accelerator(TrainSettings(device="cpu"))
    for name in names:
        SCENARIOS[name](folder / name, accelerator.process_index, accelerator.num_processes)
    accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
