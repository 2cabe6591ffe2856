"""Pack a folder in child processes that are killed at random times, until one comes to the end. Run as a program.

Usage: python -m tests.data.killed_packing FOLDER KILLS
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
from typing import Any

from PIL import Image
from tests.jpeg.small_files import pixels

from prepixel.data.pack_sources import open_source
from prepixel.data.packing import PackOptions, pack_source
from prepixel.data.shards import ShardWriter
from prepixel.spectrum import BandSet

PAUSE = 0.001
OPTIONS = PackOptions(BandSet.parse("S-24"), shard_size=17)


def main(folder: Path, kills: int) -> None:
    """Print, as JSON, how many children were killed, how many inside a shard, and the shards then finished."""
    source = folder / "source"
    write_source(source, 120)
    assert _child(source, folder / "straight", None) == 0
    draws = random.Random(1)
    target = folder / "killed"
    killed, writing, finished = 0, 0, []
    while killed < kills:
        if _child(source, target, draws.uniform(0.0, 0.06)) == 0:
            break
        killed += 1
        writing += any(target.glob(".*.partial"))
        finished.append(sum(1 for _ in target.glob("*.jsonl")))
        _assert_whole(folder / "straight", target)
    assert _child(source, target, None) == 0
    _assert_whole(folder / "straight", target)
    names = [sorted(path.name for path in (folder / name).iterdir()) for name in ("straight", "killed")]
    assert names[0] == names[1]
    print(json.dumps({"killed": killed, "writing": writing, "finished": finished}))


def write_source(root: Path, count: int) -> None:
    """Write JPEGs of different sizes in folders, the one numbered 20 cut, and a PNG."""
    for index in range(count):
        path = root / f"class{index % 7}" / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        image = Image.fromarray(pixels(31 + index, 173 - index))
        image.save(file, "jpeg", quality=50 + index % 40, progressive=index % 5 == 0, subsampling=index % 3)
        contents = file.getvalue()
        path.write_bytes(contents[: len(contents) // 2] if index == 20 else contents)
    Image.fromarray(pixels(29, 47)).save(root / "class3" / "other.png")


def _assert_whole(straight: Path, target: Path) -> None:
    for path in target.iterdir():
        if not path.name.endswith(".partial"):
            assert path.read_bytes() == (straight / path.name).read_bytes(), path.name


class _Slow(ShardWriter):
    """Waits before each sample: most of a child's life is spent in the middle of shards."""

    signal_of_life = 0

    def add(self, *words: Any) -> None:
        if _Slow.signal_of_life:
            os.close(_Slow.signal_of_life)
            _Slow.signal_of_life = 0
        super().add(*words)
        self._file.flush()
        time.sleep(PAUSE)


def _child(source: Path, target: Path, delay: float | None) -> int:
    """Pack in a child; kill it after a delay counted from its first sample."""
    from prepixel.data import packing

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            if delay is not None:
                _Slow.signal_of_life = writing
                packing.ShardWriter = _Slow  # type: ignore[misc, attr-defined]
            pack_source(open_source(source), target, OPTIONS, threads=3)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
