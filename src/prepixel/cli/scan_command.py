"""The command `scan`: describe a folder of images and find broken files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prepixel.cli.console import (
    failure_text,
    json_text,
    percent,
    print_json,
    print_line,
    print_pairs,
    print_table,
    progress_bar,
    progress_lines,
    size_bytes,
)
from prepixel.cli.distributed_job import is_distributed, print_part, records_of, unit_options
from prepixel.cli.image_words import BROKEN, COLORS, ORIENTATIONS
from prepixel.cli.option_types import location, output_file
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_distribution, add_json, add_threads

SUMMARY = "describe a folder of images and find broken files"
ABOUT = """\
Decode every image below a folder and report sizes, kinds, samplings and
broken files. The exit status is 1 if a file is broken. Files of kind
DamagedJpeg hold contradictory data that libjpeg reads with a warning;
prepixel refuses them rather than make up coefficients."""
EXAMPLE = "prepixel scan photos/train"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `scan`."""
    parser.add_argument("folder", type=location, metavar="FOLDER", help="the folder; its subfolders are read too")
    parser.add_argument(
        "-o", "--output", type=output_file(".json"), metavar="FILE", help="write the report to a .json file, too"
    )
    add_distribution(parser)
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Print what a folder of images holds, and which files are broken."""
    report = _scan_units(options) if is_distributed(options) else _scan(options)
    if report is None:
        return print_part(options, options.output)
    if options.output is not None:
        write_report(report, options.output)
    return print_scan(options, report)


def _scan(options: argparse.Namespace) -> Any:
    from prepixel.data.jobs.scan import scan_folder
    from prepixel.files import image_files

    with progress_bar("reading") as progress:
        total = (
            sum(1 for _ in image_files(options.folder))
            if isinstance(options.folder, Path) and options.folder.is_dir()
            else 0
        )
        return scan_folder(options.folder, threads=options.threads, progress=lambda done: progress(done, total))


def _scan_units(options: argparse.Namespace) -> Any:
    from prepixel.data.jobs.scan_units import scan_units
    from prepixel.data.units import remove_records

    if options.output is None:
        raise UsageError("--part and --engine ray keep records beside the report; name it by --output FILE.json")
    records = records_of(options.output)
    with progress_lines("reading") as progress:
        report = scan_units(options.folder, records, progress=progress, **unit_options(options))
    if report is not None:
        write_report(report, options.output)
        remove_records(records)
    return report


def write_report(report: Any, path: Path) -> None:
    """Write a `ScanReport` as JSON."""
    from prepixel.files import make_folder, replace_file

    make_folder(path.absolute().parent)
    replace_file(path, f"{json_text(report)}\n".encode("utf-8", "surrogatepass"))


def print_scan(options: argparse.Namespace, report: Any) -> int:
    """Print a `ScanReport`; return the exit status: 1 if a file is broken, else 0."""
    if options.json:
        print_json(report)
        return 1 if report.broken else 0
    _print_summary(report)
    if rows := _kinds(report):
        print_line()
        print_table(("what", "kind", "files", "share"), rows, left=2)
    if report.broken:
        print_line()
        for file in report.broken:
            print_line(f"{file.kind}: {failure_text(file)}")
    return 1 if report.broken else 0


def _print_summary(report: Any) -> None:
    good = report.num_files - len(report.broken)
    bits = f", {8 * report.num_bytes / report.num_pixels:.2f} bits per pixel" if report.num_pixels else ""
    smallest, median, largest = zip(report.heights, report.widths, strict=True)
    sizes = f"smallest {_size(smallest)}, median {_size(median)}, largest {_size(largest)}, each side on its own"
    print_pairs(
        [
            ("folder", report.root),
            ("files", f"{report.num_files} ({size_bytes(report.num_bytes)}{bits})"),
            ("readable", f"{good}, {len(report.broken)} broken, {report.warnings} with a warning"),
            ("height x width", sizes),
            ("restart markers", f"in {report.restarts}"),
        ]
    )


def _kinds(report: Any) -> list[list[str]]:
    good = report.num_files - len(report.broken)
    counts = {
        "process": report.processes,
        "color": {COLORS.get(name, name): count for name, count in report.colors.items()},
        "sampling": report.samplings,
        "orientation": {f"{n} ({ORIENTATIONS.get(n, '?')})": count for n, count in report.orientations.items()},
    }
    rows = [
        [what, str(name), str(count), percent(count / good)]
        for what, counter in counts.items()
        for name, count in counter.items()
    ]
    for kind, count in report.broken_kinds.items():
        name = f"{kind} ({BROKEN[kind]})" if kind in BROKEN else kind
        rows.append(["broken", name, str(count), percent(count / report.num_files)])
    return rows


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
