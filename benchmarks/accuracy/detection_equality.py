"""Check that a folded detector equals its RGB original, on real photos and in float32.

A Mask R-CNN on MobileNetV2 with ImageNet weights (frames of 256 pixels on the shorter side, narrow heads) is trained on
RGB pixels of the first 50 photos of COCO's small sample that show objects, and is scored on the same photos, so that
its detections mean something; the figures compare pipelines and do not rate the detector. It is then folded, with
nothing trained, and both run on each photo. "linear" pixels come from the very coefficients, in float64 by sums of
cosines, neither rounded nor clamped: there everything but rounding must agree. "Pillow" is the usual pipeline, on which
the original was trained; there the folded detector sees a photo that was resized differently.

For each pair: detections of the original with a score of 0.3 or more; the share of them that the folded one has too, of
the same label and with an IoU of 0.5 or more; among these the largest and the median difference of an edge in pixels of
the photo, of a score and of a mask's probability; COCO's AP of the folded one (``box_ap``, ``mask_ap``) and of the
original. ``-n`` is the number of epochs.

    OMP_NUM_THREADS=1 python -m benchmarks.accuracy.detection_equality -n 32
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from benchmarks.accuracy.detection_overfit import FRAMES, PIXELS_PER_BLOCK, learn, rgb_pyramid, small_detector
from benchmarks.harness import arguments, photos
from tests.oracles import folded_reference
from torch import Tensor
from torchvision.ops import box_iou

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.detection_readers import PixelFrames, SpectrumFrames
from prepixel.models.detectors import fold_detector
from prepixel.records import Row, ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet, PaddedSpectrum, open_images
from prepixel.tasks import DetectionMetrics, GroundTruth, coco_detections

ALL = BandSet.parse("192")
SQUARE = BandSet.parse("S-24")
PHOTOS, LOWEST_SCORE, LEAST_IOU = 50, 0.3, 0.5


@dataclass
class Agreement:
    """Differences between one pipeline's detections and the folded detector's.

    Attributes:
        total: detections of the original.
        photos: how many were looked at.
        edges, scores, masks: largest differences of each detection that both have.
    """

    total: int = 0
    photos: int = 0
    edges: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)

    def count(self, folded: dict[str, Tensor], original: dict[str, Tensor]) -> None:
        """Match one photo's detections, each of the original's with the best of the folded one's."""
        original = {name: value[original["scores"] >= LOWEST_SCORE] for name, value in original.items()}
        self.photos += 1
        self.total += len(original["boxes"])
        if not len(original["boxes"]) or not len(folded["boxes"]):
            return
        same = original["labels"][:, None] == folded["labels"][None]
        overlaps = box_iou(original["boxes"], folded["boxes"]) * same
        best, places = overlaps.max(1)
        for index in torch.nonzero(best >= LEAST_IOU)[:, 0].tolist():
            other = int(places[index])
            for name, values in (("boxes", self.edges), ("scores", self.scores), ("masks", self.masks)):
                values.append(float((original[name][index] - folded[name][other]).abs().max()))

    def row(self) -> dict[str, float | int]:
        """Return the numbers to report."""
        found = {"edge_pixels": self.edges, "score": self.scores, "mask": self.masks}
        row: dict[str, float | int] = {"detections": self.total, "found_by_both": len(self.edges) / max(self.total, 1)}
        for name, values in found.items() if self.edges else ():
            row |= {f"{name}_largest": max(values), f"{name}_median": statistics.median(values)}
        return row


def compare(epochs: int, most: int) -> Iterator[Row]:
    """Train the original, fold it, and run every pipeline on every photo."""
    folder = photos()
    part = folder / "coco_mini"
    images = CocoDataset(
        part / "annotations" / "instances_train.json", part / "train", on_error="skip", with_objects_only=True
    )
    object.__setattr__(images, "samples", images.samples[:most])
    original = small_detector(rgb_pyramid(folder), len(images.classes))
    learn(original, images, PixelFrames(PIXELS_PER_BLOCK), epochs, evaluate_every=epochs)
    original.eval()
    truth = GroundTruth.of(images.ground_truth())
    readers = {bands: SpectrumFrames(bands, PIXELS_PER_BLOCK) for bands in (ALL, SQUARE)}
    folded = {bands: fold_detector(original, bands, pixels_per_block=PIXELS_PER_BLOCK) for bands in readers}
    pairs = {("192", "linear"): Agreement(), ("192", "Pillow"): Agreement(), ("S-24", "Pillow"): Agreement()}
    metrics: dict[str, DetectionMetrics] = {}
    generator = np.random.default_rng(0)
    for image in images.samples:
        size = (image.height, image.width)
        params = FRAMES.make_params(size, generator, training=False)
        opened = open_images([image.path])
        spectra = {bands: reader.read(opened, [params], 1).inputs for bands, reader in readers.items()}
        frame = spectra[ALL]
        assert isinstance(frame, PaddedSpectrum)
        rows, columns = frame.grids[0]
        unpadded = frame.spectrum.values[0, :, :rows, :columns].double().numpy()
        exact = folded_reference.rgb(unpadded, PIXELS_PER_BLOCK, "dct")
        pixels = PixelFrames(PIXELS_PER_BLOCK).read(opened, [params], 1).inputs
        with torch.inference_mode():
            found = {
                "linear": original([torch.from_numpy(exact).float()], original_sizes=[size])[0],
                "Pillow": original(pixels, original_sizes=[size])[0],
                **{b.name: folded[b](spectra[b], original_sizes=[size])[0] for b in readers},
            }
        for (ours, theirs), agreement in pairs.items():
            agreement.count(found[ours], found[theirs])
        for name, one in found.items():
            counted = metrics.setdefault(name, DetectionMetrics(truth, ("box", "mask")))
            ids = [category["id"] for category in truth.categories]
            counted.update(image.image_id, coco_detections(one, image.image_id, size, ids, masks=True))
    results = {name: counted.result().row() for name, counted in metrics.items()}
    for (ours, theirs), agreement in pairs.items():
        scores = agreement.row() | {name: results[ours][name] for name in ("box_ap", "mask_ap")}
        scores |= {f"original_{name}": results[theirs][name] for name in ("box_ap", "mask_ap")}
        report = ", ".join(f"{key} {value:.3g}" for key, value in scores.items())
        print(f"  folded {ours} against RGB, {theirs}: {agreement.photos} photos, {report}")
        case = "Mask R-CNN, MobileNetV2, 256 px, float32"
        subject = f"folded {ours} against RGB, {theirs}"
        yield ScoreRow("detection: folded", case, subject, agreement.photos, scores, describe_environment())


def main() -> None:
    """Compare, print and record; -n 1 takes two photos, to prove that the script runs."""
    options = arguments(__doc__)
    rows = list(compare(options.n, 2 if options.n == 1 else options.files or PHOTOS))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
