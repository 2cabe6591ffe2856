"""What training reports: rows, TensorBoard files, a line per epoch, a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from prepixel.records import MetricRow, Split

# Scores that an epoch's line shows, 0..1
_SCORES = {"top1": "top-1", "map": "mAP", "miou": "mIoU", "box_ap": "AP of boxes", "mask_ap": "AP of masks"}

Record: TypeAlias = Callable[[Sequence[MetricRow]], None]
RecordResult: TypeAlias = Callable[[Any, float, int], None]  # a task's result, epochs done, steps done


@dataclass
class Meter:
    """Sums since the last record of training.

    Attributes:
        loss_sum: over images, of this process (after a resume, the first one's also holds the others').
        images: that ``loss_sum`` is over.
        timed_images: of this process, since ``started``.
        waited: seconds spent waiting for batches.
        started: by ``time.perf_counter``.
        summed_images: those whose losses are in ``loss_sum``: on a device, losses are read some steps later.
    """

    loss_sum: float = 0.0
    images: int = 0
    timed_images: int = 0
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    summed_images: int = 0

    def add_losses(self, loss_sum: float) -> None:
        """Add the losses of all images that are counted."""
        self.loss_sum += loss_sum
        self.summed_images = self.images

    def count(self, images: int) -> None:
        """Count a step's images."""
        self.images += images
        self.timed_images += images


@dataclass
class EpochTotals:
    """Sums over an epoch, of all processes; of a resumed epoch, since it was resumed.

    Attributes:
        loss_sum: over images.
        images: that ``loss_sum`` is over.
        timed_images: trained in ``seconds``.
        seconds: of training, without evaluation.
    """

    loss_sum: float = 0.0
    images: float = 0
    timed_images: float = 0
    seconds: float = 0.0

    def add(self, loss_sum: float, images: float, timed_images: float, seconds: float) -> None:
        """Add what one record of training is about."""
        self.loss_sum += loss_sum
        self.images += images
        self.timed_images += timed_images
        self.seconds += seconds

    def parts(self) -> Iterator[str]:
        """Yield the words of an epoch's line that are about training."""
        if self.images:
            yield f"loss {_loss(self.loss_sum / self.images)}"

    def rate(self) -> Iterator[str]:
        """Yield the speed, where it was measured."""
        if self.timed_images and self.seconds > 0:
            yield f"{self.timed_images / self.seconds:.0f} images/s"


class Pace:
    """Estimate the time that is left from the time that this start's epochs took, evaluation included.

    Args:
        epochs: of the whole run.
        done: epochs that were done before this start, a fraction included.
    """

    def __init__(self, epochs: int, done: float) -> None:
        self._epochs, self._before, self._began = epochs, done, time.perf_counter()

    def seconds_left(self, done: float) -> float:
        """Return the seconds that the rest of the run will take at this pace."""
        spent = time.perf_counter() - self._began
        return spent / max(done - self._before, 1e-9) * (self._epochs - done)


class Reporter:
    """Report a run's numbers, from the first process only; the other processes' reporters do nothing.

    Args:
        run: the run's name.
        record: takes the rows; None for no rows.
        tensorboard: folder for TensorBoard files; None for none.
        progress: whether standard error gets a line per epoch and, on a terminal, a bar.
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
        self._lines = main and progress
        self._last_loss = ""
        self._progress: Progress | None = None
        if main and progress and console.is_terminal:
            doing, now = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[now]}")
            columns = (doing, BarColumn(20), MofNCompleteColumn(), now)
            self._progress = Progress(*columns, console=console, transient=True)
            self._progress.start()
            self._bar = self._progress.add_task(self._named("starting"), total=None, now="")

    def rows(
        self,
        split: Split,
        numbers: Mapping[str, float],
        *,
        epoch: int | float,
        step: int,
        images: Mapping[str, int] | int,
    ) -> None:
        """Report numbers; ``images`` is how many each is a mean over, 0 where it is no mean."""
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

    def show(self, doing: str, done: int, total: int, now: str = "") -> None:
        """Show on the progress bar what is being done, how far it is, and its numbers."""
        if self._progress is not None:
            self._progress.update(self._bar, description=self._named(doing), completed=done, total=total, now=now)

    def show_step(self, epoch: str, done: int, total: int, meter: Meter, seconds_left: float) -> None:
        """Show the batches of an epoch that are done, with loss and speed since the last record, and the time left."""
        if self._progress is None:
            return
        if meter.summed_images:
            self._last_loss = f"loss {_loss(meter.loss_sum / meter.summed_images)}, "
        elapsed = time.perf_counter() - meter.started
        rate = f"{meter.timed_images / elapsed:.0f} images/s, " if meter.timed_images and elapsed > 0 else ""
        self.show(epoch, done, total, f"{self._last_loss}{rate}{_duration(seconds_left)} left")

    def advance(self) -> None:
        """Move the progress bar by one batch."""
        if self._progress is not None:
            self._progress.advance(self._bar)

    def _named(self, text: str) -> str:
        name = self.run if self.run.isprintable() else ascii(self.run)[1:-1]
        return f"{name}: {text}"

    def finish_epoch(
        self, done: int, epochs: int, totals: EpochTotals, scores: Mapping[str, float], seconds_left: float
    ) -> None:
        """Print an epoch's line, above the bar where there is one.

        Args:
            done: epochs done.
            epochs: of the whole run.
            totals: of the epoch.
            scores: of its evaluation, 0..1 but the loss; none without.
            seconds_left: the estimate for the rest of the run.
        """
        if not self._lines:
            return
        parts = list(totals.parts())
        if "loss" in scores:
            parts.append(f"validation loss {_loss(scores['loss'])}")
        parts += [f"{words} {100 * scores[name]:.1f} %" for name, words in _SCORES.items() if name in scores]
        if "channels_on" in scores:
            parts.append(f"{scores['channels_on']:.1f} channels on")
        parts += totals.rate()
        if done < epochs:
            parts.append(f"{_duration(seconds_left)} left")
        line = self._named(f"epoch {done}/{epochs}: {', '.join(parts)}")
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar and close the files."""
        if self._progress is not None:
            self._progress.stop()
        if self._writer is not None:
            self._writer.close()


def _loss(value: float) -> str:
    """Return a loss as text: four decimals, or five digits where it is large, as in a run's first epochs."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4e}"


def _duration(seconds: float) -> str:
    """Return a duration as text, to two digits or so."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _open_tensorboard(folder: Path, step: int) -> Any:
    # Imported here: it is slow, and most processes of a run never need it.
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    return writer
