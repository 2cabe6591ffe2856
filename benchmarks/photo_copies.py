"""Many distinct photos made of a few: each copy is cut and coded differently, so that no two files are alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

_CLASSES = 20
_QUALITIES = range(94, 99)  # about as many bytes as ImageNet's photos have
_SAMPLINGS = (2, 0)  # Pillow's numbers of 4:2:0 and 4:4:4


def write_copies(photos: Sequence[Path], root: Path, count: int, workers: int = 2) -> None:
    """Write ``count`` distinct JPEGs below a folder, in class folders.

    Copy number k of a photo lacks k columns at the left, and has a quality of 94 to 98; every fortieth is 4:4:4.
    """
    for label in range(_CLASSES):
        (root / f"class{label:02}").mkdir(parents=True, exist_ok=True)
    shares = [range(place, len(photos), workers) for place in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_write_share, itertools.repeat(photos), itertools.repeat(root), itertools.repeat(count), shares))


def _write_share(photos: Sequence[Path], root: Path, count: int, places: range) -> None:
    for place in places:
        with Image.open(photos[place]) as opened:
            image = opened.convert("RGB")
        for copy, number in enumerate(range(place, count, len(photos))):
            left = copy % (image.width // 2)
            image.crop((left, 0, image.width, image.height)).save(
                root / f"class{number % _CLASSES:02}" / f"{number:06}.jpg",
                quality=_QUALITIES[copy % len(_QUALITIES)],
                subsampling=_SAMPLINGS[copy % 40 == 39],
            )
