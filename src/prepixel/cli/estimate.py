"""How the verbs that rewrite a whole data set run: a estimate, the work, a report, and what could not be done."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from prepixel.cli.console import duration, percent, print_pairs, progress_bar, size_bytes
from prepixel.errors import RecipeError


def run_estimated(
    options: argparse.Namespace,
    estimate: Any,
    work: Callable[[Callable[[int, int], None]], Any],
    *,
    verbs: tuple[str, str],
    reported: Callable[[Any], list[tuple[str, str]]],
) -> int:
    """Print a `WorkEstimate`; unless that is all that is asked for, do the work and print its report.

    Args:
        options: of which ``dry_run`` and ``json`` are looked at.
        estimate: what the work will leave and take.
        work: takes a progress function, and gives a report.
        verbs: such as ``("thinning", "thinned")``.
        reported: what a report says to people, as pairs.

    Returns:
        1 where the report lists files that could not be handled, else 0.
    """
    doing, done = verbs
    if options.dry_run and options.json:
        print(json.dumps({"estimate": dataclasses.asdict(estimate)}))
    if not options.json:
        print_pairs(_estimated(estimate, done))
    if options.dry_run:
        return 0
    with progress_bar(doing) as progress:
        report = work(progress)
    if options.json:
        told = dataclasses.asdict(report) | {"ratio": report.ratio, "images_per_second": report.images_per_second}
        print(json.dumps({"estimate": dataclasses.asdict(estimate), "report": told}, ensure_ascii=False))
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


def _estimated(estimate: Any, done: str) -> list[tuple[str, str]]:
    finished = f", {estimate.num_finished:,} of them finished earlier" if estimate.num_finished else ""
    pairs = [("files", f"{estimate.num_files:,} ({size_bytes(estimate.num_bytes)} of JPEGs){finished}")]
    if not estimate.num_sampled:
        return [*pairs, ("estimate", f"no JPEG left that can be {done}")]
    after = round(estimate.ratio * estimate.num_bytes_left)
    share = f"{percent(estimate.ratio)} +- {percent(estimate.ratio_error)}"
    become = f"{size_bytes(estimate.num_bytes_left)} become about {size_bytes(after)} ({share})"
    sample = f"from {estimate.num_sampled} files, writing not counted"
    return [*pairs, ("estimate", become), ("duration", f"about {duration(estimate.seconds)} ({sample})")]
