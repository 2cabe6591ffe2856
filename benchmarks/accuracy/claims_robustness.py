"""Ask whether dropping high frequencies makes an untrained folded network more or less robust than RGB.

Every photo is decoded by Pillow, changed in its own size, and encoded again; then each pipeline reads the same file.
JPEG quality: Pillow's scale, chroma 4:2:0. Twice: quality 30 after 3 rows and columns of the quality-30 file were cut
off, so that block borders move. Blur: Gaussian, radius in pixels of the photo. Noise: Gaussian, of the values 0..255,
one draw per photo and strength. Blurred and noisy photos are stored at quality 95, 4:4:4. Folded by the ``box`` map:
S-24 and S-64 of 448 x 448 pixels, and S-24 of 224 x 224 (28 x 28 blocks), which takes real detail from the network.
Nothing is trained. ``-n 1`` is a smoke test; otherwise -n is ignored.

    python -m benchmarks.accuracy.claims_robustness --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
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
from PIL import Image, ImageFilter

from prepixel.engine import disable_malloc_trim
from prepixel.models import FoldedNetwork, fold

QUESTION = "claim: robustness"
FOLDED = {"S-24": ("S-24", GRID), "S-64": ("S-64", GRID), "S-24, 28 x 28 blocks": ("S-24", OWN_GRID)}

Change = Callable[[Image.Image, int], bytes]


def encoded(image: Image.Image, quality: int, subsampling: str = "4:2:0") -> bytes:
    """Encode a photo."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def at_quality(quality: int) -> Change:
    """Return what encodes at a quality."""
    return lambda image, index: encoded(image, quality)


def twice(quality: int) -> Change:
    """Return what encodes twice, with other block borders."""

    def change(image: Image.Image, index: int) -> bytes:
        once = Image.open(io.BytesIO(encoded(image, quality)))
        return encoded(once.crop((3, 3, *once.size)), quality)

    return change


def blurred(radius: float) -> Change:
    """Return what blurs."""
    return lambda image, index: encoded(image.filter(ImageFilter.GaussianBlur(radius)), 95, "4:4:4")


def noisy(strength: float) -> Change:
    """Return what adds noise."""

    def change(image: Image.Image, index: int) -> bytes:
        values = np.asarray(image, dtype=np.float32)
        noise = np.random.default_rng([index, int(strength)]).standard_normal(values.shape, dtype=np.float32)
        changed = np.clip(np.rint(values + strength * noise), 0, 255).astype(np.uint8)
        return encoded(Image.fromarray(changed), 95, "4:4:4")

    return change


CHANGES: dict[str, Change] = {
    "stored again (quality 95, 4:4:4)": lambda image, index: encoded(image, 95, "4:4:4"),
    **{f"JPEG quality {quality}": at_quality(quality) for quality in (100, 50, 20, 10)},
    "JPEG quality 30, twice": twice(30),
    **{f"blur, radius {radius}": blurred(radius) for radius in (2, 4)},
    **{f"noise, standard deviation {strength}": noisy(strength) for strength in (16, 32, 64)},
}


def score(model: Pretrained, sets: list[Photos], change: Change, folded: dict[str, FoldedNetwork]) -> Tally:
    """Answer every changed photo by every pipeline."""
    tally, rgb = Tally(QUESTION, model.name), rgb_network(model)
    index = 0
    for one in sets:
        for part, _ in batches(one):
            files = []
            for path in part.paths:
                files.append(change(Image.open(path).convert("RGB"), index))
                index += 1
            tally.labels.append(part.labels)
            tally.add(RGB, answer(rgb, read_pixels(part, files)))
            for name, (bands, grid) in FOLDED.items():
                tally.add(name, answer(folded[name], read_coefficients(part, files, bands=bands, grid=grid)))
    return tally


def main() -> None:
    """Score every change."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder, few = photos(), options.n == 1
    sets = labeled_photos(folder, few=few)
    for model in classifiers(folder, few=few):
        norm = {"mean": model.mean, "std": model.std}
        folded = {
            name: fold(model.network, pixels=PIXELS, grid=grid, bands=bands, reduction="box", **norm)
            for name, (bands, grid) in FOLDED.items()
        }
        for name, change in list(CHANGES.items())[: 2 if few else None]:
            report([score(model, sets, change, folded).row(name)], options)


if __name__ == "__main__":
    main()
