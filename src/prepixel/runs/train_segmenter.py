"""Train segmenters: how a recipe's photos, label maps, segmenter and scores become a run."""

from __future__ import annotations

import functools
import math
import os

from accelerate import Accelerator

from prepixel.data.loading.channel_statistics import Progress
from prepixel.errors import ReadFailure
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.records import MetricRow
from prepixel.runs.build_detector import describe_problems
from prepixel.runs.build_segmenter import (
    PHOTOS,
    LabeledFolders,
    build_segmentation_loader,
    build_segmentation_task,
    needs_statistics,
    segmentation_run_metadata,
    segmentation_statistics,
)
from prepixel.runs.loader_options import check_batch_size
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.segmenter import build_run_segmenter, read_segmenter_statistics
from prepixel.runs.session import ResultRow, RunBuilder, RunParts, RunResult, run_session
from prepixel.spectrum import BandSet
from prepixel.tasks import SegmentationResult

_IOU = "iou/"


def run_segmentation(
    recipe: SegmentationRecipe,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Train a segmenter's recipe into a folder, score it on its validation photos, and record everything about it.

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
    return run_session(recipe, folder, functools.partial(SegmenterBuilder, recipe), resume=resume, progress=progress)


class SegmenterBuilder(RunBuilder):
    """Build the parts of a segmenter's run.

    Args:
        recipe: what is trained; its data sets are opened.
    """

    def __init__(self, recipe: SegmentationRecipe) -> None:
        self.recipe = recipe
        self.folders = LabeledFolders.of(recipe)
        self.classes = self.folders.train.classes
        self.bands = None if recipe.input.bands is None else BandSet.parse(recipe.input.bands)
        self.failures: list[ReadFailure] = []
        check_batch_size(recipe, self.folders.train, PHOTOS)

    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Measure or copy the statistics of the channels where they are needed."""
        if needs_statistics(self.recipe) and self.bands is not None and not place.statistics.exists():
            statistics = segmentation_statistics(self.recipe, self.folders.train, self.bands, progress, self.failures)
            statistics.write(place.statistics)

    def build(self, place: RunFolder, accelerator: Accelerator) -> RunParts:
        """Build network, task and loaders."""
        recipe, folders = self.recipe, self.folders
        loader = functools.partial(
            build_segmentation_loader,
            recipe,
            statistics=read_segmenter_statistics(place, recipe),
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            pin_memory=accelerator.device.type == "cuda",
        )
        network = build_run_segmenter(place, recipe, len(self.classes), weights=True)
        parts = [part for part in (folders.train, folders.val) if part is not None and part.problems]
        return RunParts(
            network,
            build_segmentation_task(recipe, len(self.classes)),
            loader(folders.train, training=True),
            None if folders.val is None else loader(folders.val, training=False),
            segmentation_run_metadata(recipe, network, folders, accelerator.num_processes),
            tuple(describe_problems(part.problems) for part in parts),
            sum(len(part.problems) for part in parts),
        )

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
