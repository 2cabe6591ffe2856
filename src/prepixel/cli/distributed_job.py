"""Run the commands that work through a whole data set on a cluster, or one part of them in a job array."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prepixel.cli.console import print_json, print_pairs, progress_lines
from prepixel.cli.estimated_job import print_report
from prepixel.cli.parser import UsageError
from prepixel.stores.remote_path import AnyPath, is_url


def is_distributed(options: argparse.Namespace) -> bool:
    """Return whether a command is to be done in units, on a cluster or as one part."""
    if options.part is not None and options.engine != "local":
        raise UsageError("--part and --engine ray: both distribute the work; give one of the two")
    if options.address is not None and options.engine != "ray":
        raise UsageError("--address names a Ray cluster; give --engine ray too")
    return options.part is not None or options.engine != "local"


def unit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of a job in units: its part, its executor, the threads of one unit."""
    if options.engine == "local":
        return {"part": options.part, "executor": None, "threads": options.threads}
    from prepixel.data.ray_executor import RayExecutor

    threads = options.threads or 1
    remote = any(is_url(getattr(options, name, None)) for name in ("source", "target", "folder"))
    executor = RayExecutor(options.address, cpus_per_unit=threads, units_at_once=2 if remote else 1)
    return {"part": None, "executor": executor, "threads": threads}


def run_distributed(
    options: argparse.Namespace,
    work: Callable[[Callable[[int, int], None]], Any],
    *,
    target: AnyPath,
    progress_name: str,
    describe: Callable[[Any], list[tuple[str, str]]],
    values: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Do a job in units and print its report; of a part, print how to complete the whole.

    Args:
        options: of which ``part`` and ``json`` are used.
        work: takes a progress function; returns a report, or None for a part.
        target: what the parts are merged in.
        progress_name: shown with the progress, such as "packing".
        describe: returns a report as pairs of name and text.
        values: what ``--json`` prints in the report beside its own fields.

    Returns:
        1 if the report lists files that could not be handled, else 0; 0 for a part.
    """
    with progress_lines(progress_name) as progress:
        report = work(progress)
    if report is None:
        return print_part(options, target)
    if options.json:
        row = vars(report) | dict(values) | {"ratio": report.ratio, "images_per_second": report.images_per_second}
        print_json({"report": row})
        return 1 if report.bad else 0
    return print_report(report, describe)


def print_part(options: argparse.Namespace, target: AnyPath) -> int:
    """Print that a part is done, and how to complete the whole; return the exit status 0."""
    if getattr(options, "json", False):  # stats has no such option
        print_json({"part": {"index": options.part.index, "count": options.part.count}, "target": str(target)})
    else:
        print_pairs([("part", f"{options.part} is done"), ("after all parts", f"prepixel merge {target}")])
    return 0


def records_of(output: Path) -> Path:
    """Return the folder for the records of the units that a result file is merged from."""
    return output.with_name(f"{output.name}.parts")
