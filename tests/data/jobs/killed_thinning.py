"""Thin a folder in child processes that are killed at random times, until one comes to the end. Run as a program.

Usage: python -m tests.data.jobs.killed_thinning FOLDER KILLS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.data.photos import write_photos
from tests.killed import kill_until_done

from prepixel.data.jobs import bandlimit_folder as thinning
from prepixel.data.jobs.bandlimit_folder import STATE_NAME, BandlimitOptions, bandlimit_folder
from prepixel.spectrum import BandSet

PAUSE = 0.004
OPTIONS = BandlimitOptions(BandSet.parse("S-24"), restart_rows=1, others="copy")


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many in the middle of a file, and the files then finished."""
    source = folder / "source"
    write_photos(source, 120, cut=50)
    (source / "labels.txt").write_text("000.jpg 3\n", encoding="ascii")

    def work(target: Path, begun: Callable[[], None] | None) -> None:
        if begun is not None:
            thinning.replace_file = _Slow(begun)  # type: ignore[assignment]
        bandlimit_folder(source, target, OPTIONS, threads=3)

    def count(target: Path) -> int:
        return sum(1 for path in target.rglob("*.jpg") if not path.name.startswith("."))

    kill_until_done(work, folder, kills=kills, longest=0.03, count=count, check=_assert_whole)


def _assert_whole(straight: Path, target: Path) -> None:
    for path in target.rglob("*"):
        name = path.relative_to(target)
        if path.is_file() and STATE_NAME not in name.parts and not path.name.endswith(".partial"):
            assert path.read_bytes() == (straight / name).read_bytes(), name


class _Slow:
    """Writes one half, waits, writes the other: most of a child's life is spent in the middle of files."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self.begun = begun

    def __call__(self, path: Path, contents: bytes) -> None:
        self.begun()
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            file.write(contents[: len(contents) // 2])
            file.flush()
            time.sleep(PAUSE)
            file.write(contents[len(contents) // 2 :])
        partial.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
