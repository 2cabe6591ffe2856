"""Folders band-limited: files that cannot be read are left out, copied, or stop the run; repaired ones are done."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.data.jobs.bandlimit_source import JPEGS, png, tree, write_source
from tests.jpeg.small_files import by_pillow

from prepixel.data.jobs import bandlimit_file as bandlimiting
from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder, estimate_bandlimiting
from prepixel.errors import JpegLimitExceeded, TruncatedJpeg
from prepixel.jpeg import bandlimit_jpeg
from prepixel.spectrum import BandSet

OPTIONS = BandlimitOptions(BandSet.parse("S-24"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


@pytest.fixture
def with_bad(source: Path) -> Path:
    (source / "cat/cut.jpg").write_bytes(by_pillow()[:700])
    (source / "dog/png.jpg").write_bytes(png())
    (source / "empty.jpg").write_bytes(b"")
    (source / "gone.jpg").symlink_to(source / "nowhere")
    return source


def test_bad_files_are_left_out_and_listed(with_bad: Path, tmp_path: Path) -> None:
    report = bandlimit_folder(with_bad, tmp_path / "out", OPTIONS)
    assert [file.source for file in report.bad] == ["cat/cut.jpg", "dog/png.jpg", "empty.jpg", "gone.jpg"]
    assert [file.kind for file in report.bad] == [
        "TruncatedJpeg",
        "MalformedJpeg",
        "TruncatedJpeg",
        "FileNotFoundError",
    ]
    assert report.bad[0].message.startswith("cat/cut.jpg, byte 700: ")
    assert report.bad[1].message.startswith("dog/png.jpg, byte 0: this is a PNG file, not a JPEG")
    assert report.bad[3].message == "gone.jpg: No such file or directory; check the path"
    assert (report.num_bandlimited, report.num_files) == (4, 10)
    assert sorted(tree(tmp_path / "out")) == sorted(JPEGS)


def test_bad_files_are_copied_where_asked(with_bad: Path, tmp_path: Path) -> None:
    report = bandlimit_folder(with_bad, tmp_path / "out", dataclasses.replace(OPTIONS, on_error="copy"))
    assert len(report.bad) == 4
    assert report.num_copied == 0
    for name in ("cat/cut.jpg", "dog/png.jpg", "empty.jpg"):
        assert (tmp_path / "out" / name).read_bytes() == (with_bad / name).read_bytes()
    assert not (tmp_path / "out" / "gone.jpg").exists()


def test_a_bad_file_stops_the_run_where_asked_and_the_rest_is_done_later(with_bad: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, on_error="stop")
    with pytest.raises(TruncatedJpeg, match=r"source/cat/cut\.jpg, byte 700: "):
        bandlimit_folder(with_bad, tmp_path / "out", options, threads=1)
    for name in ("cat/cut.jpg", "dog/png.jpg", "empty.jpg", "gone.jpg"):
        (with_bad / name).unlink()
    report = bandlimit_folder(with_bad, tmp_path / "out", options)
    assert report.num_earlier == 1
    assert report.num_bandlimited == 4


def test_a_repaired_file_is_done_by_the_next_run_and_a_spoilt_one_goes(with_bad: Path, tmp_path: Path) -> None:
    bandlimit_folder(with_bad, tmp_path / "out", OPTIONS)
    (with_bad / "cat/cut.jpg").write_bytes(by_pillow())
    (with_bad / "cat/a.jpg").write_bytes(b"spoilt")
    report = bandlimit_folder(with_bad, tmp_path / "out", OPTIONS)
    assert [file.source for file in report.bad] == ["cat/a.jpg", "dog/png.jpg", "empty.jpg", "gone.jpg"]
    assert sorted(tree(tmp_path / "out")) == sorted({*JPEGS, "cat/cut.jpg"} - {"cat/a.jpg"})


@pytest.mark.parametrize("on_error", ["skip", "stop"])
def test_a_file_above_the_limit_is_not_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_error: Any
) -> None:
    with (source / "cat/huge.jpg").open("wb") as file:
        file.write(by_pillow())
        file.truncate(20 << 30)  # sparse
    monkeypatch.setattr(bandlimiting, "bandlimit_jpeg", _of_at_most(1 << 20))
    options = dataclasses.replace(OPTIONS, on_error=on_error)
    assert estimate_bandlimiting(source, tmp_path / "out", options).num_sampled == 3
    message = r"cat/huge\.jpg: a file of 21474836480 bytes is larger than the limit of 2147483648\. Raise Limits"
    if on_error == "stop":
        with pytest.raises(JpegLimitExceeded, match=message):
            bandlimit_folder(source, tmp_path / "out", options, threads=1)
        return
    report = bandlimit_folder(source, tmp_path / "out", options)
    assert report.num_bandlimited == 4
    assert [file.kind for file in report.bad] == ["JpegLimitExceeded"]
    assert re.match(message, report.bad[0].message)


def _of_at_most(size: int) -> Callable[..., bytes]:
    def bandlimit(contents: bytes, *rest: Any, **options: Any) -> bytes:
        assert len(contents) <= size
        return bandlimit_jpeg(contents, *rest, **options)

    return bandlimit
