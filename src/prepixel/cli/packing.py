"""The verb pack: a data set's coefficients in shards."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from prepixel.cli.printing import percent, print_pairs, progress_bar, size_bytes
from prepixel.cli.thinning import duration, foretold
from prepixel.errors import RecipeError


def pack(options: argparse.Namespace) -> int:
    """Pack a folder, or tar files, into shards."""
    from prepixel.data.pack_sources import open_coco, open_source
    from prepixel.data.packing import PackOptions, forecast_packing, pack_source
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
    forecast = forecast_packing(source, options.target, asked, append=options.append, threads=options.threads)
    if options.forecast_only and options.json:
        print(json.dumps({"forecast": dataclasses.asdict(forecast)}))
    if not options.json:
        print_pairs(foretold(forecast, "packed"))
    if options.forecast_only:
        return 0
    with progress_bar("packing") as progress:
        report = pack_source(
            source, options.target, asked, append=options.append, threads=options.threads, progress=progress
        )
    if options.json:
        told = dataclasses.asdict(report) | {"ratio": report.ratio, "images_per_second": report.images_per_second}
        print(json.dumps({"forecast": dataclasses.asdict(forecast), "report": told}, ensure_ascii=False))
        return 1 if report.bad else 0
    print()
    print_pairs(_reported(report))
    if report.bad:
        print()
        for file in report.bad:
            print(f"{file.kind}: {file.message}")
    return 1 if report.bad else 0


def _check(options: argparse.Namespace) -> None:
    if options.threads < 0:
        raise RecipeError(f"--threads {options.threads}: give how many, or 0 for one a core")
    if not 1 <= options.level <= 19:
        raise RecipeError(f"--level {options.level}: zstd has 1 to 19")
    if not 1 <= options.shard_size <= 1_000_000:
        raise RecipeError(f"--shard-size {options.shard_size}: give 1 to 1,000,000 images")


def _reported(report: Any) -> list[tuple[str, str]]:
    earlier = f" ({report.num_earlier:,} by an earlier run)" if report.num_earlier else ""
    sizes = f"{size_bytes(report.bytes_before)} became {size_bytes(report.bytes_after)} ({percent(report.ratio)})"
    pairs = [
        ("packed", f"{report.num_packed:,} of {report.num_samples:,} images, each read back{earlier}"),
        ("sizes", sizes),
        ("shards", f"{report.num_shards:,}, {size_bytes(report.bytes_on_disk)} with labels and metadata"),
        ("stored", f"{report.num_stored:,} without YCbCr coefficients, as they are"),
        ("left out", f"{len(report.bad):,}, listed below" if report.bad else "none"),
        ("duration", f"{duration(report.seconds)}, {report.images_per_second:,.0f} images/s"),
    ]
    return pairs if report.num_stored else [pair for pair in pairs if pair[0] != "stored"]
