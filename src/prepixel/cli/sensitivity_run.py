"""Measure, draw and print which frequency channels a network needs: the work of the command `sensitivity`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prepixel.cli.console import percent, print_error, print_line, print_table, progress_lines
from prepixel.cli.open_network import UNTRAINED, is_trained, open_classifier
from prepixel.cli.parser import UsageError
from prepixel.data import FolderDataset
from prepixel.data.loading.readers import read_centered
from prepixel.errors import DatasetError
from prepixel.files import image_files
from prepixel.gates import GatedNetwork
from prepixel.jpeg import ReadFailure
from prepixel.models import FoldedNetwork, FrequencyNetwork
from prepixel.models.sensitivity import ChannelProbe, Effect, Sensitivity, measure_sensitivity, zigzag_like
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.reports import plot_sensitivity
from prepixel.runs import Classifier
from prepixel.runs.wordnet import folder_class_names
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.bands import PUBLISHED_NAMES, zigzag_ids

_BATCH = 32
_SQUARES = ("S-6", "S-12", "S-24", "S-32", "S-48", "S-64")


def run_sensitivity(options: argparse.Namespace) -> int:
    """Measure which frequency channels a network needs, and write, draw and print the result."""
    classifier = open_classifier(options)
    network = classifier.network
    if isinstance(network, GatedNetwork):
        raise UsageError(f"{options.run_path}: has a gate, which shows the channels it uses: prepixel heatmap")
    if not isinstance(network, FoldedNetwork | FrequencyNetwork):
        raise UsageError(f"{options.run_path}: takes pixels, not frequencies; fold it: prepixel fold")
    paths, labels = _images(options.folder, classifier, options.images)
    failures: list[ReadFailure] = []
    kept: list[int] = []
    with progress_lines("reading images") as progress:
        probe = ChannelProbe(network, _spectra(classifier, paths, options.threads, kept, failures, progress))
    if labels is not None:
        probe.labels = labels[torch.tensor(kept)]
    sets = [BandSet.parse(name) for name in PUBLISHED_NAMES if name != "192"]
    sets += zigzag_like([BandSet.parse(name) for name in _SQUARES])
    with progress_lines("measuring channels, passes over the images") as progress:
        found = measure_sensitivity(probe, sets=sets, greedy_images=options.greedy_images, progress=progress)
    trained = is_trained(classifier)
    name = classifier.name
    if options.records is not None:
        options.records.parent.mkdir(parents=True, exist_ok=True)
        append_records(options.records, sensitivity_rows(found, f"{name}, {options.folder.name}"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    if found.order:
        count = min(options.channels, len(found.order))
        origin = f"greedy elimination on {options.greedy_images} images of {options.folder.name}, {name}"
        found.best(count, origin).write(options.output)
    plot = options.plot or options.output.with_suffix(".png")
    draw(found, plot, title=options.title or f"{name}, {probe.num_images} images")
    if not trained:
        print_line(f"note: {UNTRAINED}")
        print_line()
    _print(found)
    print_line()
    print_line(f"written: {options.output}; drawn: {plot}" if found.order else f"drawn: {plot}")
    for failure in failures:
        print_error(f"prepixel: {failure.message}")
    return 1 if failures else 0


def sensitivity_rows(found: Sensitivity, case: str) -> list[ScoreRow]:
    """Return the results as records."""
    environment = describe_environment()

    def row(subject: str, channels: int, effect: Effect) -> ScoreRow:
        scores = {"channels": channels, "divergence": effect.divergence, "agreement": effect.agreement}
        if effect.top1 is not None:
            scores["top1"] = effect.top1
        return ScoreRow("sensitivity", case, subject, effect.n, scores, environment)

    everything = len(found.without)
    rows = [row("all that reach the network", everything, found.everything)]
    rows += [row(f"without {channel}", everything - 1, effect) for channel, effect in found.without.items()]
    rows += [row(f"only {name}", len(bands), effect) for name, (bands, effect) in found.kept.items()]
    order = " ".join(str(channel) for channel in found.order)
    return [*rows, ScoreRow("sensitivity", case, "greedy order", found.everything.n, {"channels": order}, environment)]


def draw(found: Sensitivity, output: Path, *, title: str) -> None:
    """Draw the results: accuracy if labels are known, else agreement with the network of all channels."""
    effects = np.zeros((3, 8, 8))
    for channel, effect in found.without.items():
        effects[channel // 64, channel % 64 // 8, channel % 8] = 1000 * effect.divergence
    by_top1 = found.everything.top1 is not None
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, (bands, effect) in found.kept.items():
        share = effect.top1 if effect.top1 is not None else effect.agreement
        curves.setdefault(name.partition("-")[0], []).append((len(bands), share))
    top = found.everything.top1 if found.everything.top1 is not None else 1.0
    for points in curves.values():
        points.sort()
        if len(points) > 1 and points[-1][0] < len(found.without):
            points.append((len(found.without), top))
    plot_sensitivity(
        effects,
        curves,
        output,
        quantity="top-1" if by_top1 else "same answer as with all channels",
        effect="divergence without the channel, thousandths of a nat",
        title=f"{title}: without one channel, and with some only",
        ids=zigzag_ids(),
    )


def _images(folder: Path, classifier: Classifier, count: int) -> tuple[list[str], Tensor | None]:
    """List images, evenly spaced, with labels if the folders are named by the network's classes."""
    try:
        files = FolderDataset(folder, class_names=folder_class_names(folder, classifier.classes))
        chosen = [files.samples[index] for index in _evenly(len(files), count)]
        return [sample.path for sample in chosen], torch.tensor([sample.label for sample in chosen])
    except DatasetError as error:
        paths = list(image_files(folder))
        if not paths:
            raise
        print_error(f"no labels ({error}); measured against the network's own answers")
        return [paths[index] for index in _evenly(len(paths), count)], None


def _evenly(length: int, count: int) -> list[int]:
    count = min(count, length)
    return [place * length // count for place in range(count)]


def _spectra(
    classifier: Classifier,
    paths: list[str],
    threads: int,
    kept: list[int],
    failures: list[ReadFailure],
    progress: Callable[[int, int], None],
) -> Iterator[Spectrum]:
    """Read batch by batch; append the places of images that could be read, and the failures of others."""
    for start in range(0, len(paths), _BATCH):
        part = paths[start : start + _BATCH]
        crops = read_centered(classifier.reader, part, classifier.crop_fraction, threads)
        failures += crops.failures
        kept += [start + place for place in crops.kept]
        if isinstance(crops.inputs, Spectrum) and crops.kept:
            yield crops.inputs
        progress(min(start + _BATCH, len(paths)), len(paths))


def _print(found: Sensitivity) -> None:
    def cells(name: str, count: int, effect: Effect) -> list[str]:
        top1 = [] if effect.top1 is None else [percent(effect.top1)]
        return [name, str(count), f"{effect.divergence:.4f}", percent(effect.agreement), *top1]

    rows = [cells("all that reach the network", len(found.without), found.everything)]
    rows += [cells(name, len(bands), effect) for name, (bands, effect) in found.kept.items()]
    names = ["kept", "channels", "divergence", "same answer", *(["top-1"] if found.everything.top1 is not None else [])]
    print_table(names, rows, left=1)
