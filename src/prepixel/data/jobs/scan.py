"""What a data set holds: sizes, samplings, coding processes, and the files that are broken."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prepixel.data.parallel import map_unordered
from prepixel.errors import DatasetError, PrepixelError, ReadFailure
from prepixel.files import image_files
from prepixel.jpeg import JpegImage, Limits, read_image


@dataclass(frozen=True)
class ScanReport:
    """Report what a folder of images holds; every counter counts files.

    Attributes:
        root: the folder.
        num_files: image files found.
        num_bytes: of all of them.
        num_pixels: luma pixels of those that can be read.
        heights: smallest, median and largest upright height of those that can be read; zeros where none can.
        widths: the same of upright widths.
        processes: by coding process; "pixels" are formats without coefficients, and CMYK.
        colors: by color.
        samplings: of JPEG coefficients, by "4:2:0" and the like, or factors "HxV" a component.
        orientations: by EXIF orientation.
        restarts: files with restart markers.
        warnings: files that are read with a warning, such as bytes between segments.
        broken: files that cannot be read.
        broken_kinds: of these, how many by the name of their error. `DamagedJpeg` counts files that libjpeg, and so
            most other readers, read with a warning and made-up coefficients; of these only prepixel refuses the rest.
    """

    root: str
    num_files: int
    num_bytes: int
    num_pixels: int
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    processes: Mapping[str, int]
    colors: Mapping[str, int]
    samplings: Mapping[str, int]
    orientations: Mapping[int, int]
    restarts: int
    warnings: int
    broken: tuple[ReadFailure, ...]
    broken_kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Tally:
    num_bytes: int = 0
    num_pixels: int = 0
    heights: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    processes: Counter[str] = field(default_factory=Counter)
    colors: Counter[str] = field(default_factory=Counter)
    samplings: Counter[str] = field(default_factory=Counter)
    orientations: Counter[int] = field(default_factory=Counter)
    restarts: int = 0
    warnings: int = 0

    def count(self, image: JpegImage) -> None:
        height, width = image.upright_size
        self.heights.append(height)
        self.widths.append(width)
        self.num_pixels += height * width
        self.processes[image.process if image.origin == "jpeg" else "pixels"] += 1
        self.colors[image.color] += 1
        if image.origin == "jpeg":
            self.samplings[name_sampling(image)] += 1
        self.orientations[image.orientation] += 1
        self.restarts += image.restart_interval > 0
        self.warnings += bool(image.warnings)


def scan_folder(
    root: str | os.PathLike[str],
    *,
    threads: int = 0,
    limits: Limits = Limits(),
    progress: Callable[[int], None] | None = None,
) -> ScanReport:
    """Read every image below a folder as far as its coefficients, and say what is there.

    Every file is decoded whole, strictly, so every damaged one is found; nothing but counts and sizes is kept.

    Args:
        root: the folder.
        threads: threads to read on; 0 for one per CPU.
        limits: what each file may ask for.
        progress: called with the number of files done after each, on the calling thread.

    Raises:
        DatasetError: there is no such folder, or no image below it.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name one that holds images, at any depth")
    tally, broken, done = _Tally(), list[ReadFailure](), 0
    with contextlib.closing(_read_all(image_files(folder), threads, limits)) as files:
        for path, num_bytes, outcome in files:
            done += 1
            tally.num_bytes += num_bytes
            if isinstance(outcome, JpegImage):
                tally.count(outcome)
            else:
                broken.append(ReadFailure(done - 1, path, outcome))
            if progress is not None:
                progress(done)
    if not done:
        raise DatasetError(f"{folder}: no image below it; images are recognized by their endings, .jpg and others")
    return ScanReport(
        root=str(folder),
        num_files=done,
        num_bytes=tally.num_bytes,
        num_pixels=tally.num_pixels,
        heights=_spread(tally.heights),
        widths=_spread(tally.widths),
        processes=_by_count(tally.processes),
        colors=_by_count(tally.colors),
        samplings=_by_count(tally.samplings),
        orientations=dict(sorted(tally.orientations.items())),
        restarts=tally.restarts,
        warnings=tally.warnings,
        broken=tuple(sorted(broken, key=lambda file: file.source)),
        broken_kinds=_by_count(Counter(file.kind for file in broken)),
    )


def name_sampling(image: JpegImage) -> str:
    """Return the usual name of a chroma sampling, such as "4:2:0", or its factors: "2x2 1x2 1x2" (h x v).

    Source: ITU-T T.81, A.1.1; the names are those of ITU-R BT.601's practice.
    """
    factors = [component.sampling for component in image.components]
    if len(factors) == 1:
        return "gray"
    (v, h), *rest = factors
    names = {(1, 1): "4:4:4", (1, 2): "4:2:2", (2, 2): "4:2:0", (2, 1): "4:4:0", (1, 4): "4:1:1", (2, 4): "4:1:0"}
    chroma = rest[0]
    if len(rest) == 2 and rest[1] == chroma and v % chroma[0] == 0 and h % chroma[1] == 0:
        ratio = (v // chroma[0], h // chroma[1])
        if ratio in names:
            return names[ratio]
    return " ".join(f"{across}x{down}" for down, across in factors)


def _read_all(
    paths: Iterator[str], threads: int, limits: Limits
) -> Generator[tuple[str, int, JpegImage | Exception], None, None]:
    """Read files on threads, a few ahead; results come as they are ready."""

    def read(path: str) -> tuple[str, int, JpegImage | Exception]:
        num_bytes = 0
        try:
            num_bytes = Path(path).stat().st_size
            return path, num_bytes, read_image(path, limits=limits)
        except (PrepixelError, OSError) as error:
            return path, num_bytes, error

    return map_unordered(read, paths, threads)


def _spread(values: list[int]) -> tuple[int, int, int]:
    return (min(values), int(statistics.median(values)), max(values)) if values else (0, 0, 0)


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(counter.most_common())
