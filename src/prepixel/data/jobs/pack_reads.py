"""Read images to be packed ahead of the threads that pack them, those of a tar file many at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.read_ahead import MAX_GAP, contents_of, read_ahead
from prepixel.file_reading import check_whole
from prepixel.stores.remote_path import is_url, read_listed

_MAX_RUN = 8 << 20  # bytes of one request

Contents: TypeAlias = bytes | OSError | None
"""What was read of an image; None where it is read by the thread that packs it."""


class PlacedEntry(NamedTuple):
    """An image, and its place among the entries of its source."""

    place: int
    entry: PackEntry


def read_entries(
    entries: Sequence[PackEntry], places: Iterable[int]
) -> Generator[tuple[PlacedEntry, Contents], None, None]:
    """Yield images in order; those in a store with their contents, or with the error of reading them.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    placed = (PlacedEntry(place, entries[place]) for place in places)
    if not entries or not is_url(entries[0].path):
        yield from ((one, None) for one in placed)
        return
    with contextlib.closing(read_ahead(neighbors(placed), _read_run, _bytes_of)) as runs:
        for run, contents in runs:
            yield from zip(run, contents, strict=True)


def neighbors(placed: Iterable[PlacedEntry]) -> Iterator[tuple[PlacedEntry, ...]]:
    """Yield runs of images that follow each other in one tar file: at most 64 KiB apart, and 8 MiB together."""
    run: list[PlacedEntry] = []
    for one in placed:
        if run:
            begin, last = run[0].entry, run[-1].entry
            gap = one.entry.offset - last.offset - last.size
            length = one.entry.offset + one.entry.size - begin.offset
            if last.path != one.entry.path or not 0 <= gap <= MAX_GAP or length > _MAX_RUN:
                yield tuple(run)
                run = []
        run.append(one)
    if run:
        yield tuple(run)


def _bytes_of(run: tuple[PlacedEntry, ...]) -> int:
    last = run[-1].entry
    return last.offset + last.size - run[0].entry.offset


def _read_run(run: tuple[PlacedEntry, ...]) -> list[Contents]:
    begin = run[0].entry
    if len(run) == 1:
        return [contents_of(begin.path, begin.size, begin.offset)]
    try:
        piece = read_listed(begin.path, begin.offset, _bytes_of(run))
    except OSError as error:
        return [error] * len(run)
    return [_cut(piece, entry.offset - begin.offset, entry) for _, entry in run]


def _cut(piece: bytes, offset: int, entry: PackEntry) -> Contents:
    try:
        return check_whole(piece[offset : offset + entry.size], entry.size, entry.path)
    except OSError as error:
        return error
