"""Train segmenters: how a recipe's photos, label maps, segmenter and scores become a run."""

from __future__ import annotations

import functools
import math
import os
from typing import Any

from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.loading.channel_statistics import Progress
from prepixel.data.loading.loader import BatchLoader
from prepixel.models import Segmenter
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.records import MetricRow
from prepixel.runs.build_segmenter import (
    PHOTOS,
    LabeledFolders,
    build_segmentation_loader,
    build_segmentation_task,
    segmentation_run_metadata,
    segmentation_statistics,
)
from prepixel.runs.frame_runs import FrameRunBuilder
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.segmenter import build_run_segmenter
from prepixel.runs.session import ResultRow, RunResult, run_session
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import Segmentation, SegmentationResult

_IOU = "iou/"


def run_segmentation(
    recipe: SegmentationRecipe,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    store: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Train a segmenter's recipe into a folder, score it on its validation photos, and record everything about it.

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
    open_data = functools.partial(SegmenterBuilder, recipe)
    return run_session(recipe, folder, open_data, resume=resume, progress=progress, store=store)


class SegmenterBuilder(FrameRunBuilder):
    """Build the parts of a segmenter's run.

    Args:
        recipe: what is trained; its data sets are opened.
    """

    recipe: SegmentationRecipe
    folders: LabeledFolders

    def __init__(self, recipe: SegmentationRecipe) -> None:
        super().__init__(recipe, LabeledFolders.of(recipe), PHOTOS)

    def measure(self, bands: BandSet, progress: Progress | None) -> Statistics:
        """Measure or read the statistics of the channels."""
        return segmentation_statistics(self.recipe, self.folders.train, bands, progress, self.failures)

    def loader(
        self, photos: LabeledPhotos, statistics: Statistics | None, *, training: bool, **options: Any
    ) -> BatchLoader:
        """Build the loader of training or validation batches."""
        return build_segmentation_loader(self.recipe, photos, statistics, training=training, **options)

    def network(self, place: RunFolder) -> Segmenter:
        """Build the segmenter with its first weights."""
        return build_run_segmenter(place, self.recipe, len(self.classes), weights=True)

    def task(self, network: Segmenter) -> Segmentation:
        """Build the task."""
        return build_segmentation_task(self.recipe, len(self.classes))

    def metadata(self, network: Segmenter, processes: int) -> dict[str, float | int | str]:
        """Return what a table's row needs beside scores."""
        return segmentation_run_metadata(self.recipe, network, self.folders, processes)

    def is_result(self, row: ResultRow) -> bool:
        """Return whether a recorded row is the IoU of a class."""
        return isinstance(row, MetricRow) and row.name.startswith(_IOU)

    def result_rows(self, name: str, result: SegmentationResult, epoch: float, step: int) -> list[ResultRow]:
        """Return the IoU of each class that labels or answers have."""
        return [
            MetricRow(name, "val", f"{_IOU}{row['class']}", float(row["iou"]), epoch, step, result.images)
            for row in result.class_rows(self.classes)
            if not math.isnan(float(row["iou"]))
        ]
