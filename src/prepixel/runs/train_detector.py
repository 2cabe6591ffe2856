"""Train detectors: how a recipe's photos, statistics, detector and scores become a run."""

from __future__ import annotations

import functools
import math
import os

from accelerate import Accelerator

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.channel_statistics import Progress
from prepixel.errors import ReadFailure
from prepixel.files import write_json
from prepixel.recipes.detection import DetectionRecipe
from prepixel.records import MetricRow
from prepixel.runs.build_detector import (
    PHOTOS,
    CocoFolders,
    build_detection_loader,
    build_detection_task,
    describe_problems,
    detection_run_metadata,
    detection_statistics,
    needs_statistics,
)
from prepixel.runs.detector import CATEGORIES, build_run_network, read_run_statistics
from prepixel.runs.loader_options import check_batch_size
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.session import ResultRow, RunBuilder, RunParts, RunResult, run_session
from prepixel.spectrum import BandSet
from prepixel.tasks import DetectionResult


def run_detection(
    recipe: DetectionRecipe, folder: str | os.PathLike[str], *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train a detector's recipe into a folder, score it on its validation photos, and record everything about it.

    The folder is that of a classifier's run, see `prepixel.runs.run`; it has statistics where a stem was removed or
    values are encoded as int8.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        resume: whether to resume the run that the folder holds; where it holds none, the run starts.
        progress: called while the statistics are measured, with photos done and photos in all.

    Raises:
        RunError: the folder holds another recipe's run, or the recipe cannot be built.
        PrepixelError: another process trains into the folder; or whatever loaders, network and engine raise.
    """
    return run_session(recipe, folder, functools.partial(DetectorBuilder, recipe), resume=resume, progress=progress)


class DetectorBuilder(RunBuilder):
    """Build the parts of a detector's run.

    Args:
        recipe: what is trained; its data sets are opened.
    """

    def __init__(self, recipe: DetectionRecipe) -> None:
        self.recipe = recipe
        self.folders = CocoFolders.of(recipe)
        self.classes = self.folders.train.classes
        self.bands = None if recipe.input.bands is None else BandSet.parse(recipe.input.bands)
        self.failures: list[ReadFailure] = []
        check_batch_size(recipe, self.folders.train, PHOTOS)

    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Write the categories, and measure or copy the statistics of the channels where they are needed."""
        write_json(place.path / CATEGORIES, self.folders.train.ground_truth()["categories"])
        if needs_statistics(self.recipe) and self.bands is not None and not place.statistics.exists():
            statistics = detection_statistics(self.recipe, self.folders.train, self.bands, progress, self.failures)
            statistics.write(place.statistics)

    def build(self, place: RunFolder, accelerator: Accelerator) -> RunParts:
        """Build network, task and loaders."""
        recipe, folders = self.recipe, self.folders
        loader = functools.partial(
            build_detection_loader,
            recipe,
            statistics=read_run_statistics(place, recipe),
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            pin_memory=accelerator.device.type == "cuda",
        )
        network = build_run_network(place, recipe, len(self.classes), weights=True)
        parts = [part for part in (folders.train, folders.val) if part is not None and part.problems]
        return RunParts(
            network,
            build_detection_task(network, folders.val or folders.train),
            loader(folders.train, training=True),
            None if folders.val is None else loader(folders.val, training=False),
            detection_run_metadata(recipe, network, folders, accelerator.num_processes),
            tuple(describe_problems(part.problems) for part in parts),
            sum(len(part.problems) for part in parts),
        )

    def is_result(self, row: ResultRow) -> bool:
        """Return whether a recorded row is the AP of a class."""
        return isinstance(row, MetricRow) and "_ap/" in row.name

    def result_rows(self, name: str, result: DetectionResult, epoch: float, step: int) -> list[ResultRow]:
        """Return the AP of each class that the photos show."""
        assert self.folders.val is not None
        return class_score_rows(name, result, self.folders.val, epoch, step)


def class_score_rows(
    name: str, result: DetectionResult, photos: CocoDataset, epoch: float, step: int
) -> list[ResultRow]:
    """Return the AP of each class that the photos show."""
    scores = [
        (f"{kind}_ap/{row['class']}", float(row[f"{kind}_ap"]))
        for row in result.class_rows(photos.ground_truth()["categories"])
        for kind in result.scores
    ]
    return [MetricRow(name, "val", what, value, epoch, step) for what, value in scores if not math.isnan(value)]
