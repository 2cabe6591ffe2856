"""The command `compare`: train several recipes with several seeds, then tabulate and draw the results."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prepixel.cli.console import line_width, print_error, print_line, print_text, progress_bar, report_skipped
from prepixel.cli.option_types import MAX_SEED, integer, output_folder, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_build, add_title

SUMMARY = "train several recipes with several seeds and compare them"
ABOUT = """\
Train each recipe with each seed into its own folder, skipping what has been
trained there already, then write table.md, table.csv and
score_over_bytes.png beside them and print the table. The same command
resumes after a stop. --section.key VALUE changes a key in every recipe. Files
that these trainings left out (data.on_error: skip) are listed, and the exit
status is then 1."""
EXAMPLE = "prepixel compare recipes/imagenette_*.yaml --seeds 0 1 2 -o runs/imagenette"

_QUANTITIES = {"top1": "top-1", "map": "mAP", "r2": "R2", "miou": "mIoU", "box_ap": "AP of boxes"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    parser.add_argument("recipes", type=path, nargs="+", metavar="RECIPE", help="YAML files; see recipes/")
    parser.add_argument(
        "--seeds", type=integer(0, MAX_SEED), nargs="+", default=[0], metavar="S", help="seeds (default: 0)"
    )
    parser.add_argument(
        "-o", "--output", type=output_folder, required=True, metavar="FOLDER", help="gets RECIPE-SEED folders"
    )
    add_title(parser)
    add_build(parser)


def run(options: argparse.Namespace) -> int:
    """Train what is missing, then compare everything that was asked for."""
    from prepixel.cli.own_network import allow_own_network
    from prepixel.engine import disable_malloc_trim
    from prepixel.runs import train_run

    disable_malloc_trim()
    planned = _plan(options.recipes, options.seeds, options.overrides, options.output)
    allow_own_network(options.build, [recipe.network.name for _, recipe in planned], "these recipes")
    is_first = os.environ.get("RANK", "0") == "0"  # only rank 0 prints
    failures: list[Any] = []
    left_out = 0
    # checked before any process writes: one of several may be a run ahead of another
    finished = {folder for folder, recipe in planned if _is_finished(folder, recipe)}
    for place, (folder, recipe) in enumerate(planned, start=1):
        if folder in finished:
            outcome = "already trained"
        else:
            with progress_bar("measuring the channels") as progress:
                result = train_run(recipe, folder, resume=True, progress=progress)
            failures += result.failures
            left_out += result.left_out
            outcome = f"{result.training.steps} steps, {result.training.seconds:.0f} s"
        if is_first:
            print_line(f"{place} of {len(planned)}: {folder}: {outcome}")
    if is_first:
        _report([folder for folder, _ in planned], options.output, options.title or "")
        if left_out:
            print_error("some annotations could not be used and were left out; evaluate a run to list the first")
        return report_skipped(list({failure.source: failure for failure in failures}.values())) or int(left_out > 0)
    return 1 if failures or left_out else 0


def _report(folders: Sequence[Path], output: Path, title: str) -> None:
    """Write the tables and the figure, and print the table."""
    from prepixel.files import write_text
    from prepixel.reports import plot_score_over_bytes
    from prepixel.reports.run_table import read_rows, render

    rows = read_rows(folders)
    write_text(output / "table.md", render(rows, "markdown"))
    write_text(output / "table.csv", render(rows, "csv"))
    score = rows[0].score
    scores = {row.name: (row.bytes_per_sample, [value for value, _, _ in row.last(score)]) for row in rows}
    figure = output / "score_over_bytes.png"
    try:
        plot_score_over_bytes(scores, figure, quantity=_QUANTITIES[score], title=title)
    except ValueError as error:
        raise UsageError(f"{error}; name validation images by data.val") from error
    print_line()
    print_text(render(rows, "text", width=line_width()))
    print_line()
    print_line(f"written: {output / 'table.md'}, table.csv; drawn: {figure.name}")


def _plan(
    recipes: Sequence[Path], seeds: Sequence[int], overrides: Sequence[str], output: Path
) -> list[tuple[Path, Any]]:
    """Read all recipes and check all folders before the first step of the first run.

    Raises:
        PrepixelError: a recipe is wrong, two would share a folder, or a folder holds another run.
    """
    from prepixel.recipes import read_any_recipe
    from prepixel.runs import RunFolder

    if given := [word for word in overrides if word.partition("=")[0] in {"--seed", "--name"}]:
        raise UsageError(f"{given[0]} would make all runs alike; give seeds by --seeds, names in the recipes")
    planned: dict[Path, Any] = {}
    for file in recipes:
        for seed in seeds:
            folder = output / f"{file.stem}-{seed}"
            if folder in planned:
                raise UsageError(f"{file}: another recipe or seed would be trained into {folder} too; rename one")
            planned[folder] = read_any_recipe(file, [*overrides, "--seed", str(seed)])
            RunFolder(folder).check_free(planned[folder], resume=True)
    if len(kinds := sorted({recipe.task.kind for recipe in planned.values()})) > 1:
        raise UsageError(f"the recipes are of several kinds ({', '.join(kinds)}); compare each kind by itself")
    return list(planned.items())


def _is_finished(folder: Path, recipe: Any) -> bool:
    from prepixel.reports.run_table import RECORDS, read_rows

    if not (folder / RECORDS).is_file():
        return False
    return recipe.data.val is not None and read_rows([folder])[0].is_finished()
