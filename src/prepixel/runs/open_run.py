"""Train or load a run of either kind, a classifier's or a detector's, as its recipe says."""

from __future__ import annotations

import os
from pathlib import Path

from prepixel.data.loading.channel_statistics import Progress
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.parsing import AnyRecipe, read_any_recipe
from prepixel.runs.classifier import TrainedRun, Weights, load_run
from prepixel.runs.detector import TrainedDetector, load_detector
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.session import RunResult
from prepixel.runs.train_classifier import run
from prepixel.runs.train_detector import run_detection


def train_run(
    recipe: AnyRecipe, folder: str | os.PathLike[str], *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Train a classifier's or a detector's recipe into a folder, as `run` and `run_detection` do."""
    if isinstance(recipe, DetectionRecipe):
        return run_detection(recipe, folder, resume=resume, progress=progress)
    return run(recipe, folder, resume=resume, progress=progress)


def open_run(folder: str | os.PathLike[str], *, weights: Weights = "best") -> TrainedRun | TrainedDetector:
    """Load a run's network, as `load_run` and `load_detector` do."""
    return load_detector(folder, weights=weights) if is_detector(folder) else load_run(folder, weights=weights)


def is_detector(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a detector's run."""
    recipe = RunFolder(Path(folder)).recipe
    return recipe.is_file() and isinstance(read_any_recipe(recipe), DetectionRecipe)
