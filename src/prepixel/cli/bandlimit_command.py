"""The command `bandlimit`: rewrite JPEGs with chosen frequencies only, one file or a folder."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prepixel.cli.console import percent, print_error, print_json, print_line, size_bytes
from prepixel.cli.distributed_job import is_distributed, run_distributed, unit_options
from prepixel.cli.estimated_job import duration_and_rate, earlier, failed, run_estimated, sizes
from prepixel.cli.option_types import STDIN, integer, location
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_bands, add_distribution, add_dry_run, add_json, add_threads
from prepixel.stores.remote_path import AnyPath, RemotePath, is_url

SUMMARY = "make JPEGs smaller by keeping chosen frequencies only"
ABOUT = """\
Rewrite JPEGs with only the frequencies of a band set, unchanged, as files
that any program opens: one file, or a folder and everything below it. For a
folder, size and duration are first estimated from a sample. Every file is
read back. The same command resumes a run that was stopped. JPEGs that cannot
be rewritten are listed, and the exit status is then 1. Either folder may be
in a store, as s3://BUCKET/FOLDER; there is no estimate then without
--dry-run."""
EXAMPLE = "prepixel bandlimit photos/train bandlimited/train --bands S-24 --strip"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bandlimit`."""
    parser.add_argument(
        "source", type=location, metavar="SOURCE", help="a JPEG, or a folder, or a URL of one; - reads stdin"
    )
    parser.add_argument(
        "target",
        type=location,
        metavar="DEST",
        help="the file to write, or a new folder beside the source, or a URL of one; - is stdout",
    )
    add_bands(parser, "S-24")
    parser.add_argument(
        "--restart", type=integer(0, 65_535), metavar="N", help="MCUs between restart markers (default: unchanged)"
    )
    parser.add_argument(
        "--restart-rows",
        type=integer(0, 8),  # the widest image has 8192 MCUs per row, and an interval is at most 65535
        default=0,
        metavar="N",
        help="rows of MCUs between restart markers instead; with 1, decoding can start at a crop's first row",
    )
    parser.add_argument("--strip", action="store_true", help="drop metadata except color and orientation")
    parser.add_argument(
        "--non-jpegs",
        "--others",
        choices=("skip", "copy"),
        default="skip",
        help="files that are not JPEGs (default: skip); --others is the former name",
    )
    parser.add_argument(
        "--on-error",
        "--bad",
        choices=("skip", "copy", "stop"),
        default="skip",
        help="JPEGs that cannot be rewritten: leave them out, copy them unchanged, or stop (default: skip); --bad is "
        "the former name",
    )
    add_dry_run(parser)
    add_distribution(parser)
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Rewrite one file, or a folder into another."""
    from prepixel.data.jobs.bandlimit_file import BandlimitOptions
    from prepixel.data.jobs.bandlimit_folder import bandlimit_folder, estimate_bandlimiting
    from prepixel.data.jobs.bandlimit_units import bandlimit_units
    from prepixel.spectrum import BandSet

    if options.restart is not None and options.restart_rows:
        raise UsageError("--restart and --restart-rows set the same thing; give one")
    settings = BandlimitOptions(
        bands=BandSet.parse(options.bands),
        restart_interval=options.restart,
        restart_rows=options.restart_rows,
        metadata="none" if options.strip else "all",
        non_jpegs=options.non_jpegs,
        on_error=options.on_error,
    )
    distributed = is_distributed(options)
    if not _is_folder(options.source):
        if distributed:
            raise UsageError(f"{options.source}: is no folder; --part and --engine ray are for folders")
        return _bandlimit_file(options, settings)
    if options.target == STDIN:
        raise UsageError(f"{options.source}: is a folder, which cannot be written to standard output")
    remote = is_url(options.source) or is_url(options.target)  # stores cannot append to a journal
    if (distributed or remote) and not options.dry_run:
        return run_distributed(
            options,
            lambda progress: bandlimit_units(
                options.source, options.target, settings, progress=progress, **unit_options(options)
            ),
            target=options.target,
            progress_name="rewriting",
            describe=describe_bandlimiting,
        )
    estimate = estimate_bandlimiting(options.source, options.target, settings, threads=options.threads)
    return run_estimated(
        options,
        estimate,
        lambda progress: bandlimit_folder(
            options.source, options.target, settings, threads=options.threads, progress=progress
        ),
        progress_name="rewriting",
        done="rewritten",
        describe=describe_bandlimiting,
    )


def _bandlimit_file(options: argparse.Namespace, settings: Any) -> int:
    from prepixel.data.jobs.bandlimit_sources import read_jpeg_file
    from prepixel.errors import JpegError
    from prepixel.files import replace_file
    from prepixel.jpeg import Limits

    from_stdin, to_stdout = options.source == STDIN, options.target == STDIN
    if to_stdout and options.json:
        raise UsageError("--json and the image cannot both go to standard output; name a file to write")
    target = options.target / options.source.name if _is_folder(options.target) else options.target
    if from_stdin and _is_folder(options.target):
        raise UsageError(f"{options.target}: is a folder; name a file to write")
    if not from_stdin and _is_same(target, options.source):
        raise UsageError(f"{target}: is the source itself; name another file to write")
    try:
        contents = _read_stdin() if from_stdin else read_jpeg_file(options.source, Limits())
        smaller = settings.bandlimit(contents, Limits())
    except JpegError as error:
        error.source = "standard input" if from_stdin else str(options.source)
        raise
    ratio = len(smaller) / len(contents)
    if not options.dry_run:
        if to_stdout:
            sys.stdout.buffer.write(smaller)
            sys.stdout.buffer.flush()
        else:
            replace_file(target, smaller)
    if options.json:
        result = {"bytes_before": len(contents), "bytes_after": len(smaller), "ratio": ratio}
        print_json({"estimate" if options.dry_run else "report": result})
        return 0
    would = "would be " if options.dry_run else ""
    name = "standard output" if to_stdout else target
    line = f"{name}: {would}{size_bytes(len(smaller))}, {percent(ratio)} of {size_bytes(len(contents))}"
    (print_error if to_stdout else print_line)(line)
    return 0


def _is_folder(place: AnyPath) -> bool:
    """Return whether a path is a folder; an HTTP server, which lists none, has files alone."""
    return not (isinstance(place, RemotePath) and place.bucket.startswith("http")) and place.is_dir()


def _is_same(target: AnyPath, source: AnyPath) -> bool:
    if isinstance(target, RemotePath) or isinstance(source, RemotePath):
        return target == source
    return target.exists() and target.samefile(source)


def _read_stdin() -> bytes:
    from prepixel.jpeg import Limits

    most = Limits().max_memory_bytes
    contents = sys.stdin.buffer.read(most + 1)
    if len(contents) > most:
        raise UsageError(f"standard input holds more than {most} bytes; a JPEG of that size is not read")
    return contents


def describe_bandlimiting(report: Any) -> list[tuple[str, str]]:
    """Return a `BandlimitReport` as pairs of name and text."""
    pairs = [
        ("rewritten", f"{report.num_bandlimited:,} of {report.num_files:,} files, each read back{earlier(report)}"),
        ("sizes", sizes(report)),
        ("not JPEGs", f"{report.num_copied:,} copied, {report.num_skipped:,} skipped"),
        ("failed", failed(report)),
        ("duration", duration_and_rate(report)),
    ]
    return pairs if report.num_copied or report.num_skipped else [pair for pair in pairs if pair[0] != "not JPEGs"]
