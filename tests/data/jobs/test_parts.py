"""Jobs in parts: in any order, repeated, killed and resumed, they merge to the bytes of one undisturbed run."""

from __future__ import annotations

import contextlib
import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.data.photos import write_photos
from tests.small_photos import Captured

from prepixel.cli import main
from prepixel.data import FolderDataset, PackedDataset, parallel
from prepixel.data.datasets.shard_index import ShardRow
from prepixel.data.datasets.shards import ShardWriter
from prepixel.data.executors import LocalExecutor
from prepixel.data.jobs import bandlimit_units as bandlimiting
from prepixel.data.jobs import pack_units as packing
from prepixel.data.jobs import scan_units as scanning
from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.scan import ScanTally, scan_folder
from prepixel.data.loading import statistics_units as measuring
from prepixel.data.loading.channel_statistics import measure_statistics
from prepixel.data.units import RECORDS, PartNumber
from prepixel.errors import DatasetError, MalformedJpeg
from prepixel.spectrum import BandSet, Statistics
from prepixel.spectrum.statistics_tree import StatisticsTree, statistics_from_json, statistics_to_json

S6 = BandSet.parse("S-6")
PARTS = [PartNumber(index, 3) for index in (3, 1, 2)]


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bandlimiting, scanning, measuring):
        monkeypatch.setattr(module, "UNIT_SIZE", 7)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write_source(root, 60)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".prepixel-lock"
    }


def test_packing_in_parts_leaves_the_bytes_of_one_run(source: Path, tmp_path: Path) -> None:
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    target = tmp_path / "parts"
    for part in PARTS[:2]:
        assert packing.pack_units(open_source(source), target, OPTIONS, part=part) is None
    with pytest.raises(DatasetError, match=r"parts: 1 of 4 shards are not finished \(shard-000001\); run their parts"):
        packing.merge_packed(target)
    with pytest.raises(DatasetError, match=r"shard-000000, one of 4, is missing; .* after all parts: prepixel merge"):
        PackedDataset(target)
    before = {path.name: path.stat().st_mtime_ns for path in target.glob("shard*")}
    for part in [*PARTS, PARTS[0]]:  # those that are done do nothing
        packing.pack_units(open_source(source), target, OPTIONS, part=part)
    assert {path.name: path.stat().st_mtime_ns for path in target.glob("shard*") if path.name in before} == before
    (target / ".prepixel-0123456789ab.partial").write_bytes(b"of a part that was killed")
    report = packing.merge_packed(target)
    assert tree(target) == tree(tmp_path / "one")
    assert (report.num_samples, len(report.bad)) == (61, 1)
    assert PackedDataset(target).verify() is None


def test_packing_again_what_is_merged_changes_nothing(source: Path, tmp_path: Path) -> None:
    for _ in range(2):
        report = packing.pack_units(open_source(source), tmp_path / "shards", OPTIONS)
        assert report is not None
    assert (report.num_samples, report.num_earlier) == (61, 61)
    assert packing.pack_units(open_source(source), tmp_path / "shards", OPTIONS, part=PARTS[0]) is None
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    assert PackedDataset(tmp_path / "shards").verify() is None
    packing.merge_packed(tmp_path / "shards")
    assert tree(tmp_path / "shards") == tree(tmp_path / "one")


def test_parts_of_a_further_source_keep_what_was_merged_before(source: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "more", 30, cut=3)
    more = open_source(tmp_path / "more", class_names=open_source(source).classes)
    for target, pack in ((tmp_path / "one", pack_source), (tmp_path / "parts", packing.pack_units)):
        pack(open_source(source), target, OPTIONS)
    pack_source(more, tmp_path / "one", OPTIONS, append=True)
    for part in PARTS:
        packing.pack_units(more, tmp_path / "parts", OPTIONS, part=part, append=True)
    packing.merge_packed(tmp_path / "parts")
    assert tree(tmp_path / "parts") == tree(tmp_path / "one")
    assert len(PackedDataset(tmp_path / "parts")) == 60 + 29


def test_a_shard_without_its_record_does_not_count_and_a_lost_one_is_packed_again(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "parts"
    for part in PARTS:
        packing.pack_units(open_source(source), target, OPTIONS, part=part)
    (target / RECORDS / "unit-00000002.json").unlink()
    (target / "shard-000000.tar").unlink()
    with pytest.raises(DatasetError, match=r"2 of 4 shards are not finished \(shard-000000, shard-000002\)"):
        packing.merge_packed(target)
    pack_source(open_source(source), target, OPTIONS)  # a run on one machine takes over what parts have finished
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    assert tree(target) == tree(tmp_path / "one")


def test_parts_of_another_source_or_with_other_options_are_refused(source: Path, tmp_path: Path) -> None:
    packing.pack_units(open_source(source), tmp_path / "parts", OPTIONS, part=PARTS[0])
    write_photos(tmp_path / "other", 30, cut=3)
    with pytest.raises(DatasetError, match="was packed from another source"):
        packing.pack_units(
            open_source(tmp_path / "other", class_names=open_source(source).classes),
            tmp_path / "parts",
            OPTIONS,
            part=PARTS[1],
        )
    scanning.scan_units(source, tmp_path / "scan", part=PARTS[0])
    with pytest.raises(DatasetError, match="belongs to another run"):
        scanning.scan_units(tmp_path / "other", tmp_path / "scan", part=PARTS[0])


def test_band_limiting_in_parts_leaves_the_bytes_of_one_run(source: Path, tmp_path: Path) -> None:
    options = BandlimitOptions(S6, non_jpegs="copy")
    bandlimit_folder(source, tmp_path / "one", options)
    target = tmp_path / "parts"
    for part in PARTS[:2]:
        assert bandlimiting.bandlimit_units(source, target, options, part=part) is None
    with pytest.raises(DatasetError, match=r"units are not finished \(3, 4, 5\)"):
        bandlimiting.merge_bandlimited(target)
    victim = next(path for path in sorted(target.rglob("*.jpg")))
    victim.unlink()  # a lost file is made again
    for part in PARTS:
        bandlimiting.bandlimit_units(source, target, options, part=part)
    report = bandlimiting.merge_bandlimited(target)
    assert tree(target) == tree(tmp_path / "one")
    assert (report.num_files, report.num_copied, len(report.bad)) == (61, 1, 1)


def test_a_run_on_one_machine_goes_on_where_parts_were_left(source: Path, tmp_path: Path) -> None:
    options = BandlimitOptions(S6)
    bandlimit_folder(source, tmp_path / "one", options)
    bandlimiting.bandlimit_units(source, tmp_path / "parts", options, part=PARTS[1])
    report = bandlimit_folder(source, tmp_path / "parts", options)
    assert report.num_earlier == 21
    assert tree(tmp_path / "parts") == tree(tmp_path / "one")


def test_scans_in_parts_merge_to_the_report_of_one(source: Path, tmp_path: Path) -> None:
    for part in PARTS:
        assert scanning.scan_units(source, tmp_path / "records", part=part) is None
    merged, straight = scanning.merge_scans(tmp_path / "records"), scan_folder(source)
    assert vars(merged) | {"broken": ()} == vars(straight) | {"broken": ()}
    assert [(f.index, f.source, f.kind, f.message) for f in merged.broken] == [
        (f.index, f.source, f.kind, f.message) for f in straight.broken
    ]


def test_tallies_merge_in_any_grouping(source: Path) -> None:
    tallies = []
    for begin in range(0, 60, 9):
        tally, paths = ScanTally(), sorted(map(str, source.rglob("*.jpg")))
        for _ in scanning.scan_files(list(enumerate(paths))[begin : begin + 9], tally):
            pass
        tallies.append(ScanTally.from_json(json.loads(json.dumps(tally.to_json()))))
    left, right = ScanTally(), ScanTally()
    for tally in tallies:
        left = left.merge(tally)
    for tally in reversed(tallies):
        right = tally.merge(right)
    shuffled = random.Random(3).sample(tallies, len(tallies))
    mixed = shuffled[0].merge(shuffled[1]).merge(shuffled[2].merge(shuffled[3]))
    for tally in shuffled[4:]:
        mixed = mixed.merge(tally)
    assert left.to_json() == right.to_json() == mixed.to_json()


def test_statistics_in_parts_are_those_of_one_run_to_the_bit(source: Path, tmp_path: Path) -> None:
    settings = measuring.StatisticsSettings((4, 4), S6, on_error="skip")
    files = FolderDataset(source)
    straight = measuring.measure_units(files, settings)
    assert straight is not None
    for part in [*PARTS, PARTS[1]]:
        assert measuring.measure_units(files, settings, records=tmp_path / "records", part=part) is None
    merged = measuring.merge_statistics(tmp_path / "records")
    assert (merged.statistics.num_images, merged.num_images) == (60, 61)
    _assert_same(merged.statistics, straight)
    packed = _packed(source, tmp_path / "shards")
    one, parted = (
        measuring.measure_units(packed, settings),
        measuring.measure_units(packed, settings, executor=_Backward()),
    )
    assert one is not None
    assert parted is not None
    _assert_same(one, parted)
    old = measure_statistics(files, grid=(4, 4), bands=S6, on_error="skip")
    torch.testing.assert_close(straight.mean, old.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(straight.squares, old.squares, rtol=1e-12, atol=1e-12)


class _Backward(LocalExecutor):
    """Do the last unit first."""

    def run(self, function, units):  # type: ignore[no-untyped-def]
        return super().run(function, reversed(list(units)))


def _packed(source: Path, target: Path) -> PackedDataset:
    pack_source(open_source(source), target, OPTIONS)
    return PackedDataset(target)


def _assert_same(one: Statistics, other: Statistics) -> None:
    assert statistics_to_json(one) == statistics_to_json(other)


def test_a_tree_of_statistics_rounds_alike_in_any_order() -> None:
    torch.manual_seed(0)
    leaves = []
    for _ in range(13):
        leaf = Statistics.empty(S6, (2, 2))
        leaf.update(torch.randn(3, 6, 2, 2) * 100)
        leaves.append(statistics_from_json(json.loads(json.dumps(statistics_to_json(leaf)))))
    straight = StatisticsTree()
    for place, leaf in enumerate(leaves):
        straight.add(place, leaf)
    assert len(straight.nodes) == 3  # 8 + 4 + 1
    for seed in range(20):
        draws = random.Random(seed)
        trees = [StatisticsTree() for _ in range(4)]
        for place in draws.sample(range(13), 13):
            trees[draws.randrange(4)].add(place, leaves[place])
        merged = StatisticsTree()
        for piece in draws.sample(trees, 4):
            merged = piece.merge(merged)
        _assert_same(merged.total(), straight.total())


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("pack", ["--bands", "S-6", "--shard-size", "17"]),
        ("bandlimit", ["--bands", "S-6"]),
        ("scan", []),
        ("stats", ["--grid", "4", "4", "--bands", "S-6", "--skip-bad"]),
    ],
)
def test_commands_in_parts_and_merged(
    command: str, options: list[str], source: Path, tmp_path: Path, capsys: Captured
) -> None:
    def words(name: str) -> list[str]:
        target = tmp_path / name
        return [str(source), str(target)] if command in {"pack", "bandlimit"} else [str(source), "-o", f"{target}.json"]

    assert main([command, *words("one"), *options]) == 1
    capsys.readouterr()
    for part in ("2/2", "1/2"):
        assert main([command, *words("parts"), *options, "--part", part]) == 0
        out = capsys.readouterr().out
        assert f"part             {part} is done\nafter all parts  prepixel merge {tmp_path / 'parts'}" in out
    assert main(["merge", words("parts")[-1]]) == 1  # a photo is broken
    assert "TruncatedJpeg" in capsys.readouterr().out or command == "stats"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(words(n)[-1]).name for n in ("one", "parts"))
    if command in {"pack", "bandlimit"}:
        assert tree(tmp_path / "parts") == tree(tmp_path / "one")
    else:
        assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "one.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pack", "a", "b", "--part", "0/3"], "argument --part: '0/3' is no part; give I/N with I from 1 to N"),
        (["pack", "a", "b", "--part", "1/3", "--engine", "ray"], "--part and --engine ray: both distribute the work"),
        (["stats", ".", "--grid", "2", "2", "-o", "s.json", "--address", "auto"], "--address names a Ray cluster"),
        (["scan", ".", "--part", "1/2"], "--part and --engine ray keep records beside the report; name it by --output"),
        (["merge", "nothing"], "nothing: there are no parts to merge; name the DEST or --output of the parts"),
    ],
)
def test_what_cannot_be_distributed_is_named(words: list[str], message: str, capsys: Captured) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"prepixel: {message}")


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_error_of_a_unit_and_an_interrupt_do_not_wait_for_another_units_images(
    interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first unit packs its second image while the other one fails, or is done and the caller is interrupted."""
    write_photos(tmp_path / "source", 34, cut=-1)
    source = open_source(tmp_path / "source")
    if not interrupted:
        Path(source.entries[17].path).write_bytes(b"\xff\xd8" + bytes(source.entries[17].size - 2))
    added: list[str] = []

    class Waiting(ShardWriter):
        def add(self, row: ShardRow, image: bytes, ending: str, metadata: dict[str, Any]) -> None:
            if int(row.key) < 17:
                added.append(row.key)
                if len(added) == 2:
                    deadline = time.monotonic() + 60
                    while not parallel._THREAD.is_stopped() and time.monotonic() < deadline:
                        time.sleep(0.001)
            super().add(row, image, ending, metadata)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "ShardWriter", Waiting)
    if interrupted:  # units pack one after another; the second one is let through
        monkeypatch.setattr(packing, "_ONE_PACKS", contextlib.nullcontext())
    options = replace(OPTIONS, on_error="stop")
    with pytest.raises(KeyboardInterrupt if interrupted else MalformedJpeg):
        packing.pack_units(
            source, tmp_path / "shards", options, executor=LocalExecutor(2), progress=interrupt if interrupted else None
        )
    assert len(added) <= 2
    assert {path.name for path in (tmp_path / "shards").glob("shard-*")} == (
        {"shard-000001.tar", "shard-000001.jsonl"} if interrupted else set()
    )
