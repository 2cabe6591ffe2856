"""Photos of one bright rectangle on dark ground, with its label by COCO's annotations and by mask images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {1: (75, 103), 2: (96, 64), 3: (83, 115), 4: (91, 121), 5: (64, 80)}
PLACES = {number: (9, 11 + number, 43, 40 + number) for number in SIZES}  # top, left, height, width
UNLABELED = 5  # a photo of nothing


def mask_of(number: int) -> np.ndarray:
    mask = np.zeros(SIZES[number], dtype=np.uint8)
    if number != UNLABELED:
        top, left, height, width = PLACES[number]
        mask[top : top + height, left : left + width] = 1
    return mask


def write(folder: Path) -> None:
    """Write ``photos``, ``masks`` (with a palette; the border of a mask is 255), ``train.json`` and ``val.json``."""
    rng = np.random.default_rng(3)
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    images, annotations = [], []
    for number, (height, width) in SIZES.items():
        pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        mask = mask_of(number)
        pixels[mask == 1] = 230
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.jpg", quality=90, subsampling=0)
        drawn = mask.copy()
        drawn[0] = 255
        picture = Image.fromarray(drawn, mode=None).convert("P")
        picture.putdata(drawn.ravel().tolist())
        picture.putpalette([7, 7, 7, 200, 0, 0] + [255, 255, 255] * 254)
        picture.save(folder / "masks" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.jpg", "height": height, "width": width})
        if number != UNLABELED:
            top, left, h, w = PLACES[number]
            corners = [float(x) for x in (left, top, left + w, top, left + w, top + h, left, top + h)]
            one = {"id": number, "image_id": number, "category_id": 3, "bbox": [left, top, w, h], "iscrowd": 0}
            annotations.append({**one, "area": w * h, "segmentation": [corners]})
    for part, kept in (("train", (1, 2, 3)), ("val", (4, 5))):
        document = {
            "images": [one for one in images if one["id"] in kept],
            "annotations": [one for one in annotations if one["image_id"] in kept],
            "categories": [{"id": 3, "name": "lamp"}],
        }
        (folder / f"{part}.json").write_text(json.dumps(document))
        (folder / f"{part}.txt").write_text("".join(f"{number}\n" for number in kept))
    (folder / "classes.txt").write_text("background\nlamp\n")
