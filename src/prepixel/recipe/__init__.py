"""A typed description of a run, and the one place where the rooms meet."""

from prepixel.recipe.building import measure_statistics
from prepixel.recipe.description import (
    DataSettings,
    InputSettings,
    NetworkSettings,
    Recipe,
    TaskSettings,
)
from prepixel.recipe.folder import RunFolder
from prepixel.recipe.reading import parse_recipe, read_recipe, recipe_values, write_recipe
from prepixel.recipe.running import Prediction, RunResult, TrainedRun, load_run, run, scored_rows

__all__ = [
    "DataSettings",
    "InputSettings",
    "NetworkSettings",
    "Prediction",
    "Recipe",
    "RunFolder",
    "RunResult",
    "TaskSettings",
    "TrainedRun",
    "load_run",
    "measure_statistics",
    "parse_recipe",
    "read_recipe",
    "recipe_values",
    "run",
    "scored_rows",
    "write_recipe",
]
