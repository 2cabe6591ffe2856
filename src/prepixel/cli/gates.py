"""Verbs on gated runs: select, heatmap."""

from __future__ import annotations

import argparse

import numpy as np

from prepixel.array_types import Float64
from prepixel.cli.console import print_table, report_bad
from prepixel.engine import disable_malloc_trim
from prepixel.errors import ReadFailure, RecipeError
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.reports import plot_heat_maps
from prepixel.runs import Agreement, ChannelUse, measure_use, open_run
from prepixel.spectrum.bands import COMPONENT_NAMES, BandSet, zigzag_ids

_PUBLISHED = "L-24"  # the one set that is published as chosen by gates


def select(options: argparse.Namespace) -> int:
    """Write the channels that a run's gate lets pass most often as a band set."""
    if options.output.suffix != ".json":
        raise RecipeError(f"{options.output}: band sets are read from .json files; end its name in .json")
    disable_malloc_trim()
    trained = open_run(options.run, weights=options.weights)
    use, failures = measure_use(trained, options.data, threads=options.threads or None)
    images = f"{use.images} images of {_data_name(options, trained.recipe.data.val)}"
    origin = f"most often on in {trained.folder.path.resolve().name} over {images}"
    bands = use.best(options.channels, origin)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    bands.write(options.output)
    shares = use.shares()
    kept = sum(shares[channel] for channel in bands.channels)
    counts = "/".join(map(str, bands.counts))
    print(f"{options.output}: {len(bands)} channels, {'/'.join(COMPONENT_NAMES)} {counts}")
    print(f"the gate has {use.channels_on:.1f} channels on for an image, {kept:.1f} of them among these; {images}")
    return report_bad(failures)


def heatmap(options: argparse.Namespace) -> int:
    """Draw how often each channel is on, run by run."""
    disable_malloc_trim()
    uses: dict[str, ChannelUse] = {}
    failures: list[ReadFailure] = []
    rows = []
    for path in options.runs:
        trained = open_run(path, weights=options.weights)
        use, bad = measure_use(trained, options.data, threads=options.threads or None)
        failures += bad
        name = trained.name if trained.name not in uses else f"{trained.name} ({path.name})"
        uses[name] = use
        case = f"{path.resolve().name}, {_data_name(options, trained.recipe.data.val)}"
        scores = {"channels_on": use.channels_on, **{f"on/{channel}": on for channel, on in use.shares().items()}}
        if (agreement := _agreement(use)) is not None:
            scores |= {f"{_PUBLISHED} {key}": value for key, value in vars(agreement).items()}
        rows.append(ScoreRow("heatmap", case, name, use.images, scores, describe_environment()))
    records = options.records or options.output.with_suffix(".jsonl")
    titles = {f"{name}: {use.channels_on:.1f} channels on, {use.images} images": use for name, use in uses.items()}
    try:
        plot_heat_maps(
            {title: _maps(use) for title, use in titles.items()}, options.output, title=options.title, ids=zigzag_ids()
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error
    append_records(records, rows)
    headers = ["run", "images", "channels on", *COMPONENT_NAMES]
    headers += [f"among the first {len(BandSet.parse(_PUBLISHED))}, of {_PUBLISHED}", "rank correlation", "AUC"]
    print_table(headers, [_cells(name, use) for name, use in uses.items()])
    print(f"\ndrawn: {options.output}; written: {records}")
    return report_bad(failures)


def _maps(use: ChannelUse) -> Float64[np.ndarray, "3 8 8"]:
    """Lay shares out by component, v and u; channels outside the band set are never on."""
    maps = np.zeros((3, 8, 8))
    for channel, share in use.shares().items():
        maps[channel // 64, channel % 64 // 8, channel % 8] = share
    return maps


def _cells(name: str, use: ChannelUse) -> list[str]:
    by_component = [f"{part.sum():.1f}" for part in _maps(use)]
    agreement = _agreement(use)
    alike = ["-"] * 3
    if agreement is not None:
        alike = [str(agreement.shared), f"{agreement.spearman:.3f}", f"{agreement.auc:.3f}"]
    return [name, str(use.images), f"{use.channels_on:.1f}", *by_component, *alike]


def _agreement(use: ChannelUse) -> Agreement | None:
    """Hold a gate that chooses from enough channels against the published set that gates chose."""
    published = BandSet.parse(_PUBLISHED)
    return use.agreement(published) if set(published.channels) < set(use.bands.channels) else None


def _data_name(options: argparse.Namespace, val: str | None) -> str:
    return str(options.data.resolve().name if options.data is not None else val)
