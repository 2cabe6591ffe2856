"""Batches: from files to spectra, whatever the files are, on any number of threads."""

from __future__ import annotations

import io
import mmap
import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow, pixels, small_files

from prepixel.errors import JpegLimitExceeded, MalformedJpeg, TruncatedJpeg, UnreadableImage, UnsupportedJpeg
from prepixel.jpeg import Limits, read_image, read_jpeg, read_sizes
from prepixel.spectrum import BandSet, Box, read_spectra, read_spectrum, resample, spectrum_of

BANDS = BandSet.parse("S-12")
GRID = (3, 5)
FILES = small_files()
JPEGS = {name: file for name, file in FILES.items() if name != "cmyk"}


def encoded(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()).convert(mode).save(file, kind)
    return file.getvalue()


def drawn_boxes(n: int) -> np.ndarray:
    generator = np.random.default_rng(n)
    top, left = generator.uniform(0, HEIGHT / 2, n), generator.uniform(0, WIDTH / 2, n)
    height, width = generator.uniform(1, HEIGHT / 2, n), generator.uniform(1, WIDTH / 2, n)
    return np.stack([top, left, height, width], axis=1)


def test_every_kind_of_jpeg_equals_the_reference_of_its_coefficients() -> None:
    boxes, flips = drawn_boxes(len(JPEGS)), np.arange(len(JPEGS)) % 2 == 0
    read = read_spectra(list(JPEGS.values()), grid=GRID, bands=BANDS, boxes=boxes, flips=flips)
    assert read.kept.tolist() == list(range(len(JPEGS)))
    assert read.missing_blocks == (0,) * len(JPEGS)
    assert read.failures == read.from_pixels == ()
    assert read.spectrum.bands is BANDS
    for values, file, box, flip in zip(read.spectrum.values, JPEGS.values(), boxes, flips, strict=True):
        image = read_jpeg(file)
        reference = resample(image, Box(*box.tolist()), GRID, BANDS, flip=bool(flip))
        torch.testing.assert_close(values.double(), reference, rtol=0, atol=2e-6 * float(reference.abs().max()))
        alone = spectrum_of(image, grid=GRID, bands=BANDS, box=Box(*box.tolist()), flip=bool(flip))
        assert torch.equal(values, alone.values[0])


@pytest.mark.parametrize(
    "name", ["baseline-420", "restart", "progressive", "progressive-restart", "scan-per-component-restart"]
)
def test_rows_behind_a_crop_are_not_looked_at(name: str) -> None:
    file = FILES[name]
    crop = np.array([[2.0, 3.0, 9.0, 31.0]])
    expected = read_spectra([file], grid=GRID, bands=BANDS, boxes=crop).spectrum.values
    damaged = file[:-10] + b"\xff\x00" * 4 + file[-2:]  # the last scan's last bits: no code is all ones
    with pytest.raises(MalformedJpeg):
        read_spectra([damaged], grid=GRID, bands=BANDS)
    assert torch.equal(read_spectra([damaged], grid=GRID, bands=BANDS, boxes=crop).spectrum.values, expected)


@pytest.mark.parametrize("name", ["restart", "scan-per-component-restart"])
def test_restart_intervals_before_a_crop_are_not_looked_at(name: str) -> None:
    file = FILES[name]
    height, width = read_sizes([file]).sizes[0].tolist()
    crop = np.array([[height - 3.0, 3.0, 3.0, width - 5.0]])
    begin = file.index(b"\xff\xda")  # the first scan's header, then its data
    begin += 2 + int.from_bytes(file[begin + 2 : begin + 4], "big")
    damaged = file[:begin] + b"\xff\x00" * 2 + file[begin + 4 :]
    assert file.index(b"\xff\xd0") > begin + 4
    with pytest.raises(MalformedJpeg):
        read_spectra([damaged], grid=GRID, bands=BANDS)
    expected, read = (
        read_spectra([one], grid=GRID, bands=BANDS, boxes=crop).spectrum.values for one in (file, damaged)
    )
    assert torch.equal(read, expected)
    lost = file.replace(b"\xff\xd0", b"\xff\xd3", 1)  # a marker that is not the next one shows all the same
    with pytest.raises(MalformedJpeg, match="RST0 must stand here"):
        read_spectra([lost], grid=GRID, bands=BANDS, boxes=crop)


@pytest.mark.parametrize("name", ["baseline-420", "restart", "progressive"])
def test_a_file_cut_behind_a_crop_is_still_a_file_cut_short(name: str) -> None:
    cut = FILES[name][:-30]
    crop = np.array([[2.0, 3.0, 9.0, 31.0]])
    with pytest.raises(TruncatedJpeg):
        read_spectra([cut], grid=GRID, bands=BANDS, boxes=crop)
    kept = read_spectra([cut], grid=GRID, bands=BANDS, boxes=crop, on_truncated="keep")
    assert kept.missing_blocks == (read_jpeg(cut, on_truncated="keep").missing_blocks,)


def test_memory_that_one_image_leaves_is_not_seen_by_the_next() -> None:
    # One thread decodes them all into the same planes: large and dense ones first.
    sources = [by_pillow(quality=100, subsampling=0), *JPEGS.values(), by_pillow(quality=5, progressive=True)]
    boxes = drawn_boxes(len(sources))
    together = read_spectra(sources, grid=GRID, bands=BANDS, boxes=boxes, threads=1).spectrum.values
    for values, source, box in zip(together, sources, boxes, strict=True):
        alone = read_spectra([source], grid=GRID, bands=BANDS, boxes=box[None]).spectrum.values[0]
        assert torch.equal(values, alone)


def test_threads_change_nothing() -> None:
    sources = list(FILES.values()) * 5
    boxes = drawn_boxes(len(sources))
    unit = torch.full((len(BANDS),), 0.7)
    for dtype in (torch.float32, torch.int8):
        results = [
            read_spectra(sources, grid=(7, 3), bands=BANDS, boxes=boxes, dtype=dtype, unit=unit, threads=threads)
            for threads in (1, 2, 8, 200, 0)
        ]
        for other in results[1:]:
            assert torch.equal(other.spectrum.values, results[0].spectrum.values)
            assert other.from_pixels == results[0].from_pixels


def test_a_batch_is_its_images_one_by_one() -> None:
    sources = [*FILES.values(), encoded("PNG")]
    boxes, flips = drawn_boxes(len(sources)), np.arange(len(sources)) % 3 == 0
    batch = read_spectra(sources, grid=GRID, bands=BANDS, boxes=boxes, flips=flips, filter="bicubic").spectrum
    for index, source in enumerate(sources):
        box, flip = Box(*boxes[index].tolist()), bool(flips[index])
        alone = read_spectrum(source, grid=GRID, bands=BANDS, box=box, flip=flip, filter="bicubic")
        assert torch.equal(alone.values[0], batch.values[index])


def test_paths_and_buffers_give_the_same(tmp_path: Path) -> None:
    contents = FILES["baseline-420"]
    path = tmp_path / "ein schönes Bild.jpg"
    path.write_bytes(contents)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        sources = [
            contents,
            bytearray(contents),
            memoryview(contents),
            memoryview(b"before" + contents)[6:],
            np.frombuffer(contents, np.uint8),
            np.frombuffer(contents, np.int8).reshape(1, -1),
            mapped,
            path,
            str(path),
        ]
        values = read_spectra(sources, grid=GRID, bands=BANDS).spectrum.values
        sources.clear()
    assert all(torch.equal(value, values[0]) for value in values)
    with pytest.raises(BufferError, match="contiguous"):
        read_spectra([memoryview(contents)[::2]], grid=GRID, bands=BANDS)


def test_no_box_is_the_whole_upright_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = by_pillow(exif=exif.tobytes())
    whole = read_spectra([file], grid=GRID, bands=BANDS, boxes=np.array([[0.0, 0, WIDTH, HEIGHT]])).spectrum
    assert torch.equal(read_spectra([file], grid=GRID, bands=BANDS).spectrum.values, whole.values)


def test_no_source_is_an_empty_batch() -> None:
    read = read_spectra([], grid=GRID, bands=BANDS, boxes=np.zeros((0, 4)), flips=np.zeros(0, bool))
    assert read.spectrum.values.shape == (0, len(BANDS), *GRID)
    assert read.kept.shape == (0,)


def test_values_are_written_where_asked() -> None:
    sources = [FILES["gray"], FILES["baseline-444"], FILES["cmyk"]]
    expected = read_spectra(sources, grid=GRID, bands=BANDS).spectrum.values
    out = torch.full((3, len(BANDS), *GRID), torch.nan)
    read = read_spectra(sources, grid=GRID, bands=BANDS, out=out)
    assert read.spectrum.values.data_ptr() == out.data_ptr()
    assert torch.equal(out, expected)
    read_spectra(sources[::-1], grid=GRID, bands=BANDS, out=out)
    assert torch.equal(out, expected.flip(0))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, len(BANDS), *GRID),
        torch.zeros(1, len(BANDS), *GRID, dtype=torch.float64),
        torch.zeros(1, len(BANDS), GRID[1], GRID[0]).transpose(2, 3),
        torch.zeros(1, len(BANDS), *GRID, device="meta"),
    ],
)
def test_a_wrong_place_to_write_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"out must be contiguous on the CPU, torch\.float32, of shape \(1, 12, 3, 5\)"
    ):
        read_spectra([FILES["gray"]], grid=GRID, bands=BANDS, out=wrong)


# What stands among good files, its error and its text.
BAD: dict[str, tuple[bytes, type[Exception], str]] = {
    "cut": (FILES["baseline-420"][:900], TruncatedJpeg, "source 1, buffer of 900 bytes, byte 900: "),
    "empty": (b"", UnreadableImage, "is empty, 0 bytes; fetch it again, or leave it out"),
    "text": (b"<html>not found</html>", UnreadableImage, "begins with the bytes 3c 68 74 6d 6c 3e 6e 6f"),
    "cut png": (encoded("PNG")[:-2000], UnreadableImage, "Pillow cannot decode it as PNG: .*fetch it again"),
    "soi alone": (b"\xff\xd8", TruncatedJpeg, "source 1, buffer of 2 bytes"),
    "garbage": (b"\xff\xd8\xff\xc0\0\0\0\0\0", MalformedJpeg, "source 1, buffer of 9 bytes, byte "),
    "arithmetic": (FILES["baseline-420"].replace(b"\xff\xc0", b"\xff\xc9", 1), UnsupportedJpeg, "rithmetic"),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_file_among_many(kind: str) -> None:
    bad, error, text = BAD[kind]
    sources = [FILES["gray"], bad, FILES["411"], bad, FILES["restart"]]
    boxes, flips = drawn_boxes(5), np.array([True, False, True, False, False])
    with pytest.raises(error, match=text):
        read_spectra(sources, grid=GRID, bands=BANDS, boxes=boxes, flips=flips)
    read = read_spectra(sources, grid=GRID, bands=BANDS, boxes=boxes, flips=flips, on_error="skip")
    assert read.kept.tolist() == [0, 2, 4]
    assert [(failure.index, type(failure.error)) for failure in read.failures] == [(1, error), (3, error)]
    assert f"buffer of {len(bad)} bytes" in read.failures[0].source
    good = [0, 2, 4]
    expected = read_spectra([sources[i] for i in good], grid=GRID, bands=BANDS, boxes=boxes[good], flips=flips[good])
    assert torch.equal(read.spectrum.values, expected.spectrum.values)


def test_the_first_error_is_raised_whichever_code_path_it_comes_from(tmp_path: Path) -> None:
    good, cut, text = FILES["gray"], FILES["gray"][:400], b"text"
    nowhere = tmp_path / "nowhere.jpg"
    for sources, error in (
        ([good, text, cut, nowhere], UnreadableImage),
        ([good, cut, text, nowhere], TruncatedJpeg),
        ([good, nowhere, text, cut], FileNotFoundError),
    ):
        for threads in (1, 8):
            with pytest.raises(error):
                read_spectra(sources, grid=GRID, bands=BANDS, threads=threads)


def test_files_that_cannot_be_opened_are_os_errors_that_name_them(tmp_path: Path) -> None:
    missing, folder = tmp_path / "nowhere.jpg", tmp_path
    with pytest.raises(FileNotFoundError, match=r"No such file.*nowhere\.jpg"):
        read_spectra([FILES["gray"], missing], grid=GRID, bands=BANDS)
    with pytest.raises(IsADirectoryError):
        read_spectra([str(folder)], grid=GRID, bands=BANDS)
    read = read_spectra([missing, folder], grid=GRID, bands=BANDS, on_error="skip")
    assert read.spectrum.values.shape == (0, len(BANDS), *GRID)
    assert [failure.source for failure in read.failures] == [str(missing), str(folder)]


def test_an_error_names_its_path(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(FILES["progressive"][:800])
    with pytest.raises(TruncatedJpeg, match=r"cut\.jpg, byte 800: .*Fetch"):
        read_spectra([path], grid=GRID, bands=BANDS)


def test_a_bad_box_is_the_callers_mistake_and_never_skipped() -> None:
    sources = [FILES["gray"], FILES["cmyk"]]
    for place in (0, 1):
        boxes = np.array([[0.0, 0, 7, 9], [0.0, 0, 7, 9]])
        boxes[place, 2] = HEIGHT + 1
        with pytest.raises(ValueError, match="outside the upright image of 41 x 59") as caught:
            read_spectra(sources, grid=GRID, bands=BANDS, boxes=boxes, on_error="skip")
        assert caught.value.__notes__ == [f"source {place}: buffer of {len(sources[place])} bytes"]


def test_what_a_cut_file_still_holds_is_used_and_counted_if_asked() -> None:
    file = FILES["baseline-444"]
    cut = file[: len(file) * 3 // 4]
    read = read_spectra([file, cut], grid=GRID, bands=BANDS, on_truncated="keep")
    image = read_jpeg(cut, on_truncated="keep")
    assert read.missing_blocks == (0, image.missing_blocks)
    assert image.missing_blocks > 0
    assert torch.equal(read.spectrum.values[1], spectrum_of(image, grid=GRID, bands=BANDS).values[0])


def test_limits_are_kept_on_both_code_paths(tmp_path: Path) -> None:
    for source in (FILES["gray"], FILES["cmyk"], encoded("PNG")):
        with pytest.raises(JpegLimitExceeded, match="pixels"):
            read_spectra([source], grid=GRID, bands=BANDS, limits=Limits(max_pixels=HEIGHT * WIDTH - 1))
        read_spectra([source], grid=GRID, bands=BANDS, limits=Limits(max_pixels=HEIGHT * WIDTH))
    large = tmp_path / "large.jpg"
    large.write_bytes(FILES["gray"] + bytes(300_000))
    with pytest.raises(
        JpegLimitExceeded, match=r"large\.jpg: a file of 30\d+ bytes is larger than the limit of 200000"
    ):
        read_spectra([large], grid=GRID, bands=BANDS, limits=Limits(max_memory_bytes=200_000))


def test_images_without_coefficients_say_so_and_equal_the_reference_of_their_pixels() -> None:
    sources = [FILES["gray"], FILES["cmyk"], encoded("PNG"), encoded("BMP", "L")]
    read = read_spectra(sources, grid=GRID, bands=BANDS)
    assert read.from_pixels == (1, 2, 3)
    for index in read.from_pixels:
        image = read_image(sources[index])
        assert image.origin == "pixels"
        reference = resample(image, None, GRID, BANDS)
        values = read.spectrum.values[index].double()
        torch.testing.assert_close(values, reference, rtol=0, atol=2e-6 * float(reference.abs().max()))


def test_int8_values_carry_their_scale() -> None:
    shift, unit = torch.linspace(-5, 5, len(BANDS)), torch.linspace(1, 3, len(BANDS))
    sources = list(JPEGS.values())
    read = read_spectra(sources, grid=GRID, bands=BANDS, dtype=torch.int8, shift=shift, unit=unit).spectrum
    plain = read_spectra(sources, grid=GRID, bands=BANDS).spectrum
    assert read.values.dtype == torch.int8
    inside = read.values.abs() < 127
    assert inside.float().mean() > 0.9
    error = (read.coefficients() - plain.coefficients()).abs() / unit[:, None, None]
    assert error[inside].max() <= 0.5 + 1e-4


def test_arguments_that_do_not_fit_are_refused() -> None:
    file = FILES["gray"]
    with pytest.raises(ValueError, match="2 boxes for 1 sources; give one per source"):
        read_spectra([file], grid=GRID, bands=BANDS, boxes=np.ones((2, 4)))
    with pytest.raises(ValueError, match="2 flips for 1 sources; give one per source"):
        read_spectra([file], grid=GRID, bands=BANDS, flips=np.zeros(2, bool))
    with pytest.raises(ValueError, match="threads is -1; give how many, or 0"):
        read_spectra([file], grid=GRID, bands=BANDS, threads=-1)


def test_unknown_words_name_the_known() -> None:
    # The signature forbids them under the tests' type checking, so the checks behind it are reached without.
    unchecked = read_spectra.__wrapped__  # type: ignore[attr-defined]
    for name, known in (
        ("on_error", "'raise' or 'skip'"),
        ("on_truncated", "'raise' or 'keep'"),
    ):
        with pytest.raises(ValueError, match=f"{name} is 'nothing'; it can be {known}"):
            unchecked([FILES["gray"]], grid=GRID, bands=BANDS, **{name: "nothing"})
    with pytest.raises(ValueError, match="no filter 'lanczos'; there are bilinear, bicubic"):
        unchecked([FILES["gray"]], grid=GRID, bands=BANDS, filter="lanczos")


def test_many_threads_may_read_at_once() -> None:
    sources = list(FILES.values())
    expected = read_spectra(sources, grid=GRID, bands=BANDS, threads=1).spectrum.values
    results: list[torch.Tensor] = []

    def work() -> None:
        results.append(read_spectra(sources, grid=GRID, bands=BANDS, threads=2).spectrum.values)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 6
    assert all(torch.equal(result, expected) for result in results)


def _sum_in_child(connection: multiprocessing.connection.Connection) -> None:
    values = read_spectra([FILES["gray"]] * 4, grid=GRID, bands=BANDS, threads=4).spectrum.values
    connection.send_bytes(values.numpy().tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_reads_on_threads_of_its_own() -> None:
    expected = read_spectra([FILES["gray"]] * 4, grid=GRID, bands=BANDS, threads=4).spectrum.values
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_sum_in_child, args=(theirs,))
    child.start()
    assert ours.poll(60), "the forked process hangs"
    assert ours.recv_bytes() == expected.numpy().tobytes()
    child.join()
    assert child.exitcode == 0


def test_no_file_is_left_open(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no /proc on this system")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(FILES["gray"][:400])
    whole = tmp_path / "whole.png"
    whole.write_bytes(encoded("PNG"))
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        read_spectra([cut, whole, tmp_path / "nowhere"] * 7, grid=GRID, bands=BANDS, on_error="skip", threads=3)
    assert len(list(descriptors.iterdir())) == before
