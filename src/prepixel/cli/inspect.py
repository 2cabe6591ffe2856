"""Verbs on files and folders: inspect, scan, stats, synthesize."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from prepixel.cli.console import percent, print_pairs, print_table, size_bytes
from prepixel.errors import PrepixelError
from prepixel.jpeg import Component, JpegImage, read_image, read_jpeg
from prepixel.jpeg.quality import estimate_quality

_BUFFER = re.compile(r"^buffer of \d+ bytes[,:] ")  # what messages call the contents of a file that has a name
_SOI = b"\xff\xd8"
_COMPONENT_NAMES = {
    "gray": ("gray",),
    "ycbcr": ("Y", "Cb", "Cr"),
    "rgb": ("R", "G", "B"),
    "cmyk": ("C", "M", "Y", "K"),
    "ycck": ("Y", "Cb", "Cr", "K"),
}
_COLOUR_WORDS = {"gray": "gray", "ycbcr": "YCbCr", "rgb": "RGB", "cmyk": "CMYK", "ycck": "YCCK"}
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
        ("color", _COLOUR_WORDS[image.color]),
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
    for name, component in zip(_COMPONENT_NAMES[image.color], image.components, strict=True):
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
    names = _COMPONENT_NAMES[image.color]
    return {
        name: component.quantized.astype(np.int32) * component.quantization.astype(np.int32)
        for name, component in zip(names, image.components, strict=True)
    }


def _as_json(file: Path, contents: bytes, image: JpegImage) -> dict[str, Any]:
    components = []
    for name, component in zip(_COMPONENT_NAMES[image.color], image.components, strict=True):
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
        "color": image.color,
        "origin": image.origin,
        "process": image.process if image.origin == "jpeg" else None,
        "scans": image.num_scans if image.origin == "jpeg" else None,
        "restart_interval": image.restart_interval,
        "missing_blocks": image.missing_blocks,
        "warnings": list(image.warnings),
        "components": components,
    }
