"""Measure how far the usual pixel pipeline is from the exact linear map, on real photos.

The pixel pipeline decodes to RGB by libjpeg (which rounds, clamps to 0..255, and enlarges chroma by a triangle filter),
crops, resizes by torchvision with antialiasing, on uint8 as is usual (rounding and clamping again) or on floats, and
takes the block DCT of the unrounded YCbCr. The linear map does none of that. A photo's figure is the root mean square
of the difference over its channels and blocks, in units of one orthonormal coefficient; n counts photos.

    python -m benchmarks.accuracy.rgb_difference
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from benchmarks.harness import arguments, photos
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resized_crop

from prepixel.jpeg import JpegImage, read_jpeg
from prepixel.records import TimingRow, append_records
from prepixel.spectrum import BandSet, Box, resample
from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.photometry import rgb_to_ycbcr

GRIDS = ((28, 28), (56, 56))
BANDS = tuple(BandSet.parse(name) for name in ("S-24", "192"))
SAMPLINGS = {((1, 1), (1, 1), (1, 1)): "4:4:4", ((2, 2), (1, 1), (1, 1)): "4:2:0"}


def center_box(image: JpegImage) -> Box:
    """Return the middle square of 7/8 of the shorter side, in whole pixels, as a torchvision evaluation does."""
    height, width = image.upright_size
    side = min(height, width) * 7 // 8
    return Box((height - side) // 2, (width - side) // 2, side, side)


def by_pixels(rgb: Tensor, box: Box, grid: tuple[int, int]) -> Tensor:
    """Crop and resize RGB pixels by torchvision, in their own dtype, and return all 192 channels."""
    edges = (int(box.top), int(box.left), int(box.height), int(box.width))
    size = [8 * grid[0], 8 * grid[1]]
    resized = resized_crop(rgb, *edges, size, InterpolationMode.BILINEAR, antialias=True)
    samples = rgb_to_ycbcr(resized.double() - 128).reshape(3, grid[0], 8, grid[1], 8)
    return block_dct(samples.permute(0, 1, 3, 2, 4)).permute(0, 3, 4, 1, 2).reshape(192, *grid)


def differences(path: Path) -> dict[tuple[str, str], float]:
    """Measure one photo: (case, subject) to root mean square."""
    image = read_jpeg(path)
    sampling = SAMPLINGS.get(tuple(component.sampling for component in image.components))
    if sampling is None or image.color != "ycbcr" or image.orientation != 1:
        return {}
    with Image.open(path) as opened:
        rgb = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)
    pipelines = {"pixels, uint8 resize": rgb, "pixels, float resize": rgb.double()}
    box, found = center_box(image), {}
    for grid in GRIDS:
        exact = resample(image, box, grid, BandSet.parse("192"))
        for subject, pixels in pipelines.items():
            difference = by_pixels(pixels, box, grid) - exact
            for bands in BANDS:
                case = f"{sampling}, {grid[0]}x{grid[1]} blocks, {bands}"
                found[case, subject] = difference[list(bands.channels)].square().mean().sqrt().item()
    return found


def main() -> None:
    """Measure every photo, print a table, and append one record per case and subject."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    gathered: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in sorted((photos() / "imagenet_samples").glob("*.JPEG"))[: options.files]:
        for key, value in differences(path).items():
            gathered[key].append(value)
    rows = []
    print("rms difference from the exact linear map, coefficient units: median photo (lowest - highest)")
    for (case, subject), values in sorted(gathered.items()):
        row = TimingRow.of_rounds("rgb_difference", case, subject, "coefficient rms", values)
        print(f"  {case:30s} {subject:22s} n={row.n:3d} {row.median:7.3f} ({row.spread[0]:.3f} - {row.spread[1]:.3f})")
        rows.append(row)
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
