"""The command `train`: train a recipe."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from prepixel.cli.console import print_line, progress_bar, report_skipped
from prepixel.cli.option_types import location, output_folder, path
from prepixel.cli.shared_options import add_build

SUMMARY = "train a recipe"
ABOUT = """\
Train a recipe into a folder, which gets weights, records, statistics and
versions. Any key of the recipe can be changed by --section.key VALUE. Ctrl-C
stops after the running step with everything saved; --resume continues. Files
and annotations that this start left out (data.on_error: skip) are listed, and
the exit status is then 1. A finished run that is resumed reads no files.
With --store each checkpoint, records and recipe also go to s3://BUCKET/FOLDER
(gs://, az://), so that --resume continues on another machine; a store that
fails ends the run.
Several processes: torchrun --nproc-per-node 2 -m prepixel.cli train RECIPE"""
EXAMPLE = "prepixel train recipes/demo_dct24.yaml --seed 3 --training.epochs 5 -o runs/trial"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    parser.add_argument("recipe", type=path, metavar="RECIPE", help="a YAML file; see recipes/")
    parser.add_argument(
        "-o", "--output", type=output_folder, metavar="FOLDER", help="the run's folder (default: runs/RECIPE)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in that folder; start one if there is none"
    )
    parser.add_argument(
        "--store", type=location, metavar="URL", help="keep a copy in this folder of a store; --resume fetches it"
    )
    add_build(parser)


def run(options: argparse.Namespace) -> int:
    """Train a recipe and print the last scores."""
    from prepixel.cli.detector_commands import print_detection
    from prepixel.cli.evaluate_command import format_score
    from prepixel.cli.own_network import allow_own_network
    from prepixel.cli.segmenter_commands import print_segmentation
    from prepixel.engine import disable_malloc_trim
    from prepixel.recipes import read_any_recipe
    from prepixel.runs import train_run
    from prepixel.tasks import DetectionResult, SegmentationResult

    disable_malloc_trim()
    recipe = read_any_recipe(options.recipe, options.overrides)
    allow_own_network(options.build, [recipe.network.name], options.recipe)
    output = options.output or Path("runs") / options.recipe.stem
    with progress_bar("measuring the channels") as progress:
        result = train_run(recipe, output, resume=options.resume, progress=progress, store=options.store)
    if os.environ.get("RANK", "0") != "0":  # only rank 0 prints
        return 1 if result.failures or result.left_out else 0
    for note in result.notes:
        print_line(note)
    training = result.training
    done = f"{output}: {training.steps} steps, {training.seconds:.0f} s"
    if training.resumed_at == training.steps:
        done = f"{output}: finished before, after step {training.steps}; nothing is left to train"
    elif training.resumed_at:
        done += f" since step {training.resumed_at}"
    if isinstance(training.evaluation, DetectionResult):
        print_line(done)
        print_detection(training.evaluation, weights=f"last, of step {training.steps:,}")
    elif isinstance(training.evaluation, SegmentationResult):
        print_line(done)
        print_segmentation(training.evaluation, weights=f"last, of step {training.steps:,}")
    else:
        scores = training.evaluation.row() if training.evaluation is not None else {}
        words = ", ".join(f"{name} {format_score(name, value)}" for name, value in scores.items())
        print_line(f"{done}; validation of the last weights: {words}" if words else done)
    return report_skipped(result.failures) or int(result.left_out > 0)
