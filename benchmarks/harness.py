"""Shared parts of the benchmarks: options, photos, interleaved rounds, medians and ratios, records."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prepixel.records import TimingRow, append_records

ROOT = Path(__file__).resolve().parent.parent


def arguments(description: str | None) -> argparse.Namespace:
    """Parse -n (rounds), --files (upper limit) and --output (records)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=7, help="rounds; each runs every subject once (default 7)")
    parser.add_argument("--files", type=int, default=None, help="use only the first FILES photos")
    parser.add_argument("--output", type=Path, default=None, help="append records to this JSON-lines file")
    return parser.parse_args()


def table_arguments(description: str | None, rows: str) -> tuple[int | None, Callable[[str], None]]:
    """Parse -n (rows to make; None for all) and --output, and return -n and what prints a line of a table.

    Args:
        description: of the benchmark.
        rows: what -n counts, in words.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=None, help=f"{rows} (default: all)")
    parser.add_argument("--output", type=Path, help="append the table to this file as well")
    options = parser.parse_args()

    def write(line: str) -> None:
        print(line, flush=True)
        if options.output:
            with options.output.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    return options.n, write


def photos() -> Path:
    """Return the folder of real photos, or exit with the reason: with CI set, as a failure."""
    folder = Path(os.environ.get("PREPIXEL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        print(f"skipped: no photos at {folder}; set PREPIXEL_DATA to the folder that holds imagenet_samples")
        sys.exit(1 if os.environ.get("CI") else 0)
    return folder


def peer(name: str, works: Callable[[Any], object] = bool) -> Any | None:
    """Import a peer that benchmarks/peers/install.sh installs and check that it works; report a missing one."""
    try:
        module = importlib.import_module(name)
        works(module)
        return module
    except Exception as error:  # a half-installed package can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"missing, so not run: {name} ({reason}); see benchmarks/peers/install.sh")
        return None


def interleave(
    pipelines: Mapping[str, Callable[[], object]], *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return seconds per subject and round, after one uncounted round that warms caches; by ``clock``."""
    timings: dict[str, list[float]] = {name: [] for name in pipelines}
    for counted in range(-1, rounds):
        for name, pipeline in pipelines.items():
            start = clock()
            pipeline()
            if counted >= 0:
                timings[name].append(clock() - start)
    return timings


def peak_growth(work: Callable[[], object]) -> int | None:
    """Return the growth of a process's peak resident memory in bytes, or None where the system does not report it.

    The work runs in a child, whose peak is its own; call this before any work of the kind is done here, whose freed
    memory the child would find and use.
    """
    status, resets = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        resets.write_text("5")  # resets the peak: Linux, proc(5)
    except OSError as error:
        print(f"memory is not measured: {resets}: {error.strerror}")
        return None

    def resident(line: str) -> int:
        return next(int(text.split()[1]) * 1024 for text in status.read_text().splitlines() if text.startswith(line))

    def run() -> None:
        resets.write_text("5")
        before = resident("VmRSS:")
        work()
        grown.put(resident("VmHWM:") - before)

    context = multiprocessing.get_context("fork")
    grown = context.SimpleQueue()
    child = context.Process(target=run)
    child.start()
    child.join()
    if child.exitcode != 0:
        raise RuntimeError(f"the process whose memory was to be measured ended with {child.exitcode}")
    return int(grown.get())


def report(
    question: str,
    case: str,
    timings: Mapping[str, list[float]],
    *,
    per: int,
    reference: str,
    options: argparse.Namespace,
    unit: str = "images/s",
) -> None:
    """Print one table and, with --output, append one record per subject."""
    print(f"\n{question}, {case}: {per} images, {options.n} rounds, median {unit}; ratio to {reference}")
    rows = []
    for subject, seconds in timings.items():
        ratios = [base / s for base, s in zip(timings[reference], seconds, strict=True)]
        ratio = statistics.median(ratios)
        rates = [per / s for s in seconds]
        row = TimingRow.of_rounds(question, case, subject, unit, rates, reference=reference, ratio=ratio)
        print(f"  {subject:44s} {row.median:9.1f}   {ratio:5.2f}x  ({min(ratios):.2f}-{max(ratios):.2f})")
        rows.append(row)
    if options.output:
        append_records(options.output, rows)
