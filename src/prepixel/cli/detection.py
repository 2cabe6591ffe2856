"""What verbs say of detectors' runs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from prepixel.cli.printing import percent, print_pairs, print_table
from prepixel.engine import keep_freed_memory
from prepixel.errors import RecipeError
from prepixel.recipe import DetectionRecipe, load_detector, read_any_recipe
from prepixel.tasks import DetectionResult, write_detections

_FIGURES: Mapping[str, str] = {
    "ap": "AP, IoU .50 to .95",
    "ap50": "AP, IoU .50",
    "ap75": "AP, IoU .75",
    "ap_small": "AP, small",
    "ap_medium": "AP, medium",
    "ap_large": "AP, large",
    "ar1": "AR, 1 a photo",
    "ar10": "AR, 10 a photo",
    "ar100": "AR, 100 a photo",
    "ar_small": "AR, small",
    "ar_medium": "AR, medium",
    "ar_large": "AR, large",
}


def is_detector(path: Path) -> bool:
    """Say whether a folder holds a detector's run."""
    recipe = path / "recipe.yaml"
    return recipe.is_file() and isinstance(read_any_recipe(recipe), DetectionRecipe)


def print_detection(result: DetectionResult) -> None:
    """Print COCO's twelve figures, a column for boxes and one for masks."""
    pairs = [("photos", str(result.images)), ("objects", str(result.objects))]
    if result.channels_on is not None:
        pairs.append(("channels on", f"{result.channels_on:.1f}"))
    print_pairs(pairs)
    print()
    rows = [
        [words, *(_cell(scores.figures[name]) for scores in result.scores.values())] for name, words in _FIGURES.items()
    ]
    print_table(("figure", *result.scores), rows)


def evaluate_detector(options: argparse.Namespace) -> int:
    """Score a detector's run on its validation photos, and write what it found in COCO's format beside it."""
    if options.data is not None or options.plot is not None:
        raise RecipeError(
            f"{options.run}: is a detector's run, scored on its recipe's photos; leave out --data, --plot"
        )
    keep_freed_memory()
    trained = load_detector(options.run, weights=options.weights)
    result, photos, failures = trained.evaluate(batch_size=options.batch_size, threads=options.threads or None)
    files = {kind: options.run / f"found-{kind}.json" for kind in result.scores}
    for kind, path in files.items():
        write_detections(path, result.found, kind)
    classes = result.class_rows(photos.ground_truth()["categories"])
    if options.json:
        shown = [{name: _finite(value) for name, value in row.items()} for row in classes]
        report = {"run": str(options.run), "images": result.images, "objects": result.objects, **result.row()}
        print(json.dumps({**report, "classes": shown}, ensure_ascii=False))
    else:
        print_detection(result)
        print()
        seen = [row for row in classes if not all(value != value for name, value in row.items() if name != "class")]
        names = ("class", *(f"{kind}_ap" for kind in result.scores))
        print_table(names, [[_cell(row[name]) for name in names] for row in seen])
        print("\nwritten: " + ", ".join(map(str, files.values())))
    if failures:
        print(f"{len(failures)} photos could not be read and were left out", file=sys.stderr)
    return 1 if failures else 0


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "-" if math.isnan(value) else percent(value)


def _finite(value: str | float) -> str | float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
