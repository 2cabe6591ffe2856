"""Detectors' runs: a recipe trained into a folder, and a folder's detector scored."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from pathlib import Path

import torch

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.channel_statistics import Progress
from prepixel.engine import start_accelerator, train
from prepixel.files import write_json
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.parsing import recipe_values
from prepixel.records import MetricRow, RunRow, append_records, describe_environment
from prepixel.runs.build_detector import (
    CocoFolders,
    build_detection_loader,
    build_detection_task,
    detection_run_metadata,
    detection_statistics,
    needs_statistics,
)
from prepixel.runs.detector import CATEGORIES, _build_run_network, _read_statistics
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.train_classifier import RunResult, steps_done
from prepixel.spectrum import BandSet
from prepixel.tasks import DetectionResult


def run_detection(
    recipe: DetectionRecipe, folder: str | os.PathLike[str], *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train a detector's recipe into a folder, score it on its validation photos, and keep all that tells about it.

    The folder is that of a classifier's run, see `prepixel.runs.run`; statistics are those of a removed stem alone.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        resume: go on with the run that the folder holds; where it holds none, start.
        progress: called while the statistics are measured, with photos done and photos in all.

    Raises:
        RecipeError: the folder is in use, holds another recipe's run, or the recipe cannot be built.
        PrepixelError: whatever loaders, network and engine raise.
    """
    place = RunFolder(Path(folder))
    settings = dataclasses.replace(recipe.training, seed=recipe.seed)
    accelerator = start_accelerator(settings)
    place.check_free(recipe, resume=resume)
    folders = CocoFolders.of(recipe)
    bands = None if recipe.input.bands is None else BandSet.parse(recipe.input.bands)
    device = accelerator.device
    environment = describe_environment(torch.cuda.get_device_name(device) if device.type == "cuda" else "")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        place.start(recipe, folders.train.classes, bands, environment)
        write_json(place.path / CATEGORIES, folders.train.ground_truth()["categories"])
        if needs_statistics(recipe) and bands is not None and not place.statistics.exists():
            detection_statistics(recipe, folders.train, bands, progress).write(place.statistics)
    accelerator.wait_for_everyone()
    statistics = _read_statistics(place, recipe)
    build = functools.partial(
        build_detection_loader,
        recipe,
        statistics=statistics,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        pin_memory=device.type == "cuda",
    )
    loader = build(folders.train, training=True)
    evaluation = None if folders.val is None else build(folders.val, training=False)
    network = _build_run_network(place, recipe, len(folders.train.classes), weights=True)
    name = place.path.resolve().name
    if accelerator.is_main_process:
        row = RunRow(
            run=name,
            recipe=recipe_values(recipe),
            seed=recipe.seed,
            environment=environment,
            facts=detection_run_metadata(recipe, network, folders, accelerator.num_processes),
            resumed_at=steps_done(place),
        )
        append_records(place.records, [row])
    result = train(
        network,
        build_detection_task(network, folders.val or folders.train),
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
    if accelerator.is_main_process and isinstance(result.evaluation, DetectionResult) and folders.val is not None:
        rows = class_score_rows(name, result.evaluation, folders.val, float(settings.epochs), result.steps)
        append_records(place.records, rows, sync=True)
    failures = (*loader.failures, *(evaluation.failures if evaluation is not None else ()))
    parts = [part for part in (folders.train, folders.val) if part is not None and part.problems]
    notes = [f"{len(part.problems)} annotations left out, the first: {part.problems[0]}" for part in parts]
    return RunResult(result, failures, tuple(notes))


def class_score_rows(
    name: str, result: DetectionResult, photos: CocoDataset, epoch: float, step: int
) -> list[MetricRow]:
    """Give the AP of each class that the photos show."""
    scores = [
        (f"{kind}_ap/{row['class']}", float(row[f"{kind}_ap"]))
        for row in result.class_rows(photos.ground_truth()["categories"])
        for kind in result.scores
    ]
    return [MetricRow(name, "val", what, value, epoch, step) for what, value in scores if not math.isnan(value)]
