"""Two small recipes, on spectra and on pixels, and the runs that they make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from prepixel.cli import main
from prepixel.data import write_synthetic


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(folder, num_train_per_class=4, num_val_per_class=2, min_side=64, max_side=128)
    return folder


@pytest.fixture(scope="session")
def recipes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a recipe on spectra and one on pixels; the data's folder comes by the environment."""
    folder = tmp_path_factory.mktemp("recipes")
    common = (
        "data: {train: '${SYNTHETIC_DATA}/train', val: '${SYNTHETIC_DATA}/val', batch_size: 13}\n"
        "optimization: {learning_rate: 0.01, average_decay: 0.5}\n"
        "training: {epochs: 2, device: cpu, tensorboard: false, record_steps: 1, checkpoint_steps: 1}\n"
    )
    (folder / "dct.yaml").write_text(f"{common}input: {{kind: spectrum, bands: S-24, grid: [3, 5], encoding: int8}}\n")
    (folder / "rgb.yaml").write_text(f"{common}input: {{kind: rgb, pixels: [37, 41]}}\nname: RGB\n")
    return folder


@pytest.fixture(autouse=True)
def _data_by_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHETIC_DATA", str(data))


@pytest.fixture(scope="session")
def trained(data: Path, recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train both recipes, the one on spectra by two seeds."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHETIC_DATA", str(data))
        for recipe, seed in (("dct", 3), ("dct", 5), ("rgb", 3)):
            output = folder / f"{recipe}-{seed}"
            assert main(["train", str(recipes / f"{recipe}.yaml"), "-o", str(output), "--seed", str(seed)]) == 0
    return folder


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the trained runs, for one file of tests: commands write into them.

    They go at its end: all copies would fill 5 GB.
    """
    folder = tmp_path_factory.mktemp("runs")
    yield shutil.copytree(trained, folder, dirs_exist_ok=True)
    shutil.rmtree(folder)
