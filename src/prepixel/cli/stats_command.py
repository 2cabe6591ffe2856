"""The command `stats`: measure the statistics of frequency channels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prepixel.cli.console import print_line, progress_bar, progress_lines
from prepixel.cli.distributed_job import is_distributed, print_part, records_of, unit_options
from prepixel.cli.option_types import integer, location, number, output_file
from prepixel.cli.shared_options import MAX_IMAGES, add_bands, add_distribution, add_threads, pair
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION
from prepixel.stores.remote_path import AnyPath

SUMMARY = "measure the mean and spread of each frequency channel"
ABOUT = """\
Measure each frequency channel's mean, spread and extremes over the centered
crops of a data set. Training does this itself; a file serves several runs
(recipe key input.statistics)."""
EXAMPLE = "prepixel stats photos/train --grid 28 28 --bands 192 --output statistics.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stats`."""
    parser.add_argument("folder", type=location, metavar="FOLDER", help="images, at any depth, or shards")
    parser.add_argument(
        "--grid",
        type=integer(1, 1024),
        nargs="+",
        required=True,
        metavar="N",
        help="blocks per side, or down and across",
    )
    add_bands(parser, "192", ", which serves every other")
    parser.add_argument(
        "--crop-fraction",
        type=number(0.0, 1.0, exclusive=True),
        default=PUBLISHED_CENTER_FRACTION,
        metavar="X",
        help="crop side as a share of the shorter side (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=integer(1, MAX_IMAGES), metavar="N", help="at most N images, evenly spaced (default: all)"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be read")
    parser.add_argument(
        "-o", "--output", type=output_file(".json"), required=True, metavar="FILE", help="the .json file to write"
    )
    add_distribution(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Measure the channels of a data set and write their statistics."""
    from prepixel.data.loading.statistics_units import StatisticsSettings, measure_units
    from prepixel.data.units import remove_records
    from prepixel.spectrum import BandSet

    distributed = is_distributed(options)
    settings = StatisticsSettings(
        pair("--grid", options.grid),
        BandSet.parse(options.bands),
        options.crop_fraction,
        "skip" if options.skip_bad else "raise",
    )
    files = open_images_of(options.folder)
    records = records_of(options.output) if distributed else None
    with progress_bar("measuring") if records is None else progress_lines("measuring") as progress:
        statistics = measure_units(
            files,
            settings,
            max_images=options.images,
            records=records,
            progress=progress,
            **unit_options(options),
        )
    if statistics is None:
        return print_part(options, options.output)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    statistics.write(options.output)
    if records is not None:
        remove_records(records)
    return print_statistics(statistics, options.output, min(len(files), options.images or len(files)))


def open_images_of(folder: AnyPath) -> Any:
    """Open a data set of any layout; images without classes, too, since their classes are not asked for."""
    from prepixel.data import open_dataset
    from prepixel.data.datasets.folder import holds_images_only, unlabeled_folder

    return unlabeled_folder(folder) if holds_images_only(folder) else open_dataset(folder)


def print_statistics(statistics: Any, output: Path, num_asked: int) -> int:
    """Print what was measured; return the exit status: 1 if files were left out, else 0."""
    left_out = num_asked - statistics.num_images
    note = f", {left_out} unreadable images left out" if left_out else ""
    print_line(f"{output}: {len(statistics.bands)} channels over {statistics.num_images} images{note}")
    return 1 if left_out else 0
