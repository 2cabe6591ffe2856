"""Thin a folder in child processes that are killed at random times, until one comes to the end. Run as a program.

Usage: python -m tests.data.killed_thinning FOLDER KILLS
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from PIL import Image
from tests.jpeg.small_files import pixels

from prepixel.data import thinning
from prepixel.data.thinning import STATE_NAME, ThinOptions, thin_folder
from prepixel.spectrum import BandSet

PAUSE = 0.004
OPTIONS = ThinOptions(BandSet.parse("S-24"), restart_rows=1, others="copy")


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many in the middle of a file, and the files then finished."""
    source = folder / "source"
    write_source(source)
    assert _child(source, folder / "straight", None) == 0
    draws = random.Random(1)
    target = folder / "killed"
    killed, writing, finished = 0, 0, []
    while killed < kills:
        if _child(source, target, draws.uniform(0.0, 0.03)) == 0:
            break
        killed += 1
        writing += any(target.rglob("*.partial"))
        finished.append(sum(1 for path in target.rglob("*.jpg") if not path.name.startswith(".")))
        _assert_whole(folder / "straight", target)
    assert _child(source, target, None) == 0
    print(json.dumps({"killed": killed, "writing": writing, "finished": finished}))


def write_source(root: Path) -> None:
    """Write 120 JPEGs of different sizes in folders, one that is cut, and one file that is no JPEG."""
    for index in range(120):
        path = root / f"class{index % 7}" / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        image = Image.fromarray(pixels(31 + index, 173 - index))
        image.save(file, "jpeg", quality=50 + index % 40, progressive=index % 5 == 0, subsampling=index % 3)
        contents = file.getvalue()
        path.write_bytes(contents[: len(contents) // 2] if index == 50 else contents)
    (root / "labels.txt").write_text("000.jpg 3\n", encoding="ascii")


def _assert_whole(straight: Path, target: Path) -> None:
    for path in target.rglob("*"):
        name = path.relative_to(target)
        if path.is_file() and STATE_NAME not in name.parts and not path.name.endswith(".partial"):
            assert path.read_bytes() == (straight / name).read_bytes(), name


def _child(source: Path, target: Path, delay: float | None) -> int:
    """Thin in a child; kill it after a delay counted from its first file."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            thinning.replace_file = _Slow(writing) if delay is not None else thinning.replace_file  # type: ignore[assignment]
            thin_folder(source, target, OPTIONS, threads=3)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)  # comes back when the child closes its end, or ends
    os.close(reading)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


class _Slow:
    """Writes one half, waits, writes the other: most of a child's life is spent in the middle of files."""

    def __init__(self, signal_of_life: int) -> None:
        self.signal_of_life = signal_of_life

    def __call__(self, path: Path, contents: bytes) -> None:
        if self.signal_of_life:
            os.close(self.signal_of_life)
            self.signal_of_life = 0
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            file.write(contents[: len(contents) // 2])
            file.flush()
            time.sleep(PAUSE)
            file.write(contents[len(contents) // 2 :])
        partial.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
