"""Crops read by an index are those read without one, and an index that does not fit is not used unnoticed."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.jpeg.forged_index import raised, with_one_row_raised, with_raised_rows, with_states
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow, pixels, small_files
from tests.oracles import jpeg_index as oracle

from prepixel.data.jobs.index_folder import index_folder
from prepixel.errors import MalformedIndex, PrepixelError
from prepixel.jpeg import (
    IndexWarning,
    JpegIndex,
    Limits,
    embed_index,
    embedded_index,
    index_jpeg,
    open_folder_index,
    pack_jpeg,
    read_jpeg,
    read_sizes,
)
from prepixel.spectrum import open_images, read_arrays, read_padded, read_spectra
from prepixel.spectrum.opened_images import _check_indexes

GRID, BANDS = (3, 5), "S-24"
BELOW = np.array([[24.0, 8.0, 16.0, 32.0]])  # below the first row of MCUs
UNFIT = pytest.warns(IndexWarning, match=r"unfit_indexes lists them. Make them again: prepixel index FOLDER")


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, "jpeg", quality=80, exif=exif, subsampling=orientation % 3)
    return file.getvalue()


FILES = list(small_files().values()) + [rotated(orientation) for orientation in range(2, 9)]


def drawn_boxes(sizes: np.ndarray, seed: int) -> np.ndarray:
    """Draw real boxes: large and small, some at an edge."""
    generator = np.random.default_rng(seed)
    parts = np.maximum(0.02, generator.random((len(sizes), 2)) ** 2)
    begins = np.clip(generator.random((len(sizes), 2)) * 1.4 - 0.2, 0, 1) * (1 - parts)
    return np.concatenate([begins * sizes, parts * sizes], axis=1)


def test_crops_by_an_index_are_those_without_one() -> None:
    sizes = read_sizes(FILES).sizes
    for every in (0, 1, 2, 16):
        indexes = [index_jpeg(file, every=every) for file in FILES]
        for seed in range(8):
            boxes, flips = drawn_boxes(sizes, seed), np.random.default_rng(seed).random(len(FILES)) < 0.5
            options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": boxes, "flips": flips}
            plain = read_arrays(FILES, indexes=None, **options)
            indexed = read_arrays(FILES, indexes=indexes, threads=1 + seed % 3, **options)
            assert np.array_equal(indexed.values, plain.values), (every, seed)
            assert indexed.report.unfit_indexes == ()
            assert indexed.report.from_pixels == plain.report.from_pixels == (list(small_files()).index("cmyk"),)


def test_every_reader_uses_indexes() -> None:
    """A forged index, which a crop below the first row cannot see, shows that it is used."""
    file = by_pillow(subsampling=0)
    forged, options = JpegIndex(with_raised_rows(index_jpeg(file, every=0).data)), {"bands": BANDS, "boxes": BELOW}
    embedded = with_forged_index(file)
    for read in (
        lambda source, indexes: read_arrays([source], grid=GRID, indexes=indexes, **options).values,
        lambda source, indexes: read_spectra([source], grid=GRID, indexes=indexes, **options).spectrum.values.numpy(),
        lambda source, indexes: read_padded(
            [source], grids=[GRID], indexes=indexes, **options
        ).spectrum.spectrum.values.numpy(),
        lambda source, indexes: read_arrays(open_images([source], indexes=indexes), grid=GRID, **options).values,
    ):
        plain = np.array(read(file, None))
        for used in (
            read(file, [forged]),
            read(file, [forged.data]),
            read(file, [memoryview(forged.data)]),
            read(embedded, "auto"),
            read(embedded, [None]),
        ):
            assert 0 < np.abs(np.array(used) - plain).max() < 40
        for other in (
            read(file, [None]),
            read(file, "auto"),
            read(embedded, None),
            read(embedded, [index_jpeg(embedded)]),
        ):
            assert np.array_equal(np.array(other), plain)
    whole = read_arrays([file], grid=GRID, bands=BANDS, indexes=[forged])
    assert np.array_equal(whole.values, read_arrays([file], grid=GRID, bands=BANDS).values)
    assert whole.report.unfit_indexes == ()  # no part is asked for, so nothing is gained by an index
    kept = read_arrays([file], grid=GRID, indexes=[forged], on_truncated="keep", **options)
    assert np.array_equal(kept.values, read_arrays([file], grid=GRID, **options).values)


def with_forged_index(file: bytes) -> bytes:
    """Return a file that holds a forged index of itself."""
    held = embed_index(file, every=0)
    true = embedded_index(held)
    assert true is not None
    return held.replace(true.data, with_raised_rows(true.data))


def test_an_index_that_does_not_fit_is_told_and_costs_time_alone(tmp_path: Path) -> None:
    file, other = by_pillow(subsampling=2), by_pillow(subsampling=2, quality=61)
    true = index_jpeg(file, every=2).data
    generator = np.random.default_rng(20020)
    unfit: list[bytes] = [index_jpeg(other).data, b"\0", b"pji\x01" + bytes(60), true + b"\0", bytes(1 << 16)]
    unfit += [true[:size] for size in range(1, len(true))]
    for at in range(len(true)):
        changed = bytearray(true)
        changed[at] ^= int(generator.integers(1, 256))
        unfit.append(bytes(changed))
    sources = [file] * (len(unfit) + 2)
    boxes = drawn_boxes(read_sizes(sources).sizes, 3)
    options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": boxes}
    plain = read_arrays(sources, **options)
    for threads in (1, 3):
        with UNFIT:
            read = read_arrays(sources, indexes=[true, *unfit, None], threads=threads, **options)
        assert np.array_equal(read.values, plain.values)
        assert read.report.unfit_indexes == tuple(range(1, len(unfit) + 1))
    path = tmp_path / "photo.jpg"  # changed since it was indexed, in a place that no crop reads
    path.write_bytes(file[:-2] + b"\0" + file[-2:])
    with UNFIT:
        read = read_arrays([b"", path], indexes=[None, true], grid=GRID, bands=BANDS, boxes=boxes[:2], on_error="skip")
    assert (read.report.kept.tolist(), read.report.unfit_indexes) == ([1], (1,))
    assert np.array_equal(read.values, plain.values[1:2])


def test_a_photo_that_changed_above_a_crop_is_not_read_by_its_old_index() -> None:
    """Every run of the crop fits, and begins with predictors of the photo before: the checksum alone can tell."""
    file = by_pillow(subsampling=0)
    index = index_jpeg(file, every=0)
    (scan,) = oracle.read(index.data).scans
    second_row = sorted(scan.states)[1]
    found = 0
    for bit in range(8 * scan.begin, scan.states[second_row].bit):
        changed = bytearray(file)
        changed[bit // 8] ^= 0x80 >> bit % 8
        try:
            (other,) = oracle.read(index_jpeg(bytes(changed), every=0).data).scans
        except PrepixelError:
            continue
        same_places = [state.bit for state in other.states.values()] == [state.bit for state in scan.states.values()]
        if not same_places or other.states[second_row].predictors == scan.states[second_row].predictors:
            continue
        found += 1
        with UNFIT:
            read = read_arrays([bytes(changed)], grid=GRID, bands=BANDS, boxes=BELOW, indexes=[index])
        plain = read_arrays([bytes(changed)], grid=GRID, bands=BANDS, boxes=BELOW)
        assert np.array_equal(read.values, plain.values)
        assert not np.array_equal(read.values, read_arrays([file], grid=GRID, bands=BANDS, boxes=BELOW).values)
    assert found > 5


def test_a_run_that_does_not_end_as_the_index_says_is_not_kept() -> None:
    """One checkpoint wrong, checksums valid: each run of a crop that begins or ends there is seen to be wrong."""
    generator = np.random.default_rng(20020)
    for name in ("baseline-420", "baseline-444", "gray", "411"):
        file = small_files()[name]
        true = index_jpeg(file, every=2).data
        (scan,) = oracle.read(true).scans
        forged = list[bytes]()
        for mcu, state in list(scan.states.items())[1:]:
            others = [raised(state), state._replace(bit=state.bit + int(generator.integers(1, 40)))]
            others.append(
                state._replace(predictors=tuple(generator.integers(-900, 900, len(state.predictors)).tolist()))
            )
            forged += [with_states(true, {mcu: other}) for other in others if other != state]
        forged += [with_states(true, {})]
        assert forged[-1] == true
        for box in ([24.0, 30.0, 9.0, 9.0], [17.0, 0.0, 5.0, 59.0], [0.0, 45.0, 41.0, 3.0], [38.0, 56.0, 3.0, 3.0]):
            boxes = np.array([box] * len(forged))
            options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": boxes}
            plain = read_arrays([file], grid=GRID, bands=BANDS, boxes=boxes[:1]).values
            with UNFIT:
                read = read_arrays([file] * len(forged), indexes=forged, **options)
            assert np.array_equal(read.values, np.repeat(plain, len(forged), axis=0)), (name, box)
            assert len(forged) - 1 not in read.report.unfit_indexes
    file = by_pillow(subsampling=0)
    one_row = with_one_row_raised(index_jpeg(file, every=0).data)
    with UNFIT:
        read = read_arrays([file], grid=GRID, bands=BANDS, boxes=np.array([[8.0, 0.0, 8.0, 59.0]]), indexes=[one_row])
    assert read.report.unfit_indexes == (0,)


def test_a_stale_index_inside_a_file() -> None:
    file = embed_index(by_pillow(), every=2)
    stale = file[:-2] + b"\0" + file[-2:]
    options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": BELOW}
    with UNFIT:
        read = read_spectra([stale], **options)
    assert read.unfit_indexes == (0,)
    assert torch.equal(read.spectrum.values, read_spectra([file], **options).spectrum.values)
    assert read_spectra([stale], indexes=None, **options).unfit_indexes == ()
    with UNFIT:
        assert read_padded([stale], grids=[GRID], bands=BANDS, boxes=BELOW).unfit_indexes == (0,)
    region = (24, 8, 16, 32)
    part, plain = (read_jpeg(stale, region=region, index=index) for index in ("auto", None))
    assert [len(image.warnings) for image in (part, plain)] == [2, 1]  # unread bytes behind the scan; the index
    assert np.array_equal(part.components[0].quantized, plain.components[0].quantized)
    assert read_jpeg(file, region=region).warnings == read_jpeg(file, threads=2).warnings == ()
    assert len(read_jpeg(stale).warnings) == 1  # whole, on one thread, no index is looked for
    with pytest.raises(ValueError, match="index is 'yes'; it can be 'auto', None, or what index_jpeg returns"):
        read_jpeg.__wrapped__(file, index="yes")  # type: ignore[attr-defined]


def test_a_folder_s_indexes_are_looked_up_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "photos" / str(place % 3) / f"{place}.jpg" for place in range(len(FILES))]
    for path, contents in zip(paths, FILES, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    index_folder(tmp_path / "photos", every=2)
    boxes = drawn_boxes(read_sizes(FILES).sizes, 4)
    options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": boxes}
    expected = read_arrays(FILES, **options).values
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "photos", Path("photos"), "./photos", "photos/"):
        indexes = open_folder_index(root)
        assert indexes is not None
        for names in (paths, [path.relative_to(tmp_path) for path in paths]):
            assert None not in indexes.find(names)
            read = read_arrays(names, indexes=indexes, **options)
            assert np.array_equal(read.values, expected)
            assert read.report.unfit_indexes == ()
    mixed = [contents if place % 2 else paths[place] for place, contents in enumerate(FILES)]
    assert np.array_equal(read_arrays(mixed, indexes=indexes, **options).values, expected)
    sidecar = tmp_path / "photos" / "prepixel.ppi"
    data = bytearray(sidecar.read_bytes())
    table = int.from_bytes(data[-24:-16], "little")
    count = len(FILES)
    for record in range(count):  # records that lie behind the end
        data[table + 8 * (count + record) : table + 8 * (count + record) + 8] = (1 << 62).to_bytes(8, "little")
    sidecar.write_bytes(data)
    damaged = open_folder_index(tmp_path / "photos")
    with UNFIT:
        read = read_arrays(paths, indexes=damaged, **options)
    assert np.array_equal(read.values, expected)
    cmyk = list(small_files()).index("cmyk")
    assert read.report.unfit_indexes == tuple(place for place in range(count) if place != cmyk)


def test_opened_images_carry_their_indexes_and_threads_share_them() -> None:
    sources = [pack_jpeg(by_pillow()), b"text", by_pillow(), small_files()["restart"]]
    indexes = [None, None, index_jpeg(sources[2]), index_jpeg(sources[3], every=1)]
    images = open_images(sources, on_error="skip", indexes=indexes)
    boxes = drawn_boxes(images.sizes, 5)
    expected = read_arrays(images, grid=GRID, bands=BANDS, boxes=boxes).values
    plain = read_arrays([sources[place] for place in images.kept.tolist()], grid=GRID, bands=BANDS, boxes=boxes)
    assert np.array_equal(expected, plain.values)
    with ThreadPoolExecutor(4) as pool:
        for read in pool.map(lambda _: read_arrays(images, grid=GRID, bands=BANDS, boxes=boxes), range(40)):
            assert np.array_equal(read.values, expected)
    fewer = images.leave_out({0: MalformedIndex("left out")})
    assert np.array_equal(read_arrays(fewer, grid=GRID, bands=BANDS, boxes=boxes[1:]).values, expected[1:])
    swapped = open_images([sources[3], sources[2]], indexes=[indexes[2], indexes[3]])
    with UNFIT:
        read = read_arrays(swapped, grid=GRID, bands=BANDS, boxes=boxes[[2, 1]])
    assert read.report.unfit_indexes == (0, 1)
    assert np.array_equal(read.values, expected[[2, 1]])


def test_files_that_are_not_held_are_read_by_their_index(tmp_path: Path) -> None:
    files = [by_pillow(subsampling=0), embed_index(by_pillow(subsampling=0), every=2)]
    limits = Limits(max_memory_bytes=64 * HEIGHT * WIDTH)
    filler = tmp_path / "filler.jpg"
    filler.write_bytes(by_pillow() + bytes(limits.max_memory_bytes - len(by_pillow()) - 100))
    paths = [filler, tmp_path / "plain.jpg", tmp_path / "embedded.jpg"]
    for path, contents in zip(paths[1:], files, strict=True):
        path.write_bytes(contents)
    options: dict[str, Any] = {"grid": GRID, "bands": BANDS, "boxes": np.repeat(BELOW, 2, axis=0)}
    plain = read_arrays(files, indexes=None, **options).values

    def read(index: bytes) -> tuple[np.ndarray, tuple[int, ...]]:
        images = open_images(paths, limits=limits, threads=1, indexes=[None, index, None])
        rest = images.leave_out({0: MalformedIndex("fills the memory")})
        arrays = read_arrays(rest, **options)
        return arrays.values, arrays.report.unfit_indexes

    values, unfit = read(index_jpeg(files[0]).data)
    assert np.array_equal(values, plain)
    assert unfit == ()
    values, unfit = read(with_raised_rows(index_jpeg(files[0], every=0).data))
    assert not np.array_equal(values[0], plain[0])
    assert np.array_equal(values[1], plain[1])
    with UNFIT:
        values, unfit = read(b"\0")
    assert np.array_equal(values, plain)
    assert unfit == (1,)


def test_indexes_must_fit_the_sources() -> None:
    file = by_pillow()
    index = index_jpeg(file)
    with pytest.raises(ValueError, match="1 indexes for 2 sources; give one per source, or None in its place"):
        open_images([file, file], indexes=[index])
    with pytest.raises(ValueError, match="indexes is 'all'; it can be 'auto'"):
        _check_indexes.__wrapped__("all", 1)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="indexes is one JpegIndex; give a list with one for each source, or None"):
        _check_indexes.__wrapped__(index, 1)  # type: ignore[attr-defined]
    images = open_images([file], indexes=[index])
    with pytest.raises(
        ValueError, match="indexes are those that the images were opened with; give them to open_images"
    ):
        read_spectra(images, grid=GRID, bands=BANDS, indexes=[index])


@pytest.mark.data
def test_crops_of_real_photos_and_of_other_projects_files(photos: Path) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.JPEG"))[::2]
    paths += [path for path in sorted((photos / "jpeg_corpus").rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg"}]
    limits = Limits(max_pixels=1 << 23)
    images = open_images(paths, on_error="skip", limits=limits)
    boxes, flips = drawn_boxes(images.sizes, 6), np.arange(len(images)) % 2 == 0
    indexes: list[JpegIndex | None] = []
    for number, place in enumerate(images.kept.tolist()):
        try:
            indexes.append(index_jpeg(paths[place], every=(0, 8, 16, 32, 1)[number % 5], limits=limits))
        except PrepixelError:
            indexes.append(None)
    assert sum(index is not None for index in indexes) > 300
    kept = [paths[place] for place in images.kept.tolist()]
    options: dict[str, Any] = {"grid": (7, 5), "bands": BANDS, "boxes": boxes, "flips": flips, "on_error": "skip"}
    plain = read_arrays(kept, indexes=None, limits=limits, **options)
    indexed = read_arrays(kept, indexes=indexes, threads=2, limits=limits, **options)
    # Damage outside a crop is not seen, but what is damaged has no index.
    assert indexed.report.kept.tolist() == plain.report.kept.tolist()
    assert indexed.report.unfit_indexes == ()
    assert np.array_equal(indexed.values, plain.values, equal_nan=True)
