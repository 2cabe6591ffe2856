"""The command `export`: write a network as a graph that runs without torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prepixel.cli.console import UNTRAINED, percent, print_json, print_line, print_pairs
from prepixel.cli.option_types import integer, network_name, number, output_folder, path, words
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_bands, add_build, add_json, add_overwrite, add_threads, check_new

SUMMARY = "write a network as a graph that runs without torch"
ABOUT = """\
Write a network on coefficients as a graph for ONNX Runtime, OpenVINO or
torch.export, with the names of its classes and a manifest that says how
photos become its input. The graph is compared with the network before
anything is written. predict and serve take the folder, and need no torch
for it: pip install 'prepixel[runtime]'.

MODEL is a run's folder, a folded network's file, or the name of an RGB
network, which is folded first, as fold does. A segmenter's run is exported
for its frame; a detector's (Faster or Mask R-CNN) for one photo at a time in
a frame of one size, and is compared on its recipe's validation photos.

--quantize FOLDER writes int8 weights, with activations measured on the
photos of FOLDER."""
EXAMPLE = "prepixel export lite0.pt -o exported/lite0"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    parser.add_argument(
        "model", type=network_name, metavar="MODEL", help="a run's folder, a folded file, or a network's name"
    )
    parser.add_argument(
        "-o", "--output", type=output_folder, required=True, metavar="FOLDER", help="the folder to write"
    )
    parser.add_argument(
        "--format", choices=("onnx", "openvino", "torch"), default="onnx", help="of the graph (default: onnx)"
    )
    parser.add_argument(
        "--weights", type=words, metavar="WEIGHTS", help="of a run: best or last; of a name: DEFAULT, a FILE, or none"
    )
    add_bands(parser, "S-24", "; of a network by name")
    parser.add_argument(
        "--encoding",
        choices=("float32", "int8"),
        help="of the values that the graph takes (default: a run's own, float32 for folded networks)",
    )
    parser.add_argument("--softmax", action="store_true", help="let the graph give probabilities instead of logits")
    parser.add_argument(
        "--opset", type=integer(18, 30), default=18, metavar="N", help="version of ONNX operators (default: 18)"
    )
    parser.add_argument(
        "--tolerance",
        type=number(0.0, 1.0, exclusive=True),
        default=1e-4,
        metavar="X",
        help="largest difference from the network, as a share of the largest logit (default: 1e-4)",
    )
    parser.add_argument(
        "--dynamic-grid", action="store_true", help="let the graph take other grids, too; it is compared on two others"
    )
    parser.add_argument("--quantize", type=path, metavar="FOLDER", help="quantize to int8, calibrated on these photos")
    parser.add_argument(
        "--photos", type=integer(1, 1_000_000), default=200, metavar="N", help="to calibrate on (default: 200)"
    )
    parser.add_argument(
        "--min-agreement",
        type=number(0.0, 1.0),
        default=0.9,
        metavar="X",
        help="quantized: least share of these photos with the same top class (default: 0.9)",
    )
    parser.add_argument(
        "--grid",
        type=integer(1, 10_000),
        nargs=2,
        metavar=("H", "W"),
        help="detector: blocks of its frame (default: a square for photos of 4:3)",
    )
    add_overwrite(parser)
    add_build(parser)
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Export a network."""
    if options.quantize is not None and options.format != "onnx":
        raise UsageError(f"--quantize writes ONNX graphs only; leave out --format {options.format}")
    if options.quantize is not None and options.dynamic_grid:
        raise UsageError("--quantize measures one grid; leave out --dynamic-grid")
    if options.quantize is not None and not options.quantize.is_dir():
        raise UsageError(f"--quantize: {options.quantize} is no folder; name a folder of photos")
    check_new(options)
    from prepixel.export import export_classifier, export_quantized
    from prepixel.runs import is_detector, is_segmenter

    if is_detector(options.model) or is_segmenter(options.model):
        from prepixel.cli.export_frames import export_frames

        return export_frames(options, detector=is_detector(options.model))
    if options.grid is not None:
        raise UsageError(f"{options.model}: is no detector's run; leave out --grid")

    classifier = open_model(options)
    settings: dict[str, Any] = {
        "encoding": options.encoding,
        "output": "probabilities" if options.softmax else "logits",
        "opset": options.opset,
        "tolerance": options.tolerance,
    }
    check = None
    if options.quantize is None:
        result = export_classifier(
            classifier, options.output, format=options.format, dynamic_grid=options.dynamic_grid, **settings
        )
    else:
        result, check = export_quantized(
            classifier,
            options.output,
            options.quantize,
            max_photos=options.photos,
            min_agreement=options.min_agreement,
            threads=options.threads,
            **settings,
        )
    if options.json:
        print_json(
            {
                "folder": str(result.folder),
                "size_bytes": result.size_bytes,
                "format": options.format,
                "comparison": result.comparison,
                "tolerance": options.tolerance,
                "quantized": check,
                "trained": result.manifest.trained,
            }
        )
    else:
        _print_result(result, check, options.tolerance)
    return 0


def open_model(options: argparse.Namespace) -> Any:
    """Open what `export` was given: a run, a folded file, or a network by name, folded.

    Raises:
        UsageError: an option does not go with it.
        PrepixelError: it cannot be opened.
    """
    from prepixel.cli.own_network import allow_network_of_run
    from prepixel.models import import_build_function
    from prepixel.runs import fold_pixel_model, load_run, read_folded

    model, weights = Path(options.model), options.weights
    if model.is_dir():
        allow_network_of_run(options.build, model)
        if weights not in {None, "best", "last"}:
            raise UsageError(f"--weights: {weights} is no checkpoint of a run; give best or last")
        return load_run(model, weights=weights or "best", device="cpu")
    if model.is_file():
        if weights is not None:
            raise UsageError(f"{model}: a folded network's file holds its weights; leave out --weights")
        build = None if options.build is None else import_build_function(options.build)
        return read_folded(model, device="cpu", build=build)
    if options.build is not None:
        raise UsageError(f"--build is for runs and files; name your own code as the network: {options.build}")
    own = ".py:" in options.model
    return fold_pixel_model(
        options.model,
        weights=weights,
        build=import_build_function(options.model) if own else None,
        bands=options.bands,
    )


def _print_result(result: Any, check: Any, tolerance: float) -> None:
    manifest, comparison = result.manifest, result.comparison
    given, graph = manifest.input, manifest.graph
    opset = f", opset {graph.opset}" if graph.opset else ""
    grid = f"{given.grid[0]} x {given.grid[1]} blocks{' or others' if given.dynamic_grid else ''}"
    pairs = [
        ("written", f"{result.folder} ({result.size_bytes / 1e6:.1f} MB)"),
        ("graph", f"{graph.format}{opset}{f', {graph.quantized}' if graph.quantized else ''}"),
        ("input", f"{given.bands} on {grid}, {given.dtype}; batches of any size"),
        ("output", f"{manifest.num_classes:,} {manifest.output}"),
        (
            "difference",
            (
                f"{comparison.difference:.1e} of the largest logit at most, on {comparison.num_images} random images "
                f"in {comparison.engine}; allowed: {tolerance:.0e}"
            ),
        ),
    ]
    if check is not None:
        pairs.append(
            (
                "quantized",
                (
                    f"same top class on {percent(check.agreement)} of {check.num_photos} photos; probabilities differ "
                    f"by {check.probability_difference:.3f} at most, and by {check.divergence:.4f} nats on average"
                ),
            )
        )
    print_pairs(pairs)
    if not manifest.trained:
        print_line()
        print_line(f"note: {UNTRAINED}")
