"""Measure what indexes of JPEGs cost and gain: crops of photos, a crop of a large photo, threads that share it, epochs.

Photos are ImageNet's as distributed, in memory but for the epochs; the large photo of 48 megapixels is a mosaic of
them, 4:2:0 at quality 90. Subjects take turns in every round; a ratio is the median of the rounds' own. Indexes have a
checkpoint for each row of MCUs, or one every 8, 16 or 32 MCUs of it, too.

- Indexing: speed and bytes, beside decoding the same files.
- Crops: training_sample.py's random resized crops as int8 S-24 on 56 x 56, with and without indexes.
- A crop of 512 x 512 from the large photo, beside libjpeg-turbo's jpeg_crop_scanline and readers that decode all of it.
- The large photo whole, on one thread and on two.
- Ten epochs of new random crops, read from a folder by paths: with an index, whose making counts, and without.

    python -m benchmarks.speed.random_access -n 9
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import arguments, interleave, peer, photos, report
from benchmarks.speed.jpeg_decode import compile_peer
from benchmarks.speed.training_sample import BANDS, BATCH, GRID, Samples, draw
from PIL import Image, ImageOps

from prepixel.data.jobs.index_folder import index_folder
from prepixel.jpeg import FolderIndex, JpegIndex, index_jpeg, open_folder_index, read_jpeg, read_sizes
from prepixel.records import TimingRow, append_records
from prepixel.spectrum import Statistics, read_spectra

QUESTION = "random access"
EVERY = {"rows alone": 0, "every 32 MCUs": 32, "every 16 MCUs": 16, "every 8 MCUs": 8}
WITHOUT = "no index"
LARGE = (6000, 8000)
SIDE = 512
CORNERS = ((4300, 5100), (2011, 703))
EPOCHS = 10


def random_crops(sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw boxes of area 0.08 to 1 and aspect 3/4 to 4/3, as `training_sample.draw` does."""
    heights, widths = sizes.T
    areas = heights * widths * generator.uniform(0.08, 1, len(sizes))
    aspects = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3), len(sizes)))
    h = np.minimum(heights, np.rint(np.sqrt(areas / aspects)))
    w = np.minimum(widths, np.rint(np.sqrt(areas * aspects)))
    places = generator.random((len(sizes), 2)) * np.stack([heights - h + 1, widths - w + 1], axis=1)
    return np.column_stack([np.floor(places), h, w])


def spectra(
    samples: Samples, steps: dict[str, Any], indexes: Sequence[JpegIndex] | FolderIndex | None, sources: Sequence[Any]
) -> None:
    """Read all crops, batch after batch, on one thread."""
    for begin in range(0, len(sources), BATCH):
        part = slice(begin, begin + BATCH)
        read = read_spectra(
            sources[part],
            grid=GRID,
            bands=BANDS,
            boxes=samples.boxes[part],
            flips=samples.flips[part],
            threads=1,
            indexes=indexes if indexes is None or isinstance(indexes, FolderIndex) else indexes[part],
            **steps,
        )
        if read.unfit_indexes:
            raise RuntimeError("an index of the benchmark does not fit its photo")


def large_photo(files: Sequence[bytes]) -> bytes:
    """Make a JPEG of 48 megapixels: a mosaic of real photos at their own scale."""
    mosaic = Image.new("RGB", LARGE[::-1])
    tile = (500, 375)
    places = [(x, y) for y in range(0, LARGE[0], tile[1]) for x in range(0, LARGE[1], tile[0])]
    tiles = [ImageOps.fit(Image.open(io.BytesIO(file)).convert("RGB"), tile) for file in files]
    for number, place in enumerate(places):
        mosaic.paste(tiles[number % len(tiles)], place)
    buffer = io.BytesIO()
    mosaic.save(buffer, "jpeg", quality=90, subsampling=2)
    return buffer.getvalue()


def crop_readers(file: bytes, indexes: dict[str, JpegIndex], folder: Path) -> dict[str, Callable[[int, int], object]]:
    """Return readers of a crop by its top and left, by name; the first reads the whole photo."""
    readers: dict[str, Callable[[int, int], object]] = {
        "prepixel: the whole photo": lambda top, left: read_jpeg(file, index=None),
        f"prepixel: {WITHOUT}": lambda top, left: read_jpeg(file, region=(top, left, SIDE, SIDE), index=None),
    }
    for name, index in indexes.items():
        readers[f"prepixel: {name}"] = lambda top, left, index=index: read_jpeg(  # type: ignore[misc]
            file, region=(top, left, SIDE, SIDE), index=index
        )
    library = compile_peer(folder)

    def by_crop_scanline(top: int, left: int) -> None:
        if library.read_rgb_crop(file, len(file), top, left, SIDE, SIDE):
            raise RuntimeError("libjpeg-turbo refused the photo of the benchmark")

    readers["libjpeg-turbo, C: crop_scanline, RGB"] = by_crop_scanline
    readers["Pillow: whole, RGB"] = lambda top, left: np.asarray(
        Image.open(io.BytesIO(file)).crop((left, top, left + SIDE, top + SIDE))
    )
    if cv2 := peer("cv2"):
        cv2.setNumThreads(1)
        buffer = np.frombuffer(file, np.uint8)
        readers["OpenCV: whole, BGR"] = lambda top, left: cv2.imdecode(buffer, cv2.IMREAD_COLOR)[
            top : top + SIDE, left : left + SIDE
        ].copy()
    if vips := peer("pyvips", works=lambda vips: vips.Image.new_from_buffer(file, "")):
        readers["vips: sequential, RGB"] = lambda top, left: (
            vips.Image.new_from_buffer(file, "", access="sequential").crop(left, top, SIDE, SIDE).write_to_memory()
        )
    return readers


def report_indexing(files: Sequence[bytes], indexes: dict[str, list[JpegIndex]], options: argparse.Namespace) -> None:
    """Time indexing on one thread, and print the bytes of indexes and their share of the files' bytes."""

    def index_all(every: int) -> Callable[[], None]:
        return lambda: [index_jpeg(file, every=every) for file in files] and None

    decoding = "decoding"
    subjects = {decoding: lambda: [read_jpeg(file) for file in files] and None}
    subjects |= {name: index_all(every) for name, every in EVERY.items()}
    timings = interleave(subjects, rounds=options.n)
    report(QUESTION, "indexing, one thread", timings, per=len(files), reference=decoding, options=options)
    print(f"\n{QUESTION}, bytes of an index: {len(files)} photos; of the files' bytes")
    rows, total = [], sum(map(len, files))
    for name, of_files in indexes.items():
        size = sum(len(index.data) for index in of_files)
        print(f"  {name:44s} {size / len(files):9.0f}   {size / total:6.2%}")
        row = TimingRow.of_rounds(
            QUESTION, "sizes", name, "bytes", [size / len(files)], reference="JPEG files", ratio=size / total
        )
        rows.append(row)
    if options.output:
        append_records(options.output, rows)


def report_large(file: bytes, options: argparse.Namespace) -> None:
    """Time a crop of the large photo, and all of it on one thread and on two."""
    indexes = {name: index_jpeg(file, every=every) for name, every in EVERY.items()}
    share = {name: len(index.data) / len(file) for name, index in indexes.items()}
    print(f"\nlarge photo: {len(file):,} bytes; index: {', '.join(f'{n} {s:.2%}' for n, s in share.items())}")
    with tempfile.TemporaryDirectory() as name:
        readers = crop_readers(file, indexes, Path(name))

        def crops(read: Callable[[int, int], object]) -> Callable[[], None]:
            return lambda: [read(*corner) for corner in CORNERS] and None

        timings = interleave({subject: crops(read) for subject, read in readers.items()}, rounds=options.n)
    case = f"a crop of {SIDE} x {SIDE} from 48 megapixels, one thread"
    report(QUESTION, case, timings, per=len(CORNERS), reference=next(iter(readers)), options=options, unit="crops/s")
    index = indexes["every 8 MCUs"]
    one = "with an index, one thread"
    subjects: dict[str, Callable[[], object]] = {
        "no index, one thread": lambda: read_jpeg(file, index=None),
        one: lambda: read_jpeg(file, index=index),
        "with an index, two threads": lambda: read_jpeg(file, index=index, threads=2),
    }
    timings = interleave(subjects, rounds=options.n)
    report(QUESTION, "48 megapixels whole", timings, per=1, reference=one, options=options, unit="photos/s")


def report_epochs(files: Sequence[bytes], steps: dict[str, Any], options: argparse.Namespace) -> None:
    """Time ten epochs of random crops over a folder, the making of its index included."""
    generator = np.random.default_rng(5)
    sizes = read_sizes(list(files)).sizes
    epochs = [Samples([], random_crops(sizes, generator), generator.random(len(files)) < 0.5) for _ in range(EPOCHS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [str(folder / f"{number:05}.jpg") for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            Path(path).write_bytes(file)

        def run(every: int | None) -> None:
            indexes = None
            shutil.rmtree(folder / "indexes", ignore_errors=True)
            if every is not None:
                (folder / "indexes").mkdir()
                index_folder(folder, every=every, output=folder / "indexes" / "photos.ppi", threads=1)
                indexes = open_folder_index(folder, folder / "indexes" / "photos.ppi")
            for samples in epochs:
                spectra(samples, steps, indexes, paths)

        subjects: dict[str, Callable[[], object]] = {WITHOUT: lambda: run(None)}
        subjects |= {f"indexed first, {name}": lambda every=every: run(every) for name, every in EVERY.items()}  # type: ignore[misc]
        timings = interleave(subjects, rounds=options.n)
    case = f"{EPOCHS} epochs of {len(files)} photos, one thread"
    report(QUESTION, case, timings, per=EPOCHS * len(files), reference=WITHOUT, options=options)


def main() -> None:
    """Measure every case."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    files = [path.read_bytes() for path in sorted((photos() / "imagenet_samples").glob("*.JPEG"))[: options.files]]
    samples = draw(files)
    measured = Statistics.empty(BANDS, GRID)
    measured.update(read_spectra(files[:BATCH], grid=GRID, bands=BANDS).spectrum)
    steps = {"shift": measured.shift(), "unit": measured.int8_unit(), "dtype": torch.int8}
    indexes = {name: [index_jpeg(file, every=every) for file in files] for name, every in EVERY.items()}
    report_indexing(files, indexes, options)
    subjects: dict[str, Callable[[], object]] = {WITHOUT: lambda: spectra(samples, steps, None, files)}
    for name, of_files in indexes.items():
        subjects[name] = lambda of_files=of_files: spectra(samples, steps, of_files, files)  # type: ignore[misc]
    timings = interleave(subjects, rounds=options.n)
    case = "random crops, int8 S-24, one thread"
    report(QUESTION, case, timings, per=len(files), reference=WITHOUT, options=options)
    report_epochs(files, steps, options)
    report_large(large_photo(files), options)


if __name__ == "__main__":
    main()
