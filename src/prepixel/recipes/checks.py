"""Checks that the settings of all recipes share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from prepixel.errors import RecipeError


def demand(settings: object, name: str, accepts: Callable[[float], bool], wanted: str) -> None:
    """Check that a setting is a finite number of the kind that is wanted.

    Raises:
        RecipeError: it is not.
    """
    value = getattr(settings, name)
    if not math.isfinite(value) or not accepts(value):
        raise RecipeError(f"{name} is {value}; it must be {wanted}")


def check_loading(data: Any) -> None:
    """Check how a recipe's data are read: sizes of batches, threads, and the share of bad files.

    Raises:
        RecipeError: a setting is out of range.
    """
    for name in ("batch_size", "read_ahead"):
        demand(data, name, lambda value: value >= 1, "1 or greater")
    for name in ("threads", "workers"):
        demand(data, name, lambda value: value >= 0, "0 or greater")
    if data.val_batch_size is not None:
        demand(data, "val_batch_size", lambda value: value >= 1, "1 or greater, or null")
    demand(data, "max_bad_fraction", lambda value: 0 <= value <= 1, "from 0 to 1")


def check_seed(recipe: Any) -> None:
    """Check that a recipe states its seed once.

    Raises:
        RecipeError: it states a second one, or one out of range.
    """
    demand(recipe, "seed", lambda value: 0 <= value < 2**32, "from 0 to 4294967295")
    if recipe.training.seed:
        raise RecipeError("training.seed is set; the seed is stated once, as seed at the top of the recipe")
