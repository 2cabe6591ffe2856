"""Train detectors: how a recipe's photos, statistics, detector and scores become a run."""

from __future__ import annotations

import functools
import math
import os
from typing import Any

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.channel_statistics import Progress
from prepixel.data.loading.detection_loader import DetectionLoader
from prepixel.files import write_json
from prepixel.models.detectors import Detector
from prepixel.recipes.detection import DetectionRecipe
from prepixel.records import MetricRow
from prepixel.runs.build_detector import (
    PHOTOS,
    CocoFolders,
    build_detection_loader,
    build_detection_task,
    detection_run_metadata,
    detection_statistics,
)
from prepixel.runs.detector import CATEGORIES, build_run_network
from prepixel.runs.frame_runs import FrameRunBuilder
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.session import ResultRow, RunResult, run_session
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import Detection, DetectionResult


def run_detection(
    recipe: DetectionRecipe,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    store: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Train a detector's recipe into a folder, score it on its validation photos, and record everything about it.

    The folder is that of a classifier's run, see `prepixel.runs.run`; it has statistics where a stem was removed or
    values are encoded as int8.

    Args:
        recipe: what to train.
        folder: the run's folder; its name is the run's name.
        resume: whether to resume the run that the folder holds; where it holds none, the run starts.
        progress: called while the statistics are measured, with photos done and photos in all.
        store: the URL of a folder in a store that gets each checkpoint, and all that resuming on another machine
            needs; None for that of the run to be resumed, if any.

    Raises:
        RunError: the folder holds another recipe's run, or the recipe cannot be built.
        StoreError: the store fails.
        PrepixelError: another process trains into the folder; or whatever loaders, network and engine raise.
    """
    open_data = functools.partial(DetectorBuilder, recipe)
    return run_session(recipe, folder, open_data, resume=resume, progress=progress, store=store)


class DetectorBuilder(FrameRunBuilder):
    """Build the parts of a detector's run.

    Args:
        recipe: what is trained; its data sets are opened.
    """

    recipe: DetectionRecipe
    folders: CocoFolders

    def __init__(self, recipe: DetectionRecipe) -> None:
        super().__init__(recipe, CocoFolders.of(recipe), PHOTOS)

    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Write the categories, and measure or copy the statistics of the channels where they are needed."""
        write_json(place.path / CATEGORIES, self.folders.train.ground_truth()["categories"])
        super().write_inputs(place, progress)

    def measure(self, bands: BandSet, progress: Progress | None) -> Statistics:
        """Measure or read the statistics of the channels."""
        return detection_statistics(self.recipe, self.folders.train, bands, progress, self.failures)

    def loader(
        self, photos: CocoDataset, statistics: Statistics | None, *, training: bool, **options: Any
    ) -> DetectionLoader:
        """Build the loader of training or validation batches."""
        return build_detection_loader(self.recipe, photos, statistics, training=training, **options)

    def network(self, place: RunFolder) -> Detector:
        """Build the detector with its first weights."""
        return build_run_network(place, self.recipe, len(self.classes), weights=True)

    def task(self, network: Detector) -> Detection:
        """Build the task."""
        return build_detection_task(network, self.folders.val or self.folders.train)

    def metadata(self, network: Detector, processes: int) -> dict[str, float | int | str]:
        """Return what a table's row needs beside scores."""
        return detection_run_metadata(self.recipe, network, self.folders, processes)

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
