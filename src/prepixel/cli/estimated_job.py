"""Run the commands that rewrite a data set: print an estimate, do the work, print a report with all failures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from prepixel.cli.console import duration, percent, print_json, print_line, print_pairs, progress_bar, size_bytes


def run_estimated(
    options: argparse.Namespace,
    estimate: Any,
    work: Callable[[Callable[[int, int], None]], Any],
    *,
    progress_name: str,
    done: str,
    describe: Callable[[Any], list[tuple[str, str]]],
    values: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Print a `WorkEstimate`; unless this is a dry run, do the work and print its report.

    Args:
        options: of which ``dry_run`` and ``json`` are used.
        estimate: the result's size and the duration.
        work: takes a progress function and returns a report.
        progress_name: shown at the progress bar, such as "packing".
        done: what becomes of the files, such as "packed".
        describe: returns a report as pairs of name and text.
        values: what ``--json`` prints in the report beside its own fields.

    Returns:
        1 if the report lists files that could not be handled, else 0.
    """
    if options.dry_run and options.json:
        print_json({"estimate": estimate})
    if not options.json:
        print_pairs(_describe_estimate(estimate, done))
    if options.dry_run:
        return 0
    with progress_bar(progress_name) as progress:
        report = work(progress)
    status = 1 if report.bad else 0
    if options.json:
        row = vars(report) | dict(values) | {"ratio": report.ratio, "images_per_second": report.images_per_second}
        print_json({"estimate": estimate, "report": row})
        return status
    print_line()
    return print_report(report, describe)


def print_report(report: Any, describe: Callable[[Any], list[tuple[str, str]]]) -> int:
    """Print a report and the files that could not be handled; return the exit status: 1 if there are any, else 0."""
    print_pairs(describe(report))
    if report.bad:
        print_line()
        for file in report.bad:
            print_line(f"{file.kind}: {file.message}")
    return 1 if report.bad else 0


def earlier(report: Any) -> str:
    """Return how many files an earlier run finished, in parentheses, if any."""
    return f" ({report.num_earlier:,} by an earlier run)" if report.num_earlier else ""


def sizes(report: Any) -> str:
    """Return the sizes before and after."""
    return f"{size_bytes(report.bytes_before)} became {size_bytes(report.bytes_after)} ({percent(report.ratio)})"


def failed(report: Any) -> str:
    """Return how many files could not be handled."""
    return f"{len(report.bad):,}, listed below" if report.bad else "none"


def duration_and_rate(report: Any) -> str:
    """Return how long the work took."""
    if not report.images_per_second:  # an earlier run did it all
        return duration(report.seconds)
    return f"{duration(report.seconds)}, {report.images_per_second:,.0f} images/s"


def _describe_estimate(estimate: Any, done: str) -> list[tuple[str, str]]:
    finished = f", {estimate.num_finished:,} of them finished earlier" if estimate.num_finished else ""
    pairs = [("files", f"{estimate.num_files:,} ({size_bytes(estimate.num_bytes)} of JPEGs){finished}")]
    if not estimate.num_sampled:
        return [*pairs, ("estimate", f"no JPEG left that can be {done}")]
    after = round(estimate.ratio * estimate.num_bytes_left)
    share = f"{percent(estimate.ratio)} +- {percent(estimate.ratio_error)}"
    become = f"{size_bytes(estimate.num_bytes_left)} become about {size_bytes(after)} ({share})"
    sample = f"from {estimate.num_sampled} files, writing not counted"
    return [*pairs, ("estimate", become), ("duration", f"about {duration(estimate.seconds)} ({sample})")]
