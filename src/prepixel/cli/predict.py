"""Verbs on runs and networks: train, fold, evaluate, predict."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prepixel.cli.console import percent, print_pairs, print_table, progress_bar
from prepixel.cli.detection import evaluate_detector, predict_detections, print_detection
from prepixel.data.datasets.folder import DatasetError, image_files
from prepixel.engine import keep_freed_memory
from prepixel.errors import RecipeError
from prepixel.jpeg import Failure
from prepixel.recipes import read_any_recipe, read_recipe
from prepixel.runs import (
    Classifier,
    FoldedClassifier,
    Prediction,
    TrainedRun,
    fold_pixel_model,
    fold_run,
    is_detector,
    load_run,
    read_folded,
    run_either,
    scored_rows,
    write_folded,
)
from prepixel.tasks import DetectionResult


def train(options: argparse.Namespace) -> int:
    """Train a recipe."""
    keep_freed_memory()
    recipe = read_any_recipe(options.recipe, options.overrides)
    output = options.output or Path("runs") / options.recipe.stem
    with progress_bar("measuring the channels") as progress:
        result = run_either(recipe, output, resume=options.resume, progress=progress)
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
        if isinstance(outcome, Failure):
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


def fold(options: argparse.Namespace) -> int:
    """Fold a pixel network into a network on coefficients, and write it to a file."""
    started = time.perf_counter()
    classifier = _fold_run(options) if Path(options.network).is_dir() else _fold_named(options)
    elapsed = time.perf_counter() - started
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_folded(classifier, options.output)
    network, settings = classifier.network, classifier.network.settings
    values = settings.bands.num_values(settings.grid)
    cost = network.cost
    print_pairs(
        [
            ("written", f"{options.output} ({options.output.stat().st_size / 1e6:.1f} MB), folded in {elapsed:.1f} s"),
            ("input", f"{settings.bands} on {settings.grid[0]} x {settings.grid[1]} blocks, {values:,} values"),
            (
                "stands for",
                f"{settings.pixels[0]} x {settings.pixels[1]} pixels, {3 * math.prod(settings.pixels):,} values",
            ),
            ("first layer", f"{settings.form}: {getattr(cost, settings.form) / 1e6:.1f} million multiply-adds"),
            ("the other form", f"{(cost.composed + cost.factored - getattr(cost, settings.form)) / 1e6:.1f} million"),
            ("on pixels", f"{cost.pixels / 1e6:.1f} million"),
        ]
    )
    return 0


def _fold_run(options: argparse.Namespace) -> FoldedClassifier:
    for name in ("weights", "pixels", "mean", "std", "classes"):
        if getattr(options, name) is not None:
            raise RecipeError(f"{options.network} is a run's folder, which says its own {name}; leave out --{name}")
    pixels = read_recipe(Path(options.network) / "recipe.yaml").input.pixels or (0, 0)
    return fold_run(options.network, grid=_grid(options, pixels), **_fold_options(options))


def _fold_named(options: argparse.Namespace) -> FoldedClassifier:
    pixels = (224, 224) if options.pixels is None else (options.pixels[0], options.pixels[-1])
    return fold_pixel_model(
        options.network,
        weights=options.weights,
        classes=None if options.classes is None else _class_names(options.classes),
        crop=options.crop_fraction,
        filter=options.filter,
        mean=options.mean,
        std=options.std,
        pixels=pixels,
        grid=_grid(options, pixels),
        **_fold_options(options),
    )


def _fold_options(options: argparse.Namespace) -> dict[str, Any]:
    return {"bands": options.bands, "reduction": options.reduction, "form": options.form}


def _grid(options: argparse.Namespace, pixels: tuple[int, int]) -> tuple[int, int]:
    """Take the grid asked for, or the smallest that holds at least twice the pixels a side."""
    if options.grid is not None:
        return options.grid[0], options.grid[-1]
    ratio = next(m for m in (2, 4, 8) if m == 8 or all(m * side % 8 == 0 for side in pixels))
    return ratio * pixels[0] // 8, ratio * pixels[1] // 8


def _class_names(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [str(name) for name in json.loads(text)] if path.suffix == ".json" else text.splitlines()


def load_classifier(options: argparse.Namespace) -> Classifier:
    """Load a run's folder or a folded network's file."""
    keep_freed_memory()
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


def _failure_words(failure: Failure) -> str:
    error = failure.error
    if isinstance(error, OSError):
        return f"prepixel: {failure.source}: {error.strerror or error}"
    return f"prepixel: {error}"


def report_bad(failures: Sequence[tuple[str, str]]) -> int:
    """Say how many files were left out, and give the exit status."""
    if failures:
        print(f"{len(failures)} files could not be read and were left out", file=sys.stderr)
    return 1 if failures else 0


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
