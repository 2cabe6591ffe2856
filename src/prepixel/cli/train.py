"""The command `train`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from prepixel.cli.console import progress_bar, report_bad
from prepixel.cli.detection import print_detection
from prepixel.cli.predict import _score_words
from prepixel.engine import disable_malloc_trim
from prepixel.recipes import read_any_recipe
from prepixel.runs import train_run
from prepixel.tasks import DetectionResult


def train(options: argparse.Namespace) -> int:
    """Train a recipe."""
    disable_malloc_trim()
    recipe = read_any_recipe(options.recipe, options.overrides)
    output = options.output or Path("runs") / options.recipe.stem
    with progress_bar("measuring the channels") as progress:
        result = train_run(recipe, output, resume=options.resume, progress=progress)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        return 1 if result.failures else 0
    for note in result.notes:
        print(note)
    training = result.training
    scores = training.evaluation.row() if training.evaluation is not None else {}
    words = [f"{name} {_score_words(name, value)}" for name, value in scores.items()]
    done = f"{output}: {training.steps} steps, {training.seconds:.0f} s"
    if training.resumed_at:
        done += f" since step {training.resumed_at}"
    if isinstance(training.evaluation, DetectionResult):
        print(done)
        print_detection(training.evaluation)
    else:
        print("; ".join([done, *words]))
    return report_bad(result.failures)
