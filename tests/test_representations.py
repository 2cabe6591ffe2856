"""What a debugger, a notebook and print() show of values that hold arrays: what they are, in a line or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.small_photos import jpeg

from prepixel import BandSet, pixel_model, read_jpeg, read_spectra
from prepixel.data import (
    FolderDataset,
    RandomCrop,
    SpectrumDataset,
    SpectrumDecoder,
    SpectrumFolder,
    SpectrumLoader,
    SpectrumReader,
)
from prepixel.jpeg import index_jpeg
from prepixel.runtime.prediction import Predictions
from prepixel.spectrum import Spectrum, Statistics, open_images, read_arrays, read_padded


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.jpg").write_bytes(jpeg(40 + 8 * number, 56))
    return sorted(tmp_path.rglob("*.jpg"))


def test_a_folder_of_spectra_reads_like_an_image_folder(photos: list[Path], tmp_path: Path) -> None:
    folder = SpectrumFolder(tmp_path, bands="S-24", grid=(3, 5), transform=RandomCrop(), target_transform=int)
    assert repr(folder).splitlines() == [
        "Dataset SpectrumFolder",
        "    Number of datapoints: 6",
        f"    Root location: {tmp_path}",
        "    Spectra: S-24 on 3 x 5 blocks, float32",
        f"    Transform: {RandomCrop()}",
        "    Target transform: <class 'int'>",
    ]
    plain = SpectrumDataset([(photos[0], 1)], bands="S-6", grid=(3, 5), dtype=torch.int8, unit=torch.ones(6))
    assert repr(plain).splitlines() == [
        "Dataset SpectrumDataset",
        "    Number of datapoints: 1",
        "    Spectra: S-6 on 3 x 5 blocks, int8",
        "    Transform: none, the whole image",
    ]


def test_values_say_what_they_are(photos: list[Path], tmp_path: Path) -> None:
    files, reader = FolderDataset(tmp_path), SpectrumReader((3, 5), BandSet.parse("S-24"))
    spectrum = read_spectra(photos, grid=(3, 5), bands="S-24").spectrum
    statistics = Statistics.empty("S-24", (3, 5), source="train")
    statistics.update(spectrum)
    batch = next(iter(SpectrumLoader(files, reader, batch_size=4).epoch(1)))
    shown = {
        "Spectrum(6 images, S-24, 3 x 5 blocks, torch.float32)": spectrum,
        "Spectrum(1 image, S-24, 3 x 5 blocks, torch.float32)": spectrum[2],
        "Statistics(S-24 on 3 x 5 blocks, of 6 images of 'train')": statistics,
        "JpegImage(40 x 56, ycbcr, JPEG, baseline, components=[Component(1: 40 x 56 samples, ": read_jpeg(photos[0]),
        "SpectrumReader(S-24, 3 x 5 blocks, torch.float32, bilinear)": reader,
        "SpectrumLoader(6 images, batches of 4, for evaluation)": SpectrumLoader(files, reader, batch_size=4),
        "SpectrumDecoder('image', S-24 on 3 x 5 blocks, float32, tr": SpectrumDecoder(
            "image", bands="S-24", grid=(3, 5)
        ),
        "OpenImages(6 of 6 sources)": open_images(photos),
        "SpectraArrays(6 images, S-24, 3 x 5 blocks, float32, ": read_arrays(photos, grid=(3, 5), bands="S-24"),
        "Batch(inputs=Spectrum(4 images, S-24, ": batch,
        "PaddedRead(spectrum=PaddedSpectrum(spectrum=Spectrum(6 ": read_padded(
            photos, grids=[(3, 5)] * 6, bands="S-24"
        ),
        "JpegIndex(": index_jpeg(photos[0]),
        "Dataset FolderDataset\n    Number of datapoints: 6\n": files,
        "Predictions(2 images, 3 classes, 0 left out)": Predictions(
            np.zeros((2, 3), np.float32), ("a", "b", "c"), np.arange(2)
        ),
        "PixelModel('resnet18', ResNet, 224 x 224 pixels, 1000 classes, untrained)": pixel_model(
            "resnet18", weights="none"
        ),
    }
    for begin, value in shown.items():
        assert repr(value).startswith(begin)
        assert len(repr(value)) < 400


def test_a_spectrum_of_other_leaves_is_shown_too() -> None:
    """A map over pytrees, or torch.export, makes spectra whose values are no tensors."""
    spectrum = Spectrum.of_coefficients(torch.zeros(1, 6, 3, 5), "S-6")
    mapped = torch.utils._pytree.tree_map(lambda leaf: None, spectrum)
    assert repr(mapped) == "Spectrum(None, S-6)"
