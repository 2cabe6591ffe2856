"""How the verbs that rewrite a whole data set run: a forecast, the work, a report, and what could not be done."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from prepixel.cli.console import duration, percent, print_pairs, progress_bar, size_bytes
from prepixel.errors import RecipeError


def run_foretold(
    options: argparse.Namespace,
    forecast: Any,
    work: Callable[[Callable[[int, int], None]], Any],
    *,
    verbs: tuple[str, str],
    reported: Callable[[Any], list[tuple[str, str]]],
) -> int:
    """Print a `Forecast`; unless that is all that is asked for, do the work and print its report.

    Args:
        options: of which ``forecast_only`` and ``json`` are looked at.
        forecast: what the work will leave and take.
        work: takes a progress function, and gives a report.
        verbs: such as ``("thinning", "thinned")``.
        reported: what a report says to people, as pairs.

    Returns:
        1 where the report lists files that could not be handled, else 0.
    """
    doing, done = verbs
    if options.forecast_only and options.json:
        print(json.dumps({"forecast": dataclasses.asdict(forecast)}))
    if not options.json:
        print_pairs(_foretold(forecast, done))
    if options.forecast_only:
        return 0
    with progress_bar(doing) as progress:
        report = work(progress)
    if options.json:
        told = dataclasses.asdict(report) | {"ratio": report.ratio, "images_per_second": report.images_per_second}
        print(json.dumps({"forecast": dataclasses.asdict(forecast), "report": told}, ensure_ascii=False))
        return 1 if report.bad else 0
    print()
    print_pairs(reported(report))
    if report.bad:
        print()
        for file in report.bad:
            print(f"{file.kind}: {file.message}")
    return 1 if report.bad else 0


def check_threads(threads: int) -> None:
    """Raise a RecipeError where that is no number of threads."""
    if threads < 0:
        raise RecipeError(f"--threads {threads}: give how many, or 0 for one a core")


def earlier(report: Any) -> str:
    """Say how many an earlier run had finished, in brackets, where there are any."""
    return f" ({report.num_earlier:,} by an earlier run)" if report.num_earlier else ""


def sizes(report: Any) -> str:
    """Say how many bytes became how many."""
    return f"{size_bytes(report.bytes_before)} became {size_bytes(report.bytes_after)} ({percent(report.ratio)})"


def left_out(report: Any) -> str:
    """Say how many could not be handled."""
    return f"{len(report.bad):,}, listed below" if report.bad else "none"


def pace(report: Any) -> str:
    """Say how long it took."""
    return f"{duration(report.seconds)}, {report.images_per_second:,.0f} images/s"


def _foretold(forecast: Any, done: str) -> list[tuple[str, str]]:
    finished = f", {forecast.num_finished:,} of them finished earlier" if forecast.num_finished else ""
    pairs = [("files", f"{forecast.num_files:,} ({size_bytes(forecast.num_bytes)} of JPEGs){finished}")]
    if not forecast.num_sampled:
        return [*pairs, ("forecast", f"no JPEG left that can be {done}")]
    after = round(forecast.ratio * forecast.num_bytes_left)
    share = f"{percent(forecast.ratio)} +- {percent(forecast.ratio_error)}"
    become = f"{size_bytes(forecast.num_bytes_left)} become about {size_bytes(after)} ({share})"
    sample = f"from {forecast.num_sampled} files, writing not counted"
    return [*pairs, ("forecast", become), ("duration", f"about {duration(forecast.seconds)} ({sample})")]
