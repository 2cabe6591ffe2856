"""Reading by an index gives what reading without one gives, whatever the file and the region."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.jpeg.small_files import HEIGHT, WIDTH, by_cjpeg, by_pillow
from tests.oracles import jpeg_index as oracle
from tests.oracles.xxh64 import xxh64

from prepixel.errors import JpegError, JpegLimitExceeded, MalformedJpeg
from prepixel.jpeg import (
    JpegImage,
    Limits,
    bandlimit_jpeg,
    embed_index,
    embedded_index,
    encode_jpeg,
    index_jpeg,
    read_jpeg,
    read_segments,
    verify_index,
    without_index,
)
from prepixel.jpeg.decode import UNFIT_INDEX

Region = tuple[int, int, int, int]


def random_regions(height: int, width: int, count: int, seed: int = 3) -> list[Region]:
    rng = np.random.default_rng(seed)
    regions: list[Region] = [(0, 0, height, width), (height - 1, width - 1, 1, 1)]
    for _ in range(count):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        regions.append((top, left, int(rng.integers(1, height - top + 1)), int(rng.integers(1, width - left + 1))))
    return regions


def assert_is_part(part: JpegImage, whole: JpegImage, region: Region, name: object) -> None:
    """Compare a region's image with the whole file's coefficients."""
    top, left, height, width = region
    max_v, max_h = whole.max_sampling
    row, column = top // (8 * max_v), left // (8 * max_h)
    assert part.region is not None
    assert part.region == (
        row * 8 * max_v,
        column * 8 * max_h,
        top + height - row * 8 * max_v,
        left + width - column * 8 * max_h,
    )
    assert (part.height, part.width) == part.region[2:]
    for ours, full in zip(part.components, whole.components, strict=True):
        v, h = ours.sampling
        assert (ours.height, ours.width) == (-(-part.height * v // max_v), -(-part.width * h // max_h)), name
        down, across = -(-ours.height // 8), -(-ours.width // 8)
        expected = full.quantized[row * v : row * v + down, column * h : column * h + across]
        assert np.array_equal(ours.quantized, expected), (name, region)
        assert np.array_equal(ours.quantization, full.quantization)


def refused(image: JpegImage) -> bool:
    return UNFIT_INDEX in image.warnings


@pytest.mark.parametrize("every", [0, 1, 3, 16])
def test_an_index_says_what_a_slow_walk_finds(files: dict[str, bytes], every: int) -> None:
    for name in ("baseline-420", "baseline-444", "gray", "cmyk", "restart", "411", "440-optimized", "odd-3x2",
                 "scan-per-component", "scan-per-component-restart", "sixteen-bit-tables"):  # fmt: skip
        index = oracle.read(index_jpeg(files[name], every=every).data)
        assert (index.file_size, index.every, index.progressive) == (len(files[name]), every, False)
        scans = oracle.walk(files[name])
        assert len(index.scans) == len(scans)
        for found, expected in zip(index.scans, scans, strict=True):
            assert (found.begin, found.end) == (expected.begin, expected.end), name
            assert found.states == {mcu: expected.states[mcu] for mcu in found.states}, name
            assert max(found.states) == max(expected.states)
            if every == 1:
                assert len(found.states) == len(expected.states)


@pytest.mark.parametrize("every", [0, 1, 4])
def test_every_region_of_every_kind_of_file(files: dict[str, bytes], every: int) -> None:
    for name, file in files.items():
        whole, index = read_jpeg(file), index_jpeg(file, every=every)
        assert verify_index(file, index)
        for number, region in enumerate(random_regions(HEIGHT, WIDTH, 30, seed=every)):
            for given in (index, None):
                part = read_jpeg(file, region=region, index=given, threads=1 + number % 3)
                assert_is_part(part, whole, region, name)
                assert part.warnings == whole.warnings, name
                assert part.orientation == whole.orientation
        for threads in (1, 2, 5):
            again = read_jpeg(file, index=index, threads=threads)
            assert again.region is None
            assert again.warnings == whole.warnings
            for ours, full in zip(again.components, whole.components, strict=True):
                assert np.array_equal(ours.quantized, full.quantized), name


def test_chosen_frequencies_of_a_region(files: dict[str, bytes]) -> None:
    kept = ([0, 1, 8], [0, 9], [0])
    for name, file in files.items():
        whole, index = read_jpeg(file, bands=kept), index_jpeg(file, every=2)
        for region in random_regions(HEIGHT, WIDTH, 5):
            part = read_jpeg(file, bands=kept, region=region, index=index)
            assert_is_part(part, whole, region, name)
            assert not refused(part), name


def test_a_region_is_what_jpegtran_crops(files: dict[str, bytes]) -> None:
    for name in ("baseline-420", "411", "440-optimized", "restart", "progressive", "gray"):
        for top, left, height, width in random_regions(HEIGHT, WIDTH, 3)[2:]:
            crop = f"{width}x{height}+{left}+{top}"
            cut = subprocess.run(["jpegtran", "-crop", crop], input=files[name], capture_output=True, check=True).stdout
            theirs = read_jpeg(cut)
            ours = read_jpeg(files[name], region=(top, left, height, width), index=index_jpeg(files[name]))
            assert (ours.height, ours.width) == (theirs.height, theirs.width)
            for a, b in zip(ours.components, theirs.components, strict=True):
                assert np.array_equal(a.quantized, b.quantized), name


def test_dense_files_of_many_checkpoints_are_shared_by_threads() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (331, 397, 3), dtype=np.uint8)
    for options in ((), ("-restart", "7B"), ("-restart", "1")):
        file = cjpeg_of(noise, "-quality", "97", "-sample", "2x2", *options)
        whole = read_jpeg(file)
        for index in (None, index_jpeg(file, every=0), index_jpeg(file, every=5)):
            for threads in (1, 2, 4):
                again = read_jpeg(file, index=index, threads=threads)
                assert not again.warnings
                for ours, full in zip(again.components, whole.components, strict=True):
                    assert np.array_equal(ours.quantized, full.quantized)


def cjpeg_of(image: np.ndarray, *options: str) -> bytes:  # type: ignore[type-arg]
    ppm = io.BytesIO()
    Image.fromarray(image).save(ppm, "ppm")
    return subprocess.run(["cjpeg", *options], input=ppm.getvalue(), capture_output=True, check=True).stdout


def test_an_embedded_index_changes_nothing_else(files: dict[str, bytes]) -> None:
    for name, file in files.items():
        held = embed_index(file, every=2)
        assert without_index(held) == file, name
        assert embed_index(held, every=2) == held
        assert embedded_index(file) is None
        index = embedded_index(held)
        assert index is not None
        assert index.is_embedded
        assert verify_index(held, index)
        assert len(oracle.read(index.data).scans) == index.num_scans
        assert xxh64(held[oracle.read(index.data).checked_begin :]) == oracle.read(index.data).file_checksum
        whole = read_jpeg(held)
        for region in random_regions(HEIGHT, WIDTH, 4):
            part = read_jpeg(held, region=region, index=index)
            assert not refused(part), name
            assert_is_part(part, whole, region, name)
        assert refused(read_jpeg(file, index=index))
        if name not in {"height-by-dnl", "motion-jpeg"}:  # Pillow reads neither
            assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(f))) for f in (file, held))), name


def test_a_large_index_takes_several_segments() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (1409, 1511), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "jpeg", quality=20)
    held = embed_index(file.getvalue(), every=1)
    assert held.count(b"prepixel-index\0") >= 2
    index = embedded_index(held)
    assert index is not None
    assert without_index(held) == file.getvalue()
    part = read_jpeg(held, region=(500, 600, 40, 40), index=index)
    assert not part.warnings
    assert_is_part(part, read_jpeg(held), (500, 600, 40, 40), "large")


def test_an_editor_that_keeps_the_segments_leaves_an_index_that_is_not_used() -> None:
    held = embed_index(by_pillow(subsampling=2))
    turned = subprocess.run(
        ["jpegtran", "-copy", "all", "-rotate", "180"], input=held, capture_output=True, check=True
    ).stdout
    index = embedded_index(turned)
    assert index is not None
    part = read_jpeg(turned, index=index)
    assert refused(part)
    assert np.array_equal(part.components[0].quantized, read_jpeg(turned).components[0].quantized)


def test_progressive_scans_without_a_wanted_frequency_are_passed_over() -> None:
    scans = "0,1,2: 0-0, 0, 0; 0: 1-5, 0, 1; 0: 6-63, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0; 0: 1-5, 1, 0;"
    file = by_cjpeg(scans=scans)
    index = index_jpeg(file)
    assert (index.num_scans, index.num_checkpoints) == (6, 6)
    kept = ([0, 1, 8], [0], [0])
    part, whole = (read_jpeg(file, bands=kept, index=i) for i in (index, None))
    assert not part.warnings
    for ours, full in zip(part.components, whole.components, strict=True):
        assert np.array_equal(ours.quantized, full.quantized)


def test_what_cannot_be_indexed_raises_what_reading_it_raises(files: dict[str, bytes]) -> None:
    file = files["baseline-420"]
    for broken in (file[: len(file) // 2], file[:100], b"no JPEG", b""):
        with pytest.raises(MalformedJpeg) as ours:
            index_jpeg(broken)
        with pytest.raises(MalformedJpeg) as theirs:
            read_jpeg(broken)
        assert type(ours.value) is type(theirs.value)
    with pytest.raises(ValueError, match="every is -1; it is 0 to 65535 MCUs"):
        index_jpeg(file, every=-1)
    with pytest.raises(ValueError, match=r"region \(0, 0, 0, 5\) of top, left, height, width is empty"):
        read_jpeg(file, region=(0, 0, 0, 5))
    with pytest.raises(ValueError, match=r"reaches out of the stored image of 41 x 59 \(height x width\)"):
        read_jpeg(file, region=(30, 0, 12, 5))
    with pytest.raises(ValueError, match="threads is -1"):
        read_jpeg(file, threads=-1)


def test_damage_in_a_file_with_restart_markers_is_told_alike_on_threads() -> None:
    file = by_cjpeg("-restart", "2B")
    scan = file.index(b"\xff\xda")
    damaged = file[: scan + 200] + b"\xff\x00" * 40 + file[scan + 280 :]
    messages = []
    for threads in (1, 3):
        with pytest.raises(MalformedJpeg) as error:
            read_jpeg(damaged, threads=threads)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_restart_intervals_behind_the_last_one_of_a_progressive_scan(files: dict[str, bytes]) -> None:
    """Skipping counts them to the scan, decoding does not; such a file has an index that is used, all the same."""
    whole = files["progressive-restart"]
    for scan in oracle.read(index_jpeg(whole).data).scans:
        file = whole[: scan.end] + b"\xff\xd0ab" + whole[scan.end :]
        image, by_index = (read_jpeg(file, index=index) for index in (None, index_jpeg(file)))
        assert not refused(by_index)
        assert image.warnings == by_index.warnings != ()
        for ours, theirs in zip(by_index.components, image.components, strict=True):
            assert np.array_equal(ours.quantized, theirs.quantized)


def test_an_embedded_index_is_not_copied_into_other_files() -> None:
    file = by_pillow(subsampling=2, comment=b"kept")
    held = embed_index(file, every=1)
    assert read_segments(held) == read_segments(file)
    kept = (range(64), range(64), range(64))
    assert bandlimit_jpeg(held, kept) == bandlimit_jpeg(file, kept)
    for written in (bandlimit_jpeg(held, kept), encode_jpeg(read_jpeg(held), segments=read_segments(held))):
        assert embedded_index(written) is None
        assert b"kept" in written


def test_under_keep_an_index_is_not_used(files: dict[str, bytes]) -> None:
    file = files["baseline-420"]
    index = index_jpeg(file)
    cut = file[: len(file) * 3 // 4]
    with_index, without = (read_jpeg(cut, index=i, on_truncated="keep") for i in (index, None))
    assert with_index.missing_blocks == without.missing_blocks > 0
    assert with_index.warnings == without.warnings


def test_a_region_takes_the_memory_of_its_own_blocks(files: dict[str, bytes]) -> None:
    """4:2:0: an MCU is 16 x 16 samples, of six blocks of 128 bytes."""
    region, least = (17, 18, 15, 14), 6 * 128
    for name in ("baseline-420", "height-by-dnl", "scan-per-component"):
        file = files[name]
        for index in (None, index_jpeg(file, every=1)):
            part = read_jpeg(file, region=region, index=index, limits=Limits(max_memory_bytes=4000))
            assert part.region == (16, 16, 16, 16)
            with pytest.raises(JpegLimitExceeded, match="coefficients of 768 bytes, more than 767"):
                read_jpeg(file, region=region, index=index, limits=Limits(max_memory_bytes=least - 1))
    with pytest.raises(JpegLimitExceeded, match="coefficients of"):  # whose scans refine whole rows
        read_jpeg(files["progressive"], region=region, limits=Limits(max_memory_bytes=4000))


@pytest.mark.data
def test_all_files_of_the_corpus(photos: Path) -> None:
    limits = Limits(max_scans=1000, max_pixels=1 << 24)
    indexed = 0
    for number, path in enumerate(sorted((photos / "jpeg_corpus").rglob("*"))):
        if path.suffix.lower() not in {".jpg", ".jpeg"}:
            continue
        file = path.read_bytes()
        try:
            whole = read_jpeg(file, limits=limits)
        except JpegError as error:
            with pytest.raises(type(error), match=re.escape(str(error))):
                index_jpeg(file, limits=limits)
            continue
        index = index_jpeg(file, every=(0, 1, 5, 16)[number % 4], limits=limits)
        indexed += 1
        for region in random_regions(whole.height, whole.width, 2, seed=number):
            part = read_jpeg(file, region=region, index=index, threads=1 + number % 2, limits=limits)
            assert not refused(part), path
            assert_is_part(part, whole, region, path)
    assert indexed > 200, indexed
