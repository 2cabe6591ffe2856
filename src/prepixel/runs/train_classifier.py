"""Train classifiers: how a recipe's images, statistics, network and scores become a run."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor

from prepixel.data import ListedDataset
from prepixel.data.loading.channel_statistics import Progress
from prepixel.data.loading.loader import BatchLoader
from prepixel.errors import ReadFailure, RunError
from prepixel.gates import GatedNetwork
from prepixel.models import FoldedNetwork, FrequencyNetwork, WeightReuse, WeightsMismatch, slice_channels
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import expand_path
from prepixel.records import ConfusionRow, MetricRow
from prepixel.runs.augmented_loader import AugmentedLoader, build_augmentation
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
from prepixel.runs.loader_options import check_batch_size
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.session import ResultRow, RunBuilder, RunParts, RunResult, run_session
from prepixel.spectrum import Spectrum, Statistics
from prepixel.tasks import ClassificationResult, MultiLabelResult, RegressionResult, TargetScaling

_TARGET_SCORES = ("ap", "r2", "mae")


def run(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    store: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Train a classifier's recipe into a folder, score it on its validation images, and record everything about it.

    The folder gets recipe.yaml, environment.json, classes.json, records.jsonl, checkpoints, and for spectra bands.json
    and statistics.json. Works in one process or in several started by torchrun or accelerate launch.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        resume: whether to resume the run that the folder holds; where it holds none, the run starts.
        progress: called while the statistics are measured, with images done and images in all.
        store: the URL of a folder in a store that gets each checkpoint, and all that resuming on another machine
            needs; None for that of the run to be resumed, if any.

    Raises:
        RunError: the folder holds another recipe's run, or the recipe cannot be built.
        StoreError: the store fails.
        PrepixelError: another process trains into the folder; or whatever loaders, network and engine raise.
    """
    open_data = functools.partial(ClassifierBuilder, recipe)
    return run_session(recipe, folder, open_data, resume=resume, progress=progress, store=store)


class ClassifierBuilder(RunBuilder):
    """Build the parts of a classifier's run.

    Args:
        recipe: what is trained; its data sets are opened.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folders = DataFolders.of(recipe)
        self.classes = self.folders.train.classes
        self.bands = parse_bands(recipe.input)
        self.failures: list[ReadFailure] = []
        check_batch_size(recipe, self.folders.train)

    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Measure or copy the statistics of the channels, and those of a regression's targets."""
        train = self.folders.train
        if self.recipe.task.kind == "regression" and not place.targets.exists():
            assert isinstance(train, ListedDataset)
            place.write_scaling(TargetScaling.of(train.targets))
        if self.bands is not None and not place.statistics.exists():
            statistics = statistics_of(self.recipe, self.folders.train, self.bands, progress, self.failures)
            statistics.write(place.statistics)

    def build(self, place: RunFolder, accelerator: Accelerator) -> RunParts:
        """Build network, task and loaders."""
        recipe, folders = self.recipe, self.folders
        statistics = None if self.bands is None else Statistics.read(place.statistics).for_bands(self.bands)
        reader = functools.partial(build_reader, bands=self.bands, statistics=statistics)
        loader = functools.partial(
            build_loader,
            recipe,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            pin_memory=accelerator.device.type == "cuda",
        )
        scaling = place.read_scaling() if recipe.task.kind == "regression" else None
        network = build_network(recipe, len(self.classes), self.bands, statistics)
        check_evaluated_size(recipe, network)
        reused = reuse_rgb_weights(recipe, network, len(self.classes))
        kept = reuse_run(recipe, network)
        weights = (("RGB weights", reused), ("run's weights", kept))
        return RunParts(
            network,
            build_task(recipe, len(self.classes), network, scaling),
            self._augmented(loader(folders.train, reader=reader(recipe.input), training=True)),
            None if folders.val is None else loader(folders.val, reader=reader(recipe.input.evaluated), training=False),
            run_metadata(recipe, network, folders, accelerator.num_processes),
            tuple(f"{what}: {reuse}" for what, reuse in weights if reuse),
        )

    def _augmented(self, loader: BatchLoader) -> BatchLoader | AugmentedLoader:
        """Return training batches as the recipe changes them."""
        settings = self.recipe.augment
        if not settings.active:
            return loader
        augmentation = build_augmentation(settings, len(self.classes), pixels=self.bands is None)
        return AugmentedLoader(loader, augmentation, self.recipe.seed)

    def is_result(self, row: ResultRow) -> bool:
        """Return whether a recorded row is the confusion of an evaluation, or the score of a label or number."""
        if self.recipe.task.kind == "classification":
            return isinstance(row, ConfusionRow)
        return isinstance(row, MetricRow) and row.name.startswith(tuple(f"{one}/" for one in _TARGET_SCORES))

    def result_rows(
        self, name: str, result: ClassificationResult | MultiLabelResult | RegressionResult, epoch: float, step: int
    ) -> list[ResultRow]:
        """Return the recall of each class, and the confusion; or the scores of each label or number."""
        if not isinstance(result, ClassificationResult):
            return list(target_rows(name, result, self.classes, epoch, step))
        return scored_rows(name, result, self.classes, epoch, step)


def check_evaluated_size(recipe: Recipe, network: Network) -> None:
    """Check before training that the network takes the size that evaluation gives it: one image passes it.

    Raises:
        RunError: it does not.
    """
    settings, bands = recipe.input, parse_bands(recipe.input)
    given = settings.evaluated
    if given == replace(settings, val_grid=None, val_pixels=None):
        return
    image: Tensor | Spectrum
    if bands is None or given.grid is None:
        key, image = "val_pixels", torch.zeros((1, 3, *(given.pixels or (0, 0))), dtype=torch.uint8)
    else:
        key, image = "val_grid", Spectrum.of_coefficients(torch.zeros(1, len(bands), *given.grid), bands)
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(image)
    except Exception as error:  # the network's own code may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"input.{key} is set, and {recipe.network.name} does not take that size ({reason})") from error
    network.train(training)


def reuse_run(recipe: Recipe, network: Network) -> WeightReuse | None:
    """Fill a network from the run that its recipe names, if it names one.

    Raises:
        RunError: the folder holds no run, one on pixels, or one of another network or without these channels.
    """
    if recipe.network.from_run is None:
        return None
    path = expand_path(recipe.network.from_run, "network.from_run")
    source, target = (_ungated(one) for one in (load_run(path, device="cpu").network, network))
    if not isinstance(source, FrequencyNetwork | FoldedNetwork):
        raise RunError(f"network.from_run: {path} takes pixels, not frequencies")
    assert isinstance(target, FrequencyNetwork | FoldedNetwork)
    try:
        return slice_channels(target, source)
    except WeightsMismatch as error:
        raise RunError(f"network.from_run: {path}: {error}") from error


def _ungated(network: Network) -> Network:
    return network.network if isinstance(network, GatedNetwork) else network


def scored_rows(
    name: str, result: ClassificationResult, classes: Sequence[str], epoch: float, step: int
) -> list[ResultRow]:
    """Return the rows of an evaluation that say more than its means: the recall of each class, and the confusion."""
    rows: list[ResultRow] = [
        MetricRow(name, "val", f"recall/{row['class']}", float(row["recall"]), epoch, step, int(row["images"]))
        for row in result.class_rows(classes)
        if row["images"]
    ]
    counts = tuple(tuple(row) for row in result.confusion.tolist())
    return [*rows, ConfusionRow(name, "val", epoch, step, tuple(classes), counts)]


def target_rows(
    name: str, result: MultiLabelResult | RegressionResult, names: Sequence[str], epoch: float, step: int
) -> list[MetricRow]:
    """Return the score of each label or number."""
    return [
        MetricRow(name, "val", f"{score}/{target}", value, epoch, step, result.images)
        for score, values in result.per_target().items()
        for target, value in zip(names, values.tolist(), strict=True)
    ]
