"""The command `merge`: complete the result of a job that was done in parts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prepixel.cli.bandlimit_command import describe_bandlimiting
from prepixel.cli.console import print_json
from prepixel.cli.distributed_job import records_of
from prepixel.cli.estimated_job import print_report
from prepixel.cli.option_types import path
from prepixel.cli.pack_command import describe_packing
from prepixel.cli.scan_command import print_scan, write_report
from prepixel.cli.shared_options import add_json
from prepixel.cli.stats_command import print_statistics

SUMMARY = "complete the result of a job that was done in parts"
ABOUT = """\
After all parts of scan, stats, bandlimit or pack (--part I/N) are done, check
that none is missing and write what one undisturbed run writes, to the byte.
TARGET is what the parts were given: a folder, or the --output of scan and
stats."""
EXAMPLE = "prepixel merge shards/train"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `merge`."""
    parser.add_argument("target", type=path, metavar="TARGET", help="the DEST or --output of the parts")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Merge the records of a job's parts."""
    from prepixel.data.datasets.shard_index import MANIFEST
    from prepixel.data.jobs.bandlimit_plan import STATE_NAME
    from prepixel.data.jobs.bandlimit_units import merge_bandlimited
    from prepixel.data.jobs.pack_units import merge_packed
    from prepixel.data.units import RECORDS, find_records
    from prepixel.errors import DatasetError

    target = options.target
    if (target / MANIFEST).is_file():
        report = merge_packed(target)
        return _print_job(options, report, describe_packing(report, {}))
    if find_records(target / STATE_NAME / RECORDS) is not None:
        rewritten = merge_bandlimited(target)
        return _print_job(options, rewritten, describe_bandlimiting(rewritten))
    records = find_records(records_of(target))
    if records is None:
        raise DatasetError(f"{target}: there are no parts to merge; name the DEST or --output of the parts")
    return _merge_scan(options, target) if records.header.job == "scan" else _merge_statistics(options, target)


def _print_job(options: argparse.Namespace, report: Any, pairs: list[tuple[str, str]]) -> int:
    if options.json:
        print_json({"report": vars(report) | {"ratio": report.ratio}})
        return 1 if report.bad else 0
    return print_report(report, lambda _: [pair for pair in pairs if pair[0] != "duration"])


def _merge_scan(options: argparse.Namespace, target: Path) -> int:
    from prepixel.data.jobs.scan_units import merge_scans
    from prepixel.data.units import remove_records

    report = merge_scans(records_of(target))
    write_report(report, target)
    remove_records(records_of(target))
    return print_scan(options, report)


def _merge_statistics(options: argparse.Namespace, target: Path) -> int:
    from prepixel.data.loading.statistics_units import merge_statistics
    from prepixel.data.units import remove_records

    merged = merge_statistics(records_of(target))
    merged.statistics.write(target)
    remove_records(records_of(target))
    return print_statistics(merged.statistics, target, merged.num_images)
