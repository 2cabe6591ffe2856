"""Verbs on runs and networks: train, fold, evaluate, predict."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from prepixel.cli.console import percent, print_pairs, print_table, report_bad
from prepixel.cli.detection import evaluate_detector, predict_detections
from prepixel.engine import disable_malloc_trim
from prepixel.errors import DatasetError, RecipeError
from prepixel.files import image_files
from prepixel.jpeg import ReadFailure
from prepixel.runs import (
    Classifier,
    FoldedClassifier,
    Prediction,
    TrainedRun,
    is_detector,
    load_run,
    read_folded,
    scored_rows,
)


def evaluate(options: argparse.Namespace) -> int:
    """Score a run's network."""
    if is_detector(options.run):
        return evaluate_detector(options)
    trained = load_classifier(options)
    result, failures = trained.evaluate(options.data, batch_size=options.batch_size, threads=options.threads or None)
    classes = result.class_rows(trained.classes)
    step = trained.position.step if isinstance(trained, TrainedRun) else 0
    confusion = scored_rows(options.run.stem, result, trained.classes, 0.0, step)[-1]
    beside = options.run if isinstance(trained, TrainedRun) else options.run.parent
    plot = options.plot or beside / _plot_name(options.data)
    if options.json:
        rows = [{key: _finite(value) for key, value in row.items()} for row in classes]
        report = {"run": str(options.run), "images": result.images, **result.row(), "classes": rows}
        print(json.dumps(report, ensure_ascii=False))
    else:
        print_pairs(
            [
                ("images", str(result.images)),
                *((name, _score_words(name, value)) for name, value in result.row().items()),
            ]
        )
        print()
        names = ("class", "images", "recall", "precision")
        print_table(names, [[_cell(row[name]) for name in names] for row in classes])
    from prepixel.records import ConfusionRow
    from prepixel.reports import plot_confusion

    assert isinstance(confusion, ConfusionRow)
    plot_confusion(confusion, plot, title=trained.name)
    if not options.json:
        print(f"\ndrawn: {plot}")
    return report_bad(failures)


def predict(options: argparse.Namespace) -> int:
    """Say what images show."""
    paths = _image_paths(options.files)
    if is_detector(options.run):
        return predict_detections(options, paths)
    if options.output is not None or options.min_score is not None or options.beside or options.annotations is not None:
        raise RecipeError(
            f"{options.run}: is no detector's run; leave out --output, --min-score, --beside and --annotations"
        )
    trained = load_classifier(options)
    bad = 0
    rows: list[list[str]] = []
    for outcome in trained.predict(paths, top=options.top, batch_size=options.batch_size, threads=options.threads):
        if isinstance(outcome, ReadFailure):
            bad += 1
            print(_failure_words(outcome), file=sys.stderr)
        elif options.json:
            print(_prediction_json(outcome), flush=True)
        else:
            pairs = zip(outcome.classes, outcome.probabilities, strict=True)
            rows.append([outcome.source, *(f"{name} {percent(share)}" for name, share in pairs)])
    if rows:
        top = len(rows[0]) - 1
        print_table(
            ["file", *(["top-1"] if top == 1 else [str(place) for place in range(1, top + 1)])], rows, left=top + 1
        )
    if bad:
        print(f"{bad} of {len(paths)} files could not be read", file=sys.stderr)
    return 1 if bad else 0


def load_classifier(options: argparse.Namespace) -> Classifier:
    """Load a run's folder or a folded network's file."""
    disable_malloc_trim()
    if options.run.is_dir() or not options.run.exists():
        return load_run(options.run, weights=options.weights)
    loaded: FoldedClassifier = read_folded(options.run)
    return loaded


def _image_paths(given: Sequence[Path]) -> list[str]:
    paths: list[str] = []
    for path in given:
        if path.is_dir():
            found = list(image_files(path))
            if not found:
                raise DatasetError(f"{path}: holds no image file; name files, or a folder that holds some")
            paths += found
        else:
            paths.append(str(path))
    return paths


def _prediction_json(prediction: Prediction) -> str:
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    classes = [{"class": name, "probability": round(share, 6)} for name, share in pairs]
    return json.dumps({"file": prediction.source, "classes": classes}, ensure_ascii=False)


def _failure_words(failure: ReadFailure) -> str:
    error = failure.error
    if isinstance(error, OSError):
        return f"prepixel: {failure.source}: {error.strerror or error}"
    return f"prepixel: {error}"


def _plot_name(data: Path | None) -> str:
    return "confusion.png" if data is None else f"confusion-{data.resolve().name}.png"


def _score_words(name: str, value: float) -> str:
    return percent(value, 2) if name.startswith("top") else f"{value:.4f}"


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else percent(value)
    return str(value)


def _finite(value: str | int | float) -> str | int | float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
