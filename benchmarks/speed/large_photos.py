"""Measure large photos beside scaled decoding, which is what a careful user does with camera files.

Six JPEGs of 12 megapixels, each a mosaic of real photos enlarged twice (4:2:0, quality 85; their bytes are printed),
and the six largest photos of imagenet_samples as distributed, in memory; whole and with training's random crops.
prepixel makes int8 S-24 on 56 x 56 blocks, which is what 448 x 448 pixels hold. Rivals decode at the smallest scale of
libjpeg-turbo (N/8), Pillow's ``draft`` or OpenCV's ``IMREAD_REDUCED`` at which the crop's sides still have 448 or 224
pixels, and resize to 224 x 224 bytes: simplejpeg and OpenCV by area, Pillow by its bilinear filter. One thread, CPU
time. The floor is entropy decoding: all MCUs are decoded, none is kept (an index is made).

    python -m benchmarks.speed.large_photos -n 9 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from benchmarks.harness import arguments, interleave, peer, photos, report
from benchmarks.speed.random_access import random_crops
from benchmarks.speed.training_sample import BANDS, GRID
from PIL import Image, ImageOps

from prepixel.jpeg import index_jpeg, read_jpeg, read_sizes
from prepixel.spectrum import Statistics, read_spectra

QUESTION = "large photos"
SIZE, TILE = (3000, 4000), (1000, 750)
COUNT, SIDE = 6, 224
OURS = "prepixel: int8 S-24, 56 x 56"

Box = tuple[int, int, int, int]
Sample = Callable[[bytes, Box, tuple[int, int]], object]


def mosaics(paths: Sequence[Path]) -> list[bytes]:
    """Make JPEGs of 12 megapixels of the largest photos, each enlarged to a tile."""
    tiles = [ImageOps.fit(Image.open(path).convert("RGB"), TILE, Image.Resampling.BICUBIC) for path in paths]
    places = [(x, y) for y in range(0, SIZE[0], TILE[1]) for x in range(0, SIZE[1], TILE[0])]
    files = []
    for number in range(COUNT):
        mosaic = Image.new("RGB", SIZE[::-1])
        for index, place in enumerate(places):
            mosaic.paste(tiles[(number * len(places) + index) % len(tiles)], place)
        buffer = io.BytesIO()
        mosaic.save(buffer, "jpeg", quality=85, subsampling=2)
        files.append(buffer.getvalue())
    return files


def least_scale(box: Box, least: int) -> int:
    """Return the smallest N of N/8 at which both sides of a box keep ``least`` pixels; 8 where no smaller one does."""
    return next((n for n in range(1, 8) if min(box[2:]) * n >= 8 * least), 8)


def scaled_box(box: Box, size: tuple[int, int], shape: tuple[int, ...]) -> Box:
    """Return a box of whole pixels of the reduced image."""
    down, across = shape[0] / size[0], shape[1] / size[1]
    top, left = round(box[0] * down), round(box[1] * across)
    return top, left, max(1, round(box[2] * down)), max(1, round(box[3] * across))


def by_simplejpeg(cv2: Any, least: int) -> Sample:
    """Decode by simplejpeg at a scale, and resize by OpenCV."""

    def sample(file: bytes, box: Box, size: tuple[int, int]) -> object:
        n = least_scale(box, least)
        smallest = tuple(-(-side * n // 8) for side in size) if n < 8 else (0, 0)
        decoded = simplejpeg.decode_jpeg(
            file, fastdct=True, fastupsample=True, min_height=smallest[0], min_width=smallest[1], min_factor=1
        )
        return _resized(cv2, decoded, box, size)

    return sample


def by_opencv(cv2: Any, least: int) -> Sample:
    """Decode by OpenCV at half, a quarter or an eighth, and resize."""
    flags = {1: cv2.IMREAD_REDUCED_COLOR_8, 2: cv2.IMREAD_REDUCED_COLOR_4, 4: cv2.IMREAD_REDUCED_COLOR_2}

    def sample(file: bytes, box: Box, size: tuple[int, int]) -> object:
        n = next((n for n in (1, 2, 4) if n >= least_scale(box, least)), 8)
        decoded = cv2.imdecode(np.frombuffer(file, np.uint8), flags.get(n, cv2.IMREAD_COLOR))
        return _resized(cv2, decoded, box, size)

    return sample


def by_pillow(least: int) -> Sample:
    """Decode by Pillow's draft mode, and reduce the box at once."""

    def sample(file: bytes, box: Box, size: tuple[int, int]) -> object:
        with Image.open(io.BytesIO(file)) as picture:
            n = next((n for n in (1, 2, 4) if n >= least_scale(box, least)), 8)
            picture.draft("RGB", (size[1] * n // 8, size[0] * n // 8))
            top, left, height, width = scaled_box(box, size, picture.size[::-1])
            area = (left, top, left + width, top + height)
            return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=area))

    return sample


def _resized(cv2: Any, decoded: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    top, left, height, width = scaled_box(box, size, decoded.shape)
    crop = decoded[top : top + height, left : left + width]
    resized: np.ndarray = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return resized


def subjects(files: list[bytes], boxes: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return every pipeline over all files."""
    sizes = [(int(height), int(width)) for height, width in read_sizes(files).sizes]
    whole = [(int(t), int(a), int(h), int(w)) for t, a, h, w in boxes]
    measured = Statistics.empty(BANDS, GRID)
    measured.update(read_spectra(files, grid=GRID, bands=BANDS).spectrum)
    steps: dict[str, Any] = {"shift": measured.shift(), "unit": measured.int8_unit(), "dtype": torch.int8}

    def each(sample: Sample) -> Callable[[], object]:
        return lambda: [sample(*one) for one in zip(files, whole, sizes, strict=True)]

    def ours() -> None:
        for file, box in zip(files, boxes, strict=True):
            read_spectra([file], grid=GRID, bands=BANDS, boxes=box[None], threads=1, indexes=None, **steps)

    found: dict[str, Callable[[], object]] = {
        OURS: ours,
        "prepixel: entropy decoding, nothing kept": lambda: [index_jpeg(file, every=0) for file in files],
        "prepixel: all coefficients of the photo": lambda: [read_jpeg(file, index=None) for file in files],
    }
    for least in (448, 224):
        if cv2 := peer("cv2"):
            cv2.setNumThreads(1)
            found[f"simplejpeg scaled to {least} or more + OpenCV"] = each(by_simplejpeg(cv2, least))
            found[f"OpenCV reduced to {least} or more"] = each(by_opencv(cv2, least))
        found[f"Pillow draft to {least} or more"] = each(by_pillow(least))
    return found


def main() -> None:
    """Measure both kinds of photos, whole and cropped."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    paths = sorted((photos() / "imagenet_samples").glob("*.JPEG"))
    sizes = read_sizes([str(path) for path in paths]).sizes
    largest = [paths[place] for place in np.argsort(-(sizes[:, 0] * sizes[:, 1]), kind="stable")[: COUNT * 4]]
    kinds = {"12 megapixels": mosaics(largest), "the largest photos": [path.read_bytes() for path in largest[:COUNT]]}
    for kind, files in kinds.items():
        files = files[: options.files]
        shapes = read_sizes(files).sizes.astype(np.int64)
        print(f"\n{kind}: {shapes.prod(1).mean() / 1e6:.1f} megapixels, {np.mean([len(f) for f in files]):,.0f} bytes")
        whole = np.column_stack([np.zeros_like(shapes), shapes])
        crops = random_crops(shapes, np.random.default_rng(3))
        for case, boxes in (("whole", whole), ("random crops", crops)):
            made = subjects(files, boxes.astype(np.float64))
            timings = interleave(made, rounds=options.n, clock=time.process_time)
            name = f"{kind}, {case}, one thread, CPU time"
            report(QUESTION, name, timings, per=len(files), reference=OURS, options=options)


if __name__ == "__main__":
    main()
