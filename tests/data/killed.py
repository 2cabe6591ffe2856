"""Work in child processes that are killed at random times, until one comes to the end."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tests.jpeg.small_files import pixels


def write_photos(root: Path, count: int, *, cut: int) -> None:
    """Write JPEGs of different sizes and kinds in folders, the one numbered ``cut`` cut short."""
    for index in range(count):
        path = root / f"class{index % 7}" / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        image = Image.fromarray(pixels(31 + index, 173 - index))
        image.save(file, "jpeg", quality=50 + index % 40, progressive=index % 5 == 0, subsampling=index % 3)
        contents = file.getvalue()
        path.write_bytes(contents[: len(contents) // 2] if index == cut else contents)


def kill_until_done(
    work: Callable[[Path, int], None],
    folder: Path,
    *,
    kills: int,
    longest: float,
    check: Callable[[Path, Path], None],
    count: Callable[[Path], int],
) -> None:
    """Work undisturbed, then with kills, and print as JSON what was met on the way.

    Args:
        work: works into a target; where the number is not 0, it is a handle to close once the first file is begun.
        folder: gets the targets ``straight`` and ``killed``.
        kills: at most.
        longest: seconds, drawn from 0 on, between that first file and a kill.
        check: asserts that whatever is whole in the second target equals the first.
        count: finished files of a target.
    """
    straight, target = folder / "straight", folder / "killed"
    assert _child(work, straight, None) == 0
    draws = random.Random(1)
    killed, writing, finished = 0, 0, []
    while killed < kills:
        if _child(work, target, draws.uniform(0.0, longest)) == 0:
            break
        killed += 1
        writing += any(target.rglob("*.partial"))
        finished.append(count(target))
        check(straight, target)
    assert _child(work, target, None) == 0
    check(straight, target)
    print(json.dumps({"killed": killed, "writing": writing, "finished": finished}))


def _child(work: Callable[[Path, int], None], target: Path, delay: float | None) -> int:
    """Work in a child; kill it after a delay counted from its first file. Give its status."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(target, 0 if delay is None else writing)
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
