"""The verb thin: smaller JPEGs of chosen frequencies, file by file or by folders."""

from __future__ import annotations

import argparse
import json
from typing import Any

from prepixel.cli.console import percent, size_bytes
from prepixel.cli.estimate import check_threads, earlier, left_out, pace, run_estimated, sizes
from prepixel.errors import RecipeError


def thin(options: argparse.Namespace) -> int:
    """Thin one file, or a folder into another."""
    from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder, estimate_bandlimiting
    from prepixel.spectrum import BandSet

    _check(options)
    asked = BandlimitOptions(
        bands=BandSet.parse(options.bands),
        restart_interval=options.restart,
        restart_rows=options.restart_rows,
        metadata="none" if options.strip else "all",
        others=options.others,
        on_bad=options.bad,
    )
    if not options.source.is_dir():
        return _bandlimit_file(options, asked)
    estimate = estimate_bandlimiting(options.source, options.target, asked, threads=options.threads)
    return run_estimated(
        options,
        estimate,
        lambda progress: bandlimit_folder(
            options.source, options.target, asked, threads=options.threads, progress=progress
        ),
        verbs=("thinning", "thinned"),
        reported=_reported,
    )


def _check(options: argparse.Namespace) -> None:
    check_threads(options.threads)
    if options.restart is not None and not 0 <= options.restart <= 65535:
        raise RecipeError(f"--restart {options.restart}: give 0 to 65535 MCUs; 0 for no restart markers")
    if not 0 <= options.restart_rows <= 8:  # the widest image has 8192 MCUs across
        raise RecipeError(f"--restart-rows {options.restart_rows}: give 0 to 8 rows of MCUs")
    if options.restart is not None and options.restart_rows:
        raise RecipeError("--restart and --restart-rows are two ways to say the same; give one")


def _bandlimit_file(options: argparse.Namespace, asked: Any) -> int:
    from prepixel.errors import JpegError
    from prepixel.files import replace_file
    from prepixel.jpeg import Limits

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
    if not options.dry_run:
        replace_file(target, thinned)
    if options.json:
        print(json.dumps({"estimate" if options.dry_run else "report": told}))
        return 0
    would = "would be " if options.dry_run else ""
    print(f"{target}: {would}{size_bytes(len(thinned))}, {percent(told['ratio'])} of {size_bytes(len(contents))}")
    return 0


def _reported(report: Any) -> list[tuple[str, str]]:
    pairs = [
        ("thinned", f"{report.num_thinned:,} of {report.num_files:,} files, each read back{earlier(report)}"),
        ("sizes", sizes(report)),
        ("no JPEGs", f"{report.num_copied:,} copied, {report.num_skipped:,} skipped"),
        ("not thinned", left_out(report)),
        ("duration", pace(report)),
    ]
    return pairs if report.num_copied or report.num_skipped else [pair for pair in pairs if pair[0] != "no JPEGs"]
