"""The verb thin: smaller JPEGs of chosen frequencies, file by file or by folders."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from prepixel.cli.printing import percent, print_pairs, progress_bar, size_bytes
from prepixel.errors import RecipeError


def thin(options: argparse.Namespace) -> int:
    """Thin one file, or a folder into another."""
    from prepixel.data.thinning import ThinOptions, forecast_thinning, thin_folder
    from prepixel.spectrum import BandSet

    _check(options)
    asked = ThinOptions(
        bands=BandSet.parse(options.bands),
        restart_interval=options.restart,
        restart_rows=options.restart_rows,
        metadata="none" if options.strip else "all",
        others=options.others,
        on_bad=options.bad,
    )
    if not options.source.is_dir():
        return _thin_file(options, asked)
    forecast = forecast_thinning(options.source, options.target, asked, threads=options.threads)
    if options.forecast_only and options.json:
        print(json.dumps({"forecast": dataclasses.asdict(forecast)}))
    if not options.json:
        print_pairs(foretold(forecast, "thinned"))
    if options.forecast_only:
        return 0
    with progress_bar("thinning") as progress:
        report = thin_folder(options.source, options.target, asked, threads=options.threads, progress=progress)
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
    if options.restart is not None and not 0 <= options.restart <= 65535:
        raise RecipeError(f"--restart {options.restart}: give 0 to 65535 MCUs; 0 for no restart markers")
    if not 0 <= options.restart_rows <= 8:  # the widest image has 8192 MCUs across
        raise RecipeError(f"--restart-rows {options.restart_rows}: give 0 to 8 rows of MCUs")
    if options.restart is not None and options.restart_rows:
        raise RecipeError("--restart and --restart-rows are two ways to say the same; give one")


def _thin_file(options: argparse.Namespace, asked: Any) -> int:
    from prepixel.errors import JpegError
    from prepixel.jpeg import Limits
    from prepixel.jpeg.writing import replace_file

    contents = options.source.read_bytes()
    target = options.target / options.source.name if options.target.is_dir() else options.target
    if target.exists() and target.samefile(options.source):
        raise RecipeError(f"{target}: is the source itself; name another file to write")
    try:
        thinned = asked.thin(contents, Limits())
    except JpegError as error:
        error.source = str(options.source)
        raise
    told = {"bytes_before": len(contents), "bytes_after": len(thinned), "ratio": len(thinned) / len(contents)}
    if not options.forecast_only:
        replace_file(target, thinned)
    if options.json:
        print(json.dumps({"forecast" if options.forecast_only else "report": told}))
        return 0
    would = "would be " if options.forecast_only else ""
    print(f"{target}: {would}{size_bytes(len(thinned))}, {percent(told['ratio'])} of {size_bytes(len(contents))}")
    return 0


def foretold(forecast: Any, done: str) -> list[tuple[str, str]]:
    """Say what a `Forecast` says."""
    finished = f", {forecast.num_finished:,} of them finished earlier" if forecast.num_finished else ""
    pairs = [("files", f"{forecast.num_files:,} ({size_bytes(forecast.num_bytes)} of JPEGs){finished}")]
    if not forecast.num_sampled:
        return [*pairs, ("forecast", f"no JPEG left that can be {done}")]
    after = round(forecast.ratio * forecast.num_bytes_left)
    share = f"{percent(forecast.ratio)} +- {percent(forecast.ratio_error)}"
    sizes = f"{size_bytes(forecast.num_bytes_left)} become about {size_bytes(after)} ({share})"
    sample = f"from {forecast.num_sampled} files, writing not counted"
    return [*pairs, ("forecast", sizes), ("duration", f"about {duration(forecast.seconds)} ({sample})")]


def _reported(report: Any) -> list[tuple[str, str]]:
    earlier = f" ({report.num_earlier:,} by an earlier run)" if report.num_earlier else ""
    sizes = f"{size_bytes(report.bytes_before)} became {size_bytes(report.bytes_after)} ({percent(report.ratio)})"
    others = f"{report.num_copied:,} copied, {report.num_skipped:,} skipped"
    pairs = [
        ("thinned", f"{report.num_thinned:,} of {report.num_files:,} files, each read back{earlier}"),
        ("sizes", sizes),
        ("no JPEGs", others),
        ("not thinned", f"{len(report.bad):,}, listed below" if report.bad else "none"),
        ("duration", f"{duration(report.seconds)}, {report.images_per_second:,.0f} images/s"),
    ]
    return pairs if report.num_copied or report.num_skipped else [pair for pair in pairs if pair[0] != "no JPEGs"]


def duration(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
