"""Data sets and loaders find a folder's indexes by themselves, in every process, and never depend on them."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.data.coco_files import document
from tests.data.coco_files import write as write_annotations
from tests.data.coco_files import write_photos as write_coco_photos
from tests.jpeg.forged_index import with_raised_rows
from tests.jpeg.small_files import pixels
from torch.utils.data import DataLoader

from prepixel.data import CenterCrop, CropLoader, FolderDataset, RandomCrop, SpectrumReader
from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.jobs.index_folder import index_folder
from prepixel.data.loading.channel_statistics import measure_statistics
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_loader import DetectionDataset
from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.data.loading.photo_indexes import PhotoIndexes
from prepixel.data.loading.spectrum_dataset import SpectrumDataset, SpectrumFolder
from prepixel.data.loading.spectrum_decoder import SpectrumDecoder
from prepixel.jpeg import IndexWarning, embed_index, embedded_index, index_jpeg, open_folder_index
from prepixel.jpeg.folder_index import (
    SIDECAR_NAME,
    FolderIndex,
    IndexRecord,
    begin_records,
    finish_records,
    write_record,
)
from prepixel.spectrum import BandSet
from prepixel.stores.remote_path import RemotePath

GRID = (5, 3)
NUM = 17
UNFIT = pytest.warns(IndexWarning, match="some indexes are damaged or not of their files")


def write_sidecar(root: Path, index_of: Callable[[str], bytes]) -> None:
    """Write a folder's indexes, each what a function makes of a photo."""
    with (root / SIDECAR_NAME).open("wb") as file:
        begin_records(file, 0)
        offsets = dict[str, int]()
        for path in sorted(root.rglob("*.jpg")):
            name = os.path.relpath(path, root)
            offsets[name] = file.tell()
            write_record(file, IndexRecord(name, path.stat().st_mtime_ns, index_of(os.fspath(path))))
        finish_records(file, offsets)


def forged(path: str) -> bytes:
    """Return an index that crops below the first row cannot tell from a true one, and that changes what they give."""
    return forgery(index_jpeg(path, every=0).data, Path(path).read_bytes())


def forgery(index: bytes, file: bytes) -> bytes:
    return index if b"\xff\xc2" in file else with_raised_rows(index)  # progressive files have no checkpoints


@contextmanager
def by_forged() -> Iterator[None]:
    """Forged indexes fit crops below the first row alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IndexWarning)
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index in range(NUM):
        path = folder / f"class{index % 3}" / f"{index:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(pixels(149 + index, 61 + 3 * index))
        picture.save(path, quality=60 + index, progressive=index % 7 == 6, subsampling=index % 3)
    return folder


def spectra(root: Path, workers: int = 0, context: str | None = None, **options: Any) -> torch.Tensor:
    options.setdefault("transform", RandomCrop())
    dataset = SpectrumFolder(root, bands="S-6", grid=GRID, **options)
    torch.manual_seed(3)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=context)
    return torch.cat([spectrum.values for spectrum, _ in loader])


def loaded(root: Path, **options: Any) -> torch.Tensor:
    reader = SpectrumReader(GRID, BandSet.of("S-6"))
    loader = CropLoader(FolderDataset(root), reader, batch_size=4, crop=RandomCrop(), seed=5, **options)
    return torch.cat([batch.inputs.values for batch in loader.epoch(1)])


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_folder_s_indexes_are_found_and_used(root: Path, workers: int, context: str | None) -> None:
    crop = CenterCrop(0.4)  # which begins below the first row of MCUs
    plain = spectra(root, transform=crop)
    index_folder(root, every=2)
    assert torch.equal(spectra(root, transform=crop), plain)
    write_sidecar(root, forged)
    with by_forged():
        seen = spectra(root, workers, context, transform=crop)
    assert not torch.equal(seen, plain)
    assert torch.equal(seen, spectra(root, transform=crop, indexes=by_hand(root)))
    assert torch.equal(spectra(root, transform=crop, indexes=None), plain)


def by_hand(root: Path) -> FolderIndex:
    indexes = open_folder_index(root)
    assert indexes is not None
    return indexes


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_find_them_too(root: Path, workers: int) -> None:
    plain = loaded(root, workers=workers)
    index_folder(root)
    assert torch.equal(loaded(root, workers=workers), plain)
    write_sidecar(root, forged)
    with by_forged():
        assert not torch.equal(loaded(root, workers=workers), plain)
    assert torch.equal(loaded(root, workers=workers, indexes=None), plain)
    elsewhere = open_folder_index(root)
    (root / SIDECAR_NAME).rename(root.parent / "elsewhere.ppi")
    assert torch.equal(loaded(root, workers=workers), plain)
    by_name = open_folder_index(root, root.parent / "elsewhere.ppi")
    for given in (elsewhere, by_name):
        with by_forged():
            assert not torch.equal(loaded(root, workers=0, indexes=given), plain)
    with by_forged():
        assert not torch.equal(loaded(root, workers=workers, indexes=by_name), plain)


def test_stale_indexes_are_told_and_change_nothing(root: Path) -> None:
    index_folder(root, every=2)
    paths = sorted(root.rglob("*.jpg"))
    for path in paths:
        path.write_bytes(path.read_bytes()[:-2] + b"\0\xff\xd9")
    with UNFIT:
        values = spectra(root)
    assert torch.equal(values, spectra(root, indexes=None))
    with UNFIT:
        values = loaded(root)
    assert torch.equal(values, loaded(root, indexes=None))


def test_a_damaged_file_of_indexes_is_told_once_and_not_used(root: Path) -> None:
    plain = spectra(root)
    (root / SIDECAR_NAME).write_bytes(b"no index")
    with pytest.warns(IndexWarning, match=r"prepixel\.ppi: .*Make it again.* Photos are read without it") as told:
        assert torch.equal(spectra(root), plain)
    assert len(told) == 1


def test_a_pickled_data_set_looks_for_itself(root: Path) -> None:
    index_folder(root)
    dataset = SpectrumFolder(root, bands="S-6", grid=GRID)
    dataset[0]
    assert dataset.indexes.open() is dataset.indexes.open()
    assert dataset.indexes.open() != "auto"
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    assert pickle.loads(pickled).indexes.open() != "auto"
    (root / SIDECAR_NAME).unlink()
    assert pickle.loads(pickled).indexes.open() == "auto"
    assert torch.equal(pickle.loads(pickled)[3][0].values, dataset[3][0].values)


def test_data_sets_of_any_files_take_a_folder_s_indexes_and_find_embedded_ones(root: Path) -> None:
    write_sidecar(root, forged)
    paths = [path for path, _ in FolderDataset(root).samples]
    indexes = open_folder_index(root)
    options: dict[str, Any] = {"bands": "S-6", "grid": GRID, "transform": RandomCrop((0.1, 0.2))}
    contents = [Path(path).read_bytes() for path in paths]
    held = [embed_index(one, every=0) for one in contents]
    with_forged = [one.replace(index_inside(one), forgery(index_inside(one), one)) for one in held]

    def of_data_set(sources: list[Any], **more: Any) -> torch.Tensor:
        torch.manual_seed(2)
        dataset = SpectrumDataset([(source, 0) for source in sources], **options, **more)
        return torch.cat([spectrum.values for spectrum, _ in dataset.__getitems__(range(NUM))])

    def of_decoder(sources: list[Any], **more: Any) -> torch.Tensor:
        torch.manual_seed(2)
        decoded = SpectrumDecoder("jpg", **options, **more)([{"jpg": source} for source in sources])
        return torch.as_tensor(decoded["jpg"].values)

    plain = of_data_set(paths)
    for read in (of_data_set, of_decoder):
        for sources in (paths, contents, held):
            assert torch.equal(read(sources), plain)
        with by_forged():
            assert not torch.equal(read(paths, indexes=indexes), plain)
        with by_forged():
            assert not torch.equal(read(with_forged), plain)
        assert torch.equal(read(with_forged, indexes=None), plain)
    with pytest.raises(ValueError, match="indexes is 'all'; it can be 'auto', None, or what open_folder_index returns"):
        PhotoIndexes.__init__.__wrapped__(object.__new__(PhotoIndexes), "all")  # type: ignore[attr-defined]


def index_inside(file: bytes) -> bytes:
    index = embedded_index(file)
    assert index is not None
    return index.data


def test_frames_of_detectors_are_read_by_indexes(tmp_path: Path) -> None:
    write_coco_photos(tmp_path)
    images = CocoDataset(write_annotations(tmp_path, document()), tmp_path)
    keys = [(epoch, index) for epoch in range(6) for index in range(len(images))]

    def frames(**options: Any) -> torch.Tensor:
        settings = FrameSettings((64, 80), 130, 8, jitter=(2.0, 3.0))
        dataset = DetectionDataset(images, SpectrumFrames(BandSet.of("S-6"), 8), settings, training=True, **options)
        return dataset.__getitems__(keys).batch.inputs.spectrum.values

    plain = frames()
    index_folder(tmp_path, every=2)
    assert torch.equal(frames(), plain)
    write_sidecar(tmp_path, forged)
    with by_forged():
        assert not torch.equal(frames(), plain)
    assert torch.equal(frames(indexes=None), plain)


def test_statistics_are_measured_by_indexes(root: Path) -> None:
    files, options = FolderDataset(root), {"grid": GRID, "bands": "S-6", "crop_fraction": 0.3}
    plain = measure_statistics(files, **options).shift()
    index_folder(root, every=1)
    assert torch.equal(measure_statistics(files, **options).shift(), plain)
    write_sidecar(root, forged)
    with by_forged():
        assert not torch.equal(measure_statistics(files, **options).shift(), plain)
    assert torch.equal(measure_statistics(files, **options, indexes=None).shift(), plain)


def test_no_indexes_are_looked_for_in_stores() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PhotoIndexes("auto", RemotePath.parse("s3://bucket/photos")).open() == "auto"
        assert PhotoIndexes(None, Path("photos")).open() is None
