"""Measure whether 8 bits per value cost a pretrained network answers: folded over S-24, untrained, on ImageNet.

The same photos take three encodings: float32; int8 with steps measured on 64 of the photos, as recipes measure them on
their training images; int8 with the widest step that is ever needed, the default of folded networks. Counted over all
networks and photos: right answers, and answers equal to float32's. Nothing is random and nothing is timed: ``-n 1``
takes 16 photos of each set to prove that the script runs, any other value takes all.

    python -m benchmarks.accuracy.int8 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

from collections import Counter

import torch
from benchmarks.accuracy.folding import GRID, Photos, outputs, photo_sets, pretrained
from benchmarks.harness import arguments, photos

from prepixel.data import SpectrumReader
from prepixel.data.loading.readers import read_centered
from prepixel.models import FoldedNetwork, fold
from prepixel.models.folding.reconstruction import int8_unit
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet, Statistics

BANDS = BandSet.parse("S-24")
MEASURED = 64
FLOAT, STEPS, WIDEST = "float32", "int8, measured steps", "int8, widest steps"


def measured_unit(one: Photos) -> torch.Tensor:
    """Measure int8 steps on the first photos of a set, as recipes do on training images."""
    statistics = Statistics.empty(BANDS, GRID)
    reader = SpectrumReader(GRID, BANDS, one.filter)
    statistics.update(read_centered(reader, one.paths[:MEASURED], one.crop, 1).inputs)
    return statistics.int8_unit().float()


def readers(network: FoldedNetwork, one: Photos, steps: torch.Tensor) -> dict[str, SpectrumReader]:
    """Return the encodings of one network over one set of photos."""
    shift = network.input.shift
    units = {STEPS: steps, WIDEST: int8_unit(BANDS, shift)}
    coded = {name: SpectrumReader(GRID, BANDS, one.filter, torch.int8, shift, unit) for name, unit in units.items()}
    return {FLOAT: SpectrumReader(GRID, BANDS, one.filter), **coded}


def main() -> None:
    """Count, print and record."""
    options = arguments(__doc__)
    folder = photos()
    sets, most = list(photo_sets(folder)), 16 if options.n == 1 else options.files
    right, same, total = Counter[str](), Counter[str](), 0
    for model in pretrained(folder):
        network = fold(model.network, grid=GRID, bands=BANDS, mean=model.mean, std=model.std)
        for one in sets:
            few = Photos(one.name, one.paths[:most], one.labels[:most], one.crop, one.filter)
            answers = {
                name: outputs(network, reader, few.paths, few.crop)
                for name, reader in readers(network, few, measured_unit(sets[0])).items()
            }
            if answers[FLOAT].shape[1] != 1000:
                continue  # features, no classes
            total += len(few.labels)
            for name, logits in answers.items():
                right[name] += int((logits.argmax(1) == few.labels).sum())
                same[name] += int((logits.argmax(1) == answers[FLOAT].argmax(1)).sum())
    rows = []
    for name in (FLOAT, STEPS, WIDEST):
        values = BANDS.num_values(GRID)
        scores: dict[str, float | int | str] = {
            "bytes": values if name != FLOAT else 4 * values,
            "top1": right[name] / total,
            "points beside float32": f"{100 * (right[name] - right[FLOAT]) / total:+.2f}",
            "same answer as float32": same[name] / total,
        }
        print(
            f"{name:22s} {right[name]} of {total} right, {same[name]} as float32; {scores['bytes']:,} bytes per sample"
        )
        rows.append(ScoreRow("int8", "three folded networks, S-24", name, total, scores, describe_environment()))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
