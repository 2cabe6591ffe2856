"""The command `bench`: time reading coefficients beside RGB baselines on the user's images and machine."""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from prepixel.cli.console import percent, print_json, print_line, print_table, progress_bar
from prepixel.cli.option_types import FIGURES, integer, output_file, path, words
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import MAX_BATCH, MAX_IMAGES, add_bands, add_json, add_threads, pair

SUMMARY = "time reading coefficients beside RGB baselines on your images"
ABOUT = """\
Time pipelines from a folder's JPEGs to training batches, on the same random
crops, in turn: RGB by Pillow, torchvision, OpenCV and simplejpeg (those that
are installed), by nvJPEG on a CUDA device; coefficients of the files, of
band-limited files and of packed shards. A network's training step, timed
beside them, shows how long the device would wait for each pipeline.

Baselines run as fast as they can: images are spread over threads, each image
on one thread; torch's and OpenCV's own threads are off, since threads of both
kinds slow each other down. All resize by torchvision, antialiased."""
EXAMPLE = "prepixel bench photos/train --network resnet50 --plot bench.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench`."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="JPEGs, at any depth")
    add_bands(parser, "S-24")
    parser.add_argument(
        "--grid", type=integer(1, 1024), nargs="+", default=[56], metavar="N", help="blocks per side (default: 56)"
    )
    parser.add_argument(
        "--pixels", type=integer(1, 8192), nargs="+", default=[224], metavar="N", help="RGB side (default: 224)"
    )
    parser.add_argument(
        "--network", type=words, default="resnet50", metavar="NAME", help="backbone, or none (default: resnet50)"
    )
    parser.add_argument(
        "--images",
        type=integer(1, MAX_IMAGES),
        default=256,
        metavar="N",
        help="at most N images, evenly spaced (default: 256)",
    )
    parser.add_argument(
        "--batch-size", type=integer(1, MAX_BATCH), default=32, metavar="N", help="images per batch (default: 32)"
    )
    parser.add_argument(
        "--rounds", type=integer(1, 10_000), default=5, metavar="N", help="rounds of all pipelines (default: 5)"
    )
    parser.add_argument("--plot", type=output_file(*FIGURES), metavar="FILE", help="draw the rates (.png, .svg, .pdf)")
    parser.add_argument("--records", type=output_file(), metavar="FILE", help="append the results as JSON lines")
    add_json(parser)
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Time the pipelines, and print, record and draw the results."""
    from prepixel.bench.throughput import ThroughputSettings, measure_throughput
    from prepixel.engine import disable_malloc_trim
    from prepixel.records import append_records
    from prepixel.spectrum import BandSet

    disable_malloc_trim()
    settings = ThroughputSettings(
        bands=BandSet.parse(options.bands),
        grid=pair("--grid", options.grid),
        pixels=pair("--pixels", options.pixels),
        network="" if options.network == "none" else options.network,
        images=options.images,
        batch_size=options.batch_size,
        rounds=options.rounds,
        threads=options.threads,
    )
    with progress_bar("timing") as progress:
        found = measure_throughput(options.folder, settings, progress)
    if options.json:
        pipelines = [
            vars(pipeline) | {"data_wait_fraction": found.data_wait_fraction(pipeline)} for pipeline in found.pipelines
        ]
        print_json(vars(found) | {"pipelines": pipelines})
    else:
        _print(found, settings)
    if options.records is not None:
        append_records(options.records, _rows(found, options.folder.resolve().name))
    if options.plot is not None:
        _plot(found, settings, options)
    return 0


def _plot(found: Any, settings: Any, options: argparse.Namespace) -> None:
    from prepixel.reports import plot_rates

    bars = {
        pipeline.name: (statistics.median(pipeline.one_thread), statistics.median(pipeline.all_threads))
        for pipeline in found.pipelines
    }
    steps = {f"{settings.network} on {kind}": statistics.median(rates) for kind, rates in found.steps.items()}
    try:
        plot_rates(bars, steps, options.plot, names=("one thread", f"{found.threads} threads"))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not options.json:
        print_line(f"drawn: {options.plot}")


def _print(found: Any, settings: Any) -> None:
    headers = ["pipeline", "images/s", "spread", "ratio", f"{found.threads} threads", "spread"]
    headers += ["file", "sample", "data wait"]
    first = found.pipelines[0]
    rows = []
    for pipeline in found.pipelines:
        pairs = zip(pipeline.one_thread, first.one_thread, strict=True)
        wait = found.data_wait_fraction(pipeline)
        rows.append(
            [
                pipeline.name,
                *_median_and_spread(pipeline.one_thread),
                f"{statistics.median(a / b for a, b in pairs):.2f}",
                *_median_and_spread(pipeline.all_threads),
                f"{pipeline.file_bytes:,.0f}",
                f"{pipeline.sample_bytes:,}",
                "-" if wait is None else percent(wait, 0),
            ]
        )
    print_table(headers, rows)
    print_line()
    print_line(
        f"{found.images} images with random crops and flips, {_rounds(len(first.one_thread))}, files in the page cache."
    )
    print_line(
        "images/s and ratio: medians, on one thread. Each image is decoded and resized on one thread in both columns; "
        "torch's and OpenCV's own threads are off. file, sample: bytes."
    )
    for kind, rates in found.steps.items():
        rate = statistics.median(rates)
        print_line(f"{settings.network} on {kind}: {rate:,.0f} images/s of training steps on {found.device}")
    if found.steps and found.device == "cpu":
        print_line("the network runs on the CPU that also reads, so the data wait means little here")
    for reason in found.absent:
        print_line(f"not timed: {reason}")
    for line in found.left_out:
        print_line(f"left out: {line}")


def _median_and_spread(rates: tuple[float, ...]) -> tuple[str, str]:
    return f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"


def _rows(found: Any, case: str) -> list[Any]:
    from prepixel.records import TimingRow

    first = found.pipelines[0]
    rows = []
    for pipeline in found.pipelines:
        for name, rates, beside in (
            ("one thread", pipeline.one_thread, first.one_thread),
            (f"{found.threads} threads", pipeline.all_threads, first.all_threads),
        ):
            ratio = statistics.median(a / b for a, b in zip(rates, beside, strict=True))
            rows.append(
                TimingRow.of_rounds(
                    "bench", f"{case}, {name}", pipeline.name, "images/s", rates, reference=first.name, ratio=ratio
                )
            )
    for kind, rates in found.steps.items():
        rows.append(TimingRow.of_rounds("bench", f"{case}, steps", kind, "images/s", rates))
    return rows


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds in turn"
