"""The command `inspect`: describe one image file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from prepixel.cli.console import (
    STANDARD_INPUT,
    named_error,
    percent,
    print_json,
    print_line,
    print_pairs,
    print_table,
    size_bytes,
)
from prepixel.cli.image_words import COLORS, ORIENTATIONS
from prepixel.cli.option_types import FIGURES, STDIN, output_file, path
from prepixel.cli.parser import UsageError
from prepixel.cli.shared_options import add_json
from prepixel.errors import PrepixelError
from prepixel.jpeg import Component, JpegImage, read_image, read_jpeg
from prepixel.jpeg.quality import estimate_quality

SUMMARY = "describe one image file"
ABOUT = """\
Describe one image file: size, color, coding process, and each component's
blocks, quantization table and quality. Damaged files are read as far as
possible, and missing blocks are counted."""
EXAMPLE = "prepixel inspect photo.jpg --plot channels.png"

_SOI = b"\xff\xd8"
_COMPONENT_NAMES = {
    "gray": ("gray",),
    "ycbcr": ("Y", "Cb", "Cr"),
    "rgb": ("R", "G", "B"),
    "cmyk": ("C", "M", "Y", "K"),
    "ycck": ("Y", "Cb", "Cr", "K"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `inspect`."""
    parser.add_argument("file", type=path, metavar="FILE", help="a JPEG or any supported image; - reads stdin")
    parser.add_argument(
        "--plot", type=output_file(*FIGURES), metavar="FILE", help="draw the frequency channels (.png, .svg, .pdf)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what a file holds, and draw its frequency channels if asked to."""
    if options.file.is_dir():
        raise UsageError(f"{options.file}: is a folder, and inspect takes one file; prepixel scan describes a folder")
    name = STANDARD_INPUT if options.file == STDIN else str(options.file)
    contents = sys.stdin.buffer.read() if options.file == STDIN else options.file.read_bytes()
    image = _read(contents, name)
    if options.json:
        print_json(_as_json(name, contents, image))
    else:
        print_pairs(_description(name, contents, image))
        print_line()
        print_table(*_component_table(image), left=1)
    if options.plot is not None:
        from prepixel.reports import plot_frequency_channels

        title = f"{Path(name).name}, {image.height} x {image.width}"
        plot_frequency_channels(_planes(image), options.plot, title=title)
        if not options.json:
            print_line()
            print_line(f"drawn: {options.plot}")
    return 0


def _read(contents: bytes, name: str) -> JpegImage:
    read = read_jpeg if contents[:2] == _SOI else read_image
    try:
        return read(contents, on_truncated="keep")
    except PrepixelError as error:
        raise named_error(error, name) from None


def _names(image: JpegImage) -> tuple[str, ...]:
    """Return the components' names; numbers where the color has another number of components."""
    names = _COMPONENT_NAMES.get(image.color, ())
    count = len(image.components)
    return names if len(names) == count else tuple(f"component {number}" for number in range(1, count + 1))


def _description(name: str, contents: bytes, image: JpegImage) -> list[tuple[str, str]]:
    height, width = image.upright_size
    turned = f"EXIF {image.orientation}: {ORIENTATIONS[image.orientation]}"
    pairs = [
        ("file", f"{name} ({size_bytes(len(contents))}, {8 * len(contents) / (height * width):.2f} bits per pixel)"),
        ("size", f"{height} x {width} (height x width, upright)"),
        ("orientation", turned if image.orientation != 1 else "as stored"),
        ("color", COLORS.get(image.color, f"unknown, {len(image.components)} components")),
    ]
    if image.origin == "pixels":
        pairs.append(("kind", "not a JPEG: it stores no coefficients, so they were computed from its pixels"))
        return pairs + [("warning", warning) for warning in image.warnings]
    scans = f"{image.num_scans} scan{'s' if image.num_scans > 1 else ''}"
    restarts = f"every {image.restart_interval} MCUs" if image.restart_interval else "none"
    pairs += [("kind", f"JPEG, {image.process}, {scans}"), ("restart markers", restarts)]
    blocks = sum(c.quantized.shape[0] * c.quantized.shape[1] for c in image.components)
    if image.missing_blocks:
        share = percent(image.missing_blocks / blocks)
        missing = f"{image.missing_blocks} of {blocks} blocks ({share}): the file is truncated or damaged"
        pairs.append(("missing", missing))
    else:
        pairs.append(("missing", "nothing"))
    return pairs + [("warning", warning) for warning in image.warnings]


def _component_table(image: JpegImage) -> tuple[list[str], list[list[str]]]:
    headers = ["component", "sampling", "samples", "blocks", "nonzero", "DC step", "mean step", "quality"]
    rows = []
    for name, component in zip(_names(image), image.components, strict=True):
        bh, bw = component.quantized.shape[:2]
        rows.append(
            [
                name,
                f"{component.sampling[0]} x {component.sampling[1]}",
                f"{component.height} x {component.width}",
                f"{bh} x {bw}",
                percent(_nonzero(component)),
                str(int(component.quantization[0, 0])),
                f"{float(component.quantization.mean()):.1f}",
                _quality(image, name, component),
            ]
        )
    return headers, rows


def _nonzero(component: Component) -> float:
    return float(np.count_nonzero(component.quantized)) / max(1, component.quantized.size)


def _quality(image: JpegImage, name: str, component: Component) -> str:
    if image.origin == "pixels":
        return "-"
    found = estimate_quality(component.quantization, chroma=name in {"Cb", "Cr"})
    return str(found.quality) if found.exact else f"about {found.quality}, own table"


def _planes(image: JpegImage) -> dict[str, Any]:
    return {
        name: component.quantized.astype(np.int32) * component.quantization.astype(np.int32)
        for name, component in zip(_names(image), image.components, strict=True)
    }


def _as_json(file: str, contents: bytes, image: JpegImage) -> dict[str, Any]:
    components = []
    for name, component in zip(_names(image), image.components, strict=True):
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
                "nonzero": _nonzero(component),
                "quantization": component.quantization.tolist(),
                "quality": quality,
            }
        )
    return {
        "file": file,
        "bytes": len(contents),
        "upright_size": list(image.upright_size),
        "stored_size": [image.height, image.width],
        "orientation": image.orientation,
        "color": image.color,
        "origin": image.origin,
        "process": image.process if image.origin == "jpeg" else None,
        "scans": image.num_scans if image.origin == "jpeg" else None,
        "restart_interval": image.restart_interval,
        "missing_blocks": image.missing_blocks,
        "warnings": list(image.warnings),
        "components": components,
    }
