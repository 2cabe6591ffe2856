"""The verb compare: recipes and seeds in, trained runs, one table and one figure out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from prepixel.cli.console import progress_bar, report_bad
from prepixel.engine import disable_malloc_trim
from prepixel.errors import ReadFailure, RecipeError
from prepixel.files import write_text
from prepixel.recipes import AnyRecipe, read_any_recipe
from prepixel.reports import plot_score_over_bytes
from prepixel.reports.run_table import RECORDS, TableRow, read_rows, render
from prepixel.runs import RunFolder, train_run

_QUANTITIES = {"top1": "top-1", "box_ap": "AP of boxes"}


def compare(options: argparse.Namespace) -> int:
    """Train what is missing, then compare everything that was asked for."""
    disable_malloc_trim()
    planned = _plan(options.recipes, options.seeds, options.overrides, options.output)
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes the first one
    failures: list[ReadFailure] = []
    # asked before any process writes: of several, one may be a run ahead of another
    finished = {folder for folder, recipe in planned if _is_finished(folder, recipe)}
    for place, (folder, recipe) in enumerate(planned, start=1):
        if folder in finished:
            what = "was trained before"
        else:
            with progress_bar("measuring the channels") as progress:
                result = train_run(recipe, folder, resume=True, progress=progress)
            failures += result.failures
            what = f"{result.training.steps} steps, {result.training.seconds:.0f} s"
        if speaks:
            print(f"{place} of {len(planned)}: {folder}: {what}", flush=True)
    if not speaks:
        return 1 if failures else 0
    rows = read_rows([folder for folder, _ in planned])
    write_text(options.output / "table.md", render(rows, "markdown"))
    write_text(options.output / "table.csv", render(rows, "csv"))
    score = rows[0].score
    scores = {row.name: (row.bytes_per_sample, [value for value, _, _ in row.last(score)]) for row in rows}
    figure = options.output / "score_over_bytes.png"
    try:
        plot_score_over_bytes(scores, figure, quantity=_QUANTITIES[score], title=options.title)
    except ValueError as error:
        raise RecipeError(f"{error}; name validation images by data.val") from error
    print(f"\n{render(rows, 'text')}\nwritten: {options.output / 'table.md'}, table.csv; drawn: {figure.name}")
    return report_bad(tuple(dict.fromkeys(failures)))


def _plan(
    recipes: Sequence[Path], seeds: Sequence[int], overrides: Sequence[str], output: Path
) -> list[tuple[Path, AnyRecipe]]:
    """Read all recipes and check all folders before the first step of the first run.

    Raises:
        RecipeError: a recipe is wrong, two would share a folder, or a folder holds another run.
    """
    if given := [word for word in overrides if word.partition("=")[0] in {"--seed", "--name"}]:
        raise RecipeError(f"{given[0]} would make all runs alike; seeds are given by --seeds, names by the recipes")
    planned: dict[Path, AnyRecipe] = {}
    for path in recipes:
        for seed in seeds:
            folder = output / f"{path.stem}-{seed}"
            if folder in planned:
                raise RecipeError(f"{path}: another recipe or seed would be trained into {folder} too; rename one")
            planned[folder] = read_any_recipe(path, [*overrides, "--seed", str(seed)])
            RunFolder(folder).check_free(planned[folder], resume=True)
    if len({type(recipe) for recipe in planned.values()}) > 1:
        raise RecipeError("some recipes are classifiers', some detectors'; their scores do not compare: compare apart")
    return list(planned.items())


def _is_finished(folder: Path, recipe: AnyRecipe) -> bool:
    if not (folder / RECORDS).is_file():
        return False
    rows: list[TableRow] = read_rows([folder])
    return recipe.data.val is not None and rows[0].is_finished()
