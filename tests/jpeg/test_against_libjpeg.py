"""Coefficients equal libjpeg's, integer for integer, wherever libjpeg reads a file without damage (must-show 3)."""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.jpeg.small_files import pixels
from tests.oracles.libjpeg import Libjpeg, Reading

from prepixel.errors import JpegError, MalformedJpeg, UnsupportedJpeg
from prepixel.jpeg import JpegImage, Limits, read_header, read_jpeg

LIMITS = Limits(max_scans=1000)  # the corpus holds a file of 762 scans
FOLDERS = ("imagenet_samples", "imagenet_val227", "flowers20", "imagenette10", "coco_mini", "jpeg_corpus")
PROCESS_OF = {"SOF0": "baseline", "SOF1": "extended", "SOF2": "progressive"}


def jpegs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".jpeg", ".JPEG"})


def assert_equal(image: JpegImage, reading: Reading, name: object) -> int:
    """Hold an image to libjpeg's reading; give the number of blocks compared."""
    assert len(image.components) == len(reading.planes), name
    for component, plane in zip(image.components, reading.planes, strict=True):
        assert component.sampling == plane.sampling, name
        assert component.quantized.dtype == np.int16
        assert component.quantized.shape == (*plane.quantized.shape[:2], 8, 8), name
        assert np.array_equal(component.quantized.reshape(plane.quantized.shape), plane.quantized), name
        assert plane.quantization is not None, name
        assert np.array_equal(component.quantization.ravel(), plane.quantization), name
    assert image.color == reading.color, name
    assert (image.process == "progressive") == reading.progressive, name
    return sum(plane.quantized.shape[0] * plane.quantized.shape[1] for plane in reading.planes)


def kind_of(image: JpegImage) -> str:
    samplings = " ".join(f"{h}x{v}" for v, h in (c.sampling for c in image.components))
    return f"{image.process:11} {image.color:7} {samplings}"


def read_or_error(path: Path) -> JpegImage | JpegError:
    try:
        return read_jpeg(path, limits=LIMITS)
    except JpegError as error:
        return error


@pytest.mark.data
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_equals_libjpeg_or_is_refused_for_a_reason(
    folder: str, photos: Path, libjpeg: Libjpeg, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = jpegs(photos / folder)
    assert paths
    equal: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for path, reading in zip(paths, libjpeg.read(paths), strict=True):
        ours = read_or_error(path)
        if isinstance(ours, JpegImage) and not reading.refusal:
            blocks[kind_of(ours)] += assert_equal(ours, reading, path)
            equal[kind_of(ours)] += 1
            # A missing EOI behind a complete image is the one more thing that we, too, only warn of.
            assert reading.is_clean or set(reading.warnings) <= {"JWRN_JPEG_EOF", "JWRN_EXTRANEOUS_DATA"}, path
        else:
            refused[verdict(ours, reading, path)] += 1
    with capsys.disabled():
        print(
            f"\n{folder}: {equal.total()} files, {blocks.total()} blocks equal to libjpeg's; {refused.total()} refused"
        )
        for kind, count in equal.most_common():
            print(f"  {kind:40} {count:5} files {blocks[kind]:9} blocks")
        for kind, count in refused.most_common():
            print(f"  {kind:58} {count:5} files")


def verdict(ours: JpegImage | JpegError, reading: Reading, path: Path) -> str:
    """Name what became of a file that is not equal, or fail: every such file has one of few reasons."""
    if isinstance(ours, JpegImage):
        assert "DNL not supported" in reading.refusal, (path, reading.refusal)
        return "read by us alone: height by DNL"
    text = str(ours)
    assert ours.source == str(path)
    assert ours.byte_offset is not None
    assert ours.byte_offset <= path.stat().st_size
    assert ours.hint
    if isinstance(ours, UnsupportedJpeg):
        # libjpeg-turbo 2 reads arithmetic coding and refuses the rest of what we call unsupported.
        assert reading.refusal or "arithmetic" in text or "components" in text, (path, text)
        return f"UnsupportedJpeg: {ours.what.split(' JPEG')[0].split(' file')[0]}"
    assert isinstance(ours, MalformedJpeg), (path, text)
    assert not reading.is_clean, f"{path}: libjpeg reads it, we say {text}"
    return f"{type(ours).__name__}: libjpeg {'refuses it, too' if reading.refusal else 'warns and makes up the rest'}"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged EXIF, by some versions of Pillow
@pytest.mark.data
def test_headers_agree_with_the_manifest_and_with_pillow(photos: Path) -> None:
    with (photos / "jpeg_corpus" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    compared = oriented = 0
    for row in rows:
        path = photos / "jpeg_corpus" / row["file"]
        image = read_or_error(path)
        if row["sof"] in {"SOF3", "SOF9", "SOF10", "SOF11"} or (row["sof"] in PROCESS_OF and row["prec"] == "12"):
            assert isinstance(image, JpegError), path
        if isinstance(image, JpegError) or image.warnings:
            continue
        compared += 1
        assert image.process == PROCESS_OF[row["sof"]], path
        assert image.width == int(row["w"]), path
        assert image.height == (int(row["h"]) or image.height), path
        assert " ".join(f"{c.sampling[1]}x{c.sampling[0]}" for c in image.components) == row["samp"], path
        header = read_header(path)
        assert (header.height, header.width, header.orientation) == (image.height, image.width, image.orientation)
        assert (header.color, header.process) == (image.color, image.process)
        assert header.upright_size == image.upright_size
        if row["pil"].startswith("ok"):
            with Image.open(path) as opened:
                orientation = opened.getexif().get(0x0112, 1)
            assert image.orientation == (orientation if orientation in range(1, 9) else 1), path
            oriented += image.orientation != 1
    assert compared > 150
    assert oriented > 25


RECODINGS = (
    ("-optimize",),
    ("-progressive",),
    ("-restart", "1"),
    ("-restart", "3B"),
    ("-progressive", "-restart", "1"),
    ("-progressive", "-restart", "3B"),
)


@pytest.mark.data
def test_files_recoded_by_jpegtran_hold_the_same_coefficients(
    photos: Path, libjpeg: Libjpeg, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = list(diverse(photos, libjpeg, count=44))
    jobs = [(path, options) for path in chosen for options in RECODINGS]

    def recode(job: tuple[Path, tuple[str, ...]]) -> bytes:
        path, options = job
        return subprocess.run(
            ["jpegtran", "-copy", "none", *options, str(path)], capture_output=True, check=True
        ).stdout

    originals = {path: read_jpeg(path) for path in chosen}
    blocks = 0
    with ThreadPoolExecutor(2) as pool:
        for (path, options), recoded in zip(jobs, pool.map(recode, jobs), strict=True):
            image, original = read_jpeg(recoded), originals[path]
            assert (image.process == "progressive") == ("-progressive" in options), (path, options)
            assert ("-restart" in options) == (image.restart_interval > 0), (path, options)
            for ours, before in zip(image.components, original.components, strict=True):
                assert np.array_equal(ours.quantized, before.quantized), (path, options)
                assert np.array_equal(ours.quantization, before.quantization), (path, options)
                blocks += ours.quantized.shape[0] * ours.quantized.shape[1]
    with capsys.disabled():
        kinds = len({kind_of(image) for image in originals.values()})
        print(
            f"\nre-coded by jpegtran: {len(jobs)} files of {len(chosen)} photos, {kinds} kinds, {blocks} blocks equal"
        )


def diverse(photos: Path, libjpeg: Libjpeg, count: int) -> Iterator[Path]:
    """Take turns among the kinds of files there are, small ones first, until there are enough."""
    kinds: dict[str, list[Path]] = {}
    paths = [path for folder in ("jpeg_corpus", "imagenet_samples") for path in jpegs(photos / folder)]
    paths = sorted((path for path in paths if path.stat().st_size < 150_000), key=lambda path: path.stat().st_size)
    for path, reading in zip(paths, libjpeg.read(paths), strict=True):
        image = read_or_error(path)
        # jpegtran fails on what it warns of; and more than 10 blocks in an MCU cannot be interleaved.
        if reading.refusal or reading.warnings or not isinstance(image, JpegImage):
            continue
        if sum(c.sampling[0] * c.sampling[1] for c in image.components) <= 10:
            kind = f"{kind_of(image)} {image.restart_interval > 0} {image.num_scans > 1}"
            kinds.setdefault(kind, []).append(path)
    taken = 0
    for turn in range(count):
        for paths in kinds.values():
            if turn < len(paths) and taken < count:
                taken += 1
                yield paths[turn]


def test_small_files_of_every_kind(files: dict[str, bytes], libjpeg: Libjpeg, tmp_path: Path) -> None:
    paths = []
    for name, contents in files.items():
        paths.append(tmp_path / f"{name}.jpg")
        paths[-1].write_bytes(contents)
    for path, reading in zip(paths, libjpeg.read(paths), strict=True):
        image = read_jpeg(path)
        if path.stem == "height-by-dnl":
            assert "DNL not supported" in reading.refusal
            twin = read_jpeg(files["baseline-420"])
            assert (image.height, image.width) == (twin.height, twin.width)
            for ours, other in zip(image.components, twin.components, strict=True):
                assert np.array_equal(ours.quantized, other.quantized)
        else:
            assert reading.is_clean, (path, reading)
            assert_equal(image, reading, path)
        assert image.warnings == ()
        assert image.missing_blocks == 0


factors = st.sampled_from(
    [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3), (3, 2), (3, 3)]
)
divisors = {1: [1], 2: [1, 2], 3: [1, 3], 4: [1, 2, 4]}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), height=st.integers(1, 67), width=st.integers(1, 67), luma=factors)
def test_any_size_sampling_and_scan_order(
    data: st.DataObject, height: int, width: int, luma: tuple[int, int], libjpeg: Libjpeg, tmp_path: Path
) -> None:
    chroma = [
        (data.draw(st.sampled_from(divisors[luma[0]])), data.draw(st.sampled_from(divisors[luma[1]]))) for _ in range(2)
    ]
    three = [luma, *chroma]
    fits_an_mcu = sum(h * v for h, v in three) <= 10
    options = ["-quality", str(data.draw(st.integers(1, 100))), "-sample", ",".join(f"{h}x{v}" for h, v in three)]
    coding = data.draw(st.sampled_from(["", "-optimize", "-progressive"] if fits_an_mcu else ["scans"]))
    if coding == "scans":
        (tmp_path / "scans.txt").write_text("0;\n1;\n2;\n", encoding="ascii")
        options += ["-scans", str(tmp_path / "scans.txt")]
    elif coding:
        options.append(coding)
    options += data.draw(st.sampled_from([[], ["-restart", "1"], ["-restart", "1B"], ["-restart", "3B"]]))
    ppm, jpeg = tmp_path / "image.ppm", tmp_path / "image.jpg"
    Image.fromarray(pixels(height, width)).save(ppm)
    subprocess.run(["cjpeg", *options, "-outfile", str(jpeg), str(ppm)], check=True)
    (reading,) = libjpeg.read([jpeg])
    assert reading.is_clean
    image = read_jpeg(jpeg)
    assert_equal(image, reading, options)
    assert (image.height, image.width) == (height, width)
    for component in image.components:
        v, h = component.sampling
        max_v, max_h = image.max_sampling
        assert component.height == -(-height * v // max_v)
        assert component.width == -(-width * h // max_h)
