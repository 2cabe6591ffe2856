"""One training session: a recipe is trained into a folder, whatever kind of network it describes."""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from prepixel.data.loading.channel_statistics import Progress
from prepixel.data.loading.loader import BatchLoader
from prepixel.engine import DistributedContext, TrainResult, start_accelerator, train
from prepixel.engine.checkpoint import read_checkpoint, read_position
from prepixel.engine.protocols import Task
from prepixel.errors import ReadFailure
from prepixel.recipes.parsing import AnyRecipe, recipe_values
from prepixel.records import (
    ConfusionRow,
    Environment,
    MetricRow,
    RunRow,
    append_records,
    describe_environment,
    read_records,
)
from prepixel.runs.augmented_loader import AugmentedLoader
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.run_store import KeptRun, Order, RunStore
from prepixel.spectrum import BandSet

ResultRow = MetricRow | ConfusionRow
_RESUME_HINT = "Resume with: the same command and --resume"


@dataclass(frozen=True)
class RunResult:
    """Store the result of a run.

    Attributes:
        training: steps, best score, seconds.
        failures: files that were left out by any process of this start, each once.
        notes: what the user should know, such as which weights were reused.
        left_out: how many entries of annotation files were left out.
    """

    training: TrainResult
    failures: tuple[ReadFailure, ...]
    notes: tuple[str, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class RunParts:
    """Store what is built from a recipe.

    Attributes:
        network: with its first weights.
        task: what it is trained for.
        loader: this process's training batches.
        evaluation: this process's validation batches; None without validation data.
        metadata: what a table's row needs beside scores.
        notes: what the user should know.
        left_out: how many entries of annotation files are left out.
    """

    network: nn.Module
    task: Task
    loader: BatchLoader | AugmentedLoader
    evaluation: BatchLoader | None
    metadata: dict[str, float | int | str]
    notes: tuple[str, ...] = ()
    left_out: int = 0


class RunBuilder(abc.ABC):
    """Build the parts of one kind of run from its recipe.

    Attributes:
        classes: names, in label order.
        bands: the channels that the network sees; None for a run on pixels.
        failures: files that could not be read while statistics were measured.
    """

    classes: tuple[str, ...]
    bands: BandSet | None
    failures: list[ReadFailure]

    @abc.abstractmethod
    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Write what this kind of run keeps beside the recipe; called by the first process alone."""

    @abc.abstractmethod
    def build(self, place: RunFolder, accelerator: Accelerator) -> RunParts:
        """Build network, task and loaders; called by every process after `write_inputs`."""

    @abc.abstractmethod
    def is_result(self, row: ResultRow) -> bool:
        """Return whether a recorded row is one of `result_rows`."""

    @abc.abstractmethod
    def result_rows(self, name: str, result: Any, epoch: float, step: int) -> Sequence[ResultRow]:
        """Return the rows of the last evaluation that say more than its means."""


def run_session(
    recipe: AnyRecipe,
    folder: str | os.PathLike[str],
    open_data: Callable[[], RunBuilder],
    *,
    resume: bool,
    progress: Progress | None,
    store: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Train a recipe into a folder, score it on its validation data, and record everything about it.

    Works in one process or in several started by torchrun or accelerate launch.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        open_data: opens the recipe's data, before anything is written.
        resume: whether to resume the run that the folder holds; where it holds none, the run starts.
        progress: called while statistics are measured, with images done and images in all.
        store: the URL of a folder in a store that gets each checkpoint and all that resuming needs; None for the one
            that the run to be resumed was given.

    Raises:
        RunError: the folder or the store holds another recipe's run, or the recipe cannot be built.
        StoreError: the store fails.
        PrepixelError: another process trains into the folder; or whatever loaders, network and engine raise.
    """
    place = RunFolder.at(folder)
    settings = dataclasses.replace(recipe.training, seed=recipe.seed)
    accelerator = start_accelerator(settings)
    main, device = accelerator.is_main_process, accelerator.device
    place.check_free(recipe, resume=resume)
    store = store or (place.read_store() if resume else None)
    kept = KeptRun(place, RunStore(store) if store and main else None)
    kept.check_free(recipe, resume=resume)
    builder = open_data()
    environment = describe_environment(torch.cuda.get_device_name(device) if device.type == "cuda" else "")
    accelerator.wait_for_everyone()
    with _locked(place, main):
        if main:
            if resume:
                kept.bring_back(lambda: _order(_position(place)))
            place.check_free(recipe, resume=resume)
            place.start(recipe, builder.classes, builder.bands, environment, resume=resume)
            builder.write_inputs(place, progress)
        accelerator.wait_for_everyone()
        parts = builder.build(place, accelerator)
        name = place.path.resolve().name
        rescore = parts.evaluation is not None and _lacks_result(place, builder, settings.epochs)
        accelerator.wait_for_everyone()
        if main:
            _record_start(place, recipe, environment, parts, name)
            kept.begin(_order(_position(place)))
        append = functools.partial(append_records, place.records)
        result = train(
            parts.network,
            parts.task,
            parts.loader,
            settings=settings,
            optimization=recipe.optimization,
            folder=place.path,
            evaluation=parts.evaluation,
            name=name,
            record=lambda rows: append(rows, sync=any(row.split == "val" for row in rows)),
            record_result=lambda *result: append(builder.result_rows(name, *result), sync=True),
            rescore=rescore,
            resume=resume,
            resume_hint=_RESUME_HINT,
            accelerator=accelerator,
            after_save=lambda position: kept.save(_order(dataclasses.asdict(position))),
        )
        if main:
            kept.save(_order(_position(place)))
    return RunResult(result, _gather_failures(builder, parts), parts.notes, parts.left_out)


@contextmanager
def _locked(place: RunFolder, main: bool) -> Iterator[None]:
    """Keep other processes from training into the folder."""
    if not main:
        yield
        return
    with place.locked():
        yield


def _record_start(place: RunFolder, recipe: AnyRecipe, environment: Environment, parts: RunParts, name: str) -> None:
    row = RunRow(
        run=name,
        recipe=recipe_values(recipe),
        seed=recipe.seed,
        environment=environment,
        facts=parts.metadata,
        resumed_at=_position(place).get("step", 0),
    )
    append_records(place.records, [row])


def _position(place: RunFolder) -> dict[str, Any]:
    """Return where a folder's run is; nothing before its first checkpoint."""
    last = place.checkpoint("last")
    return dataclasses.asdict(read_position(read_checkpoint(last), last)) if last.exists() else {}


def _order(position: dict[str, Any]) -> Order:
    return position.get("epoch", -1), position.get("batch", 0)


def _lacks_result(place: RunFolder, builder: RunBuilder, epochs: int) -> bool:
    """Return whether a finished run was killed before the rows of its last evaluation were written."""
    position = _position(place)
    if position.get("epoch", 0) < epochs:
        return False
    records = read_records(place.records).rows if place.records.exists() else ()
    return not any(
        isinstance(row, ConfusionRow | MetricRow) and row.step == position["step"] and builder.is_result(row)
        for row in records
    )


def _gather_failures(builder: RunBuilder, parts: RunParts) -> tuple[ReadFailure, ...]:
    """Return the files that any process left out, each once."""
    loaders = [loader for loader in (parts.loader, parts.evaluation) if loader is not None]
    own = [*builder.failures, *(failure for loader in loaders for failure in loader.failures)]
    found = DistributedContext.join().gather_objects(own)
    return tuple({failure.source: failure for failures in found for failure in failures}.values())
