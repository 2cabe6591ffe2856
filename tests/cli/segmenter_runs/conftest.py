"""A small recipe of a segmenter, and the run that it makes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.segmentation_files import write

from prepixel.cli import main

RECIPE = """
data: {{train: '{0}/photos', train_annotations: '{0}/train.json', val: '{0}/photos', val_annotations: '{0}/val.json',
  batch_size: 2, threads: 1}}
input: {{kind: spectrum, bands: S-6, grid: [12, 16]}}
network: {{kind: lraspp, name: resnet18}}
task: {{kind: segmentation}}
optimization: {{learning_rate: 0.001}}
training: {{epochs: 1, device: cpu, tensorboard: false, record_steps: 1}}
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five photos with their labels, and a recipe that learns the first three."""
    folder = tmp_path_factory.mktemp("labeled")
    write(folder)
    (folder / "segmenter.yaml").write_text(RECIPE.format(folder))
    return folder / "segmenter.yaml"


@pytest.fixture(scope="session")
def trained(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "segmenter"
    assert main(["train", str(recipe), "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the trained run, for one file of tests: commands write into it.

    It goes at its end: all copies would fill 5 GB.
    """
    folder = tmp_path_factory.mktemp("runs")
    yield shutil.copytree(trained, folder / "segmenter")
    shutil.rmtree(folder)
