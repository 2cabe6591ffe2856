"""Check that a detector on coefficients learns: overfit Mask R-CNN to ten photos of COCO.

The photos are the first ten, by image id, of the training part of the small COCO sample whose objects are all of 32 x
32 pixels or more and number 1 to 8, none of them a crowd. MobileNetV2's trunk with ImageNet weights, folded over 24 of
192 channels, with a pyramid of 64 channels and heads to match; frames of 256 pixels on the shorter side, four pixels
per block. There is no augmentation, so what is scored is what was learned: this shows that boxes, masks, labels and
losses fit together, not that a detector is any good. ``-n`` is the number of epochs.

    OMP_NUM_THREADS=1 python -m benchmarks.accuracy.detection_overfit -n 100
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from benchmarks.harness import arguments, photos

from prepixel.data.datasets.coco import CocoDataset, CocoImage
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_loader import DetectionDataset, DetectionLoader
from prepixel.data.loading.detection_readers import FrameReader, SpectrumFrames
from prepixel.engine import OptimizationSettings, TrainSettings, train
from prepixel.models.detectors import Detector, build_detector, small_heads
from prepixel.models.pyramid import Pyramid, fold_pyramid, pixel_pyramid
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet
from prepixel.tasks.average_precision import GroundTruth
from prepixel.tasks.detection_task import Detection, DetectionResult

BANDS = BandSet.parse("S-24")
PIXELS_PER_BLOCK, CHANNELS, PHOTOS, BATCH = 4, 64, 10, 2
FRAMES = FrameSettings(min_sizes=(256,), max_size=384, unit=PIXELS_PER_BLOCK, flip_probability=0.0)
SMALLEST_AREA, MOST_OBJECTS = 32 * 32, 8


def choose(image: CocoImage) -> bool:
    """Return whether a photo is selected for training."""
    sizes = [one.box[2] * one.box[3] for one in image.objects]
    whole = not any(one.crowd or one.segmentation is None for one in image.objects)
    return whole and 1 <= len(sizes) <= MOST_OBJECTS and min(sizes) >= SMALLEST_AREA


def ten_photos(folder: Path) -> CocoDataset:
    """Read the data set, and keep ten photos."""
    images = CocoDataset(folder / "annotations" / "instances_train.json", folder / "train", on_error="skip")
    kept = tuple(image for image in images.samples if choose(image))[:PHOTOS]
    object.__setattr__(images, "samples", kept)
    return images


def rgb_pyramid(folder: Path) -> Pyramid:
    """Build a narrow pyramid on MobileNetV2's pixels, with ImageNet weights."""
    torch.manual_seed(0)
    weights = torch.load(folder / "weights" / "mobilenet_v2_backbone_deepsort_tvkeys.pt", weights_only=True)
    return pixel_pyramid("mobilenet_v2", weights=weights, channels=CHANNELS)


def small_detector(pyramid: Pyramid, num_classes: int) -> Detector:
    """Build a Mask R-CNN with small heads."""
    return build_detector("mask_rcnn", pyramid, num_classes, **small_heads("mask_rcnn", CHANNELS))


def learn(
    network: Detector, images: CocoDataset, reader: FrameReader, epochs: int, evaluate_every: int = 20
) -> DetectionResult:
    """Train on photos and score on the same photos."""
    loaders = [
        DetectionLoader(
            DetectionDataset(images, reader, FRAMES, threads=1, training=training, masks=True), batch_size=BATCH
        )
        for training in (True, False)
    ]
    with tempfile.TemporaryDirectory() as run:
        trained = train(
            network,
            Detection(GroundTruth.of(images.ground_truth()), masks=True),
            loaders[0],
            settings=TrainSettings(
                epochs=epochs, evaluate_every=evaluate_every, record_steps=25, tensorboard=False, progress=False
            ),
            optimization=OptimizationSettings(
                optimizer="adamw", learning_rate=1e-3, warmup_epochs=min(3, epochs / 2), max_gradient_norm=5.0
            ),
            folder=Path(run),
            evaluation=loaders[1],
            record=lambda rows: print(*(f"{row.epoch:g} {row.name}={row.value:.4f}" for row in rows), flush=True),
        )
    assert isinstance(trained.evaluation, DetectionResult)
    return trained.evaluation


def main() -> None:
    """Train, print and record."""
    options = arguments(__doc__)
    folder = photos()
    images = ten_photos(folder / "coco_mini")
    pyramid = fold_pyramid(rgb_pyramid(folder), BANDS, pixels_per_block=PIXELS_PER_BLOCK)
    network = small_detector(pyramid, len(images.classes))
    began = time.perf_counter()
    result = learn(network, images, SpectrumFrames(BANDS, PIXELS_PER_BLOCK), options.n)
    minutes = (time.perf_counter() - began) / 60
    scores = {**result.row(), "objects": result.objects, "epochs": options.n, "minutes": round(minutes, 1)}
    print(f"{result.images} photos, {result.objects} objects, {options.n} epochs, {minutes:.1f} minutes:")
    print("  " + ", ".join(f"{name} {scores[name]:.3f}" for name in ("box_ap50", "box_ap", "mask_ap50", "mask_ap")))
    if options.output:
        row = ScoreRow(
            "detection: overfit",
            "coco_mini train, 256 px",
            "Mask R-CNN, MobileNetV2 folded, S-24",
            result.images,
            scores,
            describe_environment(),
        )
        append_records(options.output, [row])


if __name__ == "__main__":
    main()
