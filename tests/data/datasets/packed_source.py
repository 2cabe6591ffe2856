"""A source of photos and its shards, for tests of reading shards."""

from __future__ import annotations

from pathlib import Path

from tests.data.jobs.killed_packing import write_source

from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.spectrum import BandSet

BANDS = BandSet.parse("S-24")


def make_source(folder: Path) -> Path:
    """Write 37 photos, one of them cut, and a PNG; return their folder."""
    source = folder / "source"
    write_source(source, 37)
    return source


def make_shards(source: Path) -> Path:
    """Pack a source to shards of 11 samples beside it; return their folder."""
    pack_source(open_source(source), source.parent / "s24", PackOptions(BANDS, shard_size=11))
    return source.parent / "s24"
