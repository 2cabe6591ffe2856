"""Thin a folder in child processes that are killed at random steps, until one comes to the end. Run as a program.

Usage: python -m tests.data.jobs.killed_bandlimiting FOLDER KILLS
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.photos import write_photos
from tests.killed import kill_until_done

from prepixel import files
from prepixel.data.jobs import bandlimit_folder as bandlimiting
from prepixel.data.jobs.bandlimit_folder import STATE_NAME, BandlimitOptions, bandlimit_folder
from prepixel.spectrum import BandSet

OPTIONS = BandlimitOptions(BandSet.parse("S-24"), restart_rows=1, non_jpegs="copy")


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many in the middle of a file, and the files then finished."""
    source = folder / "source"
    write_photos(source, 120, cut=50)
    (source / "labels.txt").write_text("000.jpg 3\n", encoding="ascii")

    def work(target: Path, step: Callable[[], None] | None) -> None:
        if step is not None:
            bandlimiting._BATCH = 4
            files._ErrorKeepingFile.write = _in_halves(step)  # type: ignore[method-assign]
        bandlimit_folder(source, target, OPTIONS, threads=3)

    def count(target: Path) -> int:
        return sum(1 for path in target.rglob("*.jpg") if not path.name.startswith("."))

    kill_until_done(work, folder, kills=kills, steps=24, count=count, check=_assert_whole)


def _assert_whole(straight: Path, target: Path) -> None:
    for path in target.rglob("*"):
        name = path.relative_to(target)
        if path.is_file() and STATE_NAME not in name.parts and not path.name.startswith("."):
            assert path.read_bytes() == (straight / name).read_bytes(), name


def _in_halves(step: Callable[[], None]) -> Callable[[Any, bytes], int]:
    """Return a write whose step, at which a child may be killed, lies between two halves of the contents."""
    write = files._ErrorKeepingFile.write

    def halves(file: Any, contents: bytes) -> int:
        half = write(file, contents[: len(contents) // 2])
        step()
        return half + write(file, contents[half:])

    return halves


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
