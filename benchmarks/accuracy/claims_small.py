"""Ask from which size of photo on coefficients pay: accuracy of untrained networks and CPU time, by the file's size.

The middle of each ImageNet photo is reduced to 64 to 320 pixels by Pillow (Lanczos) and stored as a JPEG of quality 90,
4:2:0; every pipeline reads that file for a network of 224 x 224 pixels. RGB: Pillow and torchvision (bilinear). Folded,
bicubic, ``box`` map: 192 channels and S-24 on 56 x 56 blocks (448 x 448 pixels, which small files do not hold) and on
28 x 28 blocks.
CPU time of reading: one thread, photos in memory, in rounds of all pipelines in turn; ratios are to RGB in the same
round. ``-n`` is the number of rounds.

    python -m benchmarks.accuracy.claims_small -n 9 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import io
import statistics
import time
from dataclasses import replace
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
)
from benchmarks.harness import arguments, photos
from PIL import Image

from prepixel.engine import disable_malloc_trim
from prepixel.models import FoldedNetwork, fold
from prepixel.records import ScoreRow, describe_environment

QUESTION, READING = "claim: small photos", "claim: small photos, reading"
SIZES = (64, 96, 128, 224, 320)
TIMED = 64
FOLDED = {
    "192, 56 x 56 blocks": ("192", GRID),
    "S-24, 56 x 56 blocks": ("S-24", GRID),
    "192, 28 x 28 blocks": ("192", OWN_GRID),
    "S-24, 28 x 28 blocks": ("S-24", OWN_GRID),
}


def small(path: str, size: int) -> bytes:
    """Store the middle of a photo, reduced or enlarged to size x size pixels."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    middle = image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
    buffer = io.BytesIO()
    middle.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()


def score(model: Pretrained, sets: list[Photos], size: int, folded: dict[str, FoldedNetwork]) -> Tally:
    """Answer every small photo by every pipeline."""
    tally, rgb = Tally(QUESTION, model.name), rgb_network(model)
    for one in sets:
        for part, _ in batches(replace(one, crop=1.0, filter="bicubic")):
            files = [small(path, size) for path in part.paths]
            tally.labels.append(part.labels)
            tally.add(RGB, answer(rgb, read_pixels(part, files)))
            for name, (bands, grid) in FOLDED.items():
                tally.add(name, answer(folded[name], read_coefficients(part, files, bands=bands, grid=grid)))
    return tally


def reading_times(one: Photos, size: int, rounds: int) -> ScoreRow:
    """Measure the CPU time of reading, by pipeline."""
    part = replace(one, paths=one.paths[:TIMED], labels=one.labels[:TIMED], crop=1.0, filter="bicubic")
    files = [small(path, size) for path in part.paths]
    seconds: dict[str, list[float]] = {name: [] for name in (RGB, *FOLDED)}
    for counted in range(-1, rounds):
        for name in seconds:
            start = time.process_time()
            if name == RGB:
                read_pixels(part, files)
            else:
                bands, grid = FOLDED[name]
                read_coefficients(part, files, bands=bands, grid=grid)
            if counted >= 0:
                seconds[name].append(time.process_time() - start)
    scores: dict[str, Any] = {
        "bytes of a file": round(statistics.fmean(map(len, files))),
        f"{RGB}, CPU ms": f"{1000 * statistics.median(seconds[RGB]) / len(files):.2f}",
    }
    for name in FOLDED:
        ratios = [value / base for value, base in zip(seconds[name], seconds[RGB], strict=True)]
        scores[f"{name}, ratio"] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return ScoreRow(READING, f"{rounds} rounds", named(size), len(files), scores, describe_environment())


def named(size: int) -> str:
    """Return what a size is called."""
    return f"{size} x {size}"


def main() -> None:
    """Score every size."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder, few = photos(), options.n == 1
    sets = labeled_photos(folder, few=few)
    sizes = SIZES[:2] if few else SIZES
    report([reading_times(sets[0], size, options.n) for size in sizes], options)
    for model in classifiers(folder, few=few):
        norm = {"mean": model.mean, "std": model.std}
        folded = {
            name: fold(model.network, pixels=PIXELS, grid=grid, bands=bands, reduction="box", **norm)
            for name, (bands, grid) in FOLDED.items()
        }
        for size in sizes:
            report([score(model, sets, size, folded).row(named(size))], options)


if __name__ == "__main__":
    main()
