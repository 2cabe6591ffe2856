"""A typed description of a run, and the one place where the rooms meet."""

from prepixel.recipe.building import measure_statistics
from prepixel.recipe.classifier import Classifier, Prediction
from prepixel.recipe.description import (
    DataSettings,
    InputSettings,
    NetworkSettings,
    Recipe,
    TaskSettings,
)
from prepixel.recipe.detection import FoundInPhoto, TrainedDetector, load_detector, run_detection
from prepixel.recipe.detection_description import (
    DetectionDataSettings,
    DetectionRecipe,
    DetectionTaskSettings,
    DetectorSettings,
    FrameInputSettings,
)
from prepixel.recipe.either import is_detector, load_either, run_either
from prepixel.recipe.folded import FoldedClassifier, fold_pixel_model, fold_run, read_folded, write_folded
from prepixel.recipe.folder import RunFolder
from prepixel.recipe.reading import (
    AnyRecipe,
    parse_any_recipe,
    parse_recipe,
    read_any_recipe,
    read_recipe,
    recipe_values,
    write_recipe,
)
from prepixel.recipe.running import RunResult, TrainedRun, load_run, run, scored_rows
from prepixel.recipe.selection import Agreement, ChannelUse, measure_use

__all__ = [
    "Agreement",
    "AnyRecipe",
    "ChannelUse",
    "Classifier",
    "DataSettings",
    "DetectionDataSettings",
    "DetectionRecipe",
    "DetectionTaskSettings",
    "DetectorSettings",
    "FoldedClassifier",
    "FoundInPhoto",
    "FrameInputSettings",
    "InputSettings",
    "NetworkSettings",
    "Prediction",
    "Recipe",
    "RunFolder",
    "RunResult",
    "TaskSettings",
    "TrainedDetector",
    "TrainedRun",
    "fold_pixel_model",
    "fold_run",
    "is_detector",
    "load_detector",
    "load_either",
    "load_run",
    "measure_statistics",
    "measure_use",
    "parse_any_recipe",
    "parse_recipe",
    "read_any_recipe",
    "read_folded",
    "read_recipe",
    "recipe_values",
    "run",
    "run_detection",
    "run_either",
    "scored_rows",
    "write_folded",
    "write_recipe",
]
