"""Measure what each step of reading a photo costs: entropy decoding, inverse DCT, upsampling, colors, resizing.

libjpeg-turbo itself, from C, decodes every photo several times, each time one step further, on one thread; a step costs
what its stage takes more than the one before, in the same round. Stages: samples of a quarter of the size before
upsampling (all entropy decoding, hardly any inverse DCT); samples of full size before upsampling (+ dequantization and
inverse DCT); RGB (+ upsampling of chroma and color conversion, which photos of 4:4:4 need alone; libjpeg-turbo's output
in YCbCr is not vectorized and takes longer than RGB, so it cannot tell the two apart). Then, in Python: torchvision's
antialiased resize of the crop to 224 x 224, and its conversion to normalized floats. Beside them: libjpeg-turbo's
coefficients alone, its RGB with plain upsampling, gray, and an eighth of the size, and prepixel's reading of the same
crop. CPU time of the thread, stages in turn in every round; figures are medians over rounds, with the lowest and
highest. ``-n`` is the number of rounds.

    python -m benchmarks.accuracy.claims_decoder -n 9 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import simplejpeg
import torch
from benchmarks.answers import report
from benchmarks.harness import arguments, photos
from torch import Tensor
from torchvision.transforms.v2.functional import normalize, resized_crop

from prepixel.data import CenterCrop
from prepixel.data.random_streams import sample_generator
from prepixel.jpeg import read_header, read_jpeg
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD
from prepixel.records import ScoreRow, describe_environment
from prepixel.spectrum import BandSet, read_spectra

QUESTION = "claim: cost of decoding"
SOURCE = Path(__file__).parents[1] / "peers" / "libjpeg_stages.c"
S_24 = BandSet.parse("S-24")
# stage: colors, eighths of the size, fancy upsampling, as decode_stage takes them
STAGES = {
    "samples, quarter size": (0, 2, 1),
    "samples, full size": (0, 8, 1),
    "RGB": (3, 8, 1),
}
OTHERS = {
    "coefficients alone, kept in memory": (-1, 8, 1),
    "RGB, plain upsampling": (3, 8, 0),
    "YCbCr": (2, 8, 1),
    "gray (no chroma samples)": (1, 8, 1),
    "RGB, an eighth of the size": (3, 1, 1),
}
RESIZE, CONVERT = "resize", "convert"
OWN, OWN_CROP = "prepixel: coefficients", "prepixel: S-24 in int8 of the crop, 56 x 56 blocks"
STEPS = {
    "entropy decoding": ("samples, quarter size", None),
    "dequantization and inverse DCT": ("samples, full size", "samples, quarter size"),
    "upsampling of chroma, conversion to RGB": ("RGB", "samples, full size"),
    "crop and resize to 224 x 224": (RESIZE, None),
    "conversion to normalized floats": (CONVERT, None),
}


def compile_stages(folder: Path) -> ctypes.CDLL:
    """Build the stages against the system's library."""
    library = folder / "libjpeg_stages.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-ljpeg", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def by_c(library: ctypes.CDLL, options: tuple[int, int, int], files: list[bytes]) -> Callable[[], None]:
    """Return what decodes all files to a stage."""

    def run() -> None:
        for file in files:
            if library.decode_stage(file, ctypes.c_ulong(len(file)), *options):
                raise RuntimeError("libjpeg-turbo refused a file of the benchmark")

    return run


def work(library: ctypes.CDLL, files: list[bytes]) -> dict[str, Callable[[], object]]:
    """Return every stage over all files."""
    boxes = [
        CenterCrop().make_params(read_header(file).upright_size, 1.0, sample_generator(0, 0, 0)).box for file in files
    ]
    rows = torch.tensor([[box.top, box.left, box.height, box.width] for box in boxes], dtype=torch.float64).numpy()
    decoded = [torch.from_numpy(simplejpeg.decode_jpeg(file)).permute(2, 0, 1) for file in files]

    def resized() -> list[Tensor]:
        return [
            resized_crop(
                image, int(box.top), int(box.left), int(box.height), int(box.width), [224, 224], antialias=True
            )
            for image, box in zip(decoded, boxes, strict=True)
        ]

    small = resized()
    return {
        **{name: by_c(library, options, files) for name, options in (STAGES | OTHERS).items()},
        RESIZE: resized,
        CONVERT: lambda: [normalize(image.float() / 255, list(IMAGENET_MEAN), list(IMAGENET_STD)) for image in small],
        OWN: lambda: [read_jpeg(file) for file in files],
        OWN_CROP: lambda: read_spectra(
            files, grid=(56, 56), bands=S_24, boxes=rows, dtype=torch.int8, unit=torch.full((24,), 8.0), threads=1
        ),
    }


def measure(stages: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return CPU seconds of this thread, by stage and round, after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for counted in range(-1, rounds):
        for name, run in stages.items():
            start = time.thread_time()
            run()
            if counted >= 0:
                seconds[name].append(time.thread_time() - start)
    return seconds


def rows(case: str, count: int, seconds: dict[str, list[float]]) -> list[ScoreRow]:
    """Return a row per step: CPU time, and its share of the whole pipeline's."""
    environment, found = describe_environment(), []
    rounds = range(len(seconds["RGB"]))
    whole = [sum(seconds[name][r] for name in ("RGB", RESIZE, CONVERT)) for r in rounds]

    def row(subject: str, mine: list[float]) -> ScoreRow:
        scores: dict[str, Any] = {"CPU ms a photo": ranged([1000 * value / count for value in mine], 3)}
        for name, base in (("% of decoding to RGB", seconds["RGB"]), ("% of the whole", whole)):
            scores[name] = ranged([100 * value / b for value, b in zip(mine, base, strict=True)], 1)
        return ScoreRow(QUESTION, case, subject, count, scores, environment)

    for step, (stage, before) in STEPS.items():
        found.append(row(step, [seconds[stage][r] - (seconds[before][r] if before else 0) for r in rounds]))
    found.append(row("whole: RGB, resized, normalized floats", whole))
    return found + [row(name, seconds[name]) for name in (*OTHERS, OWN, OWN_CROP)]


def ranged(values: list[float], digits: int) -> str:
    """Format a median with the lowest and the highest value."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def sampled(file: bytes) -> str:
    """Name a file's chroma subsampling."""
    sampling = [component.sampling for component in read_jpeg(file).components]
    return "gray" if len(sampling) == 1 else {(1, 1): "4:4:4", (2, 2): "4:2:0"}.get(sampling[0], "other")


def main() -> None:
    """Measure the steps on photos without and with subsampled chroma."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    files = [path.read_bytes() for path in sorted((photos() / "imagenet_samples").glob("*.JPEG"))][: options.files]
    with tempfile.TemporaryDirectory() as folder:
        library = compile_stages(Path(folder))
        for kind in ("4:4:4", "4:2:0"):
            chosen = [file for file in files if sampled(file) == kind][: 4 if options.n == 1 else None]
            if chosen:
                seconds = measure(work(library, chosen), options.n)
                report(rows(f"{kind}, {options.n} rounds", len(chosen), seconds), options)


if __name__ == "__main__":
    main()
