"""Batches: the same for any threads, workers and ranks; continued as if never stopped; bad files by policy."""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prepixel.data import (
    Batch,
    CenterCrop,
    CropDataset,
    CropLoader,
    FolderDataset,
    PixelReader,
    RandomCrop,
    SpectrumReader,
    TooManyBadFiles,
)
from prepixel.data.loading.loader import identity
from prepixel.data.random_streams import draw_order
from prepixel.errors import MalformedJpeg, UnreadableImage
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.native import read_spectra

BANDS = BandSet.parse("S-6")
SPECTRA = SpectrumReader((3, 5), BANDS)
PIXELS = PixelReader((23, 29))


def jpeg(height: int, width: int, seed: int, mode: str = "RGB") -> bytes:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height))
    buffer = io.BytesIO()
    coarse.convert(mode).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 17 images of two classes, of many sizes and modes."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(17):
        target = folder / ("moth" if index % 3 else "wasp") / f"{index:02}.jpg"
        target.parent.mkdir(exist_ok=True)
        mode = {5: "L", 11: "CMYK"}.get(index, "RGB")
        target.write_bytes(jpeg(37 + 5 * index, 61 + 3 * index, index, mode))
    return folder


def loader(root: Path, reader: SpectrumReader | PixelReader = SPECTRA, **options: object) -> CropLoader:
    options.setdefault("crop", RandomCrop())
    return CropLoader(FolderDataset(root), reader, **{"batch_size": 5, "seed": 7, "training": True, **options})  # type: ignore[arg-type]


def arrays(batch: Batch) -> torch.Tensor:
    return batch.inputs.values if isinstance(batch.inputs, Spectrum) else batch.inputs


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert torch.equal(a.indices, b.indices)
        assert torch.equal(a.targets, b.targets)
        assert torch.equal(arrays(a), arrays(b))


@pytest.mark.parametrize("reader", [SPECTRA, PIXELS], ids=["spectra", "pixels"])
@pytest.mark.parametrize("options", [{"threads": 1}, {"threads": 3}, {"workers": 2}, {"read_ahead": 1}], ids=str)
def test_batches_do_not_depend_on_how_they_are_read(
    root: Path, reader: SpectrumReader | PixelReader, options: dict[str, int]
) -> None:
    assert_same(list(loader(root, reader, **options).epoch(2)), list(loader(root, reader).epoch(2)))


def test_continued_epoch_equals_the_rest_of_a_whole_one(root: Path) -> None:
    whole = list(loader(root).epoch(3))
    assert_same(list(loader(root).epoch(3, first_batch=1)), whole[1:])
    assert list(loader(root).epoch(3, first_batch=len(whole))) == []


def test_epochs_and_seeds_differ_and_repeat(root: Path) -> None:
    orders = [
        torch.cat([b.indices for b in loader(root, seed=s).epoch(e)]).tolist() for s, e in ((7, 0), (7, 1), (8, 0))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] == torch.cat([b.indices for b in loader(root).epoch(0)]).tolist()


def test_training_leaves_out_what_fills_no_batch_and_evaluation_nothing(root: Path) -> None:
    training, evaluation = loader(root), loader(root, training=False)
    assert (len(training), len(evaluation)) == (3, 4)
    assert [len(b) for b in training.epoch(0)] == [5, 5, 5]
    assert torch.cat([b.indices for b in evaluation.epoch(0)]).tolist() == list(range(17))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_share_out_the_same_global_batches(root: Path, world_size: int, training: bool) -> None:
    alone = list(loader(root, training=training).epoch(1))
    ranks = [list(loader(root, training=training, rank=r, world_size=world_size).epoch(1)) for r in range(world_size)]
    assert {len(batches) for batches in ranks} == {len(alone)}
    for step, batch in enumerate(alone):
        together = torch.empty_like(batch.indices)
        values = torch.empty_like(arrays(batch))
        for r in range(world_size):
            together[r::world_size] = ranks[r][step].indices
            values[r::world_size] = arrays(ranks[r][step])
        assert torch.equal(together, batch.indices)
        assert torch.equal(values, arrays(batch))


def test_a_batch_is_what_read_spectra_gives_for_the_same_boxes(root: Path) -> None:
    files, crop = FolderDataset(root), CenterCrop(0.75)
    for batch in loader(root, training=False, crop=crop).epoch(0):
        samples = [files.samples[i] for i in batch.indices.tolist()]
        assert batch.targets.tolist() == [sample.label for sample in samples]
        for sample, values in zip(samples, arrays(batch), strict=True):
            with Image.open(sample.path) as picture:
                width, height = picture.size
            box = crop.make_params((height, width), 5 / 3, np.random.default_rng(0)).box
            row = np.array([[box.top, box.left, box.height, box.width]])
            alone = read_spectra([sample.path], grid=(3, 5), bands=BANDS, boxes=row).spectrum
            assert torch.equal(alone.values[0], values)


def test_pixels_and_coefficients_show_the_same_part(root: Path) -> None:
    """The DC of a one-block grid is 8 x (mean luma - 128): the same number from pixels, but for rounding and chroma."""
    dc = SpectrumReader((1, 1), BandSet("DC", (0,)))
    for a, b in zip(loader(root, dc).epoch(0), loader(root, PixelReader((8, 8))).epoch(0), strict=True):
        assert torch.equal(a.indices, b.indices)
        red, green, blue = arrays(b).double().mean((2, 3)).unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        torch.testing.assert_close(arrays(a).flatten().double() / 8 + 128, luma, rtol=0, atol=4)


@pytest.mark.parametrize("by", ["XMP", "BYTE"])
def test_photos_turned_in_unusual_ways_show_the_same_part(root: Path, tmp_path: Path, by: str) -> None:
    entry = b"\x12\x01" + b"\x01\0" + b"\x01\0\0\0" + b"\x06\0\0\0"  # the tag, of type BYTE, one value, 6
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    segment = {"XMP": xmp, "BYTE": exif}[by]
    for path in root.rglob("*.jpg"):
        turned = tmp_path / path.relative_to(root)
        turned.parent.mkdir(exist_ok=True)
        file = path.read_bytes()
        turned.write_bytes(file[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + file[2:])
    dc = SpectrumReader((1, 1), BandSet("DC", (0,)))
    spectra, pixels = (loader(tmp_path, reader, on_error="skip") for reader in (dc, PixelReader((8, 8))))
    for a, b in zip(spectra.epoch(0), pixels.epoch(0), strict=True):
        assert torch.equal(a.indices, b.indices)
        red, green, blue = arrays(b).double().mean((2, 3)).unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        torch.testing.assert_close(arrays(a).flatten().double() / 8 + 128, luma, rtol=0, atol=4)
    assert spectra.failures == pixels.failures == ()


def test_torch_data_loader_fetches_whole_batches(root: Path) -> None:
    dataset = CropDataset(FolderDataset(root), SPECTRA, CenterCrop(), 0, 1)
    keys = [[(0, 3), (0, 11)], [(0, 2)]]
    batches = list(torch.utils.data.DataLoader(dataset, batch_sampler=keys, collate_fn=identity))
    assert [batch.indices.tolist() for batch, _ in batches] == [[3, 11], [2]]
    assert torch.equal(arrays(dataset[0, 11].batch)[0], arrays(batches[0].batch)[1])


# -- bad files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Path:
    """Copy the images, one of them cut short and one no image at all."""
    for path in root.rglob("*.jpg"):
        target = tmp_path / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    cut = tmp_path / "wasp" / "06.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    (tmp_path / "moth" / "07.jpg").write_bytes(b"this is no image")
    return tmp_path


@pytest.mark.parametrize("reader", [SPECTRA, PIXELS], ids=["spectra", "pixels"])
def test_bad_files_are_left_out_counted_and_named_once(
    damaged: Path, reader: SpectrumReader | PixelReader, caplog: pytest.LogCaptureFixture
) -> None:
    files = FolderDataset(damaged)
    skipping = loader(damaged, reader, training=False, on_error="skip", crop=CenterCrop())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            seen = torch.cat([batch.indices for batch in skipping.epoch(0)]).tolist()
            assert len(seen) == 15
    bad = sorted(Path(failure.source).name for failure in skipping.failures)
    assert bad == ["06.jpg", "07.jpg"]
    assert sorted(Path(files.samples[i].path).name for i in set(range(17)) - set(seen)) == bad
    assert len(caplog.records) == 2
    assert "07.jpg" in caplog.text


def test_raise_gives_the_file_s_own_error(damaged: Path) -> None:
    with pytest.raises((MalformedJpeg, UnreadableImage), match=r"0[67]\.jpg"):
        list(loader(damaged, training=False).epoch(0))
    with pytest.raises(UnreadableImage, match=r"0[67]\.jpg"):
        list(loader(damaged, PIXELS, training=False).epoch(0))


def test_too_many_bad_files_end_the_epoch(damaged: Path) -> None:
    for name in ("01", "02", "04"):
        (damaged / "moth" / f"{name}.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(
        TooManyBadFiles, match=r"4 of 17 files cannot be read, more than max_bad_fraction = 0.01 allows"
    ):
        list(loader(damaged, training=False, on_error="skip").epoch(0))
    generous = loader(damaged, training=False, on_error="skip", max_bad_fraction=0.5)
    assert sum(len(batch) for batch in generous.epoch(0)) == 12


def test_a_share_of_bad_files_alone_is_an_empty_batch(damaged: Path) -> None:
    files = FolderDataset(damaged)
    place = next(i for i, sample in enumerate(files.samples) if sample.path.endswith("07.jpg"))
    ranks = loader(damaged, training=False, on_error="skip", rank=place % 5, world_size=5, crop=CenterCrop())
    sizes = [len(batch) for batch in ranks.epoch(0)]
    assert 0 in sizes
    assert len(sizes) == 4


# -- arguments, and leaving early -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"read_ahead": 0}, "read_ahead 0"),
        ({"rank": 2, "world_size": 2}, "rank 2 is none of 2 processes"),
        ({"batch_size": 18}, "17 images, fewer than one batch of 18"),
    ],
)
def test_arguments_outside_their_range_are_refused(root: Path, options: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        loader(root, **options)  # type: ignore[arg-type]


def test_leaving_an_epoch_ends_its_thread(root: Path) -> None:
    batches = loader(root, read_ahead=1).epoch(0)
    next(batches)
    assert any(thread.name.startswith("prepixel worker") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("prepixel worker") for thread in threading.enumerate())


def test_batches_move_whole(root: Path) -> None:
    batch = next(iter(loader(root).epoch(0)))
    moved = batch.to("meta")
    assert (moved.targets.device.type, moved.indices.device.type, arrays(moved).device.type) == ("meta",) * 3


@pytest.mark.parametrize("ranks", [1, 2])
def test_repeated_samples_share_a_batch_and_are_drawn_anew(root: Path, ranks: int) -> None:
    files = FolderDataset(root)
    size = len(files) // 6 * 6
    indices, inputs = [], []
    for rank in range(ranks):
        loader = CropLoader(
            files,
            SPECTRA,
            crop=RandomCrop(),
            batch_size=6,
            training=True,
            repeats=3,
            rank=rank,
            world_size=ranks,
            threads=1,
        )
        batches = list(loader.epoch(4))
        indices.append([batch.indices.tolist() for batch in batches])
        inputs.append([batch.inputs.values for batch in batches])
    order = draw_order(len(files), 0, 4)
    assert len(indices[0]) == size // 6
    for number in range(size // 6):
        expected = [int(index) for index in order[2 * number : 2 * number + 2] for _ in range(3)]
        together = [part[number] for part in indices]
        assert [together[place % ranks][place // ranks] for place in range(6)] == expected
        values = [inputs[place % ranks][number][place // ranks] for place in range(6)]
        assert not any(torch.equal(values[a], values[b]) for a in range(6) for b in range(a))


def test_repeats_are_for_training(root: Path) -> None:
    with pytest.raises(ValueError, match="repeats is 2; it must be 1, or greater in training"):
        CropLoader(FolderDataset(root), SPECTRA, batch_size=2, repeats=2)


def test_a_batch_is_a_multiple_of_repeats(root: Path) -> None:
    with pytest.raises(ValueError, match="a batch of 4 samples cannot have each 3 times"):
        CropLoader(FolderDataset(root), SPECTRA, batch_size=4, training=True, repeats=3)
