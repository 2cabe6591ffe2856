"""The command `select`: write the channels that a gate keeps most often as a band set."""

from __future__ import annotations

import argparse

from prepixel.cli.console import print_line, report_skipped
from prepixel.cli.gate_options import add_gate_options, dataset_name
from prepixel.cli.option_types import integer, output_file, path

SUMMARY = "write the channels that a run's gate keeps most often as a band set"
ABOUT = """\
Average a gate's bits over a run's validation images, or others, and write the
channels most often on as a band set. A network on those channels starts from
the gated one's weights by the recipe keys input.bands (the file) and
network.from_run (the run)."""
EXAMPLE = "prepixel select runs/gates --channels 24 -o learned-24.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `select`."""
    parser.add_argument("run_path", type=path, metavar="RUN", help="the folder of a run whose recipe has a gate")
    parser.add_argument("--channels", type=integer(1, 192), required=True, metavar="K", help="how many to keep")
    parser.add_argument(
        "-o", "--output", type=output_file(".json"), required=True, metavar="FILE", help="the band set's .json file"
    )
    add_gate_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the channels that a run's gate keeps most often as a band set."""
    from prepixel.engine import disable_malloc_trim
    from prepixel.runs import measure_use, open_run
    from prepixel.spectrum.bands import COMPONENT_NAMES

    disable_malloc_trim()
    trained = open_run(options.run_path, weights=options.weights)
    use, failures = measure_use(trained, options.data, threads=options.threads or None)
    images = f"{use.images} images of {dataset_name(options, trained.recipe.data.val)}"
    origin = f"most often on in {trained.folder.path.resolve().name} over {images}"
    bands = use.best(options.channels, origin)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    bands.write(options.output)
    shares = use.shares()
    kept = sum(shares[channel] for channel in bands.channels)
    counts = "/".join(map(str, bands.counts))
    print_line(f"{options.output}: {len(bands)} channels, {'/'.join(COMPONENT_NAMES)} {counts}")
    print_line(f"the gate keeps {use.channels_on:.1f} channels per image, {kept:.1f} of them among these; {images}")
    return report_skipped(failures)
