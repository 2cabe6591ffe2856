"""Images that are opened once, and read after crops were chosen by their sizes."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow, pixels, small_files

from prepixel.errors import DatasetError, MalformedJpeg, TruncatedJpeg, UnreadableImage
from prepixel.jpeg import Limits, pack_jpeg, read_sizes
from prepixel.spectrum import OpenImages, open_images, read_arrays, read_padded, read_spectra

GRID, BANDS = (3, 5), "S-24"


def saved(kind: str, height: int = HEIGHT, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()[:height]).save(file, kind, **options)
    return file.getvalue()


PACKED, STORED = pack_jpeg(by_pillow()), pack_jpeg(by_pillow(), compression="none")
FILES = small_files() | {"png": saved("PNG"), "packed": PACKED, "stored": STORED}


def written(folder: Path) -> list[Path]:
    """Write every kind of file, under names that say nothing of the kind."""
    paths = [folder / f"{place}.img" for place in range(len(FILES))]
    for path, contents in zip(paths, FILES.values(), strict=True):
        path.write_bytes(contents)
    return paths


def boxes_of(images: OpenImages) -> np.ndarray:
    parts = np.random.default_rng(0).random((len(images), 2))
    return np.array([(0.4 * p * h, 0.4 * q * w, 0.6 * h, 0.6 * w) for (p, q), (h, w) in zip(parts, images.sizes)])  # noqa: B905


def test_the_results_are_those_of_the_sources_and_the_files_may_vanish(tmp_path: Path) -> None:
    paths = written(tmp_path)
    sizes = read_sizes(paths)
    by_bytes = open_images(list(FILES.values()), threads=2)
    for threads in (1, 2, 0):
        for path, contents in zip(paths, FILES.values(), strict=True):
            path.write_bytes(contents)
        images = open_images(paths, threads=threads)
        assert len(images) == len(paths)
        assert images.sizes.dtype == np.int64
        assert images.sizes.tolist() == by_bytes.sizes.tolist() == sizes.sizes.tolist()
        assert images.kept.tolist() == list(range(len(paths)))
        assert images.failures == ()
        boxes, flips = boxes_of(images), np.arange(len(paths)) % 2 == 0
        options: dict[str, Any] = {"bands": BANDS, "boxes": boxes, "flips": flips, "threads": threads}
        expected = read_arrays(paths, grid=GRID, **options)
        for place, path in enumerate(paths):
            path.unlink() if place % 2 else path.write_bytes(b"\xff\xd8 another file")
        read = read_arrays(images, grid=GRID, **options)
        assert np.array_equal(read.values, expected.values)
        assert read.report.from_pixels == expected.report.from_pixels
        assert len(read.report.from_pixels) == 2  # the PNG and CMYK
        assert np.array_equal(read_arrays(by_bytes, grid=GRID, **options).values, expected.values)
        # as often as one likes, and by torch
        other = read_spectra(images, grid=(5, 2), **options).spectrum.values
        assert torch.equal(other, read_spectra(by_bytes, grid=(5, 2), **options).spectrum.values)


def test_failures_to_open_and_to_read_are_listed_together(tmp_path: Path) -> None:
    whole = by_pillow()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    sources = [tmp_path / "missing.jpg", whole, tmp_path / "cut.jpg", b"text", FILES["gray"]]
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        open_images(sources)
    images = open_images(sources, on_error="skip")
    assert images.kept.tolist() == [1, 2, 4]
    assert [failure.index for failure in images.failures] == [0, 3]
    with pytest.raises(TruncatedJpeg, match=r"cut\.jpg, byte "):
        read_spectra(images, grid=GRID, bands=BANDS)
    read = read_spectra(images, grid=GRID, bands=BANDS, on_error="skip")
    assert read.kept.tolist() == [1, 4]
    assert [failure.index for failure in read.failures] == [0, 2, 3]
    assert [type(failure.error) for failure in read.failures] == [FileNotFoundError, TruncatedJpeg, UnreadableImage]
    good = read_spectra([whole, FILES["gray"]], grid=GRID, bands=BANDS)
    assert torch.equal(read.spectrum.values, good.spectrum.values)
    kept = read_spectra(images, grid=GRID, bands=BANDS, on_truncated="keep")
    assert kept.kept.tolist() == [1, 2, 4]
    assert kept.missing_blocks[1] > 0
    assert [failure.index for failure in kept.failures] == [0, 3]


def test_an_image_can_be_left_out_before_anything_is_decoded() -> None:
    images = open_images([FILES["gray"], b"", by_pillow(), FILES["411"]], on_error="skip")
    fewer = images.leave_out({1: DatasetError("of another size")})
    assert fewer.kept.tolist() == [0, 3]
    assert [str(failure.error)[:15] for failure in fewer.failures] == ["buffer of 0 byt", "of another size"]
    read = read_spectra(fewer, grid=GRID, bands=BANDS)
    assert read.kept.tolist() == [0, 3]
    assert images.leave_out({}) is images


def test_what_is_not_held_is_read_again_and_must_not_have_changed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{place}.img" for place in range(6)]
    contents = [saved("JPEG", quality=100), by_pillow(), saved("PNG"), PACKED, by_pillow(), saved("PNG")]

    def write() -> None:
        for path, one in zip(paths, contents, strict=True):
            path.write_bytes(one)

    write()
    expected = read_arrays(contents, grid=GRID, bands=BANDS)
    # The decoder's buffers and the first file fit, and no second file.
    limits = Limits(max_memory_bytes=max(64 * HEIGHT * WIDTH, len(contents[0]) + 1))
    filler = tmp_path / "filler.img"
    filler.write_bytes(by_pillow() + bytes(limits.max_memory_bytes - len(by_pillow()) - 100))
    images = open_images([filler, *paths], limits=limits, threads=1)
    images = images.leave_out({0: DatasetError("fills the memory")})
    read = read_arrays(images, grid=GRID, bands=BANDS)
    assert np.array_equal(read.values, expected.values)
    paths[1].write_bytes(saved("JPEG", HEIGHT - 1))
    paths[2].write_bytes(saved("PNG", HEIGHT - 1))
    paths[3].write_bytes(pack_jpeg(saved("JPEG", HEIGHT - 1)))
    paths[4].unlink()
    read = read_arrays(images, grid=GRID, bands=BANDS, on_error="skip")
    assert read.report.kept.tolist() == [1, 6]
    found = [type(failure.error) for failure in read.report.failures[1:]]
    assert found == [MalformedJpeg, UnreadableImage, MalformedJpeg, FileNotFoundError]
    for failure in read.report.failures[1:4]:
        assert "changed while it was read" in failure.message
    with pytest.raises(MalformedJpeg, match=r"1\.img: the file was changed while it was read"):
        read_arrays(images, grid=GRID, bands=BANDS)


def test_a_buffer_that_changes_keeps_its_size_and_harms_nothing() -> None:
    generator = np.random.default_rng(20020)
    for file in (by_pillow(), FILES["progressive"], STORED):
        for _ in range(40):
            buffer = bytearray(file)
            images = open_images([buffer])
            for place in generator.integers(0, len(buffer), 12).tolist():
                buffer[place] = int(generator.integers(0, 256))
            box = np.array([[1.0, 2.0, HEIGHT - 1.0, WIDTH - 2.0]])
            read = read_arrays(images, grid=GRID, bands=BANDS, boxes=box, on_error="skip")
            assert len(read) + len(read.report.failures) == 1
            assert images.sizes.tolist() == [[HEIGHT, WIDTH]]


def test_many_threads_may_read_the_same_images() -> None:
    images = open_images(list(FILES.values()))
    expected = read_arrays(images, grid=GRID, bands=BANDS).values
    with ThreadPoolExecutor(4) as pool:
        for read in pool.map(lambda _: read_arrays(images, grid=GRID, bands=BANDS, threads=2), range(8)):
            assert np.array_equal(read.values, expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_images_on_grids_of_their_own(dtype: torch.dtype, threads: int) -> None:
    sources = [
        FILES["411"],
        b"text",
        FILES["png"],
        FILES["packed"],
        by_pillow()[: len(by_pillow()) * 5 // 6],
        FILES["gray"],
    ]
    images = open_images(sources, on_error="skip")
    grids = [(2 + place, 7 - place) for place in range(len(images))]
    grids[3] = (40, 41)  # of the truncated file: its grid does not count
    boxes, flips = boxes_of(images), np.arange(len(images)) % 2 == 1
    scale: dict[str, Any] = {"unit": torch.full((24,), 4.0), "shift": torch.linspace(-9, 9, 24), "dtype": dtype}
    options: dict[str, Any] = {"bands": BANDS, "boxes": boxes, "flips": flips, "threads": threads, **scale}
    read = read_padded(images, grids=grids, multiple=4, on_error="skip", **options)
    assert read.kept.tolist() == [0, 2, 3, 5]
    assert [failure.index for failure in read.failures] == [1, 4]
    assert read.from_pixels == (2,)
    assert read.spectrum.grids == tuple(grids[index] for index in (0, 1, 2, 4))
    values = read.spectrum.spectrum.values
    assert values.shape == (4, 24, 8, 8)
    for place, index in enumerate((0, 1, 2, 4)):
        one = images.leave_out({other: DatasetError("") for other in range(len(images)) if other != index})
        options |= {"boxes": boxes[index : index + 1], "flips": flips[index : index + 1]}
        alone = read_spectra(one, grid=grids[index], **options).spectrum.values[0]
        down, across = grids[index]
        assert torch.equal(values[place, :, :down, :across], alone)
        assert not values[place, :, down:].any()
        assert not values[place, :, :, across:].any()
    none = read_padded([], grids=[], bands=BANDS, multiple=8, dtype=dtype, unit=scale["unit"])
    assert none.spectrum.spectrum.values.shape == (0, 24, 8, 8)


def test_arguments_are_checked() -> None:
    images = open_images([FILES["gray"]])
    with pytest.raises(ValueError, match="limits are those that the images were opened with; give them to open_images"):
        read_arrays(images, grid=GRID, bands=BANDS, limits=Limits(max_pixels=10**6))
    with pytest.raises(ValueError, match="2 boxes for 1 sources; give one per source"):
        read_arrays(images, grid=GRID, bands=BANDS, boxes=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="2 grids for 1 sources, multiple 1; give one per source"):
        read_padded(images, grids=[GRID, GRID], bands=BANDS)
    with pytest.raises(ValueError, match="a grid has 1 x 1 to 4096 x 4096 blocks, not 0 x 3"):
        read_padded(images, grids=[(0, 3)], bands=BANDS)
    with pytest.raises(ValueError, match="threads is -1; give how many"):
        open_images([FILES["gray"]], threads=-1)
    unchecked = open_images.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="on_error is 'ignore'; it can be 'raise' or 'skip'"):
        unchecked([], on_error="ignore")


def test_images_may_live_as_long_as_the_interpreter() -> None:
    code = (
        "import sys; from prepixel.spectrum import open_images, read_arrays\n"
        "images = open_images([sys.stdin.buffer.read()]); held = images\n"
        "print(images.sizes.tolist(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=FILES["gray"], capture_output=True, check=True)
    assert (done.stdout.decode().strip(), done.stderr) == (f"[[{HEIGHT}, {WIDTH}]] False", b"")
