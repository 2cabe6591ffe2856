"""Runs: a recipe trained into a folder, and a folder's network scored or asked about images."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from prepixel.data import PixelReader, SpectrumReader, ViewLoader, open_dataset
from prepixel.engine import Position, TrainResult, evaluate, load_weights, start_accelerator, train
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.errors import RecipeError
from prepixel.gates import GatedNetwork
from prepixel.models import FoldedNetwork, FrequencyNetwork, WeightReuse, WeightsMismatch, keep_columns
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import expand_path, recipe_values
from prepixel.records import ConfusionRow, MetricRow, RunRow, append_records, describe_environment
from prepixel.runs.build_classifier import (
    DataFolders,
    Network,
    Progress,
    build_loader,
    build_network,
    build_reader,
    build_task,
    parse_bands,
    reuse_rgb_weights,
    run_facts,
    statistics_of,
)
from prepixel.runs.classifier import Classifier
from prepixel.runs.run_folder import RunFolder
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import ClassificationResult

Weights = Literal["best", "last"]


@dataclass(frozen=True)
class RunResult:
    """Hold how a run ended.

    Attributes:
        training: steps, best score, seconds.
        failures: files that were left out, with the reason.
        notes: what the run wants to be known, such as which weights were reused.
    """

    training: TrainResult
    failures: tuple[tuple[str, str], ...]
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
                    facts=run_facts(recipe, network, folders, accelerator.num_processes),
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
        return keep_columns(target, source)
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


@dataclass(frozen=True)
class TrainedRun(Classifier):
    """Hold a trained network with all that it needs to take image files.

    Attributes:
        folder: where it is from.
        recipe: how it was trained.
        network: in evaluation mode.
        classes: names, in label order.
        bands: the channels it sees; None for a run on pixels.
        statistics: of its channels; None for a run on pixels.
        position: how far training was.
    """

    folder: RunFolder
    recipe: Recipe
    network: Network
    classes: tuple[str, ...]
    bands: BandSet | None
    statistics: Statistics | None
    position: Position

    @property
    def name(self) -> str:
        """Name it in tables and plots."""
        return self.recipe.name

    @property
    def reader(self) -> SpectrumReader | PixelReader:
        """Give what turns files into the network's inputs."""
        return build_reader(self.recipe.input, self.bands, self.statistics)

    @property
    def crop_fraction(self) -> float:
        """Give the side of the centred crop that the network sees, as a share of the short side."""
        return self.recipe.input.crop_fraction

    def evaluate(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[ClassificationResult, tuple[tuple[str, str], ...]]:
        """Score the network on a folder of images.

        Args:
            folder: images of the run's classes; None for the recipe's validation images.
            batch_size: images a batch; None for the recipe's.
            threads: threads to read on; None for the recipe's.

        Returns:
            The scores, and the files that were left out (where the recipe skips bad files).

        Raises:
            RecipeError: no folder is given and the recipe names none.
            DatasetError: the folder has no image, or classes that the run does not know.
        """
        loader = self.loader(folder, batch_size=batch_size, threads=threads)
        task = build_task(self.recipe, len(self.classes), self.network)
        result: ClassificationResult = evaluate(
            self.network,
            task,
            loader,
            precision=self.recipe.training.precision if self.device.type == "cuda" else "float32",
        )
        return result, loader.failures

    def loader(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> ViewLoader:
        """Build a loader of images as the network is scored on; arguments and errors are those of `evaluate`."""
        if folder is None:
            if self.recipe.data.val is None:
                raise RecipeError(f"{self.folder.recipe}: names no validation images; give a folder by --data")
            folder = expand_path(self.recipe.data.val, "data.val")
        files = open_dataset(folder, class_names=self.classes)
        data = self.recipe.data
        data = dataclasses.replace(
            data,
            val_batch_size=batch_size or data.val_batch_size,
            threads=data.threads if threads is None else threads,
        )
        return build_loader(dataclasses.replace(self.recipe, data=data), files, self.reader, training=False)


def load_run(
    folder: str | os.PathLike[str], *, weights: Weights = "best", device: str | torch.device | None = None
) -> TrainedRun:
    """Load a run's network, ready to predict: the averaged weights where the run kept an average.

    Args:
        folder: a run's folder.
        weights: those of the best evaluation, or the last ones; a run without evaluation has only the last.
        device: where to put it; None for an accelerator if there is one.

    Raises:
        RecipeError: the folder holds no run, or none that has saved weights yet.
        CheckpointError: the weights cannot be read.
    """
    place = RunFolder(Path(folder))
    recipe = place.read_recipe()
    classes = place.read_classes()
    bands, statistics = place.read_input(recipe)
    path = place.checkpoint(weights)
    if weights == "best" and not path.exists():
        path = place.checkpoint("last")
    if not path.exists():
        raise RecipeError(f"{place.path}: has saved no weights yet; train it, or go on with --resume")
    network = build_network(recipe, len(classes), bands, statistics)
    position = load_weights(network, path)
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    network.to(device or "cpu").eval()
    return TrainedRun(place, recipe, network, classes, bands, statistics, position)
