"""Label pixels and detect objects with exported networks, without torch: their parts of `predict`."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from prepixel.cli.answer_table import AnswerRow, print_answers
from prepixel.cli.console import (
    STANDARD_INPUT,
    failure_text,
    percent,
    print_error,
    print_json,
    print_line,
    short_stem,
)
from prepixel.cli.parser import UsageError
from prepixel.errors import ReadFailure
from prepixel.files import make_folder, replace_file
from prepixel.runtime import DetectionPredictor, SegmentationPredictor


def predict_exported_labels(options: argparse.Namespace, sources: Sequence[Any]) -> int:
    """Print the share of pixels that each class has; with --output, write the label maps, too."""
    if options.min_score is not None:
        raise UsageError(f"{options.run_path}: is a segmenter; leave out --min-score")
    predictor = SegmentationPredictor.load(
        options.run_path, engine=options.engine or "onnxruntime", threads=options.threads
    )
    if options.output is not None:
        make_folder(options.output)
    rows: list[AnswerRow] = []
    failures: list[ReadFailure] = []
    for start in range(0, len(sources), options.batch_size):
        part = sources[start : start + options.batch_size]
        found = predictor.predict(part, batch_size=options.batch_size, on_error="skip")
        failures += found.failures
        for place, labels, shares in zip(found.kept.tolist(), found.maps, found.shares(), strict=True):
            name = _name(part[place])
            written = {}
            if options.output is not None:
                path = options.output / f"{start + place + 1:06d}-{short_stem(name)}-labels.png"
                buffer = io.BytesIO()
                Image.fromarray(labels).save(buffer, format="PNG")
                replace_file(path, buffer.getvalue())
                written = {"labels": str(path)}
            best = sorted(shares.items(), key=lambda pair: -pair[1])
            if options.json:
                print_json({"file": name, **written, "shares": {label: round(share, 6) for label, share in best}})
            else:
                named = tuple(f"{label} {percent(share)}" for label, share in best[: options.top])
                rows.append(AnswerRow(name, (), named))
    if rows:
        print_answers(rows, ("file", "share of pixels"), columns=False)
        if options.output is not None:
            print_line()
            print_line(f"label maps: {options.output}")
    return _report(failures, len(sources))


def predict_exported_objects(options: argparse.Namespace, sources: Sequence[Any]) -> int:
    """Print the objects that are found in each image."""
    if options.output is not None:
        raise UsageError(f"{options.run_path}: is an exported detector, which draws nothing; leave out --output")
    predictor = DetectionPredictor.load(
        options.run_path, engine=options.engine or "onnxruntime", threads=options.threads
    )
    min_score = 0.5 if options.min_score is None else options.min_score
    rows: list[AnswerRow] = []
    failures: list[ReadFailure] = []
    for source, one in zip(sources, predictor.predict(sources, min_score=min_score, on_error="skip"), strict=True):
        if isinstance(one, ReadFailure):
            failures.append(one)
            continue
        found = list(zip(one.labels, one.scores.tolist(), one.boxes.tolist(), strict=True))
        if options.json:
            objects = [
                {"class": label, "score": round(score, 6), "box": [round(edge, 2) for edge in box]}
                for label, score, box in found
            ]
            print_json({"file": _name(source), "size": one.size, "found": objects})
        else:
            named = tuple(f"{label} {percent(score)}" for label, score, _ in found[: options.top])
            rows.append(AnswerRow(_name(source), (str(len(found)),), named))
    if rows:
        print_answers(rows, ("file", "objects", "best"), columns=False)
    return _report(failures, len(sources))


def _name(source: Any) -> str:
    return STANDARD_INPUT if isinstance(source, bytes) else str(Path(source))


def _report(failures: Sequence[ReadFailure], count: int) -> int:
    """Print which files could not be read, and return the exit status."""
    for failure in failures:
        print_error(f"prepixel: {failure_text(failure)}")
    if failures:
        print_error(f"{len(failures)} of {count} files could not be read")
    return 1 if failures else 0
