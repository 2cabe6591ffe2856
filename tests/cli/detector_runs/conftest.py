"""A small recipe of a detector, and the run that it makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.cli import main

RECIPE = """
data: {{train: '{0}/photos', train_annotations: '{0}/train.json', val: '{0}/photos', val_annotations: '{0}/val.json',
  batch_size: 2, threads: 1}}
input: {{kind: spectrum, bands: S-6, min_sizes: [64], max_size: 96}}
network: {{kind: faster_rcnn, name: resnet18, channels: 8}}
task: {{kind: detection}}
optimization: {{learning_rate: 0.001}}
training: {{epochs: 1, device: cpu, tensorboard: false, record_steps: 1}}
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five photos of one bright object each, the last of none, and a recipe that learns the first three."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(3)
    images, annotations = [], []
    for number in range(1, 6):
        height, width = 71 + 4 * number, 97 + 6 * number
        pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        if number < 5:
            left, top, w, h = 11 + number, 9, 40 + number, 43
            pixels[top : top + h, left : left + w] = 230
            corners = [float(place) for place in (left, top, left + w, top, left + w, top + h, left, top + h)]
            one = {"id": number, "image_id": number, "category_id": 3, "bbox": [left, top, w, h], "iscrowd": 0}
            annotations.append({**one, "area": w * h, "segmentation": [corners]})
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number}.jpg", "height": height, "width": width})
    categories = [{"id": 3, "name": "lamp"}, {"id": 8, "name": "moon"}]
    for part, kept in (("train", (1, 2, 3)), ("val", (4, 5))):
        document = {
            "images": [one for one in images if one["id"] in kept],
            "annotations": [one for one in annotations if one["image_id"] in kept],
            "categories": categories,
        }
        (folder / f"{part}.json").write_text(json.dumps(document))
    (folder / "detector.yaml").write_text(RECIPE.format(folder))
    return folder / "detector.yaml"


@pytest.fixture(scope="session")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "detector"
    assert main(["train", str(recipe), "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the trained run, for one file of tests: commands write into it.

    It goes at its end: all copies would fill 5 GB.
    """
    folder = tmp_path_factory.mktemp("runs")
    yield shutil.copytree(trained, folder / "detector")
    shutil.rmtree(folder)
