"""A data set, a loader and networks so small that an epoch takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prepixel.engine import OptimizationSettings, TrainResult, TrainSettings, train
from prepixel.records import MetricRow
from prepixel.tasks import Classification

CLASSES = 3


@dataclass(frozen=True)
class Batch:
    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.inputs.to(device), self.targets.to(device))

    def __len__(self) -> int:
        return len(self.targets)


@dataclass
class Loader:
    """Give the rank's share of shuffled global batches; ``bad`` samples are left out, as unreadable files are.

    It draws from torch's own generator when an epoch begins, as torch's DataLoader does.
    """

    samples: int = 41
    batch: int = 7
    rank: int = 0
    world_size: int = 1
    bad: frozenset[int] = frozenset()
    before_batch: Callable[[int, int], None] | None = None
    poison: frozenset[int] = frozenset()
    epochs_begun: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        self.inputs = torch.randn(self.samples, 2, 5, 3, generator=generator)
        self.targets = (self.inputs.mean((1, 2, 3)) * 9).long().clamp(-1, 1) + 1
        for index in self.poison:
            self.inputs[index] = float("nan")

    def __len__(self) -> int:
        return -(-self.samples // self.batch)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        self.epochs_begun.append((epoch, first_batch))
        torch.rand(())
        order = torch.randperm(self.samples, generator=torch.Generator().manual_seed(1000 + epoch)).tolist()
        for index in range(first_batch, len(self)):
            if self.before_batch is not None:
                self.before_batch(epoch, index)
            whole = order[index * self.batch : (index + 1) * self.batch]
            own = [sample for sample in whole[self.rank :: self.world_size] if sample not in self.bad]
            yield Batch(self.inputs[own], self.targets[own])


def plain_network() -> nn.Module:
    """Make a network whose output for a sample depends on that sample alone."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(75, CLASSES))


def normalizing_network() -> nn.Module:
    """Make a network with batch norm, once with a mean of all batches so far, and no draws."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Flatten(),
        nn.BatchNorm1d(75, momentum=None, affine=False),
        nn.Linear(75, CLASSES),
    )


def drawing_network() -> nn.Module:
    """Make a network with running statistics and dropout."""
    torch.manual_seed(5)
    convolution = nn.Conv2d(2, 5, 3, padding=1, bias=False)
    return nn.Sequential(
        convolution, nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(75, CLASSES)
    )


def run(
    folder: Path,
    network: nn.Module,
    loader: Loader,
    *,
    optimization: OptimizationSettings | None = None,
    rows: list[MetricRow] | None = None,
    evaluation: Loader | None = None,
    resume: bool = False,
    **settings: Any,
) -> TrainResult:
    """Train with defaults that suit a toy."""
    defaults: dict[str, Any] = {
        "epochs": 3,
        "device": "cpu",
        "tensorboard": False,
        "progress": False,
        "record_steps": 4,
    }
    return train(
        network,
        Classification(CLASSES, label_smoothing=0.1),
        loader,
        settings=TrainSettings(**(defaults | settings)),
        optimization=optimization or OptimizationSettings(average_decay=0.9, warmup_epochs=0.5),
        folder=folder,
        evaluation=evaluation,
        record=None if rows is None else rows.extend,
        resume=resume,
    )


def same(one: Any, other: Any) -> bool:
    """Compare two states to the bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
