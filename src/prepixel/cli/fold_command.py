"""The command `fold`: turn a pixel network into one on coefficients."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prepixel.cli.console import print_line, print_pairs
from prepixel.cli.option_types import integer, network_name, number, output_file, path, shorten, words
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_bands, add_build, add_overwrite, check_new, pair
from prepixel.files import read_regular_file
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION

_MAX_CLASSES_BYTES = 1 << 28

SUMMARY = "turn a pretrained RGB network into one on coefficients, without training"
ABOUT = """\
Turn an RGB network into the same network on JPEG coefficients, in closed
form, without training. The file holds all that evaluate and predict need.

NETWORK is efficientnet_lite0 (with its ImageNet weights), a network of
torchvision, timm:NAME or timm:NAME.TAG (with the tag's weights), your own as
FILE.py:FUNCTION, or the folder of a run on pixels. For a network by name,
choose its weights: DEFAULT for those that its library downloads, a FILE with
its state_dict, or none for random ones; an untrained network says so in
every answer."""
EXAMPLE = "prepixel fold efficientnet_lite0 --bands S-24 -o lite0.pt"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fold`."""
    parser.add_argument(
        "network", type=network_name, metavar="NETWORK", help="name of the RGB network, or a run's folder"
    )
    parser.add_argument("--weights", type=words, metavar="WEIGHTS", help="DEFAULT, a FILE, or none; see above")
    add_bands(parser, "S-24")
    parser.add_argument(
        "--pixels",
        type=integer(1, 8192),
        nargs="+",
        metavar="N",
        help="input side, or height and width (default: the network's own)",
    )
    parser.add_argument(
        "--grid",
        type=integer(1, 1024),
        nargs="+",
        metavar="N",
        help="blocks per side, or down and across (default: of twice the pixels)",
    )
    parser.add_argument(
        "--mean", type=number(0.0, 1.0), nargs=3, metavar=("R", "G", "B"), help="subtracted, as fractions of 255"
    )
    parser.add_argument(
        "--std",
        type=number(0.0, 1.0, exclusive=True),
        nargs=3,
        metavar=("R", "G", "B"),
        help="divided by, as fractions of 255 (default of both: the library's)",
    )
    parser.add_argument(
        "--reduction", choices=("dct", "box"), default="dct", help="from image samples to pixels (default: dct)"
    )
    parser.add_argument(
        "--form", choices=("auto", "composed", "factored"), default="auto", help="first layer (default: the cheaper)"
    )
    parser.add_argument("--classes", type=path, metavar="FILE", help="class names, one per line, or a .json list")
    parser.add_argument(
        "--crop-fraction",
        type=number(0.0, 1.0, exclusive=True),
        default=PUBLISHED_CENTER_FRACTION,
        metavar="X",
        help="crop side as a share of the shorter side (default: %(default)s)",
    )
    parser.add_argument(
        "--filter", choices=("bilinear", "bicubic"), default="bilinear", help="of the resize (default: bilinear)"
    )
    parser.add_argument("-o", "--output", type=output_file(), required=True, metavar="FILE", help="the file to write")
    add_build(parser)
    add_overwrite(parser)


def run(options: argparse.Namespace) -> int:
    """Fold a pixel network into a network on coefficients, and write it to a file."""
    from prepixel.runs import write_folded

    options.pixels = None if options.pixels is None else pair("--pixels", options.pixels)
    options.grid = None if options.grid is None else pair("--grid", options.grid)
    check_new(options)
    started = time.perf_counter()
    classifier = _fold_run(options) if Path(options.network).is_dir() else _fold_named(options)
    elapsed = time.perf_counter() - started
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_folded(classifier, options.output)
    network, settings = classifier.network, classifier.network.settings
    values = settings.bands.num_values(settings.grid)
    cost = network.cost
    other = "composed" if settings.form == "factored" else "factored"
    pixels = f"{settings.pixels[0]} x {settings.pixels[1]} pixels, {3 * math.prod(settings.pixels):,} values"
    costs = [
        (f"if {other}", f"{getattr(cost, other) / 1e6:.1f} million"),
        ("on pixels", f"{cost.pixels / 1e6:.1f} million"),
    ]
    print_pairs(
        [
            ("written", f"{options.output} ({options.output.stat().st_size / 1e6:.1f} MB), folded in {elapsed:.1f} s"),
            ("input", f"{settings.bands} on {settings.grid[0]} x {settings.grid[1]} blocks, {values:,} values"),
            ("replaces", pixels),
            ("classes", _describe_classes(classifier.classes)),
            ("first layer", f"{settings.form}: {getattr(cost, settings.form) / 1e6:.1f} million multiply-adds"),
            *(costs if cost.pixels else []),
        ]
    )
    _print_if_untrained(classifier)
    return 0


def _describe_classes(names: Sequence[str]) -> str:
    if all(name.isdecimal() for name in names):
        return f"{len(names):,}, numbered; name them by --classes FILE"
    shown = [shorten(name, 30) for name in names]
    shown = shown if len(shown) <= 4 else [*shown[:3], "...", shown[-1]]
    return f"{len(names):,}: {', '.join(shown)}"


def _print_if_untrained(classifier: Any) -> None:
    from prepixel.cli.open_network import UNTRAINED, is_trained

    if not is_trained(classifier):
        print_line()
        print_line(f"note: {UNTRAINED}")


def _fold_run(options: argparse.Namespace) -> Any:
    from prepixel.cli.own_network import allow_network_of_run
    from prepixel.runs import fold_run

    allow_network_of_run(options.build, Path(options.network))
    for name in ("weights", "pixels", "mean", "std", "classes"):
        if getattr(options, name) is not None:
            raise UsageError(f"{options.network} is a run's folder, which states its own {name}; leave out --{name}")
    return fold_run(options.network, grid=options.grid, **_fold_options(options))


def _fold_named(options: argparse.Namespace) -> Any:
    from prepixel.models import import_build_function
    from prepixel.runs import fold_pixel_model

    if options.build is not None:
        raise UsageError(f"--build is for runs; name your own code as the network: prepixel fold {options.build}")
    own = ".py:" in options.network  # typed by the user of this process
    return fold_pixel_model(
        options.network,
        build=import_build_function(options.network) if own else None,
        weights=options.weights,
        classes=None if options.classes is None else _class_names(options.classes),
        crop=options.crop_fraction,
        filter=options.filter,
        mean=options.mean,
        std=options.std,
        pixels=options.pixels,
        grid=options.grid,
        **_fold_options(options),
    )


def _fold_options(options: argparse.Namespace) -> dict[str, Any]:
    return {"bands": options.bands, "reduction": options.reduction, "form": options.form}


def _class_names(file: Path) -> list[str]:
    if file.suffix != ".json":
        from prepixel.data.datasets.text_formats import read_class_names

        return list(read_class_names(file) or ())
    try:
        names = json.loads(read_regular_file(file, _MAX_CLASSES_BYTES).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}, byte {error.start}: not UTF-8; save the class names as UTF-8") from error
    except ValueError as error:
        raise UsageError(f"{file}: not JSON ({error}); give a list of names") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{file}: holds no list of texts; give the class names in label order")
    return names
