"""The command bandlimit: its estimate, its report, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.interrupts import start_command, wait_until
from tests.small_photos import Captured, facts, jpeg, write_folder

from prepixel.cli import main
from prepixel.cli.console import duration
from prepixel.jpeg import bandlimit_jpeg, read_jpeg, read_segments
from prepixel.spectrum import BandSet

S24 = BandSet.parse("S-24")
KEPT = (S24.of_component(0), S24.of_component(1), S24.of_component(2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {"dog/notes.txt": b"not an image"})


def test_bandlimit_estimates_then_reports(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["bandlimit", str(folder), str(out), "--bands", "S-24"]
    assert main([*words, "--dry-run"]) == 0
    estimated = facts(capsys.readouterr().out)
    assert not out.exists()
    assert main(words) == 0
    told = capsys.readouterr().out
    names = ["cat/a.jpg", "cat/b.jpg", "dog/c.JPG"]
    before = sum((folder / name).stat().st_size for name in names)
    after = sum((out / name).stat().st_size for name in names)
    for line in (estimated, facts(told.split("\n\n")[0])):
        assert line["files"] == f"4 ({before:,} bytes of JPEGs)"
        assert line["estimate"].startswith(
            f"{before:,} bytes become about {after:,} bytes ({100 * after / before:.1f} % +- "
        )
        assert line["duration"].endswith(" s (from 3 files, writing not counted)")
    report = facts(told.split("\n\n")[1])
    assert report["rewritten"] == "3 of 4 files, each read back"
    assert report["sizes"] == f"{before:,} bytes became {after:,} bytes ({100 * after / before:.1f} %)"
    assert report["not JPEGs"] == "0 copied, 1 skipped"
    assert report["failed"] == "none"
    assert report["duration"].endswith(" images/s")
    for name in names:
        assert (out / name).read_bytes() == bandlimit_jpeg(folder / name, KEPT)
    assert main(words) == 0
    again = capsys.readouterr().out
    assert facts(again.split("\n\n")[0])["files"].endswith(", 4 of them finished earlier")
    assert facts(again.split("\n\n")[0])["estimate"] == "no JPEG left that can be rewritten"
    assert facts(again.split("\n\n")[1])["rewritten"] == "3 of 4 files, each read back (4 by an earlier run)"


def test_bandlimit_lists_bad_files_and_says_so_by_its_status(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "cut.jpg").write_bytes(jpeg()[:500])
    assert main(["bandlimit", str(folder), str(tmp_path / "out"), "--threads", "1", "--others", "copy"]) == 1
    told = capsys.readouterr().out
    assert facts(told)["failed"] == "1, listed below"
    assert facts(told)["not JPEGs"] == "1 copied, 0 skipped"
    assert told.splitlines()[-1].startswith("TruncatedJpeg: cat/cut.jpg, byte ")
    assert (tmp_path / "out/dog/notes.txt").read_bytes() == b"not an image"
    assert main(["bandlimit", str(folder), str(tmp_path / "copied"), "--bad", "copy"]) == 1
    assert (tmp_path / "copied/cat/cut.jpg").read_bytes() == (folder / "cat" / "cut.jpg").read_bytes()
    capsys.readouterr()
    assert main(["bandlimit", str(folder), str(tmp_path / "stopped"), "--bad", "stop"]) == 2
    assert capsys.readouterr().err.startswith(f"prepixel: {folder / 'cat' / 'cut.jpg'}, byte ")


def test_bandlimit_as_json(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    words = ["bandlimit", str(folder), str(tmp_path / "out"), "--json"]
    assert main([*words, "--dry-run"]) == 0
    estimated = json.loads(capsys.readouterr().out)
    assert list(estimated) == ["estimate"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["estimate"]["num_bytes"] == estimated["estimate"]["num_bytes"] == told["report"]["bytes_before"]
    assert told["report"]["ratio"] == pytest.approx(told["estimate"]["ratio"])
    assert (told["report"]["num_bandlimited"], told["report"]["bad"]) == (3, [])
    (folder / "cat" / "cut.jpg").write_bytes(jpeg()[:500])
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["report"]["bad"][0]["kind"] == "TruncatedJpeg"


def test_bandlimit_of_one_file(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    source, target = folder / "cat/a.jpg", tmp_path / "small.jpg"
    expected = bandlimit_jpeg(source, KEPT)
    share = f"{100 * len(expected) / source.stat().st_size:.1f} % of {source.stat().st_size:,} bytes\n"
    assert main(["bandlimit", str(source), str(target), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{target}: would be {len(expected):,} bytes, {share}"
    assert not target.exists()
    assert main(["bandlimit", str(source), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: {len(expected):,} bytes, {share}"
    assert target.read_bytes() == expected
    assert main(["bandlimit", str(source), str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["report"]
    assert told == {
        "bytes_before": source.stat().st_size,
        "bytes_after": len(expected),
        "ratio": pytest.approx(told["ratio"]),
    }
    assert (tmp_path / "a.jpg").read_bytes() == expected


def test_options_reach_the_files(folder: Path, tmp_path: Path) -> None:
    (folder / "cat/a.jpg").write_bytes(jpeg(subsampling="4:2:0", comment=b"words", icc_profile=bytes(200)))
    assert (
        main(["bandlimit", str(folder), str(tmp_path / "out"), "--bands", "T-12", "--restart-rows", "1", "--strip"])
        == 0
    )
    smaller = tmp_path / "out/cat/a.jpg"
    assert read_jpeg(smaller).restart_interval == 6
    assert [s.marker for s in read_segments(smaller)] == [0xE0]
    assert main(["bandlimit", str(folder / "cat/a.jpg"), str(tmp_path / "b.jpg"), "--restart", "4"]) == 0
    assert read_jpeg(tmp_path / "b.jpg").restart_interval == 4
    assert [s.marker for s in read_segments(tmp_path / "b.jpg")] == [0xE0, 0xE2, 0xFE]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{0}", "{1}/out", "--bands", "S-25"], "no band set 'S-25'; nearest: "),
        (
            ["{0}", "{1}/out", "--restart", "65536"],
            "argument --restart: '65536' is out of range",
        ),
        (
            ["{0}", "{1}/out", "--restart-rows", "9"],
            "argument --restart-rows: '9' is out of range",
        ),
        (
            ["{0}", "{1}/out", "--restart", "0", "--restart-rows", "1"],
            "--restart and --restart-rows set the same",
        ),
        (
            ["{0}", "{1}/out", "--threads", "-1"],
            "argument --threads: '-1' is out of range",
        ),
        (["{0}", "{0}/cat"], "{0}/cat: lies inside {0}, or holds it; write into a folder beside it"),
        (["{0}/cat/a.jpg", "{0}/cat"], "{0}/cat/a.jpg: is the source itself; name another file to write"),
        (["{0}/dog/notes.txt", "{1}/out"], "{0}/dog/notes.txt, byte 0: not a JPEG"),
        (["{0}/nowhere.jpg", "{1}/out"], "{0}/nowhere.jpg: No such file or directory"),
        (["{0}/cat/a.jpg", "{1}/no/folder.jpg"], "{1}/no/folder.jpg: No such file or directory"),
        (["{0}", "{1}/out", "--others", "burn"], "argument --non-jpegs/--others: invalid choice: 'burn'"),
    ],
)
def test_what_cannot_be_is_one_line(
    capsys: Captured, folder: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["bandlimit", *(word.format(folder, tmp_path) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"prepixel: {message.format(folder, tmp_path)}")
    assert captured.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_durations_are_said_in_fitting_units() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 61.0, 3600.0, 7300.0)] == [
        "0.0 s", "59.9 s", "1 min", "60 min", "2.0 h",
    ]  # fmt: skip


def test_interrupted_bandlimiting_ends_quietly_and_goes_on(folder: Path, tmp_path: Path) -> None:
    large = jpeg(1500, 1700)
    for index in range(300):
        (folder / "cat" / f"{index:03}.jpg").write_bytes(large)
    out = tmp_path / "out"
    words = ["bandlimit", str(folder), str(out), "--threads", "1"]
    with start_command(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: list(out.glob("cat/*.jpg")), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert 0 < len(list(out.glob("cat/*.jpg"))) < 302
    assert not list(out.rglob("*.partial"))
    assert main(words) == 0
    assert len(list(out.glob("cat/*.jpg"))) == 302


def test_huge_files_are_refused_unread(capsys: Captured, tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(20 << 30)  # sparse
    assert main(["bandlimit", str(tmp_path / "huge.jpg"), str(tmp_path / "out.jpg")]) == 2
    error = capsys.readouterr().err
    assert "huge.jpg: a file of 21474836480 bytes is larger than the limit of 2147483648" in error
    os.mkfifo(tmp_path / "pipe.jpg")
    assert main(["bandlimit", str(tmp_path / "pipe.jpg"), str(tmp_path / "out.jpg")]) == 2
    assert "pipe.jpg: is no regular file" in capsys.readouterr().err
    assert not (tmp_path / "out.jpg").exists()
