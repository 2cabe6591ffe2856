"""The verb pack: a data set's coefficients in shards."""

from __future__ import annotations

import argparse
from typing import Any

from prepixel.cli.console import size_bytes
from prepixel.cli.estimate import check_threads, earlier, left_out, pace, run_estimated, sizes
from prepixel.errors import RecipeError


def pack(options: argparse.Namespace) -> int:
    """Pack a folder, or tar files, into shards."""
    from prepixel.data.jobs.pack_dataset import estimate_packing, pack_source
    from prepixel.data.jobs.pack_options import PackOptions
    from prepixel.data.jobs.pack_sources import open_coco, open_source
    from prepixel.spectrum import BandSet

    _check(options)
    asked = PackOptions(
        bands=None if options.bands == "all" else BandSet.parse(options.bands),
        compression=options.compression,
        level=options.level,
        shard_size=options.shard_size,
        on_error=options.on_error,
    )
    if options.annotations is None:
        source = open_source(options.source, class_names=options.classes)
    elif options.classes is None:
        source = open_coco(options.annotations, options.source)
    else:
        raise RecipeError("--annotations and --classes: photos with objects have no class; leave one out")
    estimate = estimate_packing(source, options.target, asked, append=options.append, threads=options.threads)
    return run_estimated(
        options,
        estimate,
        lambda progress: pack_source(
            source, options.target, asked, append=options.append, threads=options.threads, progress=progress
        ),
        verbs=("packing", "packed"),
        reported=_reported,
    )


def _check(options: argparse.Namespace) -> None:
    check_threads(options.threads)
    if not 1 <= options.level <= 19:
        raise RecipeError(f"--level {options.level}: zstd has 1 to 19")
    if not 1 <= options.shard_size <= 1_000_000:
        raise RecipeError(f"--shard-size {options.shard_size}: give 1 to 1,000,000 images")


def _reported(report: Any) -> list[tuple[str, str]]:
    pairs = [
        ("packed", f"{report.num_packed:,} of {report.num_samples:,} images, each read back{earlier(report)}"),
        ("sizes", sizes(report)),
        ("shards", f"{report.num_shards:,}, {size_bytes(report.bytes_on_disk)} with labels and metadata"),
        ("stored", f"{report.num_stored:,} without YCbCr coefficients, as they are"),
        ("left out", left_out(report)),
        ("duration", pace(report)),
    ]
    return pairs if report.num_stored else [pair for pair in pairs if pair[0] != "stored"]
