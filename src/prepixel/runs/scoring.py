"""How trained networks of every kind are scored."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from torch import nn

from prepixel.data.loading.loader import BatchLoader
from prepixel.engine import evaluate
from prepixel.engine.protocols import Task
from prepixel.recipes import AnyRecipe

_Recipe = TypeVar("_Recipe", bound=AnyRecipe)


def score(recipe: AnyRecipe, network: nn.Module, task: Task, loader: BatchLoader) -> Any:
    """Score a network in its recipe's precision on CUDA, and in float32 elsewhere."""
    on_cuda = next(network.parameters()).device.type == "cuda"
    return evaluate(network, task, loader, precision=recipe.training.precision if on_cuda else "float32")


def read_by(recipe: _Recipe, *, batch_size: int | None, threads: int | None) -> _Recipe:
    """Return a recipe whose validation data are read in other batches or on other threads; None for its own."""
    data: Any = recipe.data
    data = dataclasses.replace(
        data,
        val_batch_size=batch_size or data.val_batch_size,
        threads=data.threads if threads is None else threads,
    )
    return dataclasses.replace(recipe, data=data)
