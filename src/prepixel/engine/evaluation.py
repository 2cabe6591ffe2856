"""Scoring a network on a set of samples, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from prepixel.engine.processes import DistributedContext
from prepixel.engine.protocols import Loader, Task
from prepixel.errors import PrepixelError

Precision = Literal["float32", "bfloat16", "float16"]


class NothingToEvaluate(PrepixelError, ValueError):
    """Report a loader that gave no sample."""


def evaluate(
    network: nn.Module,
    task: Task,
    loader: Loader,
    *,
    precision: Precision = "float32",
    control: DistributedContext | None = None,
    after_batch: Callable[[], None] | None = None,
) -> Any:
    """Score a network, in evaluation mode, on all samples of a loader.

    With several processes each scores its own share, and all of them get the result of the whole; no sample counts
    twice.

    Args:
        network: on the device that computes; every part's mode is set back afterwards.
        task: what is measured.
        loader: this process's samples, in the order of its epoch 0.
        precision: of the operations that allow a lower one.
        control: the other processes; those that ``torch.distributed`` knows if None.
        after_batch: called after each batch; what it raises ends the evaluation.

    Returns:
        The task's result.

    Raises:
        NothingToEvaluate: no process got a sample.
    """
    control = control or DistributedContext.join()
    device = next(network.parameters()).device
    metrics = task.new_metrics()
    images = 0
    with torch.no_grad(), _evaluation_mode(network), mixed_precision(device, precision):
        for batch in loader.epoch(0):
            if len(batch):
                task.measure(network, batch.to(device), metrics)
                images += len(batch)
            if after_batch is not None:
                after_batch()
    if not sum(row[0] for row in control.gather([images])):
        raise NothingToEvaluate(
            "the evaluation's loader gave no sample; look at its folder, and at the files that it could not read"
        )
    first, *others = control.gather_objects(metrics)
    for other in others:
        first.merge(other)
    return first.result()


def mixed_precision(device: torch.device, precision: Precision) -> torch.autocast:
    """Let operations that allow it run in a lower precision; float32 changes nothing."""
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
