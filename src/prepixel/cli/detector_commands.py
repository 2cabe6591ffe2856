"""Evaluate detectors' runs, and detect objects with them: the detector halves of `evaluate` and `predict`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from prepixel.cli.answer_table import AnswerRow, print_answers
from prepixel.cli.console import (
    failure_text,
    percent,
    print_error,
    print_json,
    print_line,
    print_pairs,
    print_table,
    report_skipped,
    report_unread,
    short_stem,
)
from prepixel.cli.detection_figures import Annotated, draw_photo, found_objects
from prepixel.cli.open_network import describe_checkpoint, open_detector
from prepixel.cli.parser import UsageError
from prepixel.engine import disable_malloc_trim
from prepixel.jpeg import ReadFailure
from prepixel.runs import FoundInPhoto
from prepixel.runs.frame_runs import describe_problems
from prepixel.tasks import DetectionResult, write_detections

_FIGURES: Mapping[str, str] = {
    "ap": "AP, IoU .50 to .95",
    "ap50": "AP, IoU .50",
    "ap75": "AP, IoU .75",
    "ap_small": "AP, small",
    "ap_medium": "AP, medium",
    "ap_large": "AP, large",
    "ar1": "AR, 1 per image",
    "ar10": "AR, 10 per image",
    "ar100": "AR, 100 per image",
    "ar_small": "AR, small",
    "ar_medium": "AR, medium",
    "ar_large": "AR, large",
}


def print_detection(result: DetectionResult, *, weights: str) -> None:
    """Print COCO's twelve figures, a column for boxes and one for masks, and which weights they are of."""
    pairs = [("weights", weights), ("images", str(result.images)), ("objects", str(result.objects))]
    if result.channels_on is not None:
        pairs.append(("channels on", f"{result.channels_on:.1f}"))
    print_pairs(pairs)
    print_line()
    rows = [
        [words, *(_cell(scores.figures[name]) for scores in result.scores.values())] for name, words in _FIGURES.items()
    ]
    print_table(("figure", *result.scores), rows)


def evaluate_detector(options: argparse.Namespace) -> int:
    """Score a detector's run on its validation images, and write its detections in COCO's format into its folder."""
    if options.data is not None or options.plot is not None or options.build is not None:
        raise UsageError(
            f"{options.run_path}: is a detector's run, scored on its recipe's images; leave out --data, --plot, --build"
        )
    disable_malloc_trim()
    trained = open_detector(options, options.run_path)
    weights = describe_checkpoint(trained)
    result, photos, failures = trained.evaluate(batch_size=options.batch_size, threads=options.threads or None)
    files = {kind: options.run_path / f"found-{kind}.json" for kind in result.scores}
    for kind, path in files.items():
        write_detections(path, result.found, kind)
    classes = result.class_rows(photos.ground_truth()["categories"])
    if options.json:
        report = {"run": str(options.run_path), "weights": weights, "images": result.images}
        print_json({**report, "objects": result.objects, **result.row(), "classes": classes})
    else:
        print_detection(result, weights=weights)
        print_line()
        seen = [row for row in classes if not all(value != value for name, value in row.items() if name != "class")]
        names = ("class", *(f"{kind}_ap" for kind in result.scores))
        print_table(names, [[_cell(row[name]) for name in names] for row in seen])
        print_line()
        print_line("written: " + ", ".join(map(str, files.values())))
    if photos.problems:
        print_error(describe_problems(photos.problems))
    return report_skipped(failures) or int(bool(photos.problems))


def predict_detections(options: argparse.Namespace, paths: Sequence[str]) -> int:
    """Detect objects in images, draw them beside other detectors' and the annotations, and write COCO's format."""
    if options.build is not None:
        raise UsageError(f"{options.run_path}: is not a folded network's file; leave out --build")
    disable_malloc_trim()
    trained = open_detector(options, options.run_path)
    detectors = [trained, *(open_detector(options, path) for path in options.beside)]
    truth = None if options.annotations is None else Annotated.read(options.annotations, Path(paths[0]).parent)
    output = options.output or options.run_path / "predictions"
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
            print_error(f"prepixel: {failure_text(failures[0])}")
        if isinstance(first, ReadFailure):
            continue
        done.append(first)
        drawing = output / f"{number:06d}-{short_stem(first.source)}.png"
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
            print_json({"file": first.source, "image_id": number, "drawn": str(drawing), "found": first.found})
    _finish_predictions(options, done, output, names[0], masks=trained.network.has_masks)
    return report_unread(bad, len(paths))


def _finish_predictions(
    options: argparse.Namespace, done: Sequence[FoundInPhoto], output: Path, names: Mapping[int, str], *, masks: bool
) -> None:
    """Write all detections in COCO's format, and print the best of each image."""
    found = [one for photo in done for one in photo.found]
    for kind in ("box", "mask") if masks else ("box",):
        write_detections(output / f"found-{kind}.json", found, kind)
    if done and not options.json:
        rows = [AnswerRow(photo.source, (str(len(photo.found)),), _named(photo, names, options.top)) for photo in done]
        print_answers(rows, ("file", "objects", "best"), columns=False)
        print_line()
        print_line(f"drawn, and in COCO's format: {output}")


def _named(photo: FoundInPhoto, names: Mapping[int, str], most: int) -> tuple[str, ...]:
    return tuple(f"{names[one['category_id']]} {percent(one['score'])}" for one in photo.found[:most])


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "-" if math.isnan(value) else percent(value)
