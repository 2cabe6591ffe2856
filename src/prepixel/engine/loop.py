"""Training: steps over a loader's batches, with checkpoints from which a resumed run equals an undisturbed one."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from prepixel.engine import checkpoint
from prepixel.engine.checkpoint import CheckpointError, Position
from prepixel.engine.evaluation import evaluate
from prepixel.engine.losses import LossLog, describe_trouble
from prepixel.engine.optimization import learning_rate
from prepixel.engine.processes import DistributedContext, start_accelerator
from prepixel.engine.protocols import Loader, Task
from prepixel.engine.reporting import EpochTotals, Meter, Pace, Record, RecordResult, Reporter
from prepixel.engine.results import LoaderEnded, TrainResult
from prepixel.engine.settings import RESUMABLE, OptimizationSettings, TrainSettings
from prepixel.engine.stepping import Stepper
from prepixel.engine.stopping import StopRequest, TrainingInterrupted, interrupted
from prepixel.errors import NonFiniteLoss
from prepixel.files import remove_temporary

_LOG = logging.getLogger(__name__)
_HOST = torch.device("cpu")


def train(
    network: nn.Module,
    task: Task,
    loader: Loader,
    *,
    settings: TrainSettings,
    optimization: OptimizationSettings,
    folder: Path,
    evaluation: Loader | None = None,
    name: str = "run",
    record: Record | None = None,
    record_result: RecordResult | None = None,
    rescore: bool = False,
    resume: bool = False,
    resume_hint: str = "Train again with resume=True to resume it",
    accelerator: Accelerator | None = None,
    after_save: Callable[[Position], None] | None = None,
) -> TrainResult:
    """Train a network, and save all that is needed to resume after any interruption.

    On the CPU a run that was stopped or killed and resumed ends with the bits of an undisturbed one. Several processes
    train as one would with the same global batch, whatever the sizes of their shares: a step's gradient is that of
    the mean loss over all its images. Batch norm alone sees each process's share; see ``sync_batchnorm``.

    Args:
        network: trained in place; ends with the last weights, not the best. Draws that made it are the caller's.
        task: what it is trained for.
        loader: this process's training batches.
        settings: how long, in which precision, with which record.
        optimization: how the weights move.
        folder: where ``checkpoints/last.pt``, ``checkpoints/best.pt`` and TensorBoard's files go.
        evaluation: this process's evaluation batches; None for no evaluation.
        name: the run's name in its records.
        record: takes rows, on the first process only.
        record_result: takes the last epoch's evaluation, with epochs and steps done, on the first process only, before
            the checkpoint that says that the run is finished.
        rescore: whether to evaluate a run again that was finished before, for `record_result`.
        resume: whether to resume from ``last.pt``; where there is none yet, the run starts.
        resume_hint: what to tell the user of a run that is asked to stop.
        accelerator: from `start_accelerator` with the same settings; made here if None.
        after_save: called on the first process after each checkpoint, with where the run is.

    Raises:
        NonFiniteLoss: a loss, or a weight, is not finite; checkpoints are those from before.
        TrainingInterrupted: SIGINT or SIGTERM came; the step was finished and everything saved.
        CheckpointError: the folder holds a run and ``resume`` is false, or holds another run.
        LoaderEnded: the loader gave fewer batches than its length says.
        EmptyShare: a process got no samples in a step, under ``sync_batchnorm``.
    """
    run = _Run(network, task, loader, evaluation, settings, optimization, accelerator or start_accelerator(settings))
    run.after_save = after_save
    run.open(folder, name, record, resume=resume, resume_hint=resume_hint)
    try:
        with run.stop:
            return run.finish(record_result, rescore=rescore)
    finally:
        run.close()


class _Run:
    """One start of a run."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        loader: Loader,
        evaluation: Loader | None,
        settings: TrainSettings,
        optimization: OptimizationSettings,
        accelerator: Accelerator,
    ) -> None:
        self.task, self.loader, self.evaluation = task, loader, evaluation
        self.settings, self.optimization = settings, optimization
        self.accelerator, self.device = accelerator, accelerator.device
        self.control = DistributedContext.join()
        self.batches = len(loader)
        if self.batches < 1:
            raise LoaderEnded("the training loader has no batch: the data set is smaller than one batch")
        self.steps_per_epoch = math.ceil(self.batches / settings.gradient_accumulation)
        checkpoint.seed_generators(settings.seed, self.control.rank)
        self.stepper = Stepper(network, task, settings, optimization, accelerator)
        self.position = Position()
        self.meter, self.totals = Meter(), EpochTotals()
        self.stop = StopRequest()
        self.result: Any = None
        self.evaluated = False  # in this epoch
        self.after_save: Callable[[Position], None] | None = None
        self.saved_step, self.resumed_at = -1, 0
        self.losses = LossLog()
        self.began = time.perf_counter()

    def open(self, folder: Path, name: str, record: Record | None, *, resume: bool, resume_hint: str) -> None:
        """Make the folder, restore its checkpoint if there is one, and open the records."""
        self.checkpoints = folder / "checkpoints"
        self.resume_hint = resume_hint
        if self.control.rank == 0:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            remove_temporary(self.checkpoints)
        last = self.checkpoints / checkpoint.LAST
        if last.exists():
            if not resume:
                raise CheckpointError(f"{last} holds a run; resume it, or give another folder")
            self._restore(last)
        steps = {row[0] for row in self.control.gather([self.position.step])}
        if len(steps) > 1:
            raise CheckpointError(
                f"processes found different checkpoints in {self.checkpoints} (steps {sorted(steps)}); "
                "the folder must be one that all of them share"
            )
        if self.settings.compile:
            self.stepper.network.compile(backend=self.settings.compile_backend)
        self.reporter = Reporter(
            name,
            record=record,
            tensorboard=folder / "tensorboard" if self.settings.tensorboard else None,
            progress=self.settings.progress,
            step=self.position.step,
            main=self.control.rank == 0,
        )
        self.pace = Pace(self.settings.epochs, self._epochs_done())

    def close(self) -> None:
        """Close the records, and free the device's memory."""
        self.reporter.close()
        self.accelerator.free_memory()

    def _identity(self) -> dict[str, Any]:
        """Return the settings that must be the same for a run to be resumed."""
        kept = {name: value for name, value in dataclasses.asdict(self.settings).items() if name not in RESUMABLE}
        return {**kept, **dataclasses.asdict(self.optimization), "batches per epoch": self.batches}

    def _restore(self, path: Path) -> None:
        state = checkpoint.read_checkpoint(path)
        checkpoint.check_weights(state, path)
        with checkpoint.restoring(path):
            self._put_back(state, path)

    def _put_back(self, state: dict[str, Any], path: Path) -> None:
        if differences := checkpoint.differences(state["settings"], self._identity()):
            raise CheckpointError(
                f"{path} is of a run with other settings: {'; '.join(differences)}. Set them back to resume it, or "
                "give another folder to start again"
            )
        self.stepper.restore(state, path)
        self.position = checkpoint.read_position(state, path)
        self.saved_step = self.resumed_at = self.position.step
        if self.control.rank == 0:  # the sums are those of all processes
            self.meter.loss_sum, self.meter.images = state["meter"]
        generators = state["generators"]
        if len(generators) == self.control.world_size:
            checkpoint.restore_generators(generators[self.control.rank], self.device)
        else:
            _LOG.warning(
                "%s was written by %d processes and is resumed by %d: draws inside the network will differ",
                path,
                len(generators),
                self.control.world_size,
            )
            checkpoint.seed_generators(self.settings.seed + self.position.step, self.control.rank)

    def finish(self, record_result: RecordResult | None, *, rescore: bool) -> TrainResult:
        """Train and evaluate until all epochs are done."""
        position = self.position
        if rescore and self.evaluation is not None and position.epoch >= self.settings.epochs:
            self._evaluate(self.evaluation)
            self._pass_result(record_result)
        while position.epoch < self.settings.epochs:
            if position.batch < self.batches:
                self._train_epoch()
            self._record_training()
            last = position.epoch + 1 == self.settings.epochs
            if self.evaluation is not None and (last or (position.epoch + 1) % self.settings.evaluate_every == 0):
                self._save()  # an evaluation may take long, and may fail
                self._agree(0)
                self._evaluate(self.evaluation)
                if last:
                    self._pass_result(record_result)
            position.epoch, position.batch = position.epoch + 1, 0
            self._save()
            self._report_epoch()
        return TrainResult(
            steps=position.step,
            resumed_at=self.resumed_at,
            best_score=position.best_score,
            best_epoch=position.best_epoch,
            evaluation=self.result,
            seconds=time.perf_counter() - self.began,
        )

    def _pass_result(self, record_result: RecordResult | None) -> None:
        if record_result is not None and self.control.rank == 0:
            record_result(self.result, float(self.settings.epochs), self.position.step)

    def _report_epoch(self) -> None:
        """Print the line of an epoch that is done."""
        scores = {} if self.result is None or not self.evaluated else dict(self.result.row())
        left, epochs = self.pace.seconds_left(self._epochs_done()), self.settings.epochs
        self.reporter.finish_epoch(self.position.epoch, epochs, self.totals, scores, left)
        self.totals = EpochTotals()
        self.evaluated = False

    def _epochs_done(self) -> float:
        return self.position.epoch + self.position.batch / self.batches

    def _train_epoch(self) -> None:
        position, settings = self.position, self.settings
        self.stepper.network.train()
        self.meter.started = time.perf_counter()
        batches = iter(self.loader.epoch(position.epoch, position.batch))
        try:
            while position.batch < self.batches:
                group = self._read_group(batches)
                images = self._agree(sum(len(batch) for batch in group))
                if images:
                    self._step(group, images)
                position.step += 1
                position.batch += len(group)
                record = position.step % settings.record_steps == 0
                save = settings.checkpoint_steps is not None and position.step % settings.checkpoint_steps == 0
                if record or save or self.device.type == "cpu":
                    self._read_losses()
                left = self.pace.seconds_left(self._epochs_done())
                name = f"epoch {position.epoch + 1}/{settings.epochs}"
                self.reporter.show_step(name, position.batch, self.batches, self.meter, left)
                if record:
                    self._record_training()
                if save and position.batch < self.batches:
                    self._save()
        finally:
            if close := getattr(batches, "close", None):
                close()
        self._read_losses()

    def _read_group(self, batches: Iterator[Any]) -> list[Any]:
        size = min(self.settings.gradient_accumulation, self.batches - self.position.batch)
        started = time.perf_counter()
        with checkpoint.generators_kept(_HOST):  # from what a loader draws: torch's does
            group = list(itertools.islice(batches, size))
        self.meter.waited += time.perf_counter() - started
        if len(group) < size:
            got = self.position.batch + len(group)
            raise LoaderEnded(
                f"the training loader gave {got} batches in epoch {self.position.epoch}, not {self.batches}"
            )
        return group

    def _step(self, group: list[Any], images: int) -> None:
        rate = self._learning_rate(self.position.step)
        last = self.steps_per_epoch * self.settings.epochs - 1
        self.stepper.set_progress(self.position.step / max(last, 1))
        loss_sum = self.stepper.take(group, rate, images, self.control.world_size)
        self.losses.add(self.position.step, loss_sum)
        self.meter.count(sum(len(batch) for batch in group))

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.optimization, step, self.steps_per_epoch, self.settings.epochs)

    def _agree(self, images: int, *, stopping: bool = True) -> int:
        """Add up the images of all processes, and stop them together where one of them has a reason to."""
        kind, step = self.losses.trouble
        rows = self.control.gather([images, self.stop.signal_number, kind, step])
        if found := [(row[3], row[2]) for row in rows if row[2]]:
            raise NonFiniteLoss(self._describe_trouble(*min(found)))
        signals = [row[1] for row in rows if row[1]]
        if signals and stopping:
            if self.saved_step != self.position.step:
                self._save()
            raise self._interrupted(signals[0])
        return sum(row[0] for row in rows)

    def _read_losses(self) -> None:
        self.meter.add_losses(self.losses.read())

    def _describe_trouble(self, step: int, kind: int) -> str:
        last = self.checkpoints / checkpoint.LAST
        return describe_trouble(
            kind,
            step,
            epoch=step // self.steps_per_epoch,
            learning_rate=self._learning_rate(step),
            kept=f"{last} holds the run after step {self.saved_step}" if self.saved_step >= 0 else "no checkpoint yet",
        )

    def _interrupted(self, number: int) -> TrainingInterrupted:
        step, steps = self.position.step, self.steps_per_epoch * self.settings.epochs
        epoch, saved = self.position.epoch + 1, self.checkpoints / checkpoint.LAST
        return interrupted(number, step, steps, epoch, self.settings.epochs, saved, self.resume_hint)

    def _save(self) -> None:
        self._read_losses()
        if not self.losses.trouble[0] and not self.stepper.all_finite():
            self.losses.note_weights(max(self.position.step - 1, 0))
        self._agree(0, stopping=False)
        generators = self.control.gather_objects(checkpoint.generator_states(self.device))
        loss_sum, images = self.control.sum([self.meter.loss_sum, self.meter.images])
        if self.control.rank == 0:
            state = {
                **self.stepper.state(),
                "position": checkpoint.position_state(self.position),
                "generators": generators,
                "meter": (loss_sum, int(images)),
                "settings": self._identity(),
            }
            checkpoint.write_checkpoint(self.checkpoints / checkpoint.LAST, state)
            if self.after_save is not None:
                self.after_save(self.position)
        self.saved_step = self.position.step

    def _evaluate(self, loader: Loader) -> None:
        """Score the weights, the averaged ones too where there are some, and keep them if they are the best."""
        position = self.position
        averaged = self.stepper.averaged
        self.control.share_buffers(self.stepper.network, averaged)
        networks = {"": self.stepper.network} if averaged is None else {"plain/": self.stepper.network, "": averaged}
        numbers: dict[str, float] = {}
        for prefix, network in networks.items():
            self.reporter.show("validation", 0, len(loader))
            self.result = evaluate(
                network,
                self.task,
                loader,
                precision=self.settings.precision,
                control=self.control,
                after_batch=self._after_evaluated_batch,
            )
            numbers |= {f"{prefix}{name}": value for name, value in self.result.row().items()}
        self.evaluated = True
        epoch = min(position.epoch + 1, self.settings.epochs)  # a run that is scored again was finished before
        self.reporter.rows("val", numbers, epoch=epoch, step=position.step, images=self.result.images)
        score = float(numbers[self.task.score])
        if score > (-math.inf if position.best_score is None else position.best_score):
            position.best_score, position.best_epoch = score, position.epoch
            if self.control.rank == 0:
                state = {**self.stepper.weights(), "position": checkpoint.position_state(position)}
                checkpoint.write_checkpoint(self.checkpoints / checkpoint.BEST, state)

    def _after_evaluated_batch(self) -> None:
        self.reporter.advance()
        # A single process may leave at once, having saved before; several must leave together, after the last batch.
        if self.stop.signal_number and self.control.world_size == 1:
            raise self._interrupted(self.stop.signal_number)

    def _record_training(self) -> None:
        meter, position = self.meter, self.position
        elapsed = time.perf_counter() - meter.started
        loss_sum, images, timed, waited = self.control.sum(
            [meter.loss_sum, meter.images, meter.timed_images, meter.waited]
        )
        self.meter = Meter()
        self.totals.add(loss_sum, images, timed, elapsed)
        if not images:
            return
        numbers = {"loss": loss_sum / images, "learning_rate": self._learning_rate(max(position.step - 1, 0))}
        if timed:
            numbers["images_per_second"] = timed / elapsed
            numbers["data_wait_share"] = min(waited / self.control.world_size / elapsed, 1.0)
        if self.stepper.gradient_norm is not None:
            numbers["gradient_norm"] = float(self.stepper.gradient_norm)
        numbers |= self.stepper.pop_metrics()
        self.reporter.rows(
            "train", numbers, epoch=self._epochs_done(), step=position.step, images={"loss": int(images)}
        )
