"""Ask how much of a progressive JPEG a pretrained network needs: accuracy, bytes and CPU time of its first scans.

Photos are re-coded losslessly by jpegtran (its default script: ten scans for color, six for gray) and end after their
k-th scan (EOI is appended); a file of fewer scans is whole. The folded network reads S-24 of what is left; the RGB
network gets what Pillow decodes of it (libjpeg smooths blocks whose AC coefficients are missing). Nothing is trained.
A second script, of nine scans in full precision, has in its first six what S-24 reads of a photo at its own size: DC,
luma 1-5, luma 6-14, each chroma 1-4, luma 15-24 in zigzag order (an enlarged photo needs higher frequencies, too).
CPU time: reading S-24, one thread, of photos in memory, in rounds of all files in turn; ratios are to the baseline
files in the same round. ``-n`` is the number of rounds.

    python -m benchmarks.accuracy.claims_scans -n 5 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from benchmarks.accuracy.folding import Photos, Pretrained
from benchmarks.answers import (
    Tally,
    answer,
    batches,
    classifiers,
    labeled_photos,
    read_coefficients,
    read_pixels,
    report,
    rgb_network,
)
from benchmarks.harness import arguments, photos

from prepixel.engine import disable_malloc_trim
from prepixel.jpeg import read_header
from prepixel.models import fold

QUESTION = "claim: first scans"
WHOLE, WHOLE_RGB = "S-24, baseline file", "RGB, baseline file"
DEFAULT, LOW_FIRST = "jpegtran's script", "low frequencies first"
COLOR = "0,1,2: 0-0, 0, 0; 0: 1-5, 0, 0; 0: 6-14, 0, 0; 1: 1-4, 0, 0; 2: 1-4, 0, 0; 0: 15-24, 0, 0; "
COLOR += "0: 25-63, 0, 0; 1: 5-63, 0, 0; 2: 5-63, 0, 0;"
LUMA_ONLY = "0: 0-0, 0, 0; 0: 1-5, 0, 0; 0: 6-14, 0, 0; 0: 15-24, 0, 0; 0: 25-63, 0, 0;"
SOI_LENGTH, SOS, EOI, RESTARTS, STUFFED = 2, 0xDA, 0xD9, range(0xD0, 0xD8), 0


def recode(path: str, script: str) -> bytes:
    """Re-code a file losslessly as progressive, by jpegtran's own script or by the one for S-24."""
    if script == LOW_FIRST:
        gray = read_header(path).color == "gray"
        text = LUMA_ONLY if gray else COLOR
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            return _jpegtran(["-scans", file.name], path)
    return _jpegtran(["-progressive"], path)


def _jpegtran(options: list[str], path: str) -> bytes:
    return subprocess.run(["jpegtran", *options, path], capture_output=True, check=True).stdout


def scan_ends(file: bytes) -> Iterator[int]:
    """Yield where each scan ends.

    Source: ITU-T T.81, B.1.1 (markers, stuffed zeros).
    """
    place, in_scan = SOI_LENGTH, False
    while place < len(file) - 1:
        if in_scan:
            place = file.index(b"\xff", place)
            if file[place + 1] == STUFFED or file[place + 1] in RESTARTS:
                place += 2
                continue
            yield place
            in_scan = False
        if file[place + 1] == EOI:
            return
        in_scan = file[place + 1] == SOS
        place += 2 + int.from_bytes(file[place + 2 : place + 4], "big")


def first_scans(file: bytes, count: int) -> bytes:
    """Return a file that ends after its first scans."""
    ends = list(scan_ends(file))
    return file[: ends[min(count, len(ends)) - 1]] + bytes([0xFF, EOI])


def score(model: Pretrained, sets: list[Photos], recoded: dict[str, dict[str, bytes]]) -> Iterator[Tally]:
    """Answer every photo from its first scans, by script and pipeline."""
    rgb, folded = rgb_network(model), fold(model.network, bands="S-24", mean=model.mean, std=model.std)
    for script, files in recoded.items():
        tallies = {WHOLE: Tally(QUESTION, f"{model.name}, folded, S-24, {script}", WHOLE)}
        if script == DEFAULT:
            tallies[WHOLE_RGB] = Tally(QUESTION, f"{model.name}, RGB 224 by Pillow, {script}", WHOLE_RGB)
        for part in (part for one in sets for part, _ in batches(one)):
            for whole, tally in tallies.items():
                tally.labels.append(part.labels)
                for name, sources in {whole: None, **scans_of(part.paths, files)}.items():
                    if whole == WHOLE:
                        tally.add(name, answer(folded, read_coefficients(part, sources, bands="S-24")))
                    else:
                        tally.add(name, answer(rgb, read_pixels(part, sources)))
        yield from tallies.values()


def scans_of(paths: list[str], files: dict[str, bytes]) -> dict[str, list[bytes]]:
    """Return the files' first scans, by name."""
    most = max(len(list(scan_ends(files[path]))) for path in files)
    return {
        f"first {count}" if count > 1 else "first scan": [first_scans(files[path], count) for path in paths]
        for count in range(1, most + 1)
    }


def costs(one: Photos, files: dict[str, bytes], rounds: int) -> dict[str, dict[str, Any]]:
    """Measure bytes and CPU time of reading S-24, of the first scans and of the baseline files."""
    originals = [Path(path).read_bytes() for path in one.paths]
    sources = {WHOLE: originals, **scans_of(one.paths, files)}
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for counted in range(-1, rounds):
        for name, contents in sources.items():
            start = time.process_time()
            read_coefficients(one, contents, bands="S-24")
            if counted >= 0:
                seconds[name].append(time.process_time() - start)
    whole = sum(len(files[path]) for path in one.paths)
    facts: dict[str, dict[str, Any]] = {}
    for name, contents in sources.items():
        ratios = [mine / base for mine, base in zip(seconds[name], seconds[WHOLE], strict=True)]
        facts[name] = {
            "bytes, % of the progressive file": f"{100 * sum(map(len, contents)) / whole:.1f}",
            "CPU time of reading, ratio (lowest to highest)": f"{statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
        }
    return facts


def main() -> None:
    """Score the networks on the first scans."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder, few = photos(), options.n == 1
    sets = labeled_photos(folder, few=few)
    paths = [path for one in sets for path in one.paths]
    recoded = {script: {path: recode(path, script) for path in paths} for script in (DEFAULT, LOW_FIRST)}
    facts = {script: costs(sets[0], files, options.n) for script, files in recoded.items()}
    for model in classifiers(folder, few=few):
        for tally in score(model, sets, recoded):
            script = DEFAULT if tally.case.endswith(DEFAULT) else LOW_FIRST
            report(tally.rows(facts[script] if tally.reference == WHOLE else None), options)


if __name__ == "__main__":
    main()
