"""The command `synthesize`: write the embedded data set."""

from __future__ import annotations

import argparse

from prepixel.cli.console import print_line, progress_bar
from prepixel.cli.option_types import MAX_SEED, integer, output_folder
from prepixel.cli.shared_options import add_threads

SUMMARY = "write the embedded data set: ten classes of JPEG files"
ABOUT = """\
Write the embedded data set: images of ten classes as JPEG files of many
kinds. Four classes differ only in a fine texture, which a small resize
destroys. A complete data set is left as it is."""
EXAMPLE = "prepixel synthesize runs/data --train 60 --val 20"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `synthesize`."""
    count = integer(1, 1_000_000)
    parser.add_argument("folder", type=output_folder, metavar="FOLDER", help="gets train/CLASS and val/CLASS")
    parser.add_argument("--train", type=count, default=60, metavar="N", help="training images per class (default: 60)")
    parser.add_argument("--val", type=count, default=20, metavar="N", help="validation images per class (default: 20)")
    parser.add_argument(
        "--seed", type=integer(0, MAX_SEED), default=0, metavar="S", help="seed of all random choices (default: 0)"
    )
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Write the embedded data set."""
    from prepixel.data import write_synthetic

    with progress_bar("drawing") as progress:
        folders = write_synthetic(
            options.folder,
            num_train_per_class=options.train,
            num_val_per_class=options.val,
            seed=options.seed,
            threads=options.threads,
            progress=progress,
        )
    counts = f"{10 * options.train} and {10 * options.val} images of 10 classes"
    print_line(f"{folders[0]} and {folders[1].name}: {counts}")
    return 0
