"""Four photos with their COCO annotations, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SQUARE_MASK = [[20.0, 10.0, 60.0, 10.0, 60.0, 50.0, 20.0, 50.0]]


def document() -> dict[str, Any]:
    """Describe four photos: two objects, a crowd alone, nothing, and an upright one."""
    sizes = [(96, 128), (80, 120), (64, 72), (131, 83)]
    crowd = {"size": [80, 120], "counts": [400, 800, 80 * 120 - 1200]}
    boxes = [(1, [20.0, 10.0, 40.0, 40.0], SQUARE_MASK, 0), (1, [100.0, 90.0, 1.0, 1.0], None, 0)]
    objects = [*boxes, (2, [5.0, 0.0, 10.0, 80.0], crowd, 1), (4, [3.0, 7.0, 50.0, 120.0], None, 0)]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": h, "width": w} for i, (h, w) in enumerate(sizes, 1)],
        "categories": [{"id": 7, "name": "hat"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 10 + n, "image_id": image, "bbox": box, "category_id": 3 if n % 2 else 7, "iscrowd": is_crowd}
            | ({} if mask is None else {"segmentation": mask})
            for n, (image, box, mask, is_crowd) in enumerate(objects)
        ],
    }


def write(folder: Path, content: Any) -> Path:
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def write_photos(folder: Path) -> None:
    generator = np.random.default_rng(3)
    for image in document()["images"]:
        small = generator.integers(0, 256, (image["height"] // 8 + 1, image["width"] // 8 + 1, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((image["width"], image["height"]), Image.Resampling.BICUBIC)
        picture.save(folder / image["file_name"], quality=95, subsampling=0)
