"""The command `predict`: classify images, detect objects in them, or label their pixels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prepixel.cli.answer_table import list_answers, print_answers
from prepixel.cli.console import UNTRAINED, percent, print_line, report_unread
from prepixel.cli.option_types import STDIN, integer, number, output_folder, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import MAX_BATCH, add_build, add_checkpoint, add_device, add_json, add_threads

SUMMARY = "classify images, detect objects in them, or label their pixels"
ABOUT = """\
Classify images, detect objects in them or label their pixels, with a run's, a
folded or an exported network; an exported one needs no torch, but the extra
runtime. Detections and labels are drawn over the images, by runs; exported
networks list them.
Files that cannot be read are listed on standard error, the others are
handled all the same, and the exit status is then 1. Long paths are shortened
to the terminal's width; --json has them whole."""
EXAMPLE = "prepixel predict runs/demo_dct24 photo.jpg photos/ --json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `predict`."""
    parser.add_argument(
        "run_path", type=path, metavar="RUN", help="a run's folder, a folded network's file, or an exported network"
    )
    parser.add_argument(
        "files", type=path, nargs="+", metavar="FILE", help="image files, or folders of them; - reads one from stdin"
    )
    parser.add_argument("--top", type=integer(1, 100_000), default=5, metavar="K", help="classes to list (default: 5)")
    parser.add_argument(
        "--min-score", type=number(0.0, 1.0), metavar="S", help="detector: leave out lower scores (default: .5)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=output_folder,
        metavar="FOLDER",
        help="detector or segmenter: where to draw (default: RUN/predictions)",
    )
    parser.add_argument(
        "--beside",
        type=path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="detector or segmenter: other runs to draw beside it",
    )
    parser.add_argument(
        "--annotations",
        type=path,
        metavar="FILE",
        help="detector or segmenter: COCO .json file of these images (or a folder of masks), drawn beside it",
    )
    add_checkpoint(parser)
    add_build(parser)
    parser.add_argument(
        "--batch-size", type=integer(1, MAX_BATCH), default=32, metavar="N", help="images per batch (default: 32)"
    )
    add_device(parser)
    parser.add_argument(
        "--engine",
        choices=("onnxruntime", "openvino"),
        help="exported network: what computes it (default: onnxruntime)",
    )
    add_json(parser, "one JSON object per line")
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Print what images show."""
    from prepixel.runtime import is_exported

    if is_exported(options.run_path):
        return _predict_exported(options)
    if options.engine is not None:
        raise UsageError(f"{options.run_path}: is no exported network; leave out --engine")
    from prepixel.runs import is_detector, is_segmenter

    detects, segments = is_detector(options.run_path), is_segmenter(options.run_path)
    if (detects or segments) and STDIN in options.files:
        kind = "detector" if detects else "segmenter"
        raise UsageError(f"{options.run_path}: a {kind} draws on named files; it does not read standard input")
    paths = _image_paths(options.files)
    if detects:
        from prepixel.cli.detector_commands import predict_detections

        return predict_detections(options, [str(one) for one in paths])
    if segments:
        from prepixel.cli.segmenter_commands import predict_label_maps

        return predict_label_maps(options, [str(one) for one in paths])
    _refuse_detection_options(options)
    from prepixel.cli.open_network import is_trained, open_classifier
    from prepixel.runs import TrainedRun

    network = open_classifier(options, any_task=True)
    if isinstance(network, TrainedRun) and network.answers == "values":
        values = network.predict_values(paths, batch_size=options.batch_size, threads=options.threads)
        return _print_values(options, paths, values)
    outcomes = network.predict(paths, top=options.top, batch_size=options.batch_size, threads=options.threads)
    return _print_classes(options, paths, outcomes, trained=is_trained(network))


def _refuse_detection_options(options: argparse.Namespace) -> None:
    if options.output is not None or options.min_score is not None or options.beside or options.annotations is not None:
        raise UsageError(
            f"{options.run_path}: is no run of a detector or a segmenter; leave out --output, --min-score, --beside "
            "and --annotations"
        )


def _predict_exported(options: argparse.Namespace) -> int:
    from prepixel.runtime import Manifest, Predictor

    if options.build is not None or options.device not in {"auto", "cpu"}:
        raise UsageError(f"{options.run_path}: is an exported network, on the CPU; leave out --build and --device")
    task = Manifest.read(options.run_path).task
    if task != "classification" and (options.beside or options.annotations is not None):
        raise UsageError(f"{options.run_path}: is exported, and nothing is drawn; leave out --beside and --annotations")
    sources = _image_paths(options.files)
    if task == "segmentation":
        from prepixel.cli.exported_answers import predict_exported_labels

        return predict_exported_labels(options, sources)
    if task == "detection":
        from prepixel.cli.exported_answers import predict_exported_objects

        return predict_exported_objects(options, sources)
    _refuse_detection_options(options)
    predictor = Predictor.load(options.run_path, engine=options.engine or "onnxruntime", threads=options.threads)
    outcomes = predictor.predict_each(sources, top=options.top, batch_size=options.batch_size)
    return _print_classes(options, sources, outcomes, trained=predictor.manifest.trained)


def _print_values(options: argparse.Namespace, sources: Sequence[Any], outcomes: Iterable[Any]) -> int:
    rows, bad = list_answers(
        zip(sources, outcomes, strict=True),
        lambda values: {"values": values} if options.json else None,
        lambda values: tuple(f"{target} {value:.6g}" for target, value in values.items()),
    )
    if rows:
        print_answers(rows, ("file", "values"), columns=True)
    return report_unread(bad, len(sources))


def _print_classes(
    options: argparse.Namespace, sources: Sequence[Any], outcomes: Iterable[Any], *, trained: bool
) -> int:
    def values(found: Any) -> dict[str, Any] | None:
        if not options.json:
            return None
        pairs = zip(found.classes, found.probabilities, strict=True)
        classes = [{"class": label, "probability": round(share, 6)} for label, share in pairs]
        return {"trained": trained, "classes": classes}

    def answers(found: Any) -> tuple[str, ...]:
        pairs = zip(found.classes, found.probabilities, strict=True)
        return tuple(f"{label} {percent(share)}" for label, share in pairs)

    rows, bad = list_answers(zip(sources, outcomes, strict=True), values, answers)
    if rows:
        if not trained:
            print_line(f"note: {UNTRAINED}")
            print_line()
        print_answers(rows, ("file", "classes, best first"), columns=True)
    return report_unread(bad, len(sources))


def _image_paths(given: Sequence[Path]) -> list[Any]:
    """Return the files named, those of folders, and the bytes of standard input."""
    from prepixel.errors import DatasetError
    from prepixel.files import image_files

    if given.count(STDIN) > 1:
        raise UsageError("-: standard input can be read once only")
    sources: list[Any] = []
    for one in given:
        if one == STDIN:
            sources.append(sys.stdin.buffer.read())
        elif one.is_dir():
            found = list(image_files(one))
            if not found:
                raise DatasetError(f"{one}: holds no image file; name files, or a folder that holds some")
            sources += found
        else:
            sources.append(str(one))
    return sources
