"""The command `evaluate`: score a network on labeled images."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from prepixel.cli.console import percent, print_json, print_line, print_pairs, print_table, report_skipped
from prepixel.cli.option_types import FIGURES, integer, output_file, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import MAX_BATCH, add_build, add_checkpoint, add_device, add_json, add_threads

SUMMARY = "score a network: top-1 and confusion, mAP, R2, AP or mIoU"
ABOUT = """\
Score a network on its validation images or on another folder of its classes;
one that gives labels or values on another listing. A network of ImageNet's
classes also takes folders named by WordNet ids."""
EXAMPLE = "prepixel evaluate runs/demo_dct24 --data photos/val"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument("run_path", type=path, metavar="RUN", help="a run's folder, or a folded network's file")
    parser.add_argument(
        "--data", type=path, metavar="DATA", help="one folder per class, or a listing (default: the recipe's)"
    )
    add_checkpoint(parser)
    add_build(parser)
    parser.add_argument(
        "--plot",
        type=output_file(*FIGURES),
        metavar="FILE",
        help="the confusion plot (default: in the run's folder, or beside the folded file)",
    )
    parser.add_argument(
        "--batch-size", type=integer(1, MAX_BATCH), metavar="N", help="images per batch (default: the recipe's)"
    )
    add_device(parser)
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Score a network and print its scores."""
    from prepixel.runs import is_detector, is_segmenter

    if is_detector(options.run_path):
        from prepixel.cli.detector_commands import evaluate_detector

        return evaluate_detector(options)
    if is_segmenter(options.run_path):
        from prepixel.cli.segmenter_commands import evaluate_segmenter

        return evaluate_segmenter(options)
    return _evaluate_classifier(options)


def _evaluate_classifier(options: argparse.Namespace) -> int:
    from prepixel.cli.open_network import describe_checkpoint, is_trained, open_classifier
    from prepixel.records import ConfusionRow
    from prepixel.reports import plot_confusion
    from prepixel.runs import TrainedRun, scored_rows

    network = open_classifier(options, any_task=True)
    if network.answers != "classes" and options.plot is not None:
        raise UsageError(f"{options.run_path}: gives {network.answers}, and has no confusion to plot; leave out --plot")
    result, failures = network.evaluate(options.data, batch_size=options.batch_size, threads=options.threads or None)
    is_run = isinstance(network, TrainedRun)
    weights = describe_checkpoint(network) if isinstance(network, TrainedRun) else ""
    if network.answers != "classes":
        _print_targets(options, result, network, weights)
        return report_skipped(failures)
    confusion = scored_rows(options.run_path.stem, result, network.classes, 0.0, 0)[-1]
    name = _plot_name(options.data)
    own = options.run_path / name if is_run else options.run_path.with_name(f"{options.run_path.stem}-{name}")
    plot = options.plot or own
    classes = result.class_rows(network.classes)
    if options.json:
        report = {"run": str(options.run_path), "trained": is_trained(network), "images": result.images}
        report |= {"weights": weights} if weights else {}
        print_json({**report, **result.row(), "classes": classes})
    else:
        _print_scores(result, classes, weights, trained=is_trained(network))
    assert isinstance(confusion, ConfusionRow)
    plot_confusion(confusion, plot, title=network.name)
    if not options.json:
        print_line()
        print_line(f"drawn: {plot}")
    return report_skipped(failures)


def _print_targets(options: argparse.Namespace, result: Any, network: Any, weights: str) -> None:
    """Print the scores of a network that gives labels or values, and those of each of them."""
    from prepixel.runs.train_classifier import target_rows

    rows = {row.name: row.value for row in target_rows(options.run_path.stem, result, network.classes, 0.0, 0)}
    if options.json:
        report = {"run": str(options.run_path), "images": result.images, "weights": weights}
        print_json({**report, **result.row(), "targets": rows})
        return
    print_pairs([("weights", weights), ("images", str(result.images))])
    print_pairs([(name, format_score(name, value)) for name, value in (result.row() | rows).items()])


def _print_scores(result: Any, classes: Any, weights: str, *, trained: bool) -> None:
    from prepixel.cli.open_network import UNTRAINED

    pairs = [] if trained else [("note", UNTRAINED)]
    pairs += [("weights", weights)] if weights else []
    pairs += [("images", str(result.images))]
    pairs += [(name, format_score(name, value)) for name, value in result.row().items()]
    print_pairs(pairs)
    print_line()
    names = ("class", "images", "recall", "precision")
    shown = [row for row in classes if row["images"] or not math.isnan(row["precision"])]
    print_table(names, [[format_cell(row[name]) for name in names] for row in shown])
    if len(shown) < len(classes):
        print_line(f"not shown: {len(classes) - len(shown):,} classes without images and without answers")


def _plot_name(data: Path | None) -> str:
    return "confusion.png" if data is None else f"confusion-{data.resolve().name}.png"


def format_score(name: str, value: float) -> str:
    """Format a score: accuracies as percentages."""
    return percent(value, 2) if name.startswith("top") else f"{value:.4f}"


def format_cell(value: str | int | float) -> str:
    """Format a cell: shares as percentages, a dash for what is undefined."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else percent(value)
    return str(value)
