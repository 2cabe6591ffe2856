"""Score a trained RGB segmenter that is folded over coefficients, untrained, by band set and block size.

``--run`` is a run of an RGB segmenter (``recipes/coco_person_seg_rgb.yaml``). The whole network is folded over band
sets, with blocks that stand for 4 or 8 pixels of the frame, and scored by mIoU on the run's validation photos, from
JPEG bytes. Without a run the recipe's segmenter is scored before training, which proves that the script runs and
nothing else. ``-n`` is the seed to name in the records.

    python -m benchmarks.accuracy.segmentation_folding --run runs/coco_person_seg/coco_person_seg_rgb-0
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from benchmarks.harness import ROOT, photos

from prepixel.data import PixelReader, SpectrumReader
from prepixel.data.loading.loader import BatchLoader
from prepixel.data.loading.segmentation_dataset import SegmentationDataset
from prepixel.engine import evaluate
from prepixel.models import fold_segmenter
from prepixel.recipes import SegmentationRecipe, read_any_recipe
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import load_segmenter
from prepixel.runs.build_segmenter import build_recipe_segmenter, open_part
from prepixel.spectrum import BandSet
from prepixel.tasks import Segmentation

RECIPE = ROOT / "recipes" / "coco_person_seg_rgb.yaml"
CONFIGURATIONS = [("192", 8), ("S-24", 8), ("192", 4), ("S-64", 4), ("S-24", 4)]


def main() -> None:
    """Score every configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=0, help="the run's seed, for the records (default 0)")
    parser.add_argument("--run", type=Path, help="a run of an RGB segmenter (default: one that has learned nothing)")
    parser.add_argument("--output", type=Path, help="append records to this JSON-lines file")
    options = parser.parse_args()
    os.environ["PREPIXEL_DATA"] = str(photos())  # the recipe names its photos by it
    if options.run is not None:
        trained = load_segmenter(options.run, weights="last", device="cpu")
        recipe, original = trained.recipe, trained.network
    else:
        found = read_any_recipe(RECIPE, ["--input.pixels", "[64, 64]", "--network.rgb_weights", "null"])
        assert isinstance(found, SegmentationRecipe)
        recipe, original = found, build_recipe_segmenter(found, 2).eval()
    labeled = open_part(recipe, "val")
    height, width = recipe.input.frame
    pipelines = {"RGB, Pillow": (original, PixelReader((height, width)), 3.0)}
    for name, block in CONFIGURATIONS:
        bands = BandSet.parse(name)
        reader = SpectrumReader((height // block, width // block), bands)
        folded = fold_segmenter(original, bands, pixels_per_block=block)
        pipelines[f"{name}, {block} pixels per block"] = (folded, reader, len(bands) / block**2)
    rows = []
    for name, (network, reader, values) in pipelines.items():
        dataset = SegmentationDataset(labeled, reader, (height, width), threads=1)
        loader = BatchLoader(dataset, batch_size=10)
        result = evaluate(network, Segmentation(len(labeled.classes)), loader)
        ious = dict(zip((f"IoU {name}" for name in labeled.classes), result.iou.tolist(), strict=True))
        scores = {"mIoU": result.miou, "pixel accuracy": result.pixel_accuracy} | ious
        print(f"{name:24s} " + "  ".join(f"{score} {100 * value:5.2f}" for score, value in scores.items()), flush=True)
        case = f"seed {options.n}" if options.run is not None else "untrained"
        found_scores = {"values a pixel": values} | scores
        rows.append(ScoreRow("segmentation: folding", case, name, result.images, found_scores, describe_environment()))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
