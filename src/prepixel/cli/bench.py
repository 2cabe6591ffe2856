"""The verb bench: what reading coefficients would gain on one's own images and machine."""

from __future__ import annotations

import argparse
import json
import statistics

from prepixel.bench.throughput import PipelineThroughput, ThroughputReport, ThroughputSettings, measure_throughput
from prepixel.cli.console import percent, print_table, progress_bar
from prepixel.engine import disable_malloc_trim
from prepixel.errors import RecipeError
from prepixel.records import TimingRow, append_records
from prepixel.reports import plot_rates
from prepixel.spectrum import BandSet


def bench(options: argparse.Namespace) -> int:
    """Time the roads from a folder's JPEGs to batches."""
    for name in ("images", "batch_size", "rounds"):
        if getattr(options, name) < 1:
            raise RecipeError(f"--{name.replace('_', '-')} {getattr(options, name)}: give 1 or more")
    disable_malloc_trim()
    settings = ThroughputSettings(
        bands=BandSet.parse(options.bands),
        grid=_pair(options.grid),
        pixels=_pair(options.pixels),
        network="" if options.network == "none" else options.network,
        images=options.images,
        batch_size=options.batch_size,
        rounds=options.rounds,
        threads=options.threads,
    )
    with progress_bar("timing") as progress:
        found = measure_throughput(options.folder, settings, progress)
    if options.json:
        print(json.dumps(_values(found)))
    else:
        _print(found, settings)
    if options.records is not None:
        append_records(options.records, _rows(found, options.folder.resolve().name))
    if options.plot is not None:
        bars = {road.name: (statistics.median(road.one), statistics.median(road.all)) for road in found.roads}
        steps = {f"{settings.network} on {kind}": statistics.median(rates) for kind, rates in found.steps.items()}
        try:
            plot_rates(bars, steps, options.plot, names=("one thread", f"{found.threads} threads"))
        except ValueError as error:
            raise RecipeError(str(error)) from error
        if not options.json:
            print(f"drawn: {options.plot}")
    return 0


def _pair(sides: list[int]) -> tuple[int, int]:
    if len(sides) > 2 or min(sides) < 1:
        raise RecipeError(f"{' '.join(map(str, sides))}: give one side for both, or two: down and across")
    return sides[0], sides[-1]


def _print(found: ThroughputReport, settings: ThroughputSettings) -> None:
    headers = ["road", "images/s", "spread", "ratio", f"{found.threads} threads", "file", "sample", "device waits"]
    first = found.roads[0]
    rows = []
    for road in found.roads:
        ratio = statistics.median(a / b for a, b in zip(road.one, first.one, strict=True))
        waiting = found.waiting(road)
        rows.append(
            [
                road.name,
                f"{statistics.median(road.one):,.0f}",
                f"{min(road.one):,.0f} to {max(road.one):,.0f}",
                f"{ratio:.2f}",
                f"{statistics.median(road.all):,.0f}",
                f"{road.file_bytes:,.0f}",
                f"{road.sample_bytes:,}",
                "-" if waiting is None else percent(waiting, 0),
            ]
        )
    print_table(headers, rows)
    print(
        f"\n{found.images} images with random crops and flips, {len(first.one)} rounds in turn, files in the system's "
        f"cache; images/s and ratio: medians, one thread. File, sample: bytes."
    )
    for kind, rates in found.steps.items():
        print(f"{settings.network} on {kind} takes {statistics.median(rates):,.0f} images/s on {found.device}")
    if found.steps and found.device == "cpu":
        print("the network runs on the processor that reads, so a device that waits says little here")
    for reason in found.absent:
        print(f"not timed: {reason}")
    for line in found.left_out:
        print(f"left out: {line}")


def _values(found: ThroughputReport) -> dict[str, object]:
    roads = [vars(road) | {"device_waits": found.waiting(road)} for road in found.roads]
    return vars(found) | {"roads": roads}


def _rows(found: ThroughputReport, case: str) -> list[TimingRow]:
    def rows_of(road: PipelineThroughput) -> list[TimingRow]:
        first = found.roads[0]
        return [
            TimingRow.of_rounds(
                "bench",
                f"{case}, {name}",
                road.name,
                "images/s",
                rates,
                reference=first.name,
                ratio=statistics.median(a / b for a, b in zip(rates, beside, strict=True)),
            )
            for name, rates, beside in (
                ("one thread", road.one, first.one),
                (f"{found.threads} threads", road.all, first.all),
            )
        ]

    steps = [TimingRow.of_rounds("bench", f"{case}, steps", kind, "images/s", r) for kind, r in found.steps.items()]
    return [row for road in found.roads for row in rows_of(road)] + steps
