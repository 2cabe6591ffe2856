"""Scanning: counts that add up, and every broken file by name."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.data import DatasetError, scan_folder
from prepixel.errors import DamagedJpeg, MalformedJpeg, PrepixelError
from prepixel.jpeg import read_jpeg


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(mode: str = "RGB", kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture(mode).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "a/420.jpg": encoded(subsampling="4:2:0"),
        "a/444.jpg": encoded(subsampling="4:4:4", progressive=True),
        "a/turned.JPEG": encoded(subsampling="4:2:2", exif=exif),
        "b/gray.jpg": encoded("L", restart_marker_blocks=3),
        "b/cmyk.jpg": encoded("CMYK"),
        "b/picture.png": encoded(kind="PNG"),
        "b/cut.jpg": encoded()[:-200],
        "b/text.jpg": b"no image",
        "notes.txt": b"not looked at",
    }
    for name, contents in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents)
    return tmp_path


@pytest.mark.parametrize("threads", [1, 3])
def test_counts_are_those_of_the_files(folder: Path, threads: int) -> None:
    calls: list[int] = []
    report = scan_folder(folder, threads=threads, progress=calls.append)
    assert calls == list(range(1, 9))
    assert report.num_files == 8
    assert report.num_bytes == sum(path.stat().st_size for path in folder.rglob("*/*"))
    assert report.processes == {"baseline": 3, "pixels": 2, "progressive": 1}
    assert report.samplings == {"4:2:0": 1, "4:4:4": 1, "4:2:2": 1, "gray": 1}
    assert report.orientations == {1: 5, 6: 1}
    assert report.heights == (37, 37, 53)
    assert report.widths == (37, 53, 53)
    assert report.num_pixels == 6 * 37 * 53
    assert report.restarts == 1
    assert [(Path(file.source).name, file.kind) for file in report.broken] == [
        ("cut.jpg", "TruncatedJpeg"),
        ("text.jpg", "UnreadableImage"),
    ]
    assert all(file.source in file.message for file in report.broken)


def damaged() -> bytes:
    """Return a JPEG that libjpeg reads with a warning: its scan's last symbol begins no Huffman code."""
    whole = bytearray(encoded())
    for place in range(len(whole) - 3, 0, -1):
        changed = bytes(whole[:place]) + b"\xfe" + bytes(whole[place + 1 :])
        with contextlib.suppress(PrepixelError):
            read_jpeg(changed)
            continue
        with contextlib.suppress(DamagedJpeg), Image.open(io.BytesIO(changed)) as image:
            image.load()
            with pytest.raises(MalformedJpeg) as refused:
                read_jpeg(changed)
            if refused.type is DamagedJpeg:
                return changed
    raise AssertionError("no change of one byte damages the scan")


def test_files_that_libjpeg_reads_with_a_warning_are_a_kind_of_their_own(folder: Path) -> None:
    assert scan_folder(folder).broken_kinds == {"TruncatedJpeg": 1, "UnreadableImage": 1}
    for name in ("a/one.jpg", "b/two.jpg"):
        (folder / name).write_bytes(damaged())
    report = scan_folder(folder)
    assert report.broken_kinds == {"DamagedJpeg": 2, "TruncatedJpeg": 1, "UnreadableImage": 1}
    assert sum(report.broken_kinds.values()) == len(report.broken)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_a_fifo_and_a_device_are_broken_files_and_hang_nothing(folder: Path) -> None:
    before = scan_folder(folder)
    os.mkfifo(folder / "b" / "fifo.jpg")
    (folder / "b" / "zero.jpg").symlink_to("/dev/zero")
    report = scan_folder(folder, threads=2)
    assert (report.num_files, report.processes) == (before.num_files + 2, before.processes)
    told = {Path(file.source).name: file.message for file in report.broken}
    assert "fifo.jpg: a FIFO (named pipe); only regular files are read" in told["fifo.jpg"]
    assert "only regular files are read" in told["zero.jpg"]


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image below it"):
        scan_folder(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        scan_folder(tmp_path / "nowhere")


def test_corpus_counts_agree_with_its_manifest(photos: Path) -> None:
    corpus = photos / "jpeg_corpus"
    report = scan_folder(corpus)
    with (corpus / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert report.num_files == len(rows)
    assert report.num_files == sum(report.processes.values()) + len(report.broken)
    supported = {"SOF0", "SOF1", "SOF2"}
    unsupported = [row for row in rows if row["sof"].startswith("SOF") and row["sof"] not in supported]
    refused = {file.source for file in report.broken}
    assert all(str(corpus / row["file"]) in refused for row in unsupported)
