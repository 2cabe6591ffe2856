"""Batches of encoded images of other libraries become spectra: samples and columns, mappings and tuples."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.photos import write_photos
from torch.utils.data import DataLoader

from prepixel.data.loading.crops import RandomCrop
from prepixel.data.loading.spectrum_crops import ReadWarning
from prepixel.data.loading.spectrum_dataset import SpectrumDataset
from prepixel.data.loading.spectrum_decoder import SpectrumDecoder
from prepixel.errors import DatasetError, JpegError
from prepixel.spectrum import BandSet, Spectrum, read_spectra

GRID = (5, 3)
NOT_CUT, BROKEN = -1, 4


def decoder(image: str | int = 0, **options: Any) -> SpectrumDecoder:
    return SpectrumDecoder(image, **{"bands": "S-6", "grid": GRID, **options})


def expected(paths: list[Path]) -> torch.Tensor:
    return read_spectra([str(path) for path in paths], grid=GRID, bands=BandSet.of("S-6")).spectrum.values


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("photos")
    write_photos(root, 7, cut=NOT_CUT)
    return sorted(root.rglob("*.jpg"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("damaged")
    write_photos(root, 7, cut=BROKEN)
    return sorted(root.rglob("*.jpg"))


@pytest.mark.parametrize(
    "encoded",
    [
        str,
        Path.read_bytes,
        lambda path: np.frombuffer(path.read_bytes(), np.uint8),
        lambda path: {"bytes": path.read_bytes(), "path": None},
        lambda path: {"bytes": None, "path": str(path)},
    ],
    ids=["path", "bytes", "array", "row of bytes", "row of a path"],
)
def test_samples_and_columns_hold_encoded_images_of_every_form(paths: list[Path], encoded: Callable[..., Any]) -> None:
    images, labels = [encoded(path) for path in paths], list(range(7))
    spectrum, targets = decoder()(list(zip(images, labels, strict=True)))
    rows = decoder("image")([{"id": "x", "image": i, "label": n} for i, n in zip(images, labels, strict=True)])
    columns = decoder("image")({"id": ["x"] * 7, "image": images, "label": labels})
    assert list(rows) == list(columns) == ["id", "image", "label"]
    for read in (spectrum, rows["image"], columns["image"]):
        assert isinstance(read, Spectrum)
        assert torch.equal(read.values, expected(paths))
    assert targets.tolist() == rows["label"].tolist() == columns["label"] == labels
    assert rows["id"] == columns["id"] == ["x"] * 7


def test_the_image_is_found_at_any_place_of_a_tuple(paths: list[Path]) -> None:
    samples = [(n, str(path)) for n, path in enumerate(paths)]
    for place in (1, -1):
        targets, spectrum = decoder(place)(samples)
        assert torch.equal(spectrum.values, expected(paths))
        assert targets.tolist() == list(range(7))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_collates_by_it(paths: list[Path], workers: int) -> None:
    samples = [{"image": str(path), "label": n} for n, path in enumerate(paths)]
    loader: DataLoader[Any] = DataLoader(
        samples,  # type: ignore[arg-type]  # a list is a map-style data set
        batch_size=3,
        collate_fn=pickle.loads(pickle.dumps(decoder("image"))),  # as workers that are spawned get it
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    batches = list(loader)
    assert torch.equal(torch.cat([batch["image"].values for batch in batches]), expected(paths))
    assert torch.cat([batch["label"] for batch in batches]).tolist() == list(range(7))


def test_crops_are_those_of_a_data_set_of_the_same_seed(paths: list[Path]) -> None:
    samples = [(str(path), n) for n, path in enumerate(paths)]
    torch.manual_seed(3)
    dataset = SpectrumDataset(samples, bands="S-6", grid=GRID, transform=RandomCrop())
    wanted = torch.cat([spectrum.values for spectrum, _ in dataset.__getitems__(list(range(7)))])
    torch.manual_seed(3)
    spectrum, _ = decoder(transform=RandomCrop())(samples)
    assert torch.equal(spectrum.values, wanted)


def test_images_that_cannot_be_read_raise_by_name_or_are_left_out(damaged: list[Path]) -> None:
    broken = next(place for place, path in enumerate(damaged) if path.name == f"{BROKEN:03}.jpg")
    kept = [n for n in range(7) if n != broken]
    good = [damaged[n] for n in kept]
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in damaged]
    samples = [{"__key__": f"key{n}", "jpg": path.read_bytes(), "cls": n} for n, path in enumerate(damaged)]
    with pytest.raises(JpegError, match=r"^004\.jpg, "):
        decoder("image")({"image": rows})
    with pytest.raises(JpegError, match=f"^key{broken}, "):
        decoder("jpg")(samples)
    with pytest.warns(ReadWarning, match=r"left out: 004\.jpg"):
        columns = decoder("image", on_error="skip")({"label": list(range(7)), "image": rows})
    assert torch.equal(columns["image"].values, expected(good))
    assert columns["label"] == kept
    with pytest.warns(ReadWarning, match=f"left out: key{broken}"):
        batch = decoder("jpg", on_error="skip")(samples)
    assert torch.equal(batch["jpg"].values, expected(good))
    assert batch["cls"].tolist() == kept
    with pytest.warns(ReadWarning), pytest.raises(DatasetError, match="none of the 1 files of this batch"):
        decoder("jpg", on_error="skip")([samples[broken]])


@pytest.mark.parametrize(
    ("image", "batch", "message"),
    [
        ("image", [{"jpg": b""}], r"a dict with the keys \['jpg'\], and has no 'image'"),
        ("image", {"jpg": [b""]}, r"a dict with the keys \['jpg'\], and has no 'image'"),
        (2, [(b"", 1)], "a sample is a tuple, and has no 2"),
        (0, [(Image.new("RGB", (8, 8)), 1)], r"an image is a Image, .*cast_column\(\"image\", Image\(decode=False\)\)"),
        (0, [(np.zeros((8, 8, 3)), 1)], "an image is a ndarray, and must be a path or a file's bytes"),
        (0, [({"bytes": None, "path": None}, 1)], "an image is a NoneType"),
        (0, [({"bytes": None, "path": "https://a/b.jpg"}, 1)], "https://a/b.jpg is no local file"),
    ],
)
def test_batches_without_encoded_images_are_refused(image: str | int, batch: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        decoder(image)(batch)
