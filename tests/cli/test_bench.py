"""Throughput: every pipeline is timed on the same images, and the report holds what was measured."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prepixel.bench import rgb_baselines, throughput
from prepixel.bench.rgb_baselines import BaselineReader, BatchReader, Draw, baseline_decoders
from prepixel.bench.throughput import PipelineThroughput, ThroughputReport, ThroughputSettings, measure_throughput
from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.readers import PixelReader
from prepixel.jpeg import read_jpeg
from prepixel.records import TimingRow, read_records
from prepixel.spectrum import BandSet, Box, open_images

Captured = pytest.CaptureFixture[str]
SMALL = ["--grid", "3", "5", "--pixels", "24", "40", "--batch-size", "4", "--rounds", "2", "--images", "9"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write eleven small JPEGs; some of the embedded data's are gray, which every pipeline reads."""
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic(folder / "data", num_train_per_class=1, num_val_per_class=1, min_side=64, max_side=128)
    return folder / "data" / "train"


def test_every_pipeline_is_reported_with_its_bytes(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    words = [str(photos), *SMALL, "--network", "resnet18", "--threads", "2", "--records", str(tmp_path / "bench.jsonl")]
    assert main(["bench", *words, "--plot", str(tmp_path / "bench.svg")]) == 0
    lines = capsys.readouterr().out.splitlines()
    on_cuda = torch.cuda.is_available()
    rgb = [f"RGB, {name}" for name, decode in baseline_decoders().items() if decode is not None]
    coefficients = ["coefficients, S-24, float32"]
    kinds = ("", ", from band-limited files", ", from packed shards")
    coefficients += [f"coefficients, S-24, int8{kind}" for kind in kinds]
    names = [*rgb, *["RGB, nvJPEG"] * on_cuda, *coefficients]
    table = lines[1 : len(names) + 1]
    assert [line.split("  ")[0] for line in table] == names
    values = [line.split()[-3] for line in table if not line.startswith("RGB, nvJPEG")]  # which is sent the files
    assert values == ["2,880"] * len(rgb) + ["1,440", "360", "360", "360"]
    assert torch.cuda.is_available() or "not timed: nvJPEG: there is no CUDA device" in lines
    rows = read_records(tmp_path / "bench.jsonl").of_kind(TimingRow)
    assert [row.subject for row in rows] == [name for name in names for _ in range(2)] + ["RGB", "DCT"]
    assert {row.n for row in rows} == {2}
    assert all(row.median > 0 for row in rows)
    assert rows[0].ratio == 1
    drawn = (tmp_path / "bench.svg").read_text(encoding="utf-8")
    assert ">coefficients, S-24, int8, from band-limited files<" in drawn
    assert "resnet18 on DCT: " in drawn


def test_json_has_every_round_and_band_limited_files_are_smaller(photos: Path, capsys: Captured) -> None:
    assert main(["bench", str(photos), *SMALL, "--network", "none", "--bands", "S-6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 9
    assert told["steps"] == {}
    assert {len(one[name]) for one in told["pipelines"] for name in ("one_thread", "all_threads")} == {2}
    assert {one["data_wait_fraction"] for one in told["pipelines"]} == {None}
    sizes = [one["file_bytes"] for one in told["pipelines"]]
    assert len(set(sizes[:-2])) == 1
    assert max(sizes[-2:]) < sizes[0]


def test_the_device_waits_for_what_the_pipeline_cannot_give() -> None:
    bands = PipelineThroughput("coefficients, S-24, int8", (9.0,), (30.0,), 1.0, 1)
    rgb = PipelineThroughput("RGB, Pillow", (5.0,), (10.0,), 1.0, 1)
    found = ThroughputReport((rgb, bands), {"RGB": (40.0, 39.0, 41.0), "DCT": (25.0,)}, (), 4, (), 2, "cpu")
    assert found.data_wait_fraction(rgb) == 0.75
    assert found.data_wait_fraction(bands) == 0


def test_files_that_some_pipeline_cannot_read_are_left_out_and_named(
    photos: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    Image.new("CMYK", (64, 72)).save(tmp_path / "photos" / "cmyk.jpg")
    (tmp_path / "photos" / "half.jpg").write_bytes(next(photos.rglob("*.jpg")).read_bytes()[:700])
    baselines = {"torchvision": rgb_baselines.decode_by_torchvision, "fast": None}
    monkeypatch.setattr(throughput, "baseline_decoders", lambda: baselines)
    words = [*SMALL, "--network", "none", "--images", "100"]
    assert main(["bench", str(tmp_path / "photos"), *words]) == 0
    out = capsys.readouterr().out
    assert "not timed: fast is not installed" in out
    assert "half.jpg: " in out.partition("left out: ")[2]


def _draw(place: int, size: tuple[int, int]) -> CropParams:
    del size
    return CropParams(Box(3.0, 5.0, 41.0, 37.0), flipped=place % 2 == 1)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
def test_a_baseline_reads_what_the_pixel_reader_reads(photos: Path) -> None:
    upright = [str(path) for path in sorted(photos.rglob("*.jpg")) if read_jpeg(path).orientation == 1][:5]
    draws = [_draw(place, (0, 0)) for place in range(5)]
    expected = PixelReader((24, 32)).read(open_images(upright), draws, 1).inputs
    assert isinstance(expected, torch.Tensor)
    for name, decode in baseline_decoders().items():
        if decode is None:
            continue
        for threads in (0, 3):
            with ThreadPoolExecutor(3) as pool:
                read = BaselineReader((24, 32), decode).read(upright, _draw, pool if threads else None)
            assert read.shape == expected.shape
            difference = np.abs(read.numpy().astype(int) - expected.numpy().astype(int)).mean()
            assert difference < 3, name  # decoders differ in chroma enlargement and in their inverse transform


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
def test_whole_batches_are_decoded_as_one_by_one(photos: Path) -> None:
    paths = [str(path) for path in sorted(photos.rglob("*.jpg"))[:5]]
    expected = BaselineReader((24, 32), rgb_baselines.decode_by_torchvision).read(paths, _draw, None)
    assert torch.equal(BatchReader((24, 32), torch.device("cpu")).read(paths, _draw, None), expected)


def test_an_unreadable_file_of_a_baseline_raises(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff")
    paths = [str(next(photos.rglob("*.jpg"))), str(tmp_path / "half.jpg")]
    reader = BaselineReader((24, 32), rgb_baselines.decode_by_pillow)
    for pool in (None, ThreadPoolExecutor(2)):
        with pytest.raises(OSError, match=r"truncated|cannot identify"):
            reader.read(paths, _draw, pool)


def test_mistakes_are_one_line(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    def told(*words: object) -> str:
        assert main(["bench", *map(str, words)]) == 2
        return capsys.readouterr().err

    assert f"{tmp_path / 'x'}: no such folder; name one that holds JPEGs" in told(tmp_path / "x")
    assert "10 JPEGs of it can be read by every pipeline, fewer than a batch of 32" in told(photos, "--grid", "3")
    assert "argument --rounds: '0' is out of range; give an integer from 1 to 10,000" in told(photos, "--rounds", "0")
    assert "--grid 3 4 5: give one number for both sides, or two: down and across" in told(
        photos, "--grid", "3", "4", "5"
    )
    assert "no network 'resnet19'" in told(photos, *SMALL, "--network", "resnet19")


def test_rounds_have_other_crops_and_are_the_same_in_every_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[CropParams, ...]] = []
    read = BaselineReader.read

    def noted(self: BaselineReader, paths: list[str], draw: Draw, pool: Executor | None) -> torch.Tensor:
        drawn = []

        def noting(place: int, size: tuple[int, int]) -> CropParams:
            drawn.append(draw(place, size))
            return drawn[-1]

        batch = read(self, paths, noting, pool)
        seen.append(tuple(drawn))
        return batch

    baselines = {"Pillow": rgb_baselines.decode_by_pillow}
    monkeypatch.setattr(throughput, "baseline_decoders", lambda: baselines)
    monkeypatch.setattr(BaselineReader, "read", noted)
    settings = ThroughputSettings(BandSet.parse("S-6"), (2, 2), (16, 16), "", 4, 4, 2, 1)
    measure_throughput(photos, settings)
    first, warm, second = seen[0], seen[1], seen[2]
    assert first == warm != second
    again = seen.copy()
    seen.clear()
    measure_throughput(photos, settings)
    assert seen == again


def test_images_are_spread_over_threads_and_none_is_split(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of torch beside threads that read images make both slow: they are off while pipelines are timed."""
    seen: list[tuple[int, int]] = []

    def noting(contents: bytes) -> torch.Tensor:
        seen.append((torch.get_num_threads(), threading.get_ident()))
        return rgb_baselines.decode_by_pillow(contents)

    monkeypatch.setattr(throughput, "baseline_decoders", lambda: {"Pillow": noting})
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        measure_throughput(photos, ThroughputSettings(BandSet.parse("S-6"), (2, 2), (16, 16), "", 4, 4, 1, 2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    # the sample of four is checked before anything is timed, with the threads of the caller; then come two rounds on
    # the caller's thread and on a pool's
    assert [count for count, _ in seen] == [3] * 4 + [1] * 16
    here = threading.get_ident()
    assert [thread == here for _, thread in seen[4:]] == ([True] * 4 + [False] * 4) * 2
