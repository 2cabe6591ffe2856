"""Measure the bytes of packed shards and how fast they are read, beside JPEGs and band-limited JPEGs; one thread.

Every source holds the same photos and is read from files (cached after the first, uncounted round), in batches of 32,
in turn. "Read only" is from shards to uncompressed packed images, or from files to bytes; "training-ready" is the
random resized crop, flip and int8 S-24 on a 56 x 56 grid of training_sample.py, with the same crops for every source.
Bytes are those of packed images without the tar's headers and metadata, in all and as the mean of each photo's own
ratio.

    python -m benchmarks.speed.shards -n 9
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from benchmarks.harness import arguments, interleave, photos, report
from benchmarks.speed.training_sample import BANDS, BATCH, GRID, Samples, draw

from prepixel.data import PackedDataset
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.jpeg import bandlimit_jpeg
from prepixel.jpeg.packed_container import open_pack
from prepixel.records import TimingRow, append_records
from prepixel.spectrum import Statistics, read_spectra

JPEG = "JPEG files"
KEPT = (BANDS.of_component(0), BANDS.of_component(1), BANDS.of_component(2))
PACKS = {
    "packed S-24, zstd": PackOptions(BANDS, "zstd"),
    "packed S-24, raw": PackOptions(BANDS, "none"),
    "packed, all, zstd": PackOptions(None, "zstd"),
    "packed, all, raw": PackOptions(None, "none"),
}

Sources = Callable[[Sequence[int]], Sequence[object]]


def in_batches(count: int, work: Callable[[range], object]) -> Callable[[], None]:
    """Call work for batch after batch of indices."""

    def run() -> None:
        for begin in range(0, count, BATCH):
            work(range(begin, min(count, begin + BATCH)))

    return run


def training_ready(
    sources: Sources, samples: Samples, steps: dict[str, torch.Tensor], threads: int
) -> Callable[[], None]:
    """Read int8 spectra of the random crops."""

    def work(part: range) -> None:
        places = slice(part.start, part.stop)
        read_spectra(
            sources(part),  # type: ignore[arg-type]
            grid=GRID,
            bands=BANDS,
            boxes=samples.boxes[places],
            flips=samples.flips[places],
            dtype=torch.int8,
            threads=threads,
            shift=steps["shift"],
            unit=steps["unit"],
        )

    return in_batches(len(samples.files), work)


def report_sizes(files: dict[str, Sequence[bytes]], output: Path | None) -> None:
    """Print bytes and their ratio to the JPEGs'."""
    jpegs = [len(file) for file in files[JPEG]]
    print(f"\nbytes per image, {len(jpegs)} photos; of all bytes, and the mean of each photo's ratio (least to most)")
    rows = []
    for subject, contents in files.items():
        sizes = [len(file) for file in contents]
        ratios = [a / b for a, b in zip(sizes, jpegs, strict=True)]
        in_all = sum(sizes) / sum(jpegs)
        print(
            f"  {subject:28s} {statistics.fmean(sizes):10,.0f}   {in_all:6.3f}   "
            f"{statistics.fmean(ratios):6.3f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
        row = TimingRow.of_rounds(
            "packed shards", "sizes", subject, "bytes", [statistics.fmean(sizes)], reference=JPEG, ratio=in_all
        )
        rows.append(row)
    if output:
        append_records(output, rows)


def main() -> None:
    """Pack the photos as distributed, every way, and time reading them."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    paths = sorted((photos() / "imagenet_samples").glob("*.JPEG"))[: options.files]
    jpegs = [path.read_bytes() for path in paths]
    samples = draw(jpegs)
    measured = Statistics.empty(BANDS, GRID)
    measured.update(read_spectra(jpegs[:BATCH], grid=GRID, bands=BANDS).spectrum)
    steps = {"shift": measured.shift(), "unit": measured.int8_unit()}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        files: dict[str, Sequence[bytes]] = {
            JPEG: jpegs,
            "band-limited JPEG, S-24": [bandlimit_jpeg(j, KEPT) for j in jpegs],
        }
        sources: dict[str, Sources] = {}
        for place, (subject, contents) in enumerate(files.items()):
            folder = root / f"files{place}" / "photos"
            folder.mkdir(parents=True)
            written = [folder / f"{index:06}.jpg" for index in range(len(contents))]
            for path, content in zip(written, contents, strict=True):
                path.write_bytes(content)
            sources[subject] = lambda part, written=written: [written[index] for index in part]  # type: ignore[misc]
        for place, (subject, asked) in enumerate(PACKS.items()):
            pack_source(open_source(root / "files0"), root / f"pack{place}", asked)
            packed = PackedDataset(root / f"pack{place}")
            sources[subject] = packed.sources
            files[subject] = packed.sources(range(len(packed)))
        report_sizes(files, options.output)

        def read(subject: str) -> Callable[[range], object]:
            if subject in PACKS:
                return lambda part: [open_pack(contents) for contents in sources[subject](part)]
            return lambda part: [Path(path).read_bytes() for path in sources[subject](part)]  # type: ignore[arg-type]

        count = len(jpegs)
        timings = interleave({s: in_batches(count, read(s)) for s in sources}, rounds=options.n)
        report("packed shards", "read only", timings, per=count, reference=JPEG, options=options)
        for case, threads in (("training-ready, one thread", 1), ("training-ready, two threads", 2)):
            pipelines = {s: training_ready(sources[s], samples, steps, threads) for s in sources}
            timings = interleave(pipelines, rounds=options.n)
            report("packed shards", case, timings, per=count, reference=JPEG, options=options)


if __name__ == "__main__":
    main()
