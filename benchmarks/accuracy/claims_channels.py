"""Ask how many of 192 channels pretrained networks need, which, and whether luma alone is enough; nothing is trained.

Networks of 224 x 224 pixels are folded over 56 x 56 blocks (a photo of 448 x 448, by the ``box`` map, so that every
channel reaches the network) and over 28 x 28 blocks (224 x 224, their own resolution). All photos are read once with
192 channels; a set of channels leaves the others at zero, which is what dropping them does. Sets: the paper's S, T and
L, and random ones: of all 192 channels, and of the 48 that a 224 x 224 image holds of one of 448 x 448. Luma: the 16
lowest luma frequencies alone, with the two DCs of chroma, and as S-24 with 4 + 4 chroma channels, beside the RGB
network on the photo without colors. ``-n`` is the number of random sets of each kind.

    python -m benchmarks.accuracy.claims_channels -n 3 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from benchmarks.accuracy.folding import Photos, Pretrained
from benchmarks.answers import (
    GRID,
    OWN_GRID,
    PIXELS,
    RGB,
    Tally,
    answer,
    batches,
    classifiers,
    labeled_photos,
    read_coefficients,
    read_pixels,
    report,
    rgb_network,
)  # fmt: skip
from benchmarks.harness import arguments, photos
from torchvision.transforms.v2.functional import rgb_to_grayscale

from prepixel.engine import disable_malloc_trim
from prepixel.models import FoldedNetwork, fold
from prepixel.spectrum import BandSet

SETS = ("192", "S-48", "T-48", "S-24", "T-24", "L-24", "S-12", "T-12", "S-6")
OWN_SETS = ("192", "S-64", "S-48", "S-24", "S-12")
SIZES = (48, 24, 12, 6)
SMALL = tuple(64 * component + 8 * v + u for component in range(3) for v in range(4) for u in range(4))
LUMA = {"Y 16": "square-4-0-0", "Y 16 + DC of chroma": "square-4-1-1", "S-24 (Y 16 + 4 + 4)": "S-24"}
GRAY = "RGB 224, gray photo"


def random_sets(count: int) -> Iterator[tuple[str, str, BandSet]]:
    """Yield random sets: what is reported together, the own name, and the set."""
    for name, pool in (("random of 192", range(192)), ("random of the 48 lowest", SMALL)):
        for size in SIZES:
            if size == len(pool):
                continue
            for seed in range(count):
                chosen = random.Random(f"{name} {size} {seed}").sample(list(pool), size)
                kind = f"{name}: {size}"
                yield kind, f"{kind}, seed {seed}", BandSet(kind, tuple(sorted(chosen)))


def keep(folded: FoldedNetwork, normalized: torch.Tensor, bands: BandSet) -> torch.Tensor:
    """Answer by a network that has only some of its channels."""
    mask = torch.zeros(192)
    mask[list(bands.channels)] = 1
    with torch.inference_mode():
        return folded.from_normalized(normalized * mask[:, None, None]).argmax(1)


def score(model: Pretrained, sets: list[Photos], count: int) -> tuple[Tally, Tally]:
    """Answer every photo with every set of channels."""
    rgb = rgb_network(model)
    norm = {"mean": model.mean, "std": model.std}
    grids = {
        grid: fold(model.network, pixels=PIXELS, grid=grid, bands="192", reduction="box", **norm)
        for grid in (GRID, OWN_GRID)
    }
    channels = Tally("claim: channels", model.name)
    luma = Tally("claim: luma", model.name)
    chosen = [(name, BandSet.parse(name)) for name in SETS]
    chosen += [(name, bands) for _, name, bands in random_sets(count)]
    for one in sets:
        for part, _ in batches(one):
            pixels = read_pixels(part)
            channels.labels.append(part.labels)
            luma.labels.append(part.labels)
            from_pixels = answer(rgb, pixels)
            channels.add(RGB, from_pixels)
            luma.add(RGB, from_pixels)
            luma.add(GRAY, answer(rgb, rgb_to_grayscale(pixels, 3)))
            for grid, folded in grids.items():
                with torch.inference_mode():
                    normalized = folded.input(read_coefficients(part, grid=grid))
                for name, bands in chosen if grid == GRID else [(name, BandSet.parse(name)) for name in OWN_SETS]:
                    where = "" if grid == GRID else ", 28 x 28 blocks"
                    channels.add(f"{name}{where}", keep(folded, normalized, bands))
                for name, bands in LUMA.items() if grid == GRID else ():
                    luma.add(name, keep(folded, normalized, BandSet.parse(bands)))
    return channels, luma


def pooled(tally: Tally, count: int) -> dict[str, dict[str, Any]]:
    """Keep of the random sets of a kind the median one; return the range of top-1 over all of them, by kind."""
    labels = torch.cat(tally.labels)
    kinds: dict[str, list[str]] = {}
    for kind, name, _ in random_sets(count):
        kinds.setdefault(kind, []).append(name)
    facts = {}
    for kind, names in kinds.items():
        parts = {name: tally.answers.pop(name) for name in names}
        top1 = {name: 100 * float((torch.cat(part) == labels).double().mean()) for name, part in parts.items()}
        names.sort(key=lambda name: top1[name])
        subject = f"{kind} (median of {count} sets)"
        tally.answers[subject] = parts[names[len(names) // 2]]
        facts[subject] = {"all sets, top-1 %": f"{top1[names[0]]:.1f} to {top1[names[-1]]:.1f}"}
    return facts


def main() -> None:
    """Score every network."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder, few = photos(), options.n == 1
    for model in classifiers(folder, few=few):
        channels, luma = score(model, labeled_photos(folder, few=few), options.n)
        facts = pooled(channels, options.n)
        report(channels.rows(facts), options)
        report(luma.rows(), options)


if __name__ == "__main__":
    main()
