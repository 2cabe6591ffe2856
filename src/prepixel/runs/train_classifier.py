"""Runs: a recipe trained into a folder, and a folder's network scored or asked about images."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from prepixel.data.loading.channel_statistics import Progress
from prepixel.engine import TrainResult, start_accelerator, train
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.errors import ReadFailure, RecipeError
from prepixel.gates import GatedNetwork
from prepixel.models import FoldedNetwork, FrequencyNetwork, WeightReuse, WeightsMismatch, slice_channels
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import expand_path, recipe_values
from prepixel.records import ConfusionRow, MetricRow, RunRow, append_records, describe_environment
from prepixel.runs.build_classifier import (
    DataFolders,
    Network,
    build_loader,
    build_network,
    build_reader,
    build_task,
    parse_bands,
    reuse_rgb_weights,
    run_metadata,
    statistics_of,
)
from prepixel.runs.classifier import load_run
from prepixel.runs.run_folder import RunFolder
from prepixel.spectrum import Statistics
from prepixel.tasks import ClassificationResult


@dataclass(frozen=True)
class RunResult:
    """Hold how a run ended.

    Attributes:
        training: steps, best score, seconds.
        failures: files that were left out, with the reason.
        notes: what the run wants to be known, such as which weights were reused.
    """

    training: TrainResult
    failures: tuple[ReadFailure, ...]
    notes: tuple[str, ...] = ()


def run(
    recipe: Recipe, folder: str | os.PathLike[str], *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train a recipe into a folder, score it on its validation images, and keep everything that tells about it.

    The folder gets recipe.yaml, environment.json, classes.json, records.jsonl, checkpoints, and for spectra bands.json
    and statistics.json. Works in one process or in several started by torchrun or accelerate launch.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        resume: go on with the run that the folder holds; where it holds none, start.
        progress: called while the statistics are measured, with images done and images in all.

    Raises:
        RecipeError: the folder is in use, holds another recipe's run, or the recipe cannot be built.
        PrepixelError: whatever loaders, network and engine raise.
    """
    place = RunFolder(Path(folder))
    settings = dataclasses.replace(recipe.training, seed=recipe.seed)
    accelerator = start_accelerator(settings)
    main = accelerator.is_main_process
    place.check_free(recipe, resume=resume)
    folders = DataFolders.of(recipe)
    bands = parse_bands(recipe.input)
    device = accelerator.device
    environment = describe_environment(torch.cuda.get_device_name(device) if device.type == "cuda" else "")
    accelerator.wait_for_everyone()
    if main:
        place.start(recipe, folders.train.classes, bands, environment)
        if bands is not None and not place.statistics.exists():
            statistics_of(recipe, folders.train, bands, progress).write(place.statistics)
    accelerator.wait_for_everyone()
    statistics = None if bands is None else Statistics.read(place.statistics).for_bands(bands)
    build = functools.partial(
        build_loader,
        recipe,
        reader=build_reader(recipe.input, bands, statistics),
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        pin_memory=device.type == "cuda",
    )
    loader = build(folders.train, training=True)
    evaluation = None if folders.val is None else build(folders.val, training=False)
    network = build_network(recipe, len(folders.train.classes), bands, statistics)
    reused = reuse_rgb_weights(recipe, network, len(folders.train.classes))
    kept = reuse_run(recipe, network)
    name = place.path.resolve().name
    if main:
        append_records(
            place.records,
            [
                RunRow(
                    run=name,
                    recipe=recipe_values(recipe),
                    seed=recipe.seed,
                    environment=environment,
                    facts=run_metadata(recipe, network, folders, accelerator.num_processes),
                    resumed_at=steps_done(place),
                )
            ],
        )
    result = train(
        network,
        build_task(recipe, len(folders.train.classes), network),
        loader,
        settings=settings,
        optimization=recipe.optimization,
        folder=place.path,
        evaluation=evaluation,
        name=name,
        record=functools.partial(append_records, place.records),
        resume=resume,
        resume_hint="Go on with: the same command and --resume",
        accelerator=accelerator,
    )
    if main and result.evaluation is not None:
        scores = scored_rows(name, result.evaluation, folders.train.classes, float(settings.epochs), result.steps)
        append_records(place.records, scores, sync=True)
    failures = (*loader.failures, *(evaluation.failures if evaluation is not None else ()))
    notes = [f"{what}: {weights}" for what, weights in (("RGB weights", reused), ("run's weights", kept)) if weights]
    return RunResult(result, failures, tuple(notes))


def reuse_run(recipe: Recipe, network: Network) -> WeightReuse | None:
    """Fill a network from the run that its recipe names, if it names one.

    Raises:
        RecipeError: the folder holds no run, one on pixels, or one of another network or without these channels.
    """
    if recipe.network.from_run is None:
        return None
    path = expand_path(recipe.network.from_run, "network.from_run")
    source, target = (_ungated(one) for one in (load_run(path, device="cpu").network, network))
    if not isinstance(source, FrequencyNetwork | FoldedNetwork):
        raise RecipeError(f"network.from_run: {path} takes pixels, not frequencies")
    assert isinstance(target, FrequencyNetwork | FoldedNetwork)
    try:
        return slice_channels(target, source)
    except WeightsMismatch as error:
        raise RecipeError(f"network.from_run: {path}: {error}") from error


def _ungated(network: Network) -> Network:
    return network.network if isinstance(network, GatedNetwork) else network


def steps_done(place: RunFolder) -> int:
    """Give how many steps a folder's run has done; 0 for none yet."""
    last = place.checkpoint("last")
    return int(read_checkpoint(last)["position"]["step"]) if last.exists() else 0


def scored_rows(
    name: str, result: ClassificationResult, classes: Sequence[str], epoch: float, step: int
) -> list[MetricRow | ConfusionRow]:
    """Give the rows of one finished evaluation that say more than its means: each class, and the confusion."""
    rows: list[MetricRow | ConfusionRow] = [
        MetricRow(name, "val", f"recall/{row['class']}", float(row["recall"]), epoch, step, int(row["images"]))
        for row in result.class_rows(classes)
        if row["images"]
    ]
    counts = tuple(tuple(row) for row in result.confusion.tolist())
    return [*rows, ConfusionRow(name, "val", epoch, step, tuple(classes), counts)]
