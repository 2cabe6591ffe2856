"""Packing into shards: estimated, resumed, appended to, refused where it would mix, and the same bytes every time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.jpeg.small_files import by_pillow
from tests.killed import run_killed

from prepixel.data import DatasetError, PackedDataset
from prepixel.data.jobs.pack_dataset import PackOptions, estimate_packing, pack_source
from prepixel.data.jobs.pack_sources import open_source, shuffle_source
from prepixel.errors import FolderInUse, TruncatedJpeg, UnreadableImage
from prepixel.folder_lock import directory_lock
from prepixel.spectrum import BandSet

S24, S6 = BandSet.parse("S-24"), BandSet.parse("S-6")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", 29)
    return tmp_path / "source"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    assert run_killed("tests.data.jobs.killed_packing", tmp_path)["writing"] >= 3


def test_bytes_do_not_depend_on_threads_or_place(source: Path, tmp_path: Path) -> None:
    reports = [
        pack_source(open_source(source), tmp_path / f"threads{threads}", OPTIONS, threads=threads)
        for threads in (1, 2, 8)
    ]
    first, second, third = (contents(tmp_path / f"threads{threads}") for threads in (1, 2, 8))
    assert first == second == third
    assert sorted(first) == [
        "classes.txt",
        "manifest.json",
        *(f"shard-00000{i}.{e}" for i in (0, 1) for e in ("jsonl", "tar")),
    ]
    shutil.move(source, tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "again")
    shutil.copytree(tmp_path / "again", source)
    pack_source(open_source(source), tmp_path / "moved", OPTIONS)
    assert contents(tmp_path / "moved") == first
    (report, *_) = reports
    assert (report.num_samples, report.num_packed, report.num_stored, report.num_earlier) == (30, 28, 1, 0)
    assert (report.num_shards, [file.source for file in report.bad]) == (2, ["class6/020.jpg"])
    assert report.bad[0].kind == "TruncatedJpeg"
    assert report.bad[0].message.startswith("class6/020.jpg, byte ")
    assert report.bytes_on_disk == sum(len(file) for name, file in first.items() if name.endswith("tar"))
    assert 0 < report.ratio < 1


def test_a_second_run_does_nothing_and_a_lost_shard_is_made_again(source: Path, tmp_path: Path) -> None:
    target, seen = tmp_path / "shards", []
    pack_source(open_source(source), target, OPTIONS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 30) for i in range(1, 31)]
    before = contents(target)
    times = {path.name: path.stat().st_mtime_ns for path in target.glob("shard*")}
    again = pack_source(open_source(source), target, OPTIONS)
    assert again.num_earlier == again.num_samples == 30
    assert {path.name: path.stat().st_mtime_ns for path in target.glob("shard*")} == times
    (target / "shard-000001.jsonl").unlink()
    for number in (1, 9):
        (target / f".prepixel-{number:012}.partial").write_bytes(b"half")
    assert estimate_packing(open_source(source), target, OPTIONS).num_finished == 17
    assert pack_source(open_source(source), target, OPTIONS).num_earlier == 17
    assert contents(target) == before


def test_another_source_is_added_behind(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"
    pack_source(open_source(source), target, OPTIONS)
    first = contents(target)
    names = [f"class{i}" for i in range(7)]
    (tmp_path / "more" / "class5").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "more" / "class5" / f"{i}.jpg").write_bytes(by_pillow(quality=30 + i))
    more = open_source(tmp_path / "more", class_names=names)
    with pytest.raises(DatasetError, match=r"was packed from another source, or more has changed; .* use --append"):
        pack_source(more, target, OPTIONS)
    for _ in range(2):  # a second time there is nothing to do
        report = pack_source(more, target, OPTIONS, append=True)
        assert (report.num_samples, report.num_shards) == (3, 1)
    after = contents(target)
    assert {name: after[name] for name in first if name != "manifest.json"} == {
        name: file for name, file in first.items() if name != "manifest.json"
    }
    packed = PackedDataset(target)
    assert len(packed) == 29 + 3
    assert [sample.label for sample in packed.samples][-3:] == [5, 5, 5]
    assert packed.samples[-1].path.endswith("shard-000002.tar/00000032.ppx")
    assert pack_source(open_source(source), target, OPTIONS).num_earlier == 30  # the first part is known still
    with pytest.raises(
        DatasetError, match=r"its 7 classes are not the 1 of more; name them by --classes .*classes\.txt"
    ):
        pack_source(open_source(tmp_path / "more"), target, OPTIONS, append=True)
    (target / "shard-000002.jsonl").unlink()
    (tmp_path / "more" / "class5" / "3.jpg").write_bytes(by_pillow())
    with pytest.raises(DatasetError, match="shard-000002 is not finished; let that run come to its end first"):
        pack_source(open_source(tmp_path / "more", class_names=names), target, OPTIONS, append=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PackOptions(S6, shard_size=17), "bands S-24"),
        (PackOptions(S24, "none", shard_size=17), "compression zstd, level 1"),
        (PackOptions(S24, level=4, shard_size=17), "level 1"),
        (PackOptions(S24), "shard_size 17"),
        (PackOptions(S24, shard_size=17, on_error="skip"), "on_error store"),
    ],
)
def test_other_options_are_refused(options: PackOptions, words: str, source: Path, tmp_path: Path) -> None:
    pack_source(open_source(source), tmp_path / "shards", OPTIONS)
    before = contents(tmp_path / "shards")
    text = rf"was begun with other options \({words}\); use these, or pack into a new folder"
    with pytest.raises(DatasetError, match=text):
        pack_source(open_source(source), tmp_path / "shards", options)
    assert contents(tmp_path / "shards") == before


def test_strange_targets_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear\n", encoding="ascii")
    with pytest.raises(DatasetError, match="used: holds files that packing did not write"):
        pack_source(open_source(source), tmp_path / "used", OPTIONS)
    assert contents(tmp_path / "used") == {"letter.txt": b"dear\n"}
    with pytest.raises(DatasetError, match=r"letter\.txt: is a file, not a folder"):
        estimate_packing(open_source(source), tmp_path / "used" / "letter.txt", OPTIONS)
    (tmp_path / "taken").mkdir()
    with (
        directory_lock(tmp_path / "taken", "packing into"),
        pytest.raises(FolderInUse, match="another process is packing into"),
    ):
        pack_source(open_source(source), tmp_path / "taken", OPTIONS)


def test_what_cannot_be_packed_follows_the_policy(source: Path, tmp_path: Path) -> None:
    (source / "class3" / "inks.jpg").write_bytes(by_pillow("CMYK"))
    (source / "class3" / "no.jpg").write_bytes(b"no image")
    stored = pack_source(open_source(source), tmp_path / "store", PackOptions(S24))
    assert (stored.num_packed, stored.num_stored) == (28, 2)
    assert [file.source for file in stored.bad] == ["class3/no.jpg", "class6/020.jpg"]
    skipped = pack_source(open_source(source), tmp_path / "skip", PackOptions(S24, on_error="skip"))
    assert [file.source for file in skipped.bad] == [
        "class3/inks.jpg",
        "class3/no.jpg",
        "class3/other.png",
        "class6/020.jpg",
    ]
    assert "has no YCbCr coefficients to pack; convert it to JPEG, or store it" in skipped.bad[0].message
    with pytest.raises(UnreadableImage, match=r"class3/inks\.jpg: has no YCbCr coefficients"):
        pack_source(open_source(source), tmp_path / "stop", PackOptions(S24, on_error="stop"), threads=1)
    assert [path.name for path in (tmp_path / "stop").glob("*shard*")] == []
    for name in ("inks.jpg", "no.jpg", "other.png"):
        (source / "class3" / name).unlink()
    with pytest.raises(TruncatedJpeg, match=r"^class6/020\.jpg, byte"):
        pack_source(open_source(source), tmp_path / "stop2", PackOptions(S24, on_error="stop"))


def test_the_forecast_is_near_what_comes(source: Path, tmp_path: Path) -> None:
    estimate = estimate_packing(open_source(source), tmp_path / "shards", OPTIONS, threads=1)
    assert not (tmp_path / "shards").exists()
    report = pack_source(open_source(source), tmp_path / "shards", OPTIONS)
    assert (estimate.num_files, estimate.num_finished) == (30, 0)
    assert estimate.num_sampled >= 20
    assert abs(estimate.ratio - report.ratio) < 0.05
    assert estimate.seconds > 0
    left = estimate_packing(open_source(source), tmp_path / "shards", OPTIONS)
    assert (left.num_finished, left.num_bytes_left, left.num_sampled, left.ratio) == (30, 0, 0, 0)


def test_a_full_disk_leaves_whole_shards_alone(source: Path, tmp_path: Path, full_disk: Path) -> None:
    pack_source(open_source(source), tmp_path / "straight", OPTIONS)
    target, ballast = full_disk / "shards", full_disk / "ballast"
    free = 128 * 1024 - 6 * 4096 - (tmp_path / "straight" / "shard-000000.tar").stat().st_size
    ballast.write_bytes(bytes(free))
    with pytest.raises(OSError, match="No space left on device; free some space, or name a target on another") as full:
        pack_source(open_source(source), target, OPTIONS, threads=2)
    assert full.value.filename == str(target / "shard-000001.tar")
    assert sorted(contents(target)) == ["classes.txt", "manifest.json", "shard-000000.jsonl", "shard-000000.tar"]
    ballast.unlink()
    pack_source(open_source(source), target, OPTIONS)
    assert contents(target) == contents(tmp_path / "straight")


def test_images_are_packed_in_random_order_by_a_seed(source: Path, tmp_path: Path) -> None:
    plain = open_source(source)
    pack_source(plain, tmp_path / "plain", OPTIONS, threads=1)
    for target in ("one", "again"):
        pack_source(shuffle_source(plain, 3), tmp_path / target, OPTIONS, threads=2)
    pack_source(shuffle_source(plain, 4), tmp_path / "other", OPTIONS, threads=1)
    names = {name: PackedDataset(tmp_path / name).names() for name in ("plain", "one", "again", "other")}
    assert names["one"] == names["again"]
    assert len({tuple(found) for found in names.values()}) == 3
    assert len({tuple(sorted(found)) for found in names.values()}) == 1
    files = PackedDataset(tmp_path / "one")
    labels = dict(zip(names["one"], (sample.label for sample in files.samples), strict=True))
    assert all(label == plain.classes.index(name.split("/")[0]) for name, label in labels.items())
    again = pack_source(shuffle_source(plain, 3), tmp_path / "one", OPTIONS, threads=1)
    assert again.num_earlier == len(plain.entries)
    with pytest.raises(DatasetError, match="was packed from another source"):
        pack_source(plain, tmp_path / "one", OPTIONS, threads=1)
