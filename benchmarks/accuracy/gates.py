"""Check that gates end with the number of channels requested, and that they choose the right ones.

Budget: dynamic and static gates before a small network learn the embedded data set (300 training and 200 validation
images of ten classes, 192 channels on 14 x 14 blocks) with budgets of 6, 12, 24 and 48 channels. Reported: mean number
of channels on per validation image, and top-1. Planted: images of noise in which five of 192 channels, chosen by the
seed, carry the label; with a budget of five channels, precision is the share of the chosen channels that are planted,
recall the share of the planted ones that are chosen. With ``--output`` a heat map of the first seed's planted runs is
drawn beside the records. ``-n`` is the number of seeds.

    python -m benchmarks.accuracy.gates -n 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from benchmarks.harness import arguments
from torch import Tensor, nn

from prepixel.data import FolderDataset, SpectrumReader, write_synthetic
from prepixel.data.loading.readers import read_centered
from prepixel.engine import OptimizationSettings, TrainSettings, train
from prepixel.gates import GatedNetwork, GateSettings, build_gate
from prepixel.models import SpectrumInput
from prepixel.records import Row, ScoreRow, append_records, describe_environment
from prepixel.reports import plot_heat_maps
from prepixel.spectrum import BandSet, Spectrum, Statistics
from prepixel.tasks import GatedClassification, GatedResult

ALL = BandSet.parse("192")
GRID = (14, 14)
REQUESTS = (6, 12, 24, 48)
PLANTED, CLASSES = 5, 8
Kind = Literal["dynamic", "static"]


@dataclass(frozen=True)
class Batch:
    """A batch of images."""

    inputs: Spectrum
    targets: Tensor

    def to(self, device: torch.device) -> Batch:
        """Move all arrays to a device."""
        return Batch(self.inputs.to(device), self.targets.to(device))

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Images:
    """A data set in memory that is shuffled by epoch."""

    spectrum: Spectrum
    labels: Tensor
    shuffled: bool = True
    size: int = 25

    def __len__(self) -> int:
        return len(self.labels) // self.size

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Yield batches."""
        generator = torch.Generator().manual_seed(epoch)
        order = (
            torch.randperm(len(self.labels), generator=generator) if self.shuffled else torch.arange(len(self.labels))
        )
        values = self.spectrum.values
        for index in order.split(self.size)[first_batch : len(self)]:
            yield Batch(Spectrum.of_coefficients(values[index], ALL), self.labels[index])


class Small(nn.Module):
    """Classify spectra by two convolutions."""

    def __init__(self, classes: int, shift: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        self.input = SpectrumInput(ALL, shift, scale)
        self.rest = nn.Sequential(
            nn.Conv2d(192, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, classes),
        )

    def from_normalized(self, normalized: Tensor) -> Tensor:
        """Compute logits."""
        logits: Tensor = self.rest(normalized)
        return logits


def learn(
    kind: Kind, channels: int, network: Small, classes: int, sets: tuple[Images, Images], seed: int, epochs: int
) -> tuple[GatedNetwork, GatedResult]:
    """Train a gated network, and score it."""
    gated = GatedNetwork(network, build_gate(ALL, GateSettings(kind, channels=channels)))
    task = GatedClassification(classes, budget=gated.gate.budget)
    settings = TrainSettings(epochs=epochs, seed=seed, device="cpu", tensorboard=False, evaluate_every=epochs)
    optimization = OptimizationSettings(learning_rate=0.05, weight_decay=5e-4)
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            gated, task, sets[0], settings=settings, optimization=optimization, folder=Path(folder), evaluation=sets[1]
        )
    assert isinstance(result.evaluation, GatedResult)
    return gated.eval(), result.evaluation


def embedded(folder: Path) -> tuple[Images, Images]:
    """Read the embedded data set's centered crops."""
    sets = []
    for root in write_synthetic(folder / "data", num_train_per_class=30, num_val_per_class=20):
        samples = FolderDataset(root).samples
        paths = [sample.path for sample in samples]
        spectrum = read_centered(SpectrumReader(GRID, ALL), paths, 0.875, 0).inputs
        assert isinstance(spectrum, Spectrum)
        sets.append(Images(spectrum, torch.tensor([sample.label for sample in samples]), not sets))
    return sets[0], sets[1]


def budget(options: argparse.Namespace) -> Iterator[ScoreRow]:
    """Measure several budgets."""
    with tempfile.TemporaryDirectory() as folder:
        sets = embedded(Path(folder))
    measured = Statistics.empty(ALL, GRID)
    measured.update(sets[0].spectrum)
    print("\ngates, budget: channels on for an image; top-1, by seed")
    for kind in ("dynamic", "static"):
        for channels in REQUESTS if options.n > 1 else REQUESTS[-1:]:
            found = []
            for seed in range(options.n):
                torch.manual_seed(seed)
                network = Small(10, measured.shift(), measured.scale())
                _, result = learn(kind, channels, network, 10, sets, seed, 24 if options.n > 1 else 6)
                found.append(result)
                scores = {"asked": channels, "channels_on": result.channels_on, "top1": result.top1}
                case, subject = f"embedded data, {kind}", f"{channels} channels, seed {seed}"
                yield ScoreRow("gates: budget", case, subject, result.images, scores, describe_environment())
            counts = " ".join(f"{result.channels_on:.2f}" for result in found)
            print(
                f"  {kind:8s} {channels:3d}:  {counts};  {' '.join(f'{result.top1:.3f}' for result in found)}",
                flush=True,
            )


def noise(planted: Tensor, code: Tensor, generator: torch.Generator, *, n: int, shuffled: bool) -> Images:
    """Generate images of noise in which some channels carry the label."""
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    values = torch.randn(n, 192, 4, 4, generator=generator)
    values[:, planted] += 0.5 * code[labels][:, :, None, None]
    return Images(Spectrum.of_coefficients(values, ALL), labels, shuffled)


def planted_channels(options: argparse.Namespace) -> Iterator[ScoreRow]:
    """Request five channels where five carry the label."""
    maps: dict[str, np.ndarray] = {}
    print("\ngates, planted: precision and recall of the channels chosen, by seed")
    for kind in ("dynamic", "static"):
        found = []
        for seed in range(options.n):
            generator = torch.Generator().manual_seed(seed)
            planted = torch.randperm(192, generator=generator)[:PLANTED]
            words = torch.randperm(2**PLANTED, generator=generator)[:CLASSES]  # a pattern of signs per class
            code = (words[:, None] >> torch.arange(PLANTED) & 1).float() * 2 - 1
            sets = [noise(planted, code, generator, n=n, shuffled=n > 500) for n in (1000, 500)]
            torch.manual_seed(seed)
            network, result = learn(kind, PLANTED, Small(CLASSES), CLASSES, (sets[0], sets[1]), seed, 12)
            with torch.inference_mode():
                bits = network.gate(network.network.input(sets[1].spectrum))[1].bits.mean(0)
            hits = float(bits[planted].sum())
            precision, recall = hits / float(bits.sum()), hits / PLANTED
            found.append((precision, recall))
            if seed == 0:
                maps[f"{kind}, planted {sorted(planted.tolist())}"] = bits.reshape(3, 8, 8).double().numpy()
            scores = {"precision": precision, "recall": recall, "channels_on": result.channels_on, "top1": result.top1}
            yield ScoreRow("gates: planted", kind, f"seed {seed}", result.images, scores, describe_environment())
        precision, recall = (statistics.fmean(values) for values in zip(*found, strict=True))
        each = " ".join(f"{p:.2f}/{r:.2f}" for p, r in found)
        print(f"  {kind:8s} {each};  mean {precision:.3f}/{recall:.3f}", flush=True)
    if options.output:
        figure = options.output.with_name("gates_planted.png")
        plot_heat_maps(maps, figure, title="share of images for which a channel is on")


def main() -> None:
    """Run both measurements."""
    options = arguments(__doc__)
    rows: list[Row] = [*planted_channels(options), *budget(options)]
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
