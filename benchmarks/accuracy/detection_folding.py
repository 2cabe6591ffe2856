"""Score a trained RGB detector that is folded over coefficients, untrained, by band set and block size.

``--run`` is a run of an RGB detector (``recipes/coco_mini_rgb.yaml``, ``recipes/coco_person_rgb.yaml``). Its pyramid
is folded over band sets, with blocks that stand for 4 pixels of the frame, as in the paper, or for 8, at a quarter of
the values; its heads stay as they are. Each is scored by COCO's AP on the run's validation photos, from JPEG bytes.
Without a run the recipe's detector is scored before training, on a few photos, which proves that the script runs and
nothing else. ``-n`` is the seed to name in the records.

    python -m benchmarks.accuracy.detection_folding --run runs/coco_mini/coco_mini_rgb-0
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import torch
from benchmarks.harness import ROOT, photos

from prepixel.data.loading.detection_loader import DetectionDataset, DetectionLoader
from prepixel.data.loading.detection_readers import PixelFrames, SpectrumFrames
from prepixel.engine import evaluate
from prepixel.models.detectors import fold_detector
from prepixel.models.pyramid import FRAME_MULTIPLE
from prepixel.recipes import DetectionRecipe, read_any_recipe
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import load_detector
from prepixel.runs.build_detector import CocoFolders, build_detection_task, build_recipe_detector, frame_settings
from prepixel.spectrum import BandSet

RECIPE = ROOT / "recipes" / "coco_mini_rgb.yaml"
FIGURES = ("box_ap", "box_ap50", "box_ap_small", "box_ap_medium", "box_ap_large", "mask_ap", "mask_ap50")
CONFIGURATIONS = [("192", 8), ("S-24", 8), ("192", 4), ("S-64", 4), ("S-24", 4)]
UNIT = 8  # frames are whole blocks for every configuration


def main() -> None:
    """Score every configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=0, help="the run's seed, for the records (default 0)")
    parser.add_argument("--run", type=Path, help="a run of an RGB detector (default: one that has learned nothing)")
    parser.add_argument("--output", type=Path, help="append records to this JSON-lines file")
    options = parser.parse_args()
    os.environ["PREPIXEL_DATA"] = str(photos())  # the recipe names its photos by it
    if options.run is not None:
        trained = load_detector(options.run, weights="last", device="cpu")
        recipe, original = trained.recipe, trained.network
    else:
        small = ["--input.min_sizes", "[64]", "--input.max_size", "96", "--network.rgb_weights", "null"]
        found = read_any_recipe(RECIPE, small)
        assert isinstance(found, DetectionRecipe)
        recipe, original = found, build_recipe_detector(found, 1).eval()
    images = CocoFolders.of(recipe).val
    assert images is not None
    if options.run is None:
        object.__setattr__(images, "samples", images.samples[:8])
    frames = replace(frame_settings(recipe.input), unit=UNIT)
    pipelines = {"RGB, Pillow": (original, PixelFrames(UNIT), 3 * UNIT**2)}
    for name, block in CONFIGURATIONS:
        bands = BandSet.parse(name)
        reader = SpectrumFrames(bands, block, multiple=FRAME_MULTIPLE // block)
        values = len(bands) * (UNIT // block) ** 2
        pipelines[f"{name}, {block} pixels per block"] = (
            fold_detector(original, bands, pixels_per_block=block),
            reader,
            values,
        )
    rows = []
    for name, (network, reader, values) in pipelines.items():
        dataset = DetectionDataset(images, reader, frames, threads=1, masks=network.has_masks)
        result = evaluate(network, build_detection_task(network, images), DetectionLoader(dataset, batch_size=4))
        scores = {figure: result.row()[figure] for figure in FIGURES if figure in result.row()}
        print(
            f"{name:24s} " + "  ".join(f"{figure} {100 * value:5.2f}" for figure, value in scores.items()), flush=True
        )
        case = f"{recipe.name}, seed {options.n}" if options.run is not None else "untrained"
        values_a_pixel = {"values a pixel": values / UNIT**2}
        row = ScoreRow("detection: folding", case, name, result.images, values_a_pixel | scores, describe_environment())
        rows.append(row)
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
