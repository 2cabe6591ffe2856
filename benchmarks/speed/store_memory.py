"""Measure the memory that packing takes which lists a million objects of a store, and how long listing takes.

benchmarks/object_server.py makes the listing up: classes of 1,000 objects, whose contents are those of a few small
photos. The command ``prepixel pack`` lists them, packs one part of ten on one thread, and writes its shards to the
store; the peak resident memory of its process is reported beside that for a hundredth of the objects. Then it packs
the next part by the listing that the first one saved, and at last all objects.

    python -m benchmarks.speed.store_memory -n 1
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import arguments, photos
from benchmarks.object_server import object_server
from PIL import Image

from prepixel.records import TimingRow, append_records

QUESTION = "store memory"
MIB = 1 << 20
SIDE = 32


def write_small(paths: Sequence[Path], root: Path) -> None:
    """Write photos of few bytes: what is measured is the listing, not decoding."""
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            image.convert("RGB").resize((SIDE, SIDE)).save(root / f"{number:03}.jpg", quality=75)


def pack(url: str, target: str, listing: Path, part: str = "") -> tuple[float, float]:
    """Pack a part, or all; return the peak resident memory of the process in MiB, and its seconds."""
    environment = os.environ | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    command = [
        sys.executable,
        "-m",
        "prepixel.cli",
        "pack",
        "s3://made/photos",
        f"s3://made/{target}",
        "--threads",
        "1",
    ]
    command += ["--listing", str(listing), *(["--part", part] if part else [])]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"packing ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024 / MIB, time.perf_counter() - start


def main() -> None:
    """Measure both numbers of objects."""
    options = arguments(__doc__)
    most = options.files or 1_000_000
    rows = []
    for count in (most // 100, most):
        with tempfile.TemporaryDirectory(prefix="prepixel-memory-") as name:
            root = Path(name)
            write_small(sorted((photos() / "imagenet_samples").glob("*.JPEG"))[:8], root)
            with object_server(root, "--count", str(count)) as url:
                runs = [pack(url, f"shards{n}", root / f"{n}.jsonl", "1/10") for n in range(options.n)]
                again = [pack(url, f"shards{n}", root / f"{n}.jsonl", "2/10") for n in range(options.n)]
                whole = [pack(url, f"whole{n}", root / f"{n}.jsonl") for n in range(options.n)]
            listed = (root / "0.jsonl").stat().st_size / count
        tenth, every = f"a tenth of {count:,} objects", f"all of {count:,} objects"
        for case, subject, found in (
            (tenth, "listed and packed", runs),
            (tenth, "packed by the saved listing", again),
            (every, "packed by the saved listing", whole),
        ):
            memory, seconds = ([run[place] for run in found] for place in (0, 1))
            rows.append(TimingRow.of_rounds(QUESTION, case, subject, "MiB", memory))
            print(
                f"{case}, {subject}: peak {max(memory):.0f} MiB, {max(seconds):.0f} s; listing {listed:.0f} B an object"
            )
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
