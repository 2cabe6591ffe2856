"""Check that reading does not leak: memory and handles over ``-n`` thousand reads of good and broken files.

Files come from the corpus of other projects' test suites, so every kind of JPEG is there, truncated and fuzzed ones
included, and from ImageNet. Each batch is chosen at random, passed by path or by contents, and read as spectra with
crops and flips on two threads. Resident memory and open handles are sampled twenty times. The program fails if the
median of the second ten exceeds that of the first by more than 16 MiB (32 MiB with glibc's defaults), or if a handle is
left open.

glibc keeps freed memory per thread for later use, so resident memory rises and falls with the largest images met. To
see a leak beside that, the program returns large blocks to the system at once, by MALLOC_MMAP_THRESHOLD_=1048576; an
empty value keeps glibc's defaults.

    python -m benchmarks.speed.soak -n 1000
    MALLOC_MMAP_THRESHOLD_= python -m benchmarks.speed.soak -n 1000
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from benchmarks.harness import arguments, photos

from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet, open_images, read_spectra

BATCH, GRID = 50, (14, 14)
GROWTH, GROWTH_AS_IS = 16 * 2**20, 32 * 2**20
THRESHOLD = "MALLOC_MMAP_THRESHOLD_"  # glibc reads it at process start
WARM = 3000  # reads after which every kind of file has been seen


def resident_bytes() -> int:
    """Return the process's resident memory."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # the peak, where there is no /proc


def open_handles() -> int:
    """Count the process's open files; -1 where the system does not report it."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else -1


def main() -> int:
    """Read, and sample memory and handles."""
    options = arguments(__doc__)
    if THRESHOLD not in os.environ:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.speed.soak", *sys.argv[1:]],
            os.environ | {THRESHOLD: str(1 << 20)},
        )
    data = photos()
    files = [path for path in sorted((data / "jpeg_corpus").rglob("*")) if path.is_file()]
    files += sorted((data / "imagenet_samples").glob("*.JPEG"))
    files = files[: options.files]
    generator, bands = np.random.default_rng(0), BandSet.parse("S-24")
    total = 1000 * options.n
    good = bad = 0
    seen: list[tuple[int, int]] = []
    start = time.perf_counter()
    for done in range(-WARM, total, BATCH):
        chosen = [files[i] for i in generator.integers(0, len(files), BATCH)]
        sources = [path.read_bytes() if generator.random() < 0.3 else str(path) for path in chosen]
        images = open_images(sources, threads=2, on_error="skip")
        parts = generator.random((len(images), 2))
        boxes = np.array(
            [(0.3 * p * h, 0.3 * q * w, 0.7 * h, 0.7 * w) for (p, q), (h, w) in zip(parts, images.sizes, strict=True)]
        ).reshape(len(images), 4)
        read = read_spectra(
            images, grid=GRID, bands=bands, boxes=boxes, flips=parts[:, 0] < 0.5, threads=2, on_error="skip",
            on_truncated="keep" if generator.random() < 0.5 else "raise",
        )  # fmt: skip
        good += len(read.kept)
        bad += BATCH - len(read.kept)
        if done >= 0 and (done + BATCH) % max(total // 20, BATCH) == 0:
            del read, images, sources
            gc.collect()
            seen.append((resident_bytes(), open_handles()))
            memory, handles = seen[-1]
            print(f"{done + BATCH:9,d} reads: {memory / 2**20:7.1f} MiB, {handles} handles", flush=True)
    seconds = time.perf_counter() - start
    resolved = bool(os.environ[THRESHOLD])
    half = len(seen) // 2
    before, last = (statistics.median(memory for memory, _ in part) for part in (seen[:half], seen[half:]))
    growth, handles = int(last - before), seen[-1][1] - seen[0][1]
    lowest, highest = (round(pick(memory for memory, _ in seen) / 2**20, 1) for pick in (min, max))
    scores: dict[str, float | int | str] = {
        "read": good,
        "refused": bad,
        "minutes": round(seconds / 60, 1),
        "lowest MiB": lowest,
        "highest MiB": highest,
        "second half over first, MiB": round(growth / 2**20, 1),
        "handles left open": handles,
    }
    print("; ".join(f"{name}: {value:,}" for name, value in scores.items()))
    if options.output:
        subject = f"blocks of {os.environ[THRESHOLD]} bytes returned at once" if resolved else "glibc as it is"
        row = ScoreRow("soak", f"reads of {len(files)} files", subject, total, scores, describe_environment())
        append_records(options.output, [row])
    return 1 if growth > (GROWTH if resolved else GROWTH_AS_IS) or handles > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
