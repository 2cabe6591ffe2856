"""JPEG files of 1-3 KB, one of each kind that the reader must read: `python small_files.py FOLDER` writes them."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 41, 59  # primes: no sampling divides them


def pixels(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Colors and texture such that no block of any component is all zero once quantized."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(20020)
    red = 60 + 2.5 * x + 30 * np.sin(0.9 * y)
    green = 200 - 2.0 * y + 25 * np.cos(0.7 * x)
    blue = 20 + 1.1 * x + 0.9 * y
    noise = rng.normal(0, 6, (height, width, 3))
    return np.clip(np.stack([red, green, blue], axis=-1) + noise, 0, 255).astype(np.uint8)


def by_pillow(mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()).convert(mode).save(file, "jpeg", **({"quality": 60} | options))
    return file.getvalue()


def by_cjpeg(*options: str, scans: str = "") -> bytes:
    ppm = io.BytesIO()
    Image.fromarray(pixels()).save(ppm, "ppm")
    command = ["cjpeg", "-quality", "60", *options]
    with tempfile.TemporaryDirectory() as folder:
        if scans:
            script = Path(folder, "scans.txt")  # cjpeg takes a scan script from a file alone
            script.write_text(scans, encoding="ascii")
            command += ["-scans", str(script)]
        return subprocess.run(command, input=ppm.getvalue(), capture_output=True, check=True).stdout


def find(file: bytes, marker: int, start: int = 2) -> int:
    """Give the offset of a marker's 0xFF, walking segment by segment up to the first scan."""
    at = start
    while file[at + 1] != marker:
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return at


def segments(file: bytes) -> list[tuple[int, bytes]]:
    """Split the header, SOI left out, into (marker, whole segment) up to and with the first SOS."""
    at, parts = 2, []
    while not parts or parts[-1][0] != 0xDA:
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        parts.append((file[at + 1], file[at:end]))
        at = end
    return parts


def with_dnl(file: bytes) -> bytes:
    """Leave the height of a one-scan file to a DNL segment behind its scan."""
    frame = find(file, 0xC0)
    height = file[frame + 5 : frame + 7]
    return file[: frame + 5] + b"\0\0" + file[frame + 7 : -2] + b"\xff\xdc\0\4" + height + file[-2:]


def without(file: bytes, marker: int) -> bytes:
    """Take all segments of a kind out of the header."""
    head = segments(file)
    scan_data = file[2 + sum(len(segment) for _, segment in head) :]
    return file[:2] + b"".join(segment for kind, segment in head if kind != marker) + scan_data


def with_first_scan_again(file: bytes) -> bytes:
    """Say the first scan again at the end, which libjpeg lets progressive files do whose DC is coded whole."""
    begin = find(file, 0xC4)
    end = 2 + sum(len(segment) for _, segment in segments(file))
    while file[end] != 0xFF or file[end + 1] == 0:
        end += 1
    return file[:-2] + file[begin:end] + file[-2:]


def small_files() -> dict[str, bytes]:
    """Make every kind, by name; deterministic for one libjpeg."""
    return {
        "baseline-420": by_pillow(subsampling=2),
        "baseline-444": by_pillow(subsampling=0, quality=40),
        "gray": by_pillow("L"),
        "cmyk": by_pillow("CMYK", quality=30),
        "progressive": by_pillow(progressive=True, subsampling=2),
        "progressive-restart": by_cjpeg("-progressive", "-restart", "3B"),
        "progressive-dc-again": with_first_scan_again(
            by_cjpeg("-sample", "2x2", scans="0,1,2: 0-0, 0, 0; 0: 1-63, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0;")
        ),
        "restart": by_cjpeg("-restart", "2B", "-sample", "2x1"),
        "411": by_cjpeg("-sample", "4x1"),
        "440-optimized": by_cjpeg("-sample", "1x2", "-optimize"),
        "odd-3x2": by_cjpeg("-sample", "3x2,1x2,1x1"),
        "scan-per-component": by_cjpeg("-sample", "2x2", scans="0;1;2;"),
        "scan-per-component-restart": by_cjpeg("-sample", "2x1", "-restart", "5B", scans="0;1,2;"),
        "sixteen-bit-tables": by_cjpeg("-quality", "5", "-sample", "1x1"),
        "height-by-dnl": with_dnl(by_pillow(subsampling=2)),
        "motion-jpeg": without(by_pillow(subsampling=1), 0xC4),
    }


def main(folder: str) -> None:
    """Write the files to a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, contents in small_files().items():
        Path(folder, f"{name}.jpg").write_bytes(contents)


if __name__ == "__main__":
    main(sys.argv[1])
