"""Ask how many channels, and which, a network needs that is fine-tuned on them; luma alone among them.

As claims_resolution.py: MobileNetV2 with pretrained features learns twenty kinds of flowers from ten photos a class,
with one schedule and the same crops in every arm. Each arm keeps some of 192 channels, on 56 x 56 blocks of 448 pixels
or on 28 x 28 of 224; the original first layer learns behind a fixed map to pixels. RGB 224 stands beside them. Random
channels are the same for all seeds. ``-n`` is the number of seeds, 1 without
``--arms`` a smoke test.

    python -m benchmarks.accuracy.claims_finetuned -n 3 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import random

from benchmarks.accuracy.claims_resolution import CASE, REFERENCE, folded_arm, options, pixel_arm, run

from prepixel.spectrum import BandSet

QUESTION = "claim: channels, fine-tuned"
LUMA = {"Y 16": "square-4-0-0", "Y 16 + DC of chroma": "square-4-1-1"}


def random_bands(count: int) -> BandSet:
    """Draw channels of the 192, the DC of luma among them."""
    drawn = random.Random(count).sample(range(1, 192), count - 1)
    return BandSet(f"DC of luma + {count - 1} random", (0, *sorted(drawn)))


BANDS: dict[str, BandSet | str] = {
    **{name: name for name in ("192", "S-48", "S-24", "T-24", "L-24", "S-12", "S-6")},
    **{bands.name: bands for bands in (random_bands(24),)},
    **LUMA,
}
ARMS = (
    {REFERENCE: pixel_arm(224)}
    | {f"{name} of 448": folded_arm(bands, 56, "factored") for name, bands in BANDS.items()}
    | {f"{name} of 224": folded_arm(name, 28, "factored") for name in ("192", "S-24", "S-12")}
)


if __name__ == "__main__":
    run(QUESTION, ARMS, options(__doc__, ARMS), [REFERENCE, "Y 16 of 448"], f"{CASE}, factored")
