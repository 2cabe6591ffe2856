"""Many files at once: their upright sizes, and what is done with those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from prepixel import _native
from prepixel.array_types import Int64
from prepixel.errors import JpegError, PrepixelError, ReadFailure
from prepixel.jpeg.decode import Limits, Source, native_limits
from prepixel.jpeg.packed_container import PACK_ENDING, is_packed, open_pack
from prepixel.jpeg.pixel_fallback import read_size

OnError: TypeAlias = Literal["raise", "skip"]


@dataclass(frozen=True)
class SizesRead:
    """Hold upright sizes of the sources whose header could be read.

    Attributes:
        sizes: (height, width) in luma pixels, upright.
        kept: for each size its source's place.
        failures: the sources that are left out; none under ``on_error="raise"``.
    """

    sizes: Int64[np.ndarray, "kept 2"]
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()


def read_sizes(
    sources: Sequence[Source],
    *,
    threads: int = 0,
    limits: Limits = Limits(),
    on_error: OnError = "raise",
) -> SizesRead:
    """Read the upright sizes of many images from their headers: of a JPEG's path, as a rule, the first 64 KiB.

    Args:
        sources: paths, or buffers of files' bytes.
        threads: threads to read on; 0 for one a processor.
        limits: what each file may ask for.
        on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources out,
            and list them.

    Raises:
        PrepixelError: a header cannot be read, as `read_size`; not under ``"skip"``.
        OSError: a file cannot be opened; not under ``"skip"``.
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    given, errors = native_sources(sources, limits, sizes_only=True)
    failed, others, found = _native.read_sizes(given, **native_limits(limits), threads=checked_threads(threads))

    def by_pillow(index: int) -> None:
        found[index] = read_size(sources[index], limits=limits)

    others = [index for index in others if index not in errors]
    errors |= dict(failed) | run_each(by_pillow, others, threads)
    kept, failures = sort_out(sources, errors, on_error)
    sizes = np.array([found[i] for i in kept.tolist()], dtype=np.int64).reshape(len(kept), 2)
    return SizesRead(sizes, kept, failures)


def native_sources(
    sources: Sequence[Source], limits: Limits, *, threads: int = 1, sizes_only: bool = False
) -> tuple[list[Any], dict[int, Exception]]:
    """Give sources as the compiled module takes them: paths as str, contiguous buffers, opened packed images.

    Args:
        limits: what each may ask for.
        threads: threads to decompress on; 0 for one a processor.
        sizes_only: whether headers are enough.

    Returns:
        The sources, and what was raised for packed images that cannot be opened; an empty buffer stands for each.
    """
    packs = [i for i, source in enumerate(sources) if _is_pack(source)]
    given: list[Any] = [os.fspath(source) if isinstance(source, os.PathLike) else source for source in sources]
    errors: dict[int, Exception] = {}

    def open_some(part: Sequence[int]) -> None:
        for index in part:
            try:
                whole = given[index]
                contents = Path(whole).read_bytes() if isinstance(whole, str) else whole
                packed = is_packed(contents) and not sizes_only
                given[index] = open_pack(contents, limits) if packed else contents
            except (PrepixelError, OSError) as error:
                errors[index], given[index] = error, b""

    count = min(threads or os.cpu_count() or 1, len(packs))
    if count < 2 or sizes_only:
        open_some(packs)
    else:  # zstd leaves the interpreter's lock free
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(open_some, [packs[place::count] for place in range(count)]))
    return given, errors


def _is_pack(source: Source) -> bool:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source).endswith(PACK_ENDING)
    return is_packed(source)


def source_name(source: Source) -> str:
    """Name a source in messages: its path, or the size of its buffer."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return f"buffer of {memoryview(source).nbytes} bytes"  # type: ignore[arg-type]


def run_each(work: Callable[[int], None], indices: Sequence[int], threads: int) -> dict[int, Exception]:
    """Call ``work(index)`` for each index on threads, and give what was raised."""

    def attempt(index: int) -> Exception | None:
        try:
            work(index)
        except Exception as error:
            return error
        return None

    if len(indices) < 2 or threads == 1:
        outcomes = [attempt(index) for index in indices]
    else:
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            outcomes = list(pool.map(attempt, indices))
    return {index: error for index, error in zip(indices, outcomes, strict=True) if error is not None}


def sort_out(
    sources: Sequence[Source], errors: Mapping[int, Exception], on_error: OnError
) -> tuple[Int64[np.ndarray, " kept"], tuple[ReadFailure, ...]]:
    """Give the places of good sources, and a `ReadFailure` for each bad one; or raise, the lowest place first.

    Only what a file is to blame for is ever skipped: a box outside its image is the caller's mistake, and want of
    memory the machine's.
    """
    failures = []
    for index in sorted(errors):
        error, name = errors[index], source_name(sources[index])
        if isinstance(error, JpegError):
            error.source = name if isinstance(sources[index], str | os.PathLike) else f"source {index}, {name}"
        elif not isinstance(error, OSError):
            error.add_note(f"source {index}: {name}")
        if on_error == "raise" or not isinstance(error, PrepixelError | OSError):
            raise error
        failures.append(ReadFailure(index, name, error))
    good = [i for i in range(len(sources)) if i not in errors]
    return np.array(good, dtype=np.int64), tuple(failures)


def checked_threads(threads: int) -> int:
    """Give the number of threads back, unless it is none."""
    if threads < 0:
        raise ValueError(f"threads is {threads}; give how many, or 0 for one a processor")
    return threads


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of a few words."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it can be {' or '.join(map(repr, choices))}")
