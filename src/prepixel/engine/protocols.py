"""What the engine asks of the rooms that it does not know: batches, a loader, a task, its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Batch(Protocol):
    """Store one process's share of a global batch; it may be empty where its files could not be read."""

    @property
    def inputs(self) -> Any:
        """Return the network's inputs."""

    @property
    def targets(self) -> Any:
        """Return the targets that the task compares with."""

    def to(self, device: torch.device) -> Batch:
        """Move all arrays to a device."""

    def __len__(self) -> int: ...


@runtime_checkable
class Loader(Protocol):
    """Load the samples of one process, in an order that depends on the epoch alone.

    The s-th batches of all processes together are the same samples for any number of processes, and every process
    gives the same number of batches (the last may be empty on some).
    """

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Any]:
        """Yield the epoch's batches from ``first_batch`` on, as an undisturbed pass would."""


@runtime_checkable
class Result(Protocol):
    """Store the scores of an evaluation."""

    @property
    def images(self) -> int:
        """Count the images that it is about."""

    def row(self) -> Mapping[str, float]:
        """Return the numbers to record, by name."""


@runtime_checkable
class Metrics(Protocol):
    """Count, batch by batch, what a result is computed from; it is pickled to reach other processes."""

    def merge(self, other: Any) -> None:
        """Add what another process counted."""

    def result(self) -> Result:
        """Compute the result of all that was counted."""


@runtime_checkable
class ProgressAware(Protocol):
    """Be a part of a network that changes with the progress of training, and tells of itself."""

    def set_progress(self, progress: float) -> None:
        """Take how far training is, 0 at the first step and 1 at the last; called before every step."""

    def pop_metrics(self) -> Mapping[str, float]:
        """Return what this process counted since the last call, by name, and reset it."""


@runtime_checkable
class Task(Protocol):
    """Define what a network is trained for and how it is scored."""

    @property
    def score(self) -> str:
        """Name the number of a result that decides which weights are best; larger is better."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Compute the mean loss over a batch that has samples."""

    def new_metrics(self) -> Any:
        """Make metrics that have counted nothing."""

    def measure(self, network: nn.Module, batch: Any, metrics: Any) -> None:
        """Count a batch that has samples."""
