"""A power cut at any moment: what counts as finished is whole, and the next run ends with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.photos import write_photos
from tests.power_cut import SyncedDisk

from prepixel.data import PackedDataset
from prepixel.data.datasets.shard_index import JOURNAL, read_manifest
from prepixel.data.jobs import bandlimit_folder as bandlimiting
from prepixel.data.jobs.bandlimit_folder import STATE_NAME, BandlimitOptions, bandlimit_folder
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.spectrum import BandSet

BANDS = BandSet.parse("S-24")


def tree(root: Path) -> dict[str, bytes]:
    """Read every file but locks and what a killed run may leave."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".prepixel-")
    }


def cut_everywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Path], object],
    check: Callable[[Path], int],
) -> list[int]:
    """Work undisturbed, cut the power after every sync, work on what is left, and compare; give what was finished."""
    root = tmp_path / "disk"
    root.mkdir()
    cuts: list[Path] = []
    with monkeypatch.context() as patched:
        disk = SyncedDisk(root, patched)

        def cut() -> None:
            cuts.append(tmp_path / f"cut{disk.num_syncs:03}")
            disk.write_survivors(cuts[-1])

        disk.after_sync = cut
        work(root / "out")
        disk.close()
    finished = []
    for place in cuts:
        (place / "out").mkdir(exist_ok=True)
        finished.append(check(place / "out"))
        work(place / "out")
        assert tree(place / "out") == tree(root / "out"), place.name
    return finished


def test_packing_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "source", 9, cut=4)
    options = PackOptions(BANDS, shard_size=4)

    def check(target: Path) -> int:
        manifest = read_manifest(target)
        if manifest is None:
            return 0
        if not (target / JOURNAL).exists() and len(manifest.finished) == 3:
            PackedDataset(target).verify()
        return len(manifest.finished)

    finished = cut_everywhere(
        tmp_path,
        monkeypatch,
        lambda target: pack_source(open_source(tmp_path / "source"), target, options, threads=1),
        check,
    )
    assert finished == sorted(finished)
    assert set(finished) == {0, 1, 2, 3}


def test_band_limiting_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "source", 9, cut=4)
    monkeypatch.setattr(bandlimiting, "_BATCH", 3)

    def check(target: Path) -> int:
        journal = target / STATE_NAME / "files.jsonl"
        rows = [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]] if journal.exists() else []
        for row in rows:
            if row["kind"] == "bandlimited":
                assert (target / row["path"]).stat().st_size == row["after"] > 0
        return len(rows)

    finished = cut_everywhere(
        tmp_path,
        monkeypatch,
        lambda target: bandlimit_folder(tmp_path / "source", target, BandlimitOptions(BANDS), threads=1),
        check,
    )
    assert {0, 3, 6, 9} <= set(finished)
