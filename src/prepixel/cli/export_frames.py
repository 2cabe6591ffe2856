"""Export runs of segmenters and detectors, whose graphs are of a frame: their part of `export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prepixel.cli.console import print_json, print_pairs
from prepixel.cli.parser import UsageError
from prepixel.models.pyramid import FRAME_MULTIPLE

_COMPARED = 8  # validation photos that a detector's graph is compared on


def export_frames(options: argparse.Namespace, *, detector: bool) -> int:
    """Export a segmenter's or a detector's run."""
    given = {
        "--quantize": options.quantize is not None,
        "--dynamic-grid": options.dynamic_grid,
        "--softmax": options.softmax,
        "--encoding": options.encoding is not None,
        "--build": options.build is not None,
        "--grid": options.grid is not None and not detector,
        "--format": options.format != "onnx" and detector,
    }
    if wrong := [name for name, is_given in given.items() if is_given]:
        kind = "detector" if detector else "segmenter"
        raise UsageError(f"{options.model}: is a {kind}'s run, which is exported without {', '.join(wrong)}")
    if options.weights not in {None, "best", "last"}:
        raise UsageError(f"--weights: {options.weights} is no checkpoint of a run; give best or last")
    return _export_detector(options) if detector else _export_segmenter(options)


def _export_segmenter(options: argparse.Namespace) -> int:
    from prepixel.errors import ModelError
    from prepixel.export import export_segmenter
    from prepixel.runs import load_segmenter

    trained = load_segmenter(options.model, weights=options.weights or "best", device="cpu")
    if trained.recipe.input.grid is None:
        raise ModelError(f"{options.model}: takes RGB pixels, and what is exported takes coefficients")
    result = export_segmenter(
        trained.network,
        options.output,
        classes=trained.classes,
        grid=trained.recipe.input.grid,
        filter=trained.recipe.input.filter,
        format=options.format,
        opset=options.opset,
        tolerance=options.tolerance,
    )
    difference = f"{result.comparison.difference:.1e} of the largest logit at most"
    _print_result(options, result, f"{result.manifest.num_classes} logits for each pixel", difference)
    return 0


def _export_detector(options: argparse.Namespace) -> int:
    from prepixel.errors import ModelError
    from prepixel.export import export_detector
    from prepixel.runs import load_detector

    trained = load_detector(options.model, weights=options.weights or "best", device="cpu")
    settings = trained.recipe.input
    if settings.bands is None:
        raise ModelError(f"{options.model}: takes RGB pixels, and what is exported takes coefficients")
    side = square_side(settings.min_sizes[-1], settings.max_size) // settings.pixels_per_block
    photos: list[str] = []
    if trained.recipe.data.val is not None:
        photos = [one.path for one in trained.photos_and_loader()[0].samples[:_COMPARED]]
    result, comparison = export_detector(
        trained.network,
        options.output,
        classes=trained.classes,
        grid=(side, side) if options.grid is None else (options.grid[0], options.grid[1]),
        name=trained.name,
        filter=settings.filter,
        photos=photos,
        opset=options.opset,
        tolerance=options.tolerance,
    )
    difference = (
        f"{comparison.box_difference:.1e} pixels, scores by {comparison.score_difference:.1e} at most, "
        f"of {comparison.num_objects} objects"
    )
    _print_result(options, result, "boxes, labels and scores" + ", masks" * result.manifest.masks, difference)
    return 0


def square_side(min_size: int, max_size: int) -> int:
    """Return the side in pixels of a square frame in which a photo of 4:3 is about as large as in evaluation."""
    wanted = min(max_size, min_size * 4 / 3)
    return max(1, round(wanted / FRAME_MULTIPLE)) * FRAME_MULTIPLE


def _print_result(options: argparse.Namespace, result: Any, output: str, difference: str) -> None:
    """Print what was written, and how far the graph is from the network."""
    manifest, comparison = result.manifest, result.comparison
    given, graph = manifest.input, manifest.graph
    if options.json:
        print_json(
            {
                "folder": str(result.folder),
                "size_bytes": result.size_bytes,
                "task": manifest.task,
                "format": graph.format,
                "frame": manifest.frame,
                "comparison": comparison,
                "tolerance": options.tolerance,
            }
        )
        return
    frame = f"a frame of {manifest.frame[0]} x {manifest.frame[1]} pixels"
    opset = f", opset {graph.opset}" if graph.opset else ""
    print_pairs(
        [
            ("written", f"{Path(result.folder)} ({result.size_bytes / 1e6:.1f} MB)"),
            ("graph", f"{graph.format}{opset}"),
            ("input", f"{given.bands} on {given.grid[0]} x {given.grid[1]} blocks, {given.dtype}: {frame}"),
            ("output", output),
            ("difference", f"{difference}, on {comparison.num_images} images in {comparison.engine}"),
            ("allowed", f"{options.tolerance:.0e}"),
        ]
    )
