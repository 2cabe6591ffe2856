"""Ask whether the channels that networks need are simply those with the most energy in photos.

Of the 45 channels without DC that reach a network of 224 x 224 pixels folded over 56 x 56 blocks: the recorded effect
of leaving one out (`prepixel sensitivity`, question "sensitivity" of benchmarks/results/records.jsonl, two networks, 96
ImageNet photos), the channel's mean square in photos of four data sets, and low frequency, -(v + u). Rank correlations
are Spearman's with 95 % intervals. ``-n`` is the number of photos of each data set, evenly spaced.

    python -m benchmarks.accuracy.claims_energy -n 100 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from benchmarks.accuracy.claims_bias import ranks, spearman, with_interval
from benchmarks.answers import GRID, report
from benchmarks.harness import arguments, photos
from benchmarks.write_tables import RESULTS
from torch import Tensor

from prepixel.data import SpectrumReader
from prepixel.data.loading.readers import read_centered
from prepixel.files import image_files
from prepixel.records import ScoreRow, describe_environment, read_records
from prepixel.spectrum import BandSet

QUESTION = "claim: channels' energy"
SETS = ("imagenet_samples", "imagenet_val227", "flowers20", "coco_person")
IMAGENET = SETS[0]


def recorded() -> dict[str, dict[int, float]]:
    """Return the recorded divergence when a channel is left out, by network and channel."""
    found: dict[str, dict[int, float]] = {}
    for row in read_records(RESULTS / "records.jsonl").of_kind(ScoreRow):
        if row.question == "sensitivity" and row.subject.startswith("without "):
            channel = int(row.subject.removeprefix("without "))
            found.setdefault(row.case.partition(",")[0], {})[channel] = float(row.scores["divergence"])
    return found


def energy(folder: Path, count: int) -> tuple[Tensor, int]:
    """Return the mean square of each of the 192 channels over a folder's photos, and how many there are."""
    paths = sorted(image_files(folder))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    batch = read_centered(SpectrumReader(GRID, BandSet.parse("192")), chosen, 0.875, 1)
    assert not batch.failures, batch.failures
    values = batch.inputs.values if not isinstance(batch.inputs, Tensor) else batch.inputs
    return values.double().square().mean((0, 2, 3)), len(chosen)


def partial(a: Tensor, b: Tensor, given: Tensor) -> float:
    """Return the rank correlation of two quantities at equal ranks of a third."""
    table = torch.corrcoef(torch.stack([ranks(a), ranks(b), ranks(given)]))
    ab, ag, bg = float(table[0, 1]), float(table[0, 2]), float(table[1, 2])
    return (ab - ag * bg) / math.sqrt((1 - ag * ag) * (1 - bg * bg))


def main() -> None:
    """Compare recorded sensitivity, energy and frequency."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder = photos()
    networks = recorded()
    ids = torch.tensor(sorted(channel for channel in next(iter(networks.values())) if channel % 64))
    low = -((ids % 64) // 8 + ids % 8)
    energies = {name: energy(folder / name, 4 if options.n == 1 else options.n) for name in SETS}
    environment = describe_environment()
    rows = []
    imagenet = energies[IMAGENET][0][ids]
    for name, effects in networks.items():
        needed = torch.tensor([effects[channel] for channel in ids.tolist()], dtype=torch.float64)
        scores: dict[str, Any] = {
            "with low frequency": spearman(needed, low),
            "with energy": spearman(needed, imagenet),
            "with low frequency, at equal energy": with_interval(partial(needed, low, imagenet), len(ids) - 1),
            "with energy, at equal frequency": with_interval(partial(needed, imagenet, low), len(ids) - 1),
        }
        rows.append(ScoreRow(QUESTION, "need of a channel", name, len(ids), scores, environment))
    first, second = (
        torch.tensor([effects[channel] for channel in ids.tolist()], dtype=torch.float64)
        for effects in networks.values()
    )
    scores = {"with the other network": spearman(first, second)}
    rows.append(ScoreRow(QUESTION, "need of a channel", " and ".join(networks), len(ids), scores, environment))
    for name, (values, count) in energies.items():
        scores = {
            "photos": count,
            "with low frequency": spearman(values[ids], low),
            f"with energy in {IMAGENET}": spearman(values[ids], imagenet) if name != IMAGENET else "",
        }
        rows.append(ScoreRow(QUESTION, "energy of a channel in photos", name, len(ids), scores, environment))
    report(rows, options)


if __name__ == "__main__":
    main()
