"""Compare plain crops and flips with RandAugment, MixUp and CutMix, on RGB pixels and on DCT-24, by recipes.

Four runs a seed: RGB and S-24, plain and augmented. Both kinds draw the same operations, magnitudes (as shares of the
image) and shares of mixing; rectangles end at whole blocks of each. RandAugment: two of its linear operations,
magnitude 9. MixUp .2 or CutMix 1: one of the two a batch. Ten classes of ImageNet photos: ResNet-18 from random
weights, on 14 x 14 blocks, or on 56 x 56 pixels, which its stem takes to 14 x 14. Twenty kinds of flowers: MobileNetV2
of ImageNet fine-tuned, at 112 pixels or folded over 28 x 28 blocks. ``-n`` is the number of seeds, from
``--first-seed`` on.

    python -m benchmarks.accuracy.augmentation --dataset imagenette10 -n 3 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from benchmarks.harness import photos

from prepixel.recipes import parse_recipe
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import run
from prepixel.tasks import ClassificationResult

AUGMENT = {"crops and flips": "{}", "RandAugment, MixUp, CutMix": "{rand_augment: 2, mixup: 0.2, cutmix: 1.0}"}
EPOCHS = {"imagenette10": 6, "flowers20": 4}
INPUTS = {
    "imagenette10": {
        "RGB 56": ("{kind: rgb, pixels: 56, areas: [0.25, 1.0]}", "{name: resnet18}"),
        "DCT-24": ("{kind: spectrum, bands: S-24, grid: 14, areas: [0.25, 1.0]}", "{name: resnet18}"),
    },
    "flowers20": {
        "RGB 112": (
            "{kind: rgb, pixels: 112, areas: [0.25, 1.0]}",
            "{name: mobilenet_v2, rgb_weights: '%s'}",
        ),
        "DCT-24, folded": (
            "{kind: spectrum, bands: S-24, grid: 28, areas: [0.25, 1.0]}",
            "{name: mobilenet_v2, stem: folded, pixels: 112, rgb_weights: '%s'}",
        ),
    },
}
OPTIMIZATION = {
    "imagenette10": "{optimizer: sgd, learning_rate: 0.05, weight_decay: 5.0e-4, warmup_epochs: 1}",
    "flowers20": "{optimizer: sgd, learning_rate: 0.005, weight_decay: 1.0e-4, warmup_epochs: 1}",
}
WEIGHTS = "weights/mobilenet_v2_backbone_deepsort_tvkeys.pt"


def score(folder: Path, dataset: str, subject: str, augment: str, *, seed: int, epochs: int) -> ClassificationResult:
    """Train one run and return its last evaluation."""
    shown, network = INPUTS[dataset][subject]
    text = f"""
data: {{train: '{folder / dataset / "train"}', val: '{folder / dataset / "val"}', batch_size: 32}}
input: {shown}
network: {network.replace("%s", str(folder / WEIGHTS))}
augment: {AUGMENT[augment]}
task: {{label_smoothing: 0.1}}
optimization: {OPTIMIZATION[dataset]}
training: {{epochs: {epochs}, evaluate_every: {epochs}, tensorboard: false, progress: false, device: auto}}
seed: {seed}
"""
    recipe = parse_recipe(text, source="augmentation.py", name=f"{dataset}-{seed}")
    with tempfile.TemporaryDirectory() as place:
        result = run(recipe, Path(place) / "run").training.evaluation
    assert isinstance(result, ClassificationResult)
    return result


def main() -> None:
    """Train every run, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--dataset", choices=tuple(INPUTS), default="imagenette10")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the photos (default 6, flowers 4)")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute (default 1)")
    parser.add_argument("--output", type=Path, default=None, help="append records to this JSON-lines file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder, epochs = photos(), options.epochs or EPOCHS[options.dataset]
    seeds = range(options.first_seed, options.first_seed + options.n)
    rows, environment = [], describe_environment()
    for subject in INPUTS[options.dataset]:
        for augment in AUGMENT:
            began, found = time.perf_counter(), []
            for seed in seeds:
                found.append(score(folder, options.dataset, subject, augment, seed=seed, epochs=epochs))
                print(f"{options.dataset}, {subject}, {augment}, seed {seed}: {found[-1].top1:.4f}", flush=True)
            tops = [result.top1 for result in found]
            minutes = (time.perf_counter() - began) / 60 / len(seeds)
            scores: dict[str, float | int] = {
                "top1": statistics.mean(tops),
                "lowest": min(tops),
                "highest": max(tops),
                "validation loss": statistics.mean(result.loss for result in found),
                "seeds": len(tops),
                "epochs": epochs,
                "minutes": minutes,
            }
            print(
                f"  mean {scores['top1']:.4f}, {scores['lowest']:.4f} to {scores['highest']:.4f}, {minutes:.1f} minutes"
            )
            case, name = f"{options.dataset}, {epochs} epochs", f"{subject}, {augment}"
            rows.append(ScoreRow("augmentation", case, name, found[0].images, scores, environment))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
