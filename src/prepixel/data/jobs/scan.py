"""What a data set holds: sizes, samplings, coding processes, and the files that are broken."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prepixel.data.parallel import map_unordered
from prepixel.data.read_ahead import with_contents
from prepixel.errors import DatasetError, JpegError, PrepixelError, ReadFailure, RecordedError
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files
from prepixel.jpeg import JpegImage, Limits, read_image
from prepixel.stores.remote_path import AnyPath, to_path


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
class ScanTally:
    """Count what some files of a folder hold; tallies of different files merge in any order, to the same sums.

    Attributes:
        heights: how many readable files have each upright height.
        widths: the same of upright widths.
        broken: files that cannot be read, with their places in the listing.

    The other counters are those of `ScanReport`.
    """

    num_files: int = 0
    num_bytes: int = 0
    num_pixels: int = 0
    heights: Counter[int] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)
    colors: Counter[str] = field(default_factory=Counter)
    samplings: Counter[str] = field(default_factory=Counter)
    orientations: Counter[int] = field(default_factory=Counter)
    restarts: int = 0
    warnings: int = 0
    broken: list[ReadFailure] = field(default_factory=list)

    def count(self, image: JpegImage) -> None:
        """Count a file that can be read."""
        height, width = image.upright_size
        self.heights[height] += 1
        self.widths[width] += 1
        self.num_pixels += height * width
        self.processes[image.process if image.origin == "jpeg" else "pixels"] += 1
        self.colors[image.color] += 1
        if image.origin == "jpeg":
            self.samplings[name_sampling(image)] += 1
        self.orientations[image.orientation] += 1
        self.restarts += image.restart_interval > 0
        self.warnings += bool(image.warnings)

    def merge(self, other: ScanTally) -> ScanTally:
        """Return the counts of both."""
        return ScanTally(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON holds them."""
        fields = {name: sorted(v.items()) if isinstance(v, Counter) else v for name, v in vars(self).items()}
        broken = sorted(self.broken, key=lambda failure: failure.index)
        return fields | {"broken": [(f.index, f.source, f.kind, f.message) for f in broken]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ScanTally:
        """Return what `to_json` was called on.

        Raises:
            DatasetError: the fields are not those of a tally.
        """
        try:
            values = dict(fields)
            for name, value in vars(cls()).items():
                if isinstance(value, Counter):
                    values[name] = Counter({key: int(count) for key, count in fields[name]})
            values["broken"] = [
                ReadFailure(int(place), str(path), RecordedError(str(kind), str(text)))
                for place, path, kind, text in fields["broken"]
            ]
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"a record of a scan is damaged ({error}); remove it, scan its part again") from error

    def report(self, root: str) -> ScanReport:
        """Return the report of a folder whose files have all been counted."""
        broken = tuple(sorted(self.broken, key=lambda failure: failure.index))
        return ScanReport(
            root=root,
            num_files=self.num_files,
            num_bytes=self.num_bytes,
            num_pixels=self.num_pixels,
            heights=_spread(self.heights),
            widths=_spread(self.widths),
            processes=_by_count(self.processes),
            colors=_by_count(self.colors),
            samplings=_by_count(self.samplings),
            orientations=dict(sorted(self.orientations.items())),
            restarts=self.restarts,
            warnings=self.warnings,
            broken=broken,
            broken_kinds=_by_count(Counter(failure.kind for failure in broken)),
        )


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
    folder = to_path(root)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {not_a_folder(folder)}; name one that holds images, at any depth")
    tally = ScanTally()
    for _ in scan_files(enumerate(image_files(folder)), tally, threads=threads, limits=limits):
        if progress is not None:
            progress(tally.num_files)
    if not tally.num_files:
        raise no_image(folder)
    return tally.report(str(folder))


def scan_files(
    paths: Iterable[tuple[int, str]], tally: ScanTally, *, threads: int = 0, limits: Limits = Limits()
) -> Generator[None, None, None]:
    """Count files, given with their places in the listing, in a tally; yield after each."""
    with contextlib.closing(_read_all(paths, threads, limits)) as files:
        for place, path, num_bytes, outcome in files:
            tally.num_files += 1
            tally.num_bytes += num_bytes
            if isinstance(outcome, JpegImage):
                tally.count(outcome)
            else:
                tally.broken.append(ReadFailure(place, path, outcome))
            yield


def no_image(folder: AnyPath) -> DatasetError:
    """Return the error of a folder without images."""
    return DatasetError(f"{folder}: no image below it; images are recognized by their endings, .jpg and others")


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
    paths: Iterable[tuple[int, str]], threads: int, limits: Limits
) -> Generator[tuple[int, str, int, JpegImage | Exception], None, None]:
    """Read files on threads, a few ahead; results come as they are ready."""

    def read(item: tuple[tuple[int, str], bytes | OSError | None]) -> tuple[int, str, int, JpegImage | Exception]:
        (place, path), contents = item
        num_bytes = 0
        try:
            if isinstance(contents, OSError):
                raise contents
            num_bytes = Path(path).stat().st_size if contents is None else len(contents)
            return place, path, num_bytes, read_image(path if contents is None else contents, limits=limits)
        except (PrepixelError, OSError) as error:
            if isinstance(error, JpegError):
                error.source = path
            return place, path, num_bytes, error

    with (
        contextlib.closing(with_contents(paths)) as fetched,
        contextlib.closing(map_unordered(read, fetched, threads)) as results,
    ):
        yield from results


def _spread(counts: Counter[int]) -> tuple[int, int, int]:
    """Return the smallest, median and largest of counted values; zeros where there are none."""
    values = sorted(counts)
    if not values:
        return 0, 0, 0
    ends = list(itertools.accumulate(counts[value] for value in values))
    lower, upper = (values[bisect.bisect_right(ends, place)] for place in ((ends[-1] - 1) // 2, ends[-1] // 2))
    return values[0], (lower + upper) // 2, values[-1]


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
