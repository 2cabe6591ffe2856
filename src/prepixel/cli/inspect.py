"""Verbs on files and folders: inspect, scan, stats, synthesize."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from prepixel.cli.console import percent, print_pairs, print_table, progress_bar, size_bytes
from prepixel.errors import PrepixelError
from prepixel.jpeg import Component, JpegImage, read_image, read_jpeg
from prepixel.jpeg.quality import estimate_quality

_BUFFER = re.compile(r"^buffer of \d+ bytes[,:] ")  # what messages call the contents of a file that has a name
_SOI = b"\xff\xd8"
_COMPONENT_NAMES = {
    "grey": ("grey",),
    "ycbcr": ("Y", "Cb", "Cr"),
    "rgb": ("R", "G", "B"),
    "cmyk": ("C", "M", "Y", "K"),
    "ycck": ("Y", "Cb", "Cr", "K"),
}
_COLOUR_WORDS = {"grey": "grey", "ycbcr": "YCbCr", "rgb": "RGB", "cmyk": "CMYK", "ycck": "YCCK"}
_ORIENTATIONS = {
    1: "as stored",
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "transposed",
    6: "to be turned clockwise",
    7: "transposed about the other diagonal",
    8: "to be turned counter-clockwise",
}


def inspect(options: argparse.Namespace) -> int:
    """Say what one image file holds, and draw its frequency channels where asked to."""
    contents = options.file.read_bytes()
    read = read_jpeg if contents[:2] == _SOI else read_image
    try:
        image = read(contents, on_truncated="keep")
    except PrepixelError as error:
        if hasattr(error, "source"):
            error.source = str(options.file)
            raise
        # an error of the pixel road calls the buffer by its size
        raise type(error)(f"{options.file}: {_BUFFER.sub('', str(error))}") from None
    if options.json:
        print(json.dumps(_as_json(options.file, contents, image), ensure_ascii=False))
    else:
        print_pairs(_facts(options.file, contents, image))
        print()
        print_table(*_component_table(image), left=1)
    if options.plot is not None:
        from prepixel.reports import plot_frequency_channels

        title = f"{options.file.name}, {image.height} x {image.width}"
        plot_frequency_channels(_planes(image), options.plot, title=title)
        print(f"\ndrawn: {options.plot}" if not options.json else "", end="" if options.json else "\n")
    return 0


def _facts(file: Path, contents: bytes, image: JpegImage) -> list[tuple[str, str]]:
    height, width = image.upright_size
    turned = f"EXIF {image.orientation}: {_ORIENTATIONS[image.orientation]}"
    facts = [
        ("file", f"{file} ({size_bytes(len(contents))}, {8 * len(contents) / (height * width):.2f} bits a pixel)"),
        ("size", f"{height} x {width} (height x width, upright)"),
        ("orientation", turned if image.orientation != 1 else "as stored"),
        ("colour", _COLOUR_WORDS[image.colour]),
    ]
    if image.origin == "pixels":
        facts.append(("kind", "no JPEG: it holds no coefficients, so its pixels were transformed (the pixel road)"))
        return facts + [("warning", warning) for warning in image.warnings]
    scans = f"{image.num_scans} scan{'s' if image.num_scans > 1 else ''}"
    restarts = f"every {image.restart_interval} MCUs" if image.restart_interval else "none"
    facts += [("kind", f"JPEG, {image.process}, {scans}"), ("restart markers", restarts)]
    blocks = sum(c.quantized.shape[0] * c.quantized.shape[1] for c in image.components)
    if image.missing_blocks:
        share = percent(image.missing_blocks / blocks)
        facts.append(("missing", f"{image.missing_blocks} of {blocks} blocks ({share}): the file is cut or damaged"))
    else:
        facts.append(("missing", "nothing"))
    return facts + [("warning", warning) for warning in image.warnings]


def _component_table(image: JpegImage) -> tuple[list[str], list[list[str]]]:
    headers = ["component", "sampling", "samples", "blocks", "not zero", "DC step", "mean step", "quality"]
    rows = []
    for name, component in zip(_COMPONENT_NAMES[image.colour], image.components, strict=True):
        bh, bw = component.quantized.shape[:2]
        rows.append(
            [
                name,
                f"{component.sampling[0]} x {component.sampling[1]}",
                f"{component.height} x {component.width}",
                f"{bh} x {bw}",
                percent(_not_zero(component)),
                str(int(component.quantization[0, 0])),
                f"{float(component.quantization.mean()):.1f}",
                _quality_words(image, name, component),
            ]
        )
    return headers, rows


def _not_zero(component: Component) -> float:
    return float(np.count_nonzero(component.quantized)) / max(1, component.quantized.size)


def _quality_words(image: JpegImage, name: str, component: Component) -> str:
    if image.origin == "pixels":
        return "-"
    found = estimate_quality(component.quantization, chroma=name in {"Cb", "Cr"})
    return str(found.quality) if found.exact else f"about {found.quality}, own table"


def _planes(image: JpegImage) -> dict[str, Any]:
    names = _COMPONENT_NAMES[image.colour]
    return {
        name: component.quantized.astype(np.int32) * component.quantization.astype(np.int32)
        for name, component in zip(names, image.components, strict=True)
    }


def _as_json(file: Path, contents: bytes, image: JpegImage) -> dict[str, Any]:
    components = []
    for name, component in zip(_COMPONENT_NAMES[image.colour], image.components, strict=True):
        quality = None
        if image.origin == "jpeg":
            quality = estimate_quality(component.quantization, chroma=name in {"Cb", "Cr"})._asdict()
        components.append(
            {
                "name": name,
                "identifier": component.identifier,
                "sampling": list(component.sampling),
                "size": [component.height, component.width],
                "blocks": list(component.quantized.shape[:2]),
                "not_zero": _not_zero(component),
                "quantization": component.quantization.tolist(),
                "quality": quality,
            }
        )
    return {
        "file": str(file),
        "bytes": len(contents),
        "upright_size": list(image.upright_size),
        "stored_size": [image.height, image.width],
        "orientation": image.orientation,
        "colour": image.colour,
        "origin": image.origin,
        "process": image.process if image.origin == "jpeg" else None,
        "scans": image.num_scans if image.origin == "jpeg" else None,
        "restart_interval": image.restart_interval,
        "missing_blocks": image.missing_blocks,
        "warnings": list(image.warnings),
        "components": components,
    }


def scan(options: argparse.Namespace) -> int:
    """Say what a folder of images holds, and which files are broken."""
    from prepixel.data.datasets.folder import image_files
    from prepixel.data.jobs.scan import scan_folder

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
        "colour": {_COLOUR_WORDS.get(name, name): count for name, count in report.colours.items()},
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
            why = file.message if file.message.startswith(file.path) else f"{file.path}: {file.message}"
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
