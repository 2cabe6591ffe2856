"""The command `heatmap`: draw how often each frequency channel is on in gated runs."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from prepixel.array_types import Float64
from prepixel.cli.console import print_line, print_table, report_skipped
from prepixel.cli.gate_options import add_gate_options, dataset_name
from prepixel.cli.option_types import FIGURES, output_file, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_title

SUMMARY = "draw how often each frequency channel is on in gated runs"
ABOUT = """\
Draw how often a gate keeps each frequency channel: three 8 x 8 maps per run,
Y, Cb and Cr, with zigzag numbers in the corners. The same numbers are
appended to a file of records."""
EXAMPLE = "prepixel heatmap runs/gates -o heatmap.png"

_PUBLISHED = "L-24"  # the one set that is published as chosen by gates


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `heatmap`."""
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN", help="folders of runs whose recipes have a gate")
    parser.add_argument(
        "-o",
        "--output",
        type=output_file(*FIGURES),
        required=True,
        metavar="FILE",
        help="the figure (.png, .svg, .pdf)",
    )
    parser.add_argument(
        "--records", type=output_file(), metavar="FILE", help="JSON lines (default: beside the figure, as .jsonl)"
    )
    add_title(parser)
    add_gate_options(parser)


def run(options: argparse.Namespace) -> int:
    """Draw how often each channel is on, run by run."""
    from prepixel.engine import disable_malloc_trim
    from prepixel.records import append_records
    from prepixel.reports import plot_heat_maps
    from prepixel.runs import measure_use, open_run
    from prepixel.spectrum.bands import COMPONENT_NAMES, BandSet, zigzag_ids

    disable_malloc_trim()
    uses: dict[str, Any] = {}
    failures: list[object] = []
    rows = []
    for folder in options.runs:
        trained = open_run(folder, weights=options.weights)
        use, bad = measure_use(trained, options.data, threads=options.threads or None)
        failures += bad
        name = trained.name if trained.name not in uses else f"{trained.name} ({folder.name})"
        uses[name] = use
        case = f"{folder.resolve().name}, {dataset_name(options, trained.recipe.data.val)}"
        rows.append(_record(name, case, use))
    records = options.records or options.output.with_suffix(".jsonl")
    titles = {f"{name}: {use.channels_on:.1f} channels on, {use.images} images": use for name, use in uses.items()}
    try:
        plot_heat_maps(
            {title: _maps(use) for title, use in titles.items()},
            options.output,
            title=options.title or "",
            ids=zigzag_ids(),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    records.parent.mkdir(parents=True, exist_ok=True)
    append_records(records, rows)
    headers = ["run", "images", "channels on", *COMPONENT_NAMES]
    headers += [f"among the first {len(BandSet.parse(_PUBLISHED))}, of {_PUBLISHED}", "rank correlation", "AUC"]
    print_table(headers, [_cells(name, use) for name, use in uses.items()])
    print_line()
    print_line(f"drawn: {options.output}; written: {records}")
    return report_skipped(failures)


def _record(name: str, case: str, use: Any) -> Any:
    from prepixel.records import ScoreRow, describe_environment

    scores = {"channels_on": use.channels_on, **{f"on/{channel}": on for channel, on in use.shares().items()}}
    if (agreement := _agreement(use)) is not None:
        scores |= {f"{_PUBLISHED} {key}": value for key, value in vars(agreement).items()}
    return ScoreRow("heatmap", case, name, use.images, scores, describe_environment())


def _maps(use: Any) -> Float64[np.ndarray, "3 8 8"]:
    """Arrange shares by component, v and u; channels outside the band set are never on."""
    maps = np.zeros((3, 8, 8))
    for channel, share in use.shares().items():
        maps[channel // 64, channel % 64 // 8, channel % 8] = share
    return maps


def _cells(name: str, use: Any) -> list[str]:
    by_component = [f"{part.sum():.1f}" for part in _maps(use)]
    agreement = _agreement(use)
    alike = ["-"] * 3
    if agreement is not None:
        alike = [str(agreement.shared), f"{agreement.spearman:.3f}", f"{agreement.auc:.3f}"]
    return [name, str(use.images), f"{use.channels_on:.1f}", *by_component, *alike]


def _agreement(use: Any) -> Any:
    """Compare a gate that chooses from enough channels with the published set that gates chose; else None."""
    from prepixel.spectrum import BandSet

    published = BandSet.parse(_PUBLISHED)
    return use.agreement(published) if set(published.channels) < set(use.bands.channels) else None
