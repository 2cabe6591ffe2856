"""Ask what a detector's batches cost on the way to the device: coefficients against pixels, frames of 800 x 1333.

Photos of the detection set, each resized with its proportions kept to a short side of 800 and a long side of at most
1333 and mirrored by chance, in batches of four as detectors train; one thread; roads in turn. prepixel's roads make
spectra at 4 pixels of the frame a block, as the paper's detectors have them (an image of twice the frame), and at 8.
The pixel road is torchvision's: decode, resize with antialiasing, bytes; a second one goes on to normalized floats, as
its detectors take them. A second table has bytes of an image in its batch, padding included, and by how much a
process's memory grows at its peak when it makes all batches one after the other.

    python benchmarks/speed/detection_batches.py -n 7
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
from prepixel.spectrum import BandSet, PaddedSpectrum

SETTINGS = FrameSettings((800,), 1333, 8)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BATCH = 4
REFERENCE = "torchvision: normalized float RGB"
Drawn = list[tuple[str, ResizeParams]]


def spectra(bands: str, pixels_per_block: int, dtype: torch.dtype) -> Callable[[Drawn], Any]:
    """Give prepixel's road."""
    band_set = BandSet.parse(bands)
    step = torch.full((len(band_set),), 8.0) if dtype == torch.int8 else None
    reader = SpectrumFrames(band_set, pixels_per_block, dtype=dtype, step=step, multiple=32 // pixels_per_block)
    return lambda drawn: reader.batch([reader.read(path, params) for path, params in drawn])


def pixels(*, normalized: bool) -> Callable[[Drawn], Any]:
    """Give torchvision's road."""

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
    """Time every road."""
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
    roads = {REFERENCE: pixels(normalized=True), "torchvision: RGB bytes": pixels(normalized=False)}
    for bands in ("S-24", "S-64"):
        for per_block in (8, 4):
            for dtype in (torch.int8, torch.float32):
                name = f"prepixel: {bands}, {per_block} pixels a block, {str(dtype).removeprefix('torch.')}"
                roads[name] = spectra(bands, per_block, dtype)

    def all_batches(road: Callable[[Drawn], Any]) -> Callable[[], list[int]]:
        return lambda: [batch_bytes(road(drawn[k : k + BATCH])) for k in range(0, len(drawn), BATCH)]

    peaks = {name: peak_growth(all_batches(road)) for name, road in roads.items()}
    timings = interleave({name: all_batches(road) for name, road in roads.items()}, rounds=options.n)
    case = "frames of 800 x 1333"
    report("detection reading", case, timings, per=len(drawn), reference=REFERENCE, options=options)
    sizes = {name: sum(all_batches(road)()) // len(drawn) for name, road in roads.items()}
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
