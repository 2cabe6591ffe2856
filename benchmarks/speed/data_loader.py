"""Measure how many training samples a second DataLoader gives with 0, 1 and 2 workers, on pixels and on coefficients.

The pixel pipelines are ImageFolder with torchvision v2, 224 x 224 RGB in uint8, by Pillow and by torchvision's own
decoder. prepixel's are SpectrumFolder under a stock DataLoader, and its own SpectrumLoader: S-24 in int8 on a 56 x 56
grid, which is what a 448 x 448 crop holds. All draw random resized crops and flips, in batches of 32, one torch thread
and one native thread per process. Every photo is listed several times, so that starting an epoch does not count much.
A figure is the median over rounds of one epoch each; its ratio is the median of the ratios in the same round.
SpectrumLoader starts its workers again every epoch, and DataLoader keeps them here (persistent_workers).

    python -m benchmarks.speed.data_loader -n 7
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.harness import arguments, interleave, photos, report
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from prepixel.data import FolderDataset, RandomCrop, SpectrumFolder, SpectrumLoader, SpectrumReader
from prepixel.spectrum import BandSet, Statistics, read_spectra

BATCH = 32
GRID = (56, 56)
BANDS = BandSet.parse("S-24")
CLASSES = 10
MOST_COPIES = 10
REFERENCE = "ImageFolder + v2, Pillow: uint8 RGB 224"
CROP = (v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip())


def link(paths: list[Path], root: Path, copies: int) -> Path:
    """List every photo several times in a folder of class folders, and return it."""
    for copy in range(copies):
        for place, path in enumerate(paths):
            folder = root / f"class{place % CLASSES}"
            folder.mkdir(exist_ok=True)
            (folder / f"{copy:02}_{path.stem}.jpg").symlink_to(path.resolve())
    return root


def decode(path: str) -> torch.Tensor:
    """Decode by torchvision, to a tensor."""
    return decode_image(path, mode=ImageReadMode.RGB)


def stock(dataset: Any, workers: int) -> Callable[[], None]:
    """Read an epoch by torch's DataLoader."""
    loader: DataLoader[Any] = DataLoader(
        dataset, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def run() -> None:
        for _ in loader:
            pass

    return run


def own(folder: Path, scale: dict[str, Any], workers: int, threads: int) -> Callable[[], None]:
    """Read an epoch by prepixel's loader."""
    reader = SpectrumReader(GRID, BANDS, **scale)
    loader = SpectrumLoader(
        FolderDataset(folder),
        reader,
        batch_size=BATCH,
        crop=RandomCrop(),
        training=True,
        threads=threads,
        workers=workers,
    )

    def run() -> None:
        for _ in loader.epoch(1):
            pass

    return run


def main() -> None:
    """Time an epoch of every pipeline with 0, 1 and 2 workers."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    paths = sorted((photos() / "imagenet_samples").glob("*.JPEG"))[: options.files]
    statistics = Statistics.empty(BANDS, GRID)
    statistics.update(read_spectra(paths[:BATCH], grid=GRID, bands=BANDS).spectrum)
    scale = {"shift": statistics.shift(), "unit": statistics.int8_unit(), "dtype": torch.int8}
    copies = min(MOST_COPIES, 2 * options.n)
    with tempfile.TemporaryDirectory() as name:
        folder = link(paths, Path(name), copies)
        by_pillow = ImageFolder(folder, v2.Compose([*CROP, v2.PILToTensor()]))
        by_torchvision = ImageFolder(folder, v2.Compose(CROP), loader=decode)
        spectra = SpectrumFolder(folder, bands=BANDS, grid=GRID, transform=RandomCrop(), **scale)
        for workers in (0, 1, 2):
            pipelines = {
                REFERENCE: stock(by_pillow, workers),
                "ImageFolder + v2, torchvision: uint8 RGB 224": stock(by_torchvision, workers),
                "SpectrumFolder, DataLoader: int8 S-24, 56 x 56": stock(spectra, workers),
                "SpectrumLoader: int8 S-24, 56 x 56": own(folder, scale, workers, threads=1),
            }
            if workers == 2:  # CPUs, not processes, are what is compared
                pipelines["SpectrumLoader, 0 workers, 2 native threads"] = own(folder, scale, workers=0, threads=2)
            timings = interleave(pipelines, rounds=options.n)
            samples = len(spectra) // BATCH * BATCH
            case = f"{workers} worker{'' if workers == 1 else 's'}"
            report("data loaders", case, timings, per=samples, reference=REFERENCE, options=options)


if __name__ == "__main__":
    main()
