"""Many files at once: their upright sizes, and what is done with those that cannot be read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENODEV, ENXIO
from typing import Any, Literal, TypeAlias

import numpy as np

from prepixel import _native
from prepixel.array_types import Int64
from prepixel.errors import JpegError, PrepixelError, ReadFailure, UnsupportedJpeg
from prepixel.jpeg.decode import native_limits
from prepixel.jpeg.packed_container import PackContents, open_pack
from prepixel.jpeg.pixel_fallback import read_size
from prepixel.jpeg.source import (
    Contents,
    Limits,
    Source,
    check_sources,
    is_file,
    is_path,
    read_contents,
    source_name,
    special_file_error,
)

OnError: TypeAlias = Literal["raise", "skip"]


@dataclass(frozen=True)
class SizesRead:
    """Upright sizes of the sources whose header could be read.

    Attributes:
        sizes: (height, width) in luma pixels, upright.
        kept: for each size the place of its source.
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
        sources: paths, buffers of files' bytes, or open binary files (each is read to its end).
        threads: threads to read on; 0 for one per CPU.
        limits: what each file may ask for.
        on_error: ``"raise"``: the error of the first source that cannot be read; ``"skip"``: leave such sources out,
            and list them.

    Raises:
        PrepixelError: a header cannot be read, as `read_size`; not under ``"skip"``.
        OSError: a file cannot be opened; not under ``"skip"``.
        TypeError: ``sources`` is one source.
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    checked_threads(threads)
    given, errors = native_sources(check_sources(sources), limits)
    failed, others, found = _native.read_sizes(given, **native_limits(limits), threads=threads)

    def by_pillow(index: int) -> None:
        found[index] = read_size(given[index], limits=limits)

    others = [index for index in others if index not in errors]
    errors = native_errors(given, failed) | run_each(by_pillow, others, threads) | errors
    kept, failures = sort_out(sources, errors, on_error)
    sizes = np.array([found[i] for i in kept.tolist()], dtype=np.int64).reshape(len(kept), 2)
    return SizesRead(sizes, kept, failures)


def native_sources(sources: Sequence[Source], limits: Limits) -> tuple[list[Any], dict[int, Exception]]:
    """Return sources as the compiled module takes them, paths as str and buffers, and what was raised for some.

    Open files are read; an empty buffer stands for each that cannot be.
    """
    given: list[Any] = [os.fspath(source) if isinstance(source, os.PathLike) else source for source in sources]
    errors: dict[int, Exception] = {}
    for index, source in enumerate(given):
        if is_file(source):
            try:
                given[index] = read_contents(source, limits)
            except (PrepixelError, OSError) as error:
                errors[index], given[index] = error, b""
    return given, errors


def pack_groups(payload_sizes: Sequence[int], limits: Limits) -> Iterator[range]:
    """Yield runs of images whose packed payloads together fit into the limit on memory.

    A batch without packed images, or with small ones, is one run.

    Args:
        payload_sizes: bytes of each image's payload, uncompressed; 0 for images that are not packed.
        limits: what the payloads of a run may take together.
    """
    start, total = 0, 0
    for index, size in enumerate(payload_sizes):
        if index > start and total + size > limits.max_memory_bytes:
            yield range(start, index)
            start, total = index, 0
        total += size
    yield range(start, len(payload_sizes))


def open_packs(
    packs: Mapping[int, Callable[[], Contents]], limits: Limits, threads: int
) -> tuple[dict[int, PackContents], dict[int, Exception]]:
    """Decompress packed images, whose bytes functions return; return what was raised for damaged ones apart."""
    parts = dict[int, PackContents]()

    def open_one(index: int) -> None:
        parts[index] = open_pack(packs[index](), limits)

    errors = run_each(open_one, list(packs), threads)  # zstd releases the interpreter lock
    return parts, errors


def native_errors(given: Sequence[Any], failed: Sequence[tuple[int, Exception]]) -> dict[int, Exception]:
    """Return what the compiled module reports; what is no regular file is named."""
    errors = dict(failed)
    for index, error in failed:
        unplaced = isinstance(error, UnsupportedJpeg) and error.byte_offset is None
        if is_path(given[index]) and (unplaced or (isinstance(error, OSError) and error.errno in (ENODEV, ENXIO))):
            errors[index] = special_file_error(given[index]) or error
    return errors


class MemoryBudget:
    """Memory that the images of one batch share: who would exceed the limit waits until others are done.

    One image alone may always run: it has been held to the same limit before.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, num_bytes: int) -> Iterator[None]:
        """Wait until so many bytes are free, and count them as used inside the context."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + num_bytes <= self._limit)
            self._used += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= num_bytes
                self._changed.notify_all()


def run_each(work: Callable[[int], None], indices: Sequence[int], threads: int) -> dict[int, Exception]:
    """Call ``work(index)`` for each index on threads; return what was raised."""

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
    """Return the places of good sources and a `ReadFailure` for each bad one; or raise, the lowest place first.

    Only per-file errors are skipped. Invalid boxes and MemoryError always propagate.
    """
    failures = []
    for index in sorted(errors):
        error, name = errors[index], source_name(sources[index])
        if isinstance(error, JpegError):
            error.source = name if isinstance(sources[index], str | os.PathLike) else f"source {index}, {name}"
        elif not isinstance(error, OSError) and (note := f"source {index}: {name}") not in getattr(
            error, "__notes__", ()
        ):
            error.add_note(note)
        if on_error == "raise" or not isinstance(error, PrepixelError | OSError):
            raise error
        failures.append(ReadFailure(index, name, error))
    good = [i for i in range(len(sources)) if i not in errors]
    return np.array(good, dtype=np.int64), tuple(failures)


def checked_threads(threads: int) -> int:
    """Return a number of threads that is 0 or more."""
    if threads < 0:
        raise ValueError(f"threads is {threads}; give how many, or 0 for one per CPU")
    return threads


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError for a value that is none of a few words."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it can be {' or '.join(map(repr, choices))}")
