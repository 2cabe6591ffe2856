"""Answers of pretrained classifiers to the same photos by several pipelines, and how sure their differences are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from benchmarks.accuracy.folding import Normalized, Photos, Pretrained, photo_sets, pretrained, wilson
from torch import Tensor, nn

from prepixel.data import PixelReader, SpectrumReader
from prepixel.data.loading.readers import read_centered
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet

RGB = "RGB 224"
PIXELS, GRID, OWN_GRID = (224, 224), (56, 56), (28, 28)
BATCH = 20


def classifiers(folder: Path, *, few: bool) -> list[Pretrained]:
    """Return EfficientNet-Lite0 and SqueezeNet 1.1 with their classifiers; the first alone for a smoke test."""
    return list(islice(pretrained(folder), 1 if few else 2))


def labeled_photos(folder: Path, *, few: bool) -> list[Photos]:
    """Return the labeled photos; four of each set for a smoke test."""
    sets = list(photo_sets(folder))
    return [replace(one, paths=one.paths[:4], labels=one.labels[:4]) for one in sets] if few else sets


def batches(one: Photos) -> Iterator[tuple[Photos, slice]]:
    """Yield a set's photos in parts, each with its place."""
    for start in range(0, len(one.paths), BATCH):
        place = slice(start, start + BATCH)
        yield replace(one, paths=one.paths[place], labels=one.labels[place]), place


def read_pixels(part: Photos, sources: Sequence[Any] | None = None) -> Tensor:
    """Read the centered crops as the RGB pipeline does: by Pillow and torchvision."""
    batch = read_centered(PixelReader(PIXELS), part.paths if sources is None else sources, part.crop, 1)
    assert isinstance(batch.inputs, Tensor)
    assert not batch.failures, batch.failures
    return batch.inputs


def read_coefficients(
    part: Photos, sources: Sequence[Any] | None = None, *, bands: BandSet | str = "192", grid: tuple[int, int] = GRID
) -> Any:
    """Read the same crops as a spectrum."""
    reader = SpectrumReader(grid, BandSet.of(bands), part.filter)
    batch = read_centered(reader, part.paths if sources is None else sources, part.crop, 1)
    assert not batch.failures, batch.failures
    return batch.inputs


def answer(network: nn.Module, inputs: Any) -> Tensor:
    """Return the class of each input."""
    with torch.inference_mode():
        return network(inputs).argmax(1)


def rgb_network(model: Pretrained) -> nn.Module:
    """Return a network on uint8 pixels."""
    return Normalized(model)


@dataclass
class Tally:
    """Collect the answers of several pipelines to the same photos.

    Attributes:
        question: of the records.
        case: of the records.
        reference: the pipeline that others are compared with.
        answers: by pipeline, batch by batch.
        labels: batch by batch.
    """

    question: str
    case: str
    reference: str = RGB
    answers: dict[str, list[Tensor]] = field(default_factory=dict)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, subject: str, answers: Tensor) -> None:
        """Store a pipeline's answers to the next photos."""
        self.answers.setdefault(subject, []).append(answers)

    def rows(self, facts: dict[str, dict[str, Any]] | None = None) -> list[ScoreRow]:
        """Return a row per pipeline: top-1 with its interval, and the difference from the reference with its own.

        Args:
            facts: further scores by pipeline.
        """
        labels = torch.cat(self.labels)
        known = torch.cat(self.answers[self.reference]) if self.reference in self.answers else None
        environment, found = describe_environment(), []
        for subject, parts in self.answers.items():
            given = torch.cat(parts)
            right = given == labels
            top1 = float(right.double().mean())
            low, high = wilson(top1, len(labels))
            scores: dict[str, Any] = {"top1": top1, "low": low, "high": high}
            if known is not None:
                difference, least, most = paired_difference(right, known == labels)
                text = f"{100 * difference:+.1f} ({100 * least:+.1f} to {100 * most:+.1f})"
                scores[f"less {self.reference}, points"] = text if subject != self.reference else ""
                scores[f"same answer as {self.reference}, %"] = f"{100 * float((given == known).double().mean()):.1f}"
            scores |= (facts or {}).get(subject, {})
            found.append(ScoreRow(self.question, self.case, subject, len(labels), scores, environment))
        return found

    def row(self, subject: str) -> ScoreRow:
        """Return one row: top-1 of the reference, and the others' differences from it, each with its interval."""
        scores: dict[str, Any] = {}
        for row in self.rows():
            if row.subject == self.reference:
                top1, low, high = (100 * float(row.scores[name]) for name in ("top1", "low", "high"))
                scores[f"{self.reference}, top-1 % (interval)"] = f"{top1:.1f} ({low:.1f} to {high:.1f})"
            else:
                scores[f"{row.subject}, points"] = row.scores[f"less {self.reference}, points"]
        return ScoreRow(self.question, self.case, subject, len(torch.cat(self.labels)), scores, describe_environment())


def paired_difference(right: Tensor, other: Tensor) -> tuple[float, float, float]:
    """Return the difference of two shares counted on the same photos, and its 95 % interval.

    Source: R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17, 1998, method 10 without its correction for continuity.
    """
    n = len(right)
    counts = [int((a & b).sum()) for a in (right, ~right) for b in (other, ~other)]
    both, first, second, neither = counts
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = (both * neither - first * second) / margins**0.5 if margins else 0.0
    share, beside = (both + first) / n, (both + second) / n
    (low, high), (low_beside, high_beside) = wilson(share, n), wilson(beside, n)

    def width(a: float, b: float) -> float:
        return max(0.0, a * a - 2 * phi * a * b + b * b) ** 0.5

    difference = share - beside
    return (
        difference,
        difference - width(share - low, high_beside - beside),
        difference + width(high - share, beside - low_beside),
    )


def report(rows: Sequence[ScoreRow], options: argparse.Namespace) -> None:
    """Print rows and, with --output, append them."""
    print(f"\n{rows[0].question}: {rows[0].case}, n = {rows[0].n}")
    for row in rows:
        cells = (
            f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.scores.items()
        )
        print(f"  {row.subject:32s} " + "; ".join(cells), flush=True)
    if options.output:
        append_records(options.output, rows)
