"""Measure what a detector's batches cost: coefficients against pixels, frames of 800 x 1333.

Photos of the detection set are resized with their proportions kept (short side 800, long side at most 1333), flipped at
random and batched in fours, as detectors train. One thread; the pipelines take turns within each round. prepixel makes
spectra at 4 pixels of the frame per block, as the paper's detectors do (an image of twice the frame), and at 8.
The pixel pipeline is torchvision's: decode, resize with antialiasing, bytes; a second one continues to normalized
floats, the input of its detectors. A second table has the bytes per image in a batch, padding included, and the growth
of a process's peak memory while it makes all batches.

    python -m benchmarks.speed.detection_batches -n 7
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from benchmarks.harness import arguments, interleave, peak_growth, photos, report
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.detection_crops import FrameSettings, ResizeParams
from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.data.random_streams import sample_generator
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet, PaddedSpectrum, open_images

SETTINGS = FrameSettings((800,), 1333, 8)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BATCH = 4
REFERENCE = "torchvision: normalized float RGB"
Drawn = list[tuple[str, ResizeParams]]


def spectra(bands: str, pixels_per_block: int, dtype: torch.dtype) -> Callable[[Drawn], Any]:
    """Return prepixel's pipeline."""
    band_set = BandSet.parse(bands)
    step = torch.full((len(band_set),), 8.0) if dtype == torch.int8 else None
    reader = SpectrumFrames(band_set, pixels_per_block, dtype=dtype, step=step, multiple=32 // pixels_per_block)

    def read(drawn: Drawn) -> Any:
        return reader.read(open_images([path for path, _ in drawn]), [params for _, params in drawn], 1).inputs

    return read


def pixels(*, normalized: bool) -> Callable[[Drawn], Any]:
    """Return torchvision's pipeline."""

    def read(drawn: Drawn) -> list[torch.Tensor]:
        images = []
        for path, params in drawn:
            image = decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
            if normalized:
                image = functional.normalize(functional.to_dtype(image, torch.float32, scale=True), MEAN, STD)
            image = functional.resize(image, list(params.size), antialias=True)
            images.append(functional.horizontal_flip(image) if params.flipped else image)
        height, width = (-(-max(sides) // 32) * 32 for sides in zip(*(i.shape[1:] for i in images), strict=True))
        batch = images[0].new_zeros((len(images), 3, height, width))
        for place, image in zip(batch, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        return [batch]

    return read


def batch_bytes(batch: PaddedSpectrum | list[torch.Tensor]) -> int:
    """Count the bytes of a batch's values."""
    return batch.spectrum.values.nbytes if isinstance(batch, PaddedSpectrum) else batch[0].nbytes


def main() -> None:
    """Time every pipeline."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    root = photos() / "coco_mini"
    images = CocoDataset(root / "annotations" / "instances_val.json", root / "val").samples
    chosen = [image for image in images if image.width >= image.height][: options.files or 32]
    chosen = chosen[: 8 if options.n == 1 else len(chosen) // BATCH * BATCH]
    drawn = [
        (image.path, SETTINGS.make_params((image.height, image.width), sample_generator(0, 0, index), training=True))
        for index, image in enumerate(chosen)
    ]
    pipelines = {REFERENCE: pixels(normalized=True), "torchvision: RGB bytes": pixels(normalized=False)}
    for bands in ("S-24", "S-64"):
        for per_block in (8, 4):
            for dtype in (torch.int8, torch.float32):
                name = f"prepixel: {bands}, {per_block} pixels per block, {str(dtype).removeprefix('torch.')}"
                pipelines[name] = spectra(bands, per_block, dtype)

    def all_batches(pipeline: Callable[[Drawn], Any]) -> Callable[[], list[int]]:
        return lambda: [batch_bytes(pipeline(drawn[k : k + BATCH])) for k in range(0, len(drawn), BATCH)]

    peaks = {name: peak_growth(all_batches(pipeline)) for name, pipeline in pipelines.items()}
    timings = interleave({name: all_batches(pipeline) for name, pipeline in pipelines.items()}, rounds=options.n)
    case = "frames of 800 x 1333"
    report("detection reading", case, timings, per=len(drawn), reference=REFERENCE, options=options)
    sizes = {name: sum(all_batches(pipeline)()) // len(drawn) for name, pipeline in pipelines.items()}
    environment, rows = describe_environment(), []
    for name, size in sizes.items():
        scores: dict[str, int | float] = {"bytes": size, "of float RGB": round(size / sizes[REFERENCE], 4)}
        if (peak := peaks[name]) is not None:
            scores["peak memory, MiB"] = round(peak / 2**20, 1)
        rows.append(ScoreRow("detection bytes", case, name, len(drawn), scores, environment))
        print(f"  {name:52s}" + "".join(f"  {score}: {value:,}" for score, value in scores.items()))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
