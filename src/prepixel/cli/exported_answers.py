"""Label pixels and detect objects with exported networks, without torch: their parts of `predict`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prepixel.cli.answer_table import list_answers, print_answers
from prepixel.cli.console import percent, print_line, report_unread, short_stem, source_text
from prepixel.cli.label_files import write_labels
from prepixel.cli.parser import UsageError
from prepixel.errors import ReadFailure
from prepixel.files import make_folder
from prepixel.runtime import DetectedObjects, DetectionPredictor, SegmentationPredictor


@dataclass(frozen=True)
class _Labeled:
    """Store what a segmenter found in one photo: the share of pixels by class, and where the labels are written."""

    shares: dict[str, float]
    written: dict[str, str]


def predict_exported_labels(options: argparse.Namespace, sources: Sequence[Any]) -> int:
    """Print the share of pixels that each class has; with --output, write the label maps, too."""
    if options.min_score is not None:
        raise UsageError(f"{options.run_path}: is a segmenter; leave out --min-score")
    predictor = SegmentationPredictor.load(
        options.run_path, engine=options.engine or "onnxruntime", threads=options.threads
    )
    if options.output is not None:
        make_folder(options.output)
    rows, bad = list_answers(
        zip(sources, _label(predictor, options, sources), strict=True),
        lambda found: (
            {**found.written, "shares": {name: round(share, 6) for name, share in _best(found.shares)}}
            if options.json
            else None
        ),
        lambda found: tuple(f"{name} {percent(share)}" for name, share in _best(found.shares)[: options.top]),
    )
    if rows:
        print_answers(rows, ("file", "share of pixels"), columns=False)
        if options.output is not None:
            print_line()
            print_line(f"label maps: {options.output}")
    return report_unread(bad, len(sources))


def _label(
    predictor: SegmentationPredictor, options: argparse.Namespace, sources: Sequence[Any]
) -> Iterator[_Labeled | ReadFailure]:
    """Label photos, in order; one that cannot be read yields its failure."""
    for start in range(0, len(sources), options.batch_size):
        part = sources[start : start + options.batch_size]
        found = predictor.predict(part, batch_size=options.batch_size, on_error="skip")
        outcomes: dict[int, _Labeled | ReadFailure] = {one.index: one for one in found.failures}
        for place, labels, shares in zip(found.kept.tolist(), found.maps, found.shares(), strict=True):
            written = {}
            if options.output is not None:
                path = options.output / f"{start + place + 1:06d}-{short_stem(source_text(part[place]))}-labels.png"
                write_labels(labels, path)
                written = {"labels": str(path)}
            outcomes[place] = _Labeled(shares, written)
        for place in range(len(part)):
            yield outcomes[place]


def _best(shares: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])


def predict_exported_objects(options: argparse.Namespace, sources: Sequence[Any]) -> int:
    """Print the objects that are found in each image."""
    if options.output is not None:
        raise UsageError(f"{options.run_path}: is an exported detector, which draws nothing; leave out --output")
    predictor = DetectionPredictor.load(
        options.run_path, engine=options.engine or "onnxruntime", threads=options.threads
    )
    min_score = 0.5 if options.min_score is None else options.min_score

    def values(found: DetectedObjects) -> dict[str, Any] | None:
        if not options.json:
            return None
        objects = [
            {"class": label, "score": round(score, 6), "box": [round(edge, 2) for edge in box]}
            for label, score, box in zip(found.labels, found.scores.tolist(), found.boxes.tolist(), strict=True)
        ]
        return {"size": found.size, "found": objects}

    def answers(found: DetectedObjects) -> tuple[str, ...]:
        pairs = zip(found.labels, found.scores.tolist(), strict=True)
        return tuple(f"{label} {percent(score)}" for label, score in pairs)[: options.top]

    rows, bad = list_answers(
        zip(sources, predictor.predict(sources, min_score=min_score, on_error="skip"), strict=True),
        values,
        answers,
        lambda found: (str(len(found)),),
    )
    if rows:
        print_answers(rows, ("file", "objects", "best"), columns=False)
    return report_unread(bad, len(sources))
