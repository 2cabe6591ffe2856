"""What a run says of itself while it goes: rows, TensorBoard files, a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prepixel.records import MetricRow, Split

Record: TypeAlias = Callable[[Sequence[MetricRow]], None]


@dataclass
class Meter:
    """Hold what was seen since the last record of training.

    Attributes:
        loss_sum: over images, of this process (after a resume, the first one's also holds the others').
        images: that ``loss_sum`` is over.
        timed_images: of this process, since ``started``.
        waited: seconds spent waiting for batches.
        started: by ``time.perf_counter``.
    """

    loss_sum: float = 0.0
    images: int = 0
    timed_images: int = 0
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def count(self, images: int) -> None:
        """Count a step's images."""
        self.images += images
        self.timed_images += images


class Reporter:
    """Pass a run's numbers on, from the first process only; the other processes' reporters do nothing.

    Args:
        run: the run's name.
        record: takes the rows; None for no rows.
        tensorboard: folder for TensorBoard files; None for none.
        progress: whether a terminal shows a bar.
        step: steps taken before; TensorBoard forgets what an earlier start wrote after them.
        main: whether this is the first process.
    """

    def __init__(
        self, run: str, *, record: Record | None, tensorboard: Path | None, progress: bool, step: int, main: bool
    ) -> None:
        self.run = run
        self._record = record if main else None
        self._writer = _open_tensorboard(tensorboard, step) if main and tensorboard is not None else None
        console = Console(stderr=True)
        self._progress: Progress | None = None
        if main and progress and console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[now]}"),
            )
            self._progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._progress.start()
            self._bar = self._progress.add_task("", total=None, now="")

    def rows(
        self,
        split: Split,
        numbers: Mapping[str, float],
        *,
        epoch: int | float,
        step: int,
        images: Mapping[str, int] | int,
    ) -> None:
        """Pass on numbers; ``images`` says over how many each is a mean, 0 where it is none."""
        rows = [
            MetricRow(
                run=self.run,
                split=split,
                name=name,
                value=float(value),
                epoch=float(epoch),
                step=step,
                n=images if isinstance(images, int) else images.get(name, 0),
            )
            for name, value in numbers.items()
        ]
        if self._record is not None:
            self._record(rows)
        if self._writer is not None:
            for row in rows:
                self._writer.add_scalar(f"{split}/{row.name}", row.value, step)
            self._writer.flush()
        if self._progress is not None and "loss" in numbers:
            self._progress.update(self._bar, now=f"{split} loss {numbers['loss']:.4f}")

    def show(self, description: str, done: int, total: int) -> None:
        """Move the progress bar."""
        if self._progress is not None:
            self._progress.update(self._bar, description=description, completed=done, total=total)

    def close(self) -> None:
        """Remove the bar and close the files."""
        if self._progress is not None:
            self._progress.stop()
        if self._writer is not None:
            self._writer.close()


def _open_tensorboard(folder: Path, step: int) -> Any:
    # Imported here: it is slow, and most processes of a run never need it.
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    return writer
