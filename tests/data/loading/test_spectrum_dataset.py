"""Map-style data sets under a stock DataLoader: equal to read_spectra, repeatable, one native call per batch."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.photos import write_photos
from torch.utils.data import DataLoader, DistributedSampler, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from prepixel.data.loading import readers
from prepixel.data.loading.crops import CenterCrop, RandomCrop
from prepixel.data.loading.spectrum_crops import ReadWarning
from prepixel.data.loading.spectrum_dataset import SpectrumDataset, SpectrumFolder
from prepixel.errors import DatasetError, JpegError
from prepixel.spectrum import BandSet, read_spectra

GRID = (5, 3)
NOT_CUT = -1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    write_photos(root, 17, cut=NOT_CUT)
    return root


def spectrum_folder(root: Path, **options: Any) -> SpectrumFolder:
    return SpectrumFolder(root, **{"bands": "S-6", "grid": GRID, **options})


def test_attributes_are_those_of_image_folder(folder: Path) -> None:
    ours, theirs = spectrum_folder(folder), ImageFolder(folder)
    assert ours.classes == theirs.classes
    assert ours.class_to_idx == theirs.class_to_idx
    assert list(ours.samples) == theirs.samples == list(ours.imgs)
    assert ours.targets == theirs.targets
    assert len(ours) == len(theirs)


def test_a_batch_is_what_read_spectra_reads(folder: Path) -> None:
    dataset = spectrum_folder(folder)
    batches = list(DataLoader(dataset, batch_size=7))
    paths = [path for path, _ in dataset.samples]
    expected = read_spectra(paths, grid=GRID, bands=BandSet.of("S-6")).spectrum
    assert [len(spectrum) for spectrum, _ in batches] == [7, 7, 3]
    assert torch.equal(torch.cat([spectrum.values for spectrum, _ in batches]), expected.values)
    assert torch.cat([targets for _, targets in batches]).tolist() == dataset.targets
    single, target = dataset[11]
    assert torch.equal(single.values, expected.values[11:12])
    assert target == dataset.targets[11]


def test_a_batch_takes_one_native_call_and_no_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    read = readers.read_spectra

    def counting(sources: Any, **options: Any) -> Any:
        calls.append(len(sources))
        return read(sources, **options)

    monkeypatch.setattr(readers, "read_spectra", counting)
    samples = spectrum_folder(folder).__getitems__([3, 1, 4, 15])
    assert calls == [4]
    joined, _ = default_collate(samples)
    assert joined.values.data_ptr() == samples[0][0].values.data_ptr()


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_what_the_main_process_reads(folder: Path, context: str) -> None:
    dataset = spectrum_folder(folder, transform=CenterCrop())
    alone = torch.cat([spectrum.values for spectrum, _ in DataLoader(dataset, batch_size=4)])
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context=context, persistent_workers=True)
    for _ in range(2):
        assert torch.equal(torch.cat([spectrum.values for spectrum, _ in loader]), alone)


def test_random_crops_follow_the_loader_s_generator(folder: Path) -> None:
    dataset = spectrum_folder(folder, transform=RandomCrop())

    def epochs(seed: int, workers: int) -> list[torch.Tensor]:
        loader = DataLoader(
            dataset,
            batch_size=6,
            shuffle=True,
            num_workers=workers,
            generator=torch.Generator().manual_seed(seed),
            multiprocessing_context="fork" if workers else None,
        )
        torch.manual_seed(seed)
        return [torch.cat([spectrum.values for spectrum, _ in loader]) for _ in range(2)]

    first, second = epochs(1, 0)
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(epochs(1, 0), [first, second], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(epochs(1, 2), epochs(1, 2), strict=True))
    assert not torch.equal(epochs(2, 2)[0], epochs(1, 2)[0])


def test_distributed_samplers_share_the_samples(folder: Path) -> None:
    paths = [path for path, _ in spectrum_folder(folder).samples]
    dataset = SpectrumDataset([(path, place) for place, path in enumerate(paths)], bands="S-6", grid=GRID)
    seen: list[int] = []
    for rank in range(2):
        sampler: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=2, rank=rank, shuffle=False)
        seen += torch.cat([targets for _, targets in DataLoader(dataset, batch_size=5, sampler=sampler)]).tolist()
    assert sorted(seen) == [0, *range(17)]  # 17 samples over 2 ranks: the sampler repeats the first


def test_int8_values_and_targets_of_any_kind(folder: Path) -> None:
    contents = [Path(path).read_bytes() for path, _ in spectrum_folder(folder).samples[:3]]
    dataset = SpectrumDataset(
        [(data, {"box": torch.tensor([place])}) for place, data in enumerate(contents)],
        bands="S-6",
        grid=GRID,
        dtype=torch.int8,
        unit=torch.full((6,), 8.0),
        target_transform=lambda target: {"box": target["box"] + 1},
    )
    ((spectrum, targets),) = list(DataLoader(dataset, batch_size=3))
    assert spectrum.values.dtype == torch.int8
    assert targets["box"].tolist() == [[1], [2], [3]]


def test_a_file_that_cannot_be_read_raises_with_its_path_or_is_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, 14, cut=9)
    broken = str(tmp_path / "class2" / "009.jpg")
    strict = spectrum_folder(tmp_path)
    with pytest.raises(JpegError, match=r"009\.jpg"):
        list(DataLoader(strict, batch_size=14))
    lenient = spectrum_folder(tmp_path, on_error="skip")
    with pytest.warns(ReadWarning, match=r"009\.jpg"):
        ((spectrum, targets),) = list(DataLoader(lenient, batch_size=14))
    place = [path for path, _ in lenient.samples].index(broken)
    assert targets.tolist() == [target for i, target in enumerate(lenient.targets) if i != place]
    assert len(spectrum) == 13
    with pytest.raises(JpegError, match=r"009\.jpg"):
        lenient[place]
    with pytest.warns(ReadWarning), pytest.raises(DatasetError, match="none of the 1 files of this batch"):
        lenient.__getitems__([place])


def test_pixel_transforms_are_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"torchvision's transforms do not apply: use prepixel\.data\.RandomCrop"):
        spectrum_folder(folder, transform=v2.RandomResizedCrop(64))


def test_data_sets_travel_by_pickle(folder: Path) -> None:
    dataset = spectrum_folder(folder, transform=CenterCrop(0.5))
    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert torch.equal(other[2][0].values, dataset[2][0].values)
