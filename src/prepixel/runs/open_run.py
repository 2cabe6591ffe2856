"""Train or load a run of any kind, a classifier's, a detector's or a segmenter's, as its recipe says."""

from __future__ import annotations

import os

from prepixel.data.loading.channel_statistics import Progress
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.parsing import AnyRecipe, read_any_recipe
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.runs.classifier import TrainedRun, Weights, load_run
from prepixel.runs.detector import TrainedDetector, load_detector
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.segmenter import TrainedSegmenter, load_segmenter
from prepixel.runs.session import RunResult
from prepixel.runs.train_classifier import run
from prepixel.runs.train_detector import run_detection
from prepixel.runs.train_segmenter import run_segmentation


def train_run(
    recipe: AnyRecipe,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    store: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Train a recipe of any kind into a folder, as `run`, `run_detection` and `run_segmentation` do."""
    if isinstance(recipe, DetectionRecipe):
        return run_detection(recipe, folder, resume=resume, progress=progress, store=store)
    if isinstance(recipe, SegmentationRecipe):
        return run_segmentation(recipe, folder, resume=resume, progress=progress, store=store)
    return run(recipe, folder, resume=resume, progress=progress, store=store)


def open_run(
    folder: str | os.PathLike[str], *, weights: Weights = "best"
) -> TrainedRun | TrainedDetector | TrainedSegmenter:
    """Load a run's network, as `load_run`, `load_detector` and `load_segmenter` do."""
    if is_segmenter(folder):
        return load_segmenter(folder, weights=weights)
    return load_detector(folder, weights=weights) if is_detector(folder) else load_run(folder, weights=weights)


def is_detector(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a detector's run."""
    return isinstance(_recipe_in(folder), DetectionRecipe)


def is_segmenter(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a segmenter's run."""
    return isinstance(_recipe_in(folder), SegmentationRecipe)


def _recipe_in(folder: str | os.PathLike[str]) -> AnyRecipe | None:
    recipe = RunFolder.at(folder).recipe
    return read_any_recipe(recipe) if recipe.is_file() else None
