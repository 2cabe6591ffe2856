"""Count the multiply-adds of a network's first layer on pixels, and folded in either form, by band set.

Counted for one image of 224 x 224 pixels, or the 56 x 56 blocks that stand for it; nothing is timed, and weights do not
matter. With ``-n 1`` only the first network is counted.

    python -m benchmarks.speed.stem_cost -n 2 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

from benchmarks.harness import arguments

from prepixel.models import fold, pixel_model
from prepixel.records import ScoreRow, append_records, describe_environment

NETWORKS = ("mobilenet_v2", "resnet50", "convnext_tiny", "swin_t", "vit_b_16", "vit_b_32", "vgg11")
BANDS = ("S-6", "S-24", "S-64", "192")


def main() -> None:
    """Fold every network over every band set."""
    options = arguments(__doc__)
    rows, environment = [], describe_environment()
    for name in NETWORKS[: 1 if options.n == 1 else None]:
        network = pixel_model(name, weights="none").network
        for bands in BANDS:
            folded = fold(network, bands=bands)
            scores = {**vars(folded.cost), "taken": folded.settings.form}
            rows.append(ScoreRow("stem cost", "first layer, multiply-adds", f"{name}, {bands}", 1, scores, environment))
            print(
                f"{name:16s} {bands:6s}" + "".join(f"  {key} {value:>13,}" for key, value in vars(folded.cost).items())
            )
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
