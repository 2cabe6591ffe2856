"""The command `fetch`: fetch a run from a store."""

from __future__ import annotations

import argparse

from prepixel.cli.console import print_line
from prepixel.cli.option_types import location, output_folder

SUMMARY = "fetch a run from a store"
ABOUT = """\
Fetch the run that train --store keeps in a store into a new folder, for
evaluate, predict, fold, export, table and plot. Its files are compared with
their checksums. To continue the run, use train --store URL --resume."""
EXAMPLE = "prepixel fetch s3://bucket/runs/one runs/one"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fetch`."""
    parser.add_argument("url", type=location, metavar="URL", help="what train --store was given")
    parser.add_argument("folder", type=output_folder, metavar="FOLDER", help="a new folder")


def run(options: argparse.Namespace) -> int:
    """Fetch a run and print where it is."""
    from prepixel.runs.run_store import fetch_run

    fetch_run(options.url, options.folder)
    print_line(f"{options.folder}: fetched from {options.url}")
    return 0
