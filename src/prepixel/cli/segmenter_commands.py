"""Evaluate segmenters' runs, and label pixels with them: the segmenter parts of `evaluate` and `predict`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from prepixel.array_types import UInt8
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
from prepixel.cli.label_files import write_labels
from prepixel.cli.open_network import describe_checkpoint, open_segmenter
from prepixel.cli.parser import UsageError
from prepixel.data.datasets.coco_label_maps import CocoLabelMaps
from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.datasets.mask_images import MaskImageDataset
from prepixel.data.loading.readers import read_rgb
from prepixel.engine import disable_malloc_trim
from prepixel.jpeg import ReadFailure
from prepixel.runs import LabeledPhoto, TrainedSegmenter
from prepixel.runs.frame_runs import describe_problems
from prepixel.tasks import SegmentationResult

Annotated = Callable[[LabeledPhoto], UInt8[np.ndarray, "h w"] | None]


def print_segmentation(result: SegmentationResult, *, weights: str) -> None:
    """Print the scores, and which weights they are of."""
    print_pairs(
        [
            ("weights", weights),
            ("images", str(result.images)),
            ("pixels", f"{result.pixels:,}"),
            ("mIoU", percent(result.miou, 2)),
            ("pixel accuracy", percent(result.pixel_accuracy, 2)),
            ("loss", f"{result.loss:.4f}"),
        ]
    )


def evaluate_segmenter(options: argparse.Namespace) -> int:
    """Score a segmenter's run on its validation photos."""
    if options.data is not None or options.plot is not None or options.build is not None:
        raise UsageError(
            f"{options.run_path}: is a segmenter's run, scored on its recipe's photos; leave out --data, --plot and "
            "--build"
        )
    disable_malloc_trim()
    trained = open_segmenter(options, options.run_path)
    weights = describe_checkpoint(trained)
    result, photos, failures = trained.evaluate(batch_size=options.batch_size, threads=options.threads or None)
    classes = result.class_rows(trained.classes)
    if options.json:
        report = {"run": str(options.run_path), "weights": weights, "images": result.images, "pixels": result.pixels}
        print_json({**report, **result.row(), "classes": classes})
    else:
        print_segmentation(result, weights=weights)
        print_line()
        seen = [row for row in classes if not math.isnan(float(row["iou"]))]
        print_table(
            ("class", "pixels", "IoU", "recall"),
            [[str(row["class"]), f"{row['pixels']:,}", _cell(row["iou"]), _cell(row["recall"])] for row in seen],
        )
        if len(seen) < len(classes):
            print_line(f"not shown: {len(classes) - len(seen):,} classes without pixels and without answers")
    if photos.problems:
        print_error(describe_problems(photos.problems))
    return report_skipped(failures) or int(bool(photos.problems))


def predict_label_maps(options: argparse.Namespace, paths: Sequence[str]) -> int:
    """Label the pixels of images, draw the labels beside other segmenters' and the annotations, and write them."""
    if options.build is not None or options.min_score is not None:
        raise UsageError(f"{options.run_path}: is a segmenter's run; leave out --build and --min-score")
    disable_malloc_trim()
    trained = open_segmenter(options, options.run_path)
    segmenters = [trained, *(open_segmenter(options, path) for path in options.beside)]
    for one in segmenters:
        if one.classes != trained.classes:
            raise UsageError(
                f"{one.folder.path}: knows other classes than {options.run_path}; leave it out of --beside"
            )
    annotated = _annotated(options, trained, Path(paths[0]).parent)
    output = options.output or options.run_path / "predictions"
    output.mkdir(parents=True, exist_ok=True)
    rows: list[AnswerRow] = []
    bad = 0
    for number, outcomes in enumerate(zip(*(one.predict(paths) for one in segmenters), strict=True), start=1):
        failures = [outcome for outcome in outcomes if isinstance(outcome, ReadFailure)]
        if failures:
            bad += 1
            print_error(f"prepixel: {failure_text(failures[0])}")
            continue
        answers = [outcome for outcome in outcomes if isinstance(outcome, LabeledPhoto)]
        stem = f"{number:06d}-{short_stem(answers[0].source)}"
        drawing, labels = output / f"{stem}.png", output / f"{stem}-labels.png"
        _draw(segmenters, answers, annotated(answers[0]), drawing)
        write_labels(answers[0].labels, labels)
        shares = sorted(zip(answers[0].shares(len(trained.classes)), trained.classes, strict=True), reverse=True)
        if options.json:
            by_class = {name: round(share, 6) for share, name in shares if share}
            print_json({"file": answers[0].source, "drawn": str(drawing), "labels": str(labels), "shares": by_class})
        named = tuple(f"{name} {percent(share)}" for share, name in shares[: options.top] if share)
        rows.append(AnswerRow(answers[0].source, (), named))
    if rows and not options.json:
        print_answers(rows, ("file", "share of pixels"), columns=False)
        print_line()
        print_line(f"drawn, and as label maps: {output}")
    return report_unread(bad, len(paths))


def _annotated(options: argparse.Namespace, trained: TrainedSegmenter, folder: Path) -> Annotated:
    """Return what gives the annotated labels of a photo: none where there are none, or of another size."""
    given = options.annotations
    if given is None:
        return lambda _: None
    photos = _labeled(given, trained, folder)
    if photos.classes != trained.classes:
        raise UsageError(
            f"{given}: has the classes {', '.join(photos.classes)}, and {options.run_path} learned "
            f"{', '.join(trained.classes)}; give annotations of the same"
        )
    places = {Path(sample.path).resolve(): index for index, sample in enumerate(photos.samples)}

    def labels_of(photo: LabeledPhoto) -> UInt8[np.ndarray, "h w"] | None:
        index = places.get(Path(photo.source).resolve())
        labels = None if index is None else photos.label_map(index)
        return None if labels is None or labels.shape != photo.labels.shape else labels

    return labels_of


def _labeled(annotations: Path, trained: TrainedSegmenter, folder: Path) -> LabeledPhotos:
    """Open a folder's photos with their annotations, or their masks where these are a folder."""
    data = trained.recipe.data
    if annotations.is_dir():
        return MaskImageDataset(folder, annotations, classes=trained.classes, ignore_label=data.ignore_label)
    return CocoLabelMaps(annotations, folder, on_error="skip", one_class=data.one_class)


def _draw(
    segmenters: Sequence[TrainedSegmenter],
    answers: Sequence[LabeledPhoto],
    annotated: UInt8[np.ndarray, "h w"] | None,
    drawing: Path,
) -> None:
    """Draw a photo once for each label map, side by side."""
    from prepixel.reports import LabeledPicture, plot_label_maps

    pixels = read_rgb(answers[0].source).permute(1, 2, 0).numpy()
    titles = [Path(answers[0].source).name] if len(answers) == 1 else [one.name for one in segmenters]
    panels = [(title, answer.labels) for title, answer in zip(titles, answers, strict=True)]
    if annotated is not None:
        panels.append(("annotated", annotated))
    # two runs may have one name
    shown = {title + " " * place: LabeledPicture(pixels, labels) for place, (title, labels) in enumerate(panels)}
    columns = min(len(panels), 4)
    width = 8.0 if columns == 1 else 5.0 * columns
    plot_label_maps(shown, segmenters[0].classes, drawing, columns=columns, width_inches=width)


def _cell(value: str | int | float) -> str:
    return "-" if math.isnan(float(value)) else percent(float(value), 2)
