"""Folders band-limited: what becomes of every readable file, estimates, and runs that resume where they stopped."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.data.jobs.bandlimit_source import JPEGS, tree, write_source
from tests.jpeg.small_files import by_pillow, pixels
from tests.killed import run_killed

from prepixel.data import DatasetError
from prepixel.data.jobs import bandlimit_file as bandlimiting
from prepixel.data.jobs.bandlimit_folder import STATE_NAME, BandlimitOptions, bandlimit_folder, estimate_bandlimiting
from prepixel.data.jobs.bandlimit_plan import locked_state
from prepixel.errors import FolderInUse, MalformedJpeg
from prepixel.jpeg import bandlimit_jpeg
from prepixel.spectrum import BandSet

S24 = BandSet.parse("S-24")
OPTIONS = BandlimitOptions(S24)
KEPT = (S24.of_component(0), S24.of_component(1), S24.of_component(2))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def test_folder_keeps_its_shape_and_each_jpeg_is_bandlimited(source: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = bandlimit_folder(
        source, tmp_path / "out", OPTIONS, progress=lambda done, total: seen.append((done, total))
    )
    assert tree(tmp_path / "out") == {name: bandlimit_jpeg(source / name, KEPT) for name in JPEGS}
    assert (report.num_files, report.num_bandlimited, report.num_copied, report.num_skipped) == (6, 4, 0, 2)
    assert report.bytes_before == sum((source / name).stat().st_size for name in JPEGS)
    assert report.bytes_after == sum(len(contents) for contents in tree(tmp_path / "out").values())
    assert report.ratio == report.bytes_after / report.bytes_before
    assert 0.2 < report.ratio < 0.8
    assert report.images_per_second == pytest.approx(6 / report.seconds)
    assert report.bad == ()
    assert seen == [(done, 6) for done in range(1, 7)]


def test_the_folders_own_index_is_no_file_of_it(source: Path, tmp_path: Path) -> None:
    (source / "prepixel.ppi").write_bytes(b"of files that will be others")
    report = bandlimit_folder(source, tmp_path / "out", dataclasses.replace(OPTIONS, non_jpegs="copy"))
    assert (report.num_files, report.num_copied) == (6, 2)
    assert not (tmp_path / "out" / "prepixel.ppi").exists()


def test_options_reach_every_file(source: Path, tmp_path: Path) -> None:
    options = BandlimitOptions(BandSet.parse("T-12"), restart_interval=2, metadata="none", non_jpegs="copy")
    report = bandlimit_folder(source, tmp_path / "out", options, threads=1)
    bands = options.bands
    kept = (bands.of_component(0), bands.of_component(1), bands.of_component(2))
    expected = {name: bandlimit_jpeg(source / name, kept, restart_interval=2, metadata="none") for name in JPEGS}
    others = {name: (source / name).read_bytes() for name in ("dog/d.png", "labels.txt")}
    assert tree(tmp_path / "out") == expected | others
    assert (report.num_copied, report.num_skipped) == (2, 0)
    rows = bandlimit_folder(source, tmp_path / "rows", BandlimitOptions(bands, restart_rows=1))
    assert rows.num_bandlimited == 4
    assert tree(tmp_path / "rows")["cat/a.jpg"] == bandlimit_jpeg(source / "cat/a.jpg", kept, restart_rows=1)


def test_threads_change_nothing(source: Path, tmp_path: Path) -> None:
    trees = []
    for threads in (1, 2, 8):
        bandlimit_folder(source, tmp_path / f"out{threads}", OPTIONS, threads=threads)
        state = (tmp_path / f"out{threads}" / STATE_NAME / "files.jsonl").read_bytes()
        trees.append((tree(tmp_path / f"out{threads}"), state))
    assert trees[0] == trees[1] == trees[2]


# -- going on ----------------------------------------------------------------------------------------------------------


def test_finished_files_are_recognized(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = bandlimit_folder(source, out, OPTIONS)
    before, state = tree(out), (out / STATE_NAME / "files.jsonl").read_bytes()
    asked: list[int] = []
    monkeypatch.setattr(
        bandlimiting, "bandlimit_jpeg", lambda contents, *_, **__: asked.append(len(contents)) or b"again"
    )
    again = bandlimit_folder(source, out, OPTIONS)
    assert asked == []
    assert (again.num_earlier, again.num_bandlimited, again.num_skipped) == (6, 4, 2)
    assert (again.bytes_before, again.bytes_after) == (first.bytes_before, first.bytes_after)
    assert tree(out) == before
    assert (out / STATE_NAME / "files.jsonl").read_bytes() == state
    # changed sources, and targets that are not what was written, are done again
    (source / "cat/a.jpg").write_bytes(by_pillow("L", quality=11))
    os.utime(source / "dog/c.jpg", ns=(1, 1))
    (out / "dog/named.dat").write_bytes(b"shorter")
    (out / "cat/deeper/b.JPEG").unlink()
    assert bandlimit_folder(source, out, OPTIONS).num_earlier == 2
    assert len(asked) == 4
    assert set(tree(out).values()) == {b"again"}


def test_a_torn_line_and_a_partial_file_are_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bandlimit_folder(source, out, OPTIONS)
    whole, journal = tree(out), out / STATE_NAME / "files.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:2]) + lines[2][:20], encoding="utf-8")
    name = json.loads(lines[2])["path"]
    (out / name).rename((out / name).with_name(".prepixel-0123456789ab.partial"))
    report = bandlimit_folder(source, out, OPTIONS)
    assert report.num_earlier == 2
    assert tree(out) == whole
    assert journal.read_text(encoding="utf-8") == "".join(lines)


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    counts = run_killed("tests.data.jobs.killed_bandlimiting", tmp_path)
    assert counts["writing"] >= 2, "no kill fell into the writing of a file"
    assert len(set(counts["finished"])) >= 3
    straight, killed = (
        {
            path.relative_to(tmp_path / run): path.read_bytes()
            for path in (tmp_path / run).rglob("*")
            if path.is_file() and path.name != ".prepixel-lock"
        }
        for run in ("straight", "killed")
    )
    assert straight == killed
    assert len(straight) == 119 + 1 + 2  # JPEGs but the cut one, the text, the state
    paths = [json.loads(line)["path"] for line in killed[Path(STATE_NAME, "files.jsonl")].splitlines()]
    assert len(paths) == 121
    assert paths == sorted(paths)


# -- estimates ---------------------------------------------------------------------------------------------------------


def test_estimate_of_a_small_folder_is_what_will_be(source: Path, tmp_path: Path) -> None:
    estimate = estimate_bandlimiting(source, tmp_path / "out", OPTIONS, threads=1)
    assert not (tmp_path / "out").exists()
    (source / "dog/named.dat").unlink()  # without a JPEG's ending, so the estimate did not count its bytes
    report = bandlimit_folder(source, tmp_path / "out", OPTIONS)
    assert (estimate.num_files, estimate.num_finished, estimate.num_sampled) == (6, 0, 3)
    assert estimate.num_bytes == estimate.num_bytes_left == report.bytes_before
    assert estimate.ratio == pytest.approx(report.ratio)
    assert 0 < estimate.ratio_error < 1
    assert estimate.seconds > 0
    again = estimate_bandlimiting(source, tmp_path / "out", OPTIONS)
    assert (again.num_finished, again.num_bytes_left, again.num_sampled, again.seconds) == (5, 0, 0, 0.0)
    assert again.num_bytes == estimate.num_bytes


def test_estimate_of_a_large_folder_is_near_by_its_own_account(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for index in range(110):
        file = io.BytesIO()
        Image.fromarray(pixels(29 + index, 140 - index)).save(file, "jpeg", quality=30 + index % 60)
        (root / f"{index:03}.jpg").write_bytes(file.getvalue())
    (root / "cut.jpg").write_bytes(file.getvalue()[:99])
    estimate = estimate_bandlimiting(root, tmp_path / "out", OPTIONS)
    report = bandlimit_folder(root, tmp_path / "out", OPTIONS)
    assert 23 <= estimate.num_sampled <= 24
    assert 0 < estimate.ratio_error < 0.1
    assert abs(estimate.ratio - report.ratio) < 2 * estimate.ratio_error


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_folders_that_cannot_be_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_bytes(b"")
    for root, goal, words in (
        (tmp_path / "nowhere", tmp_path / "out", "nowhere: no such folder; name one that holds JPEGs, at any depth"),
        (tmp_path / "nothing", tmp_path / "out", "nothing: no file below it; name a folder that holds JPEGs"),
        (source, source, "source: lies inside"),
        (source, source / "cat" / "out", "or holds it; write into a folder beside it"),
        (source / "cat", source, "or holds it; write into a folder beside it"),
        (source, tmp_path / "file", "file: is a file, not a folder; name another target"),
        (
            source,
            tmp_path / "full",
            "full: holds files that no run of this command wrote; name a new folder",
        ),
    ):
        for act in (bandlimit_folder, estimate_bandlimiting):
            with pytest.raises(DatasetError) as refused:
                act(root, goal, OPTIONS)
            assert words in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["mine.txt"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": BandSet.parse("S-12")}, "bands S-24"),
        ({"restart_interval": 4, "metadata": "none"}, "metadata all, restart_interval None"),
        ({"non_jpegs": "copy"}, "non_jpegs skip"),
    ],
)
def test_other_options_in_one_target_are_refused(
    source: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    bandlimit_folder(source, tmp_path / "out", OPTIONS)
    before = tree(tmp_path / "out")
    with pytest.raises(DatasetError) as refused:
        bandlimit_folder(source, tmp_path / "out", dataclasses.replace(OPTIONS, **changes))
    assert f"was begun with other options ({words}); use these, or write into a new folder" in str(refused.value)
    assert tree(tmp_path / "out") == before


def test_the_same_bands_by_another_name_go_on(source: Path, tmp_path: Path) -> None:
    bandlimit_folder(source, tmp_path / "out", OPTIONS)
    renamed = BandSet("mine", tuple(reversed(S24.channels)))
    assert bandlimit_folder(source, tmp_path / "out", BandlimitOptions(renamed)).num_earlier == 6


def test_spoilt_state_is_named(source: Path, tmp_path: Path) -> None:
    bandlimit_folder(source, tmp_path / "out", OPTIONS)
    (tmp_path / "out" / STATE_NAME / "options.json").write_text("{", encoding="ascii")
    with pytest.raises(DatasetError, match=r"options\.json: cannot be understood \(.*\); write into a new folder"):
        bandlimit_folder(source, tmp_path / "out", OPTIONS)


def test_two_processes_do_not_share_a_target(source: Path, tmp_path: Path) -> None:
    with (
        locked_state(tmp_path / "out", OPTIONS),
        pytest.raises(FolderInUse, match=r"out: another process is band-limiting into it; wait until it ends"),
    ):
        bandlimit_folder(source, tmp_path / "out", OPTIONS)
    assert bandlimit_folder(source, tmp_path / "out", OPTIONS).num_bandlimited == 4


def test_a_full_disk_is_no_fault_of_a_file(source: Path, full_disk: Path) -> None:
    (source / "cat" / "large.bmp").write_bytes(bytes(300_000))
    with pytest.raises(OSError, match="No space left on device; free some space, or name a target on another") as full:
        bandlimit_folder(source, full_disk / "out", dataclasses.replace(OPTIONS, non_jpegs="copy"), threads=1)
    assert full.value.filename == str(full_disk / "out" / "cat" / "large.bmp")
    assert not list(full_disk.rglob("*.partial"))
    (source / "cat" / "large.bmp").unlink()
    report = bandlimit_folder(source, full_disk / "out", dataclasses.replace(OPTIONS, non_jpegs="copy"))
    assert (report.num_bandlimited, report.num_copied) == (4, 2)
    assert report.num_earlier >= 1


def test_a_defect_of_ours_names_the_file(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("does not read back")

    monkeypatch.setattr(bandlimiting, "bandlimit_jpeg", fail)
    with pytest.raises(RuntimeError, match="does not read back") as found:
        bandlimit_folder(source, tmp_path / "out", OPTIONS, threads=1)
    assert found.value.__notes__ == [f"file: {source / 'cat/a.jpg'}"]


def test_malformed_requests_are_the_callers(source: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, restart_interval=70000, on_error="stop")
    with pytest.raises(MalformedJpeg, match="a restart interval of 70000 MCUs"):
        bandlimit_folder(source, tmp_path / "out", options)


# -- the state of older versions ---------------------------------------------------------------------------------------


def test_the_state_of_older_versions_is_resumed(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = dataclasses.replace(OPTIONS, non_jpegs="copy")
    first = bandlimit_folder(source, out, options)
    journal, state = out / STATE_NAME / "files.jsonl", out / STATE_NAME / "options.json"
    journal.write_bytes(journal.read_bytes().replace(b'"bandlimited"', b'"thinned"'))
    saved = json.loads(state.read_bytes())
    saved["others"], saved["on_bad"] = saved.pop("non_jpegs"), saved.pop("on_error")
    state.write_text(json.dumps(saved), encoding="utf-8")
    again = bandlimit_folder(source, out, options)
    assert (again.num_earlier, again.num_bandlimited, again.num_copied) == (6, first.num_bandlimited, 2)
    assert b"thinned" not in journal.read_bytes()
    with pytest.raises(DatasetError, match=r"begun with other options \(non_jpegs copy\)"):
        bandlimit_folder(source, out, OPTIONS)
    state.write_text("[]", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"options\.json: cannot be understood"):
        bandlimit_folder(source, out, options)
