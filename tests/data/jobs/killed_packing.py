"""Pack a folder in child processes that are killed at random steps, until one comes to the end. Run as a program.

Usage: python -m tests.data.jobs.killed_packing FOLDER KILLS
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from tests.data.photos import write_photos
from tests.jpeg.small_files import pixels
from tests.killed import kill_until_done

from prepixel.data.datasets.shard_index import JOURNAL, MANIFEST
from prepixel.data.datasets.shards import ShardWriter
from prepixel.data.jobs import pack_dataset as packing
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.spectrum import BandSet

OPTIONS = PackOptions(BandSet.parse("S-24"), shard_size=17)


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many inside a shard, and the shards then finished."""
    source = folder / "source"
    write_source(source, 120)

    def work(target: Path, step: Callable[[], None] | None) -> None:
        if step is not None:
            _InSteps.step = staticmethod(step)
            packing.ShardWriter = _InSteps  # type: ignore[misc, attr-defined]
        pack_source(open_source(source), target, OPTIONS, threads=3)

    def count(target: Path) -> int:
        return sum(1 for _ in target.glob("*.jsonl"))

    kill_until_done(work, folder, kills=kills, steps=30, count=count, check=_assert_whole)
    names = [
        sorted(path.name for path in (folder / name).iterdir() if path.name != ".prepixel-lock")
        for name in ("straight", "killed")
    ]
    assert names[0] == names[1]


def write_source(root: Path, count: int) -> None:
    """Write photos, the one numbered 20 cut, and a PNG."""
    write_photos(root, count, cut=20)
    Image.fromarray(pixels(29, 47)).save(root / "class3" / "other.png")


def _assert_whole(straight: Path, target: Path) -> None:
    for path in target.iterdir():
        # the manifest gets the shards' checksums at the end
        if not path.name.startswith(".") and (path.name != MANIFEST or not (target / JOURNAL).exists()):
            assert path.read_bytes() == (straight / path.name).read_bytes(), path.name


class _InSteps(ShardWriter):
    """Make a step, at which a child may be killed, behind each sample: most of them lie inside shards."""

    step: Callable[[], None]

    def add(self, *words: Any) -> None:
        super().add(*words)
        self._target.file.flush()
        _InSteps.step()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
