"""The command `pack`: write a data set's coefficients to shards."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from prepixel.cli.console import size_bytes
from prepixel.cli.distributed_job import is_distributed, run_distributed, unit_options
from prepixel.cli.estimated_job import duration_and_rate, earlier, failed, run_estimated, sizes
from prepixel.cli.option_types import integer, location, output_location, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_bands, add_distribution, add_dry_run, add_json, add_threads
from prepixel.stores.remote_path import is_url

SUMMARY = "pack a data set's coefficients into shards that load faster than JPEGs"
ABOUT = """\
Write the chosen quantized coefficients of a folder of JPEGs, or of tar files
of JPEGs, to tar shards that any tool opens; name their folder as data.train
in a recipe. Size and duration are first estimated from a sample. Every image
is read back. The same command resumes a run that was stopped and ends with
the same bytes. Images that cannot be packed are listed, and the exit status
is then 1."""
EXAMPLE = "prepixel pack photos/train shards/train --bands S-24"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `pack`."""
    parser.add_argument(
        "source", type=location, metavar="SOURCE", help="a folder of images or of tar files, or a tar file, or its URL"
    )
    parser.add_argument(
        "target", type=output_location, metavar="DEST", help="a new folder, or one to resume, or its URL"
    )
    add_bands(parser, "all")
    parser.add_argument(
        "--compression", choices=("zstd", "none"), default="zstd", help="compression of each image (default: zstd)"
    )
    parser.add_argument("--level", type=integer(1, 19), default=1, metavar="N", help="zstd level, 1 to 19 (default: 1)")
    parser.add_argument(
        "--shard-size", type=integer(1, 1_000_000), default=1000, metavar="N", help="images per shard (default: 1000)"
    )
    parser.add_argument("--classes", type=path, metavar="FILE", help="class names in label order, one per line")
    parser.add_argument(
        "--annotations", type=path, metavar="FILE", help="COCO .json file of the images of SOURCE, for detection"
    )
    parser.add_argument(
        "--listing",
        type=location,
        metavar="FILE",
        help="of a SOURCE in a store: save its listing here, or read it if it is there",
    )
    parser.add_argument(
        "--shuffle",
        type=integer(0, 2**64 - 1),
        metavar="SEED",
        help="pack in random order, for training that shuffles by blocks of shards (data.shuffle_block)",
    )
    parser.add_argument("--append", action="store_true", help="add another source to what the folder holds")
    parser.add_argument(
        "--on-error",
        choices=("store", "skip", "stop"),
        default="store",
        help="images without YCbCr coefficients: store their files unchanged, skip them, or stop; damaged files are "
        "skipped by both store and skip (default: store)",
    )
    add_dry_run(parser)
    add_distribution(parser)
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Pack a folder, or tar files, into shards."""
    from prepixel.data.jobs.pack_dataset import estimate_packing, pack_source
    from prepixel.data.jobs.pack_options import PackOptions
    from prepixel.data.jobs.pack_sources import open_coco, open_source, shuffle_source
    from prepixel.data.jobs.pack_units import pack_units
    from prepixel.spectrum import BandSet

    distributed = is_distributed(options) or is_url(options.target)  # stores cannot append to a journal
    settings = PackOptions(
        bands=None if options.bands == "all" else BandSet.parse(options.bands),
        compression=options.compression,
        level=options.level,
        shard_size=options.shard_size,
        on_error=options.on_error,
    )
    if options.annotations is None:
        source = open_source(options.source, class_names=options.classes, listing=options.listing)
    elif options.listing is not None:
        raise UsageError("--annotations and --listing: the annotations list the images; leave --listing out")
    elif options.classes is None:
        source = open_coco(options.annotations, options.source)
    else:
        raise UsageError("--annotations and --classes: images with objects have no class; give one of the two")
    if options.shuffle is not None:
        source = shuffle_source(source, options.shuffle)
    if distributed and not options.dry_run:
        return run_distributed(
            options,
            lambda progress: pack_units(
                source, options.target, settings, append=options.append, progress=progress, **unit_options(options)
            ),
            target=options.target,
            progress_name="packing",
            describe=lambda report: describe_packing(report, source.other_members),
            values={"other_members": source.other_members},
        )
    estimate = estimate_packing(source, options.target, settings, append=options.append, threads=options.threads)
    return run_estimated(
        options,
        estimate,
        lambda progress: pack_source(
            source, options.target, settings, append=options.append, threads=options.threads, progress=progress
        ),
        progress_name="packing",
        done="packed",
        describe=lambda report: describe_packing(report, source.other_members),
        values={"other_members": source.other_members},
    )


def describe_packing(report: Any, other_members: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return a `PackReport` as pairs of name and text."""
    pairs = [
        ("packed", f"{report.num_packed:,} of {report.num_samples:,} images, each read back{earlier(report)}"),
        ("sizes", sizes(report)),
        ("shards", f"{report.num_shards:,}, {size_bytes(report.bytes_on_disk)} with labels and metadata"),
        ("stored", f"{report.num_stored:,} without YCbCr coefficients, unchanged"),
        ("left out", failed(report)),
        ("duration", duration_and_rate(report)),
    ]
    pairs = pairs if report.num_stored else [pair for pair in pairs if pair[0] != "stored"]
    if other_members:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(other_members.items()))
        pairs.insert(
            -1, ("other members", f"{sum(other_members.values()):,} of the tar files are not packed ({kinds})")
        )
    return pairs
