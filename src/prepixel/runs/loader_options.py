"""What the loaders of classifiers, detectors and segmenters are built from alike."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Literal, Protocol, runtime_checkable

from prepixel.errors import RunError
from prepixel.recipes import AnyRecipe
from prepixel.stores.remote_path import AnyPath


@runtime_checkable
class TrainingFiles(Sized, Protocol):
    """Describe the images or photos of a training set."""

    @property
    def root(self) -> AnyPath:
        """Return the folder."""


def loader_options(
    recipe: AnyRecipe, *, batch_size: int, rank: int, world_size: int, pin_memory: bool
) -> dict[str, Any]:
    """Return the options of a `BatchLoader`: what a recipe says of reading, and which process reads.

    Args:
        recipe: its data settings count.
        batch_size: samples of a global batch.
        rank: this process's number.
        world_size: processes.
        pin_memory: whether batches lie in page-locked memory.
    """
    data = recipe.data
    return {
        "batch_size": batch_size,
        "rank": rank,
        "world_size": world_size,
        "workers": data.workers,
        "read_ahead": data.read_ahead,
        "pin_memory": pin_memory,
        "on_error": data.on_error,
        "max_bad_fraction": data.max_bad_fraction,
    }


def index_choice(recipe: AnyRecipe) -> Literal["auto"] | None:
    """Return which indexes of photos a recipe reads by: those that are found, or none."""
    return "auto" if recipe.data.use_indexes else None


def check_batch_size(recipe: AnyRecipe, files: TrainingFiles, what: str = "images") -> None:
    """Check that the training files fill a batch.

    Args:
        recipe: its batch size counts.
        files: the training set.
        what: what the message calls its samples.

    Raises:
        RunError: there are fewer.
    """
    size = recipe.data.batch_size
    if len(files) < size:
        raise RunError(f"data.batch_size is {size}, and {files.root} has {len(files)} {what}; lower the batch size")
