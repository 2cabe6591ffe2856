"""The command `index`: index the JPEGs of a folder, so that crops are decoded alone."""

from __future__ import annotations

import argparse
from typing import Any

from prepixel.cli.console import failure_text, percent, print_json, print_line, print_pairs, progress_bar, size_bytes
from prepixel.cli.option_types import integer, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_json, add_threads

SUMMARY = "index JPEGs so that a crop is decoded without what lies before it"
ABOUT = """\
Decode every JPEG below a folder once and note where decoding can begin again,
in one file, prepixel.ppi. Data sets of the folder find it by themselves, and
random crops are then decoded without most of what lies before and beside
them; read_jpeg(region=..., index=...) and read_spectra(indexes=...) take it,
too. The same command resumes a run that was stopped, and indexes only
what has changed. An index that does not fit its file is not used. JPEGs that
cannot be indexed are listed, and the exit status is then 1."""
EXAMPLE = "prepixel index photos/train"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `index`."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the folder; its subfolders are indexed too")
    parser.add_argument(
        "--every",
        type=integer(0, 65_535),
        default=8,
        metavar="N",
        help="MCUs between two checkpoints of a row of MCUs; 0: one for each row (default: 8)",
    )
    parser.add_argument(
        "-o", "--output", type=path, metavar="FILE", help="the file to write (default: FOLDER/prepixel.ppi)"
    )
    parser.add_argument(
        "--embed",
        action="store_true",
        help="put each index into its file instead, as a segment that other programs pass over; files are replaced",
    )
    parser.add_argument(
        "--verify", action="store_true", help="write nothing: index again, and list files whose index differs"
    )
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Index a folder, or verify its indexes."""
    from prepixel.data.jobs.index_folder import embed_folder, index_folder, jpegs_below, verify_folder

    if options.embed and options.output is not None:
        raise UsageError("--embed writes into the JPEGs and --output names one file for all; give one")
    with progress_bar("verifying" if options.verify else "indexing") as bar:
        total = sum(1 for _ in jpegs_below(options.folder)) if options.folder.is_dir() else 0
        shared: dict[str, Any] = {"threads": options.threads, "progress": lambda done: bar(done, total)}
        if options.verify:
            report = verify_folder(options.folder, path=options.output, embedded=options.embed, **shared)
        elif options.embed:
            report = embed_folder(options.folder, every=options.every, **shared)
        else:
            report = index_folder(options.folder, every=options.every, output=options.output, **shared)
    _print(options, report)
    return 1 if report.bad else 0


def _print(options: argparse.Namespace, report: Any) -> None:
    if options.json:
        print_json(report)
        return
    earlier = f", {report.num_earlier:,} by an earlier run" if report.num_earlier else ""
    verb = "verified" if options.verify else "indexed"
    print_pairs(
        [
            (verb, f"{report.num_indexed:,} of {report.num_files:,} JPEGs{earlier}"),
            (
                "indexes",
                f"{size_bytes(report.index_bytes)}, {percent(report.ratio)} of {size_bytes(report.file_bytes)}",
            ),
            *([("rate", f"{report.images_per_second:,.0f} files/s")] if report.images_per_second else []),
        ]
    )
    for failure in report.bad:
        print_line(f"{failure.kind}: {failure_text(failure)}")
