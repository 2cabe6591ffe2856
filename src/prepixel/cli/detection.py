"""What verbs say of detectors' runs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from prepixel.cli.printing import percent, print_pairs, print_table
from prepixel.engine import keep_freed_memory
from prepixel.errors import RecipeError
from prepixel.jpeg import Failure
from prepixel.recipe import DetectionRecipe, FoundInPhoto, load_detector, read_any_recipe
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


def predict_detections(options: argparse.Namespace, paths: Sequence[str]) -> int:
    """Say what objects photos show, draw them, and write them in COCO's format."""
    keep_freed_memory()
    trained = load_detector(options.run, weights=options.weights)
    output = options.output or options.run / "predictions"
    output.mkdir(parents=True, exist_ok=True)
    names = {category["id"]: str(category["name"]) for category in trained.categories()}
    done: list[FoundInPhoto] = []
    bad = 0
    min_score = 0.5 if options.min_score is None else options.min_score
    for number, outcome in enumerate(trained.predict(paths, min_score=min_score), start=1):
        if isinstance(outcome, Failure):
            bad += 1
            print(f"prepixel: {outcome.source}: {outcome.error}", file=sys.stderr)
            continue
        done.append(outcome)
        drawing = output / f"{number:06d}-{Path(outcome.source).stem}.png"
        _draw(outcome, names, drawing)
        if options.json:
            print(
                json.dumps({"file": outcome.source, "image_id": number, "drawn": str(drawing), "found": outcome.found})
            )
    found = [one for photo in done for one in photo.found]
    for kind in ("box", "mask") if trained.network.has_masks else ("box",):
        write_detections(output / f"found-{kind}.json", found, kind)
    if done and not options.json:
        rows = [[photo.source, str(len(photo.found)), _named(photo, names, options.top)] for photo in done]
        print_table(("file", "objects", "best"), rows, left=3)
        print(f"\ndrawn, and in COCO's format: {output}")
    if bad:
        print(f"{bad} of {len(paths)} files could not be read", file=sys.stderr)
    return 1 if bad else 0


def _named(photo: FoundInPhoto, names: Mapping[int, str], most: int) -> str:
    return ", ".join(f"{names[one['category_id']]} {percent(one['score'])}" for one in photo.found[:most])


def _draw(photo: FoundInPhoto, names: Mapping[int, str], output: Path) -> None:
    """Draw boxes and masks on a photo."""
    from prepixel.data.masks import run_lengths
    from prepixel.data.reading import read_rgb
    from prepixel.plots import Shown, plot_detections

    boxes = np.array([one["bbox"] for one in photo.found], dtype=np.float64).reshape(len(photo.found), 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = [
        run_lengths(one["segmentation"], *photo.size).decode().astype(bool)
        for one in photo.found
        if "segmentation" in one
    ]
    words = [f"{names[one['category_id']]} {percent(one['score'])}" for one in photo.found]
    pixels = read_rgb(photo.source).permute(1, 2, 0).numpy()
    shown = Shown(pixels, boxes, words, masks)
    plot_detections({Path(photo.source).name: shown}, output, columns=1, width_inches=8.0)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "-" if math.isnan(value) else percent(value)


def _finite(value: str | float) -> str | float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
