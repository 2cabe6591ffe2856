"""The commands `scan`, `stats` and `synthesize`."""

from __future__ import annotations

import argparse
import dataclasses
import json

from prepixel.cli.console import percent, print_pairs, print_table, progress_bar, size_bytes
from prepixel.cli.inspect import _COLOUR_WORDS, _ORIENTATIONS


def scan(options: argparse.Namespace) -> int:
    """Say what a folder of images holds, and which files are broken."""
    from prepixel.data.jobs.scan import scan_folder
    from prepixel.files import image_files

    with progress_bar("reading") as progress:
        total = sum(1 for _ in image_files(options.folder)) if options.folder.is_dir() else 0
        report = scan_folder(options.folder, threads=options.threads, progress=lambda done: progress(done, total))
    if options.json:
        print(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
        return 1 if report.broken else 0
    good = report.num_files - len(report.broken)
    bits = f", {8 * report.num_bytes / report.num_pixels:.2f} bits a pixel" if report.num_pixels else ""
    smallest, median, largest = zip(report.heights, report.widths, strict=True)
    print_pairs(
        [
            ("folder", report.root),
            ("files", f"{report.num_files} ({size_bytes(report.num_bytes)}{bits})"),
            ("readable", f"{good}, {len(report.broken)} broken, {report.warnings} with a warning"),
            ("height x width", f"smallest {_by(smallest)}, median {_by(median)}, largest {_by(largest)}, side by side"),
            ("restart markers", f"in {report.restarts}"),
        ]
    )
    counts = {
        "process": report.processes,
        "color": {_COLOUR_WORDS.get(name, name): count for name, count in report.colors.items()},
        "sampling": report.samplings,
        "orientation": {f"{n} ({_ORIENTATIONS.get(n, '?')})": count for n, count in report.orientations.items()},
    }
    rows = [
        [what, str(name), str(count), percent(count / good)]
        for what, counter in counts.items()
        for name, count in counter.items()
    ]
    if rows:
        print()
        print_table(("what", "kind", "files", "share"), rows, left=2)
    if report.broken:
        print()
        for file in report.broken:
            why = file.message if file.message.startswith(file.source) else f"{file.source}: {file.message}"
            print(f"{file.kind}: {why}")
    return 1 if report.broken else 0


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def stats(options: argparse.Namespace) -> int:
    """Measure a data set's channels and write them."""
    from prepixel.data import open_dataset
    from prepixel.runs import measure_statistics
    from prepixel.spectrum import BandSet

    bands = BandSet.parse(options.bands)
    files = open_dataset(options.folder)
    with progress_bar("measuring") as progress:
        statistics = measure_statistics(
            files,
            grid=tuple(options.grid),
            bands=bands,
            crop_fraction=options.crop_fraction,
            max_images=options.images,
            threads=options.threads,
            skip_bad=options.skip_bad,
            progress=progress,
        )
    statistics.write(options.output)
    left_out = min(len(files), options.images or len(files)) - statistics.num_images
    note = f", {left_out} left out as unreadable" if left_out else ""
    print(f"{options.output}: {len(bands)} channels over {statistics.num_images} images{note}")
    return 1 if left_out else 0


def synthesize(options: argparse.Namespace) -> int:
    """Write the embedded data set."""
    from prepixel.data import write_synthetic

    with progress_bar("drawing") as progress:
        folders = write_synthetic(
            options.folder,
            num_train_per_class=options.train,
            num_val_per_class=options.val,
            seed=options.seed,
            threads=options.threads,
            progress=progress,
        )
    print(f"{folders[0]} and {folders[1].name}: {10 * options.train} and {10 * options.val} images of 10 classes")
    return 0
