"""The command `sensitivity`: measure which frequency channels a network needs."""

from __future__ import annotations

import argparse

from prepixel.cli.option_types import FIGURES, integer, output_file, path
from prepixel.cli.shared_options import MAX_IMAGES, add_build, add_checkpoint, add_device, add_threads, add_title

SUMMARY = "measure which frequency channels a network needs, without training"
ABOUT = """\
Remove a network's frequency channels one by one, and all but those of
published sets, and report what its answers lose. Draws a heat map and curves,
and writes the channels that mattered most as a band set. Folders named by the
network's classes (or WordNet ids) give accuracy; others, agreement with the
network that has all channels."""
EXAMPLE = "prepixel sensitivity lite0-192.pt photos/ --channels 24 -o bands.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sensitivity`."""
    images = integer(1, MAX_IMAGES)
    parser.add_argument(
        "run_path", type=path, metavar="RUN", help="a run's folder, or a folded file (fold it with --bands 192)"
    )
    parser.add_argument("folder", type=path, metavar="FOLDER", help="images, preferably one folder per class")
    parser.add_argument("--images", type=images, default=128, metavar="N", help="images to use (default: 128)")
    parser.add_argument(
        "--greedy-images",
        type=integer(0, MAX_IMAGES),
        default=32,
        metavar="N",
        help="images to choose the set by, 0 for none (default: 32)",
    )
    parser.add_argument(
        "--channels", type=integer(1, 192), default=24, metavar="K", help="channels of the band set (default: 24)"
    )
    add_checkpoint(parser)
    add_build(parser)
    parser.add_argument(
        "--plot", type=output_file(*FIGURES), metavar="FILE", help="the figure (default: beside the band set)"
    )
    parser.add_argument("--records", type=output_file(), metavar="FILE", help="append the results as JSON lines")
    add_title(parser)
    parser.add_argument(
        "-o", "--output", type=output_file(".json"), required=True, metavar="FILE", help="the band set's .json file"
    )
    add_device(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Measure which frequency channels a network needs."""
    from prepixel.cli.sensitivity_run import run_sensitivity

    return run_sensitivity(options)
