"""What verbs say of detectors' runs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prepixel.cli.console import percent, print_pairs, print_table
from prepixel.cli.detection_figures import Annotated, draw_photo, found_objects
from prepixel.engine import disable_malloc_trim
from prepixel.errors import RecipeError
from prepixel.jpeg import ReadFailure
from prepixel.runs import FoundInPhoto, load_detector
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
    disable_malloc_trim()
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
    """Say what objects photos show, draw them, beside what others found and what there is, and write COCO's format."""
    disable_malloc_trim()
    trained = load_detector(options.run, weights=options.weights)
    detectors = [trained, *(load_detector(path, weights=options.weights) for path in options.beside)]
    truth = None if options.annotations is None else Annotated.read(options.annotations, Path(paths[0]).parent)
    output = options.output or options.run / "predictions"
    output.mkdir(parents=True, exist_ok=True)
    names = [{category["id"]: str(category["name"]) for category in one.categories()} for one in detectors]
    min_score = 0.5 if options.min_score is None else options.min_score
    answers = zip(*(one.predict(paths, min_score=min_score) for one in detectors), strict=True)
    done: list[FoundInPhoto] = []
    bad = 0
    for number, outcomes in enumerate(answers, start=1):
        first = outcomes[0]
        if failures := [outcome for outcome in outcomes if isinstance(outcome, ReadFailure)]:
            bad += 1
            print(f"prepixel: {failures[0].source}: {failures[0].error}", file=sys.stderr)
        if isinstance(first, ReadFailure):
            continue
        done.append(first)
        drawing = output / f"{number:06d}-{Path(first.source).stem}.png"
        titles = [Path(first.source).name] if len(detectors) == 1 else [one.name for one in detectors]
        shown = [
            (title, found_objects(outcome, known))
            for title, outcome, known in zip(titles, outcomes, names, strict=True)
            if isinstance(outcome, FoundInPhoto)
        ]
        if truth is not None and (annotated := truth.objects(first)) is not None:
            shown.append(("annotated", annotated))
        draw_photo(first, shown, drawing)
        if options.json:
            print(json.dumps({"file": first.source, "image_id": number, "drawn": str(drawing), "found": first.found}))
    found = [one for photo in done for one in photo.found]
    for kind in ("box", "mask") if trained.network.has_masks else ("box",):
        write_detections(output / f"found-{kind}.json", found, kind)
    if done and not options.json:
        rows = [[photo.source, str(len(photo.found)), _named(photo, names[0], options.top)] for photo in done]
        print_table(("file", "objects", "best"), rows, left=3)
        print(f"\ndrawn, and in COCO's format: {output}")
    if bad:
        print(f"{bad} of {len(paths)} files could not be read", file=sys.stderr)
    return 1 if bad else 0


def _named(photo: FoundInPhoto, names: Mapping[int, str], most: int) -> str:
    return ", ".join(f"{names[one['category_id']]} {percent(one['score'])}" for one in photo.found[:most])


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "-" if math.isnan(value) else percent(value)


def _finite(value: str | float) -> str | float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
