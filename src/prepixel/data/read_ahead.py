"""Read objects of a store ahead of the threads that work on them, within a budget of bytes."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from prepixel.data.parallel import map_in_order
from prepixel.files import read_regular_file_part
from prepixel.stores.remote_path import AnyPath, ListedObject, is_url, read_listed

REQUESTS = 32
MAX_BYTES = 256 << 20
MAX_GAP = 64 << 10  # bytes, cheaper to read than a further request: what 5 ms read at 100 Mbit/s
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _ByteBudget:
    """Bytes that may be on their way or wait; one item is always admitted."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._open, self._changed = most, 0, False, threading.Condition()

    def acquire(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._open or not self._held or self._held + size <= self._most)
            self._held += size

    def release(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def lift(self) -> None:
        """Admit everything from now on, so that no thread waits for ever."""
        with self._changed:
            self._open = True
            self._changed.notify_all()


def read_ahead(
    items: Iterable[_Item],
    read: Callable[[_Item], _Result],
    size_of: Callable[[_Item], int],
    *,
    requests: int = REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> Generator[tuple[_Item, _Result], None, None]:
    """Yield items in order, each with what was read of it; many requests are on their way at once.

    What is written may be given as well: ``read`` then writes one item.

    Args:
        items: what is read.
        read: reads one; its errors are raised here.
        size_of: bytes of one, as far as they are known.
        requests: at once.
        max_bytes: that wait for the caller or are on their way.
    """
    budget = _ByteBudget(max_bytes)

    def admitted() -> Iterator[_Item]:
        for item in items:
            budget.acquire(size_of(item))
            yield item

    with contextlib.closing(map_in_order(lambda item: (item, read(item)), admitted(), requests, ahead=1)) as results:
        try:
            for item, result in results:
                budget.release(size_of(item))
                yield item, result
        finally:
            budget.lift()


def listed_size(path: str) -> int:
    """Return the size of an object that was listed; 0 for a file, which is not read ahead."""
    return path.info.size if isinstance(path, ListedObject) else 0


def contents_of(path: str, size: int | None = None, offset: int = 0) -> bytes | OSError | None:
    """Read an object whole, or the range of a known size; None for a file, which is read where it is worked on.

    An object that is gone, or is shorter than it was, is that object's error, and returned; errors of the store are
    raised.
    """
    if not is_url(path):
        return None
    try:
        return read_listed(path) if size is None else read_regular_file_part(path, offset, size)
    except OSError as error:
        return error


def with_contents(
    paths: Iterable[tuple[int, str]],
) -> Generator[tuple[tuple[int, str], bytes | OSError | None], None, None]:
    """Yield numbered paths in order, each with its contents if they are objects of a store; see `contents_of`."""
    source = iter(paths)
    first = next(source, None)
    if first is None:
        return
    items = itertools.chain([first], source)
    if not is_url(first[1]):
        yield from ((item, None) for item in items)
        return
    fetched = read_ahead(items, lambda item: contents_of(item[1]), lambda item: listed_size(item[1]))
    with contextlib.closing(fetched):
        yield from fetched


def map_requests(
    function: Callable[[_Item], _Result], items: Iterable[_Item], place: AnyPath
) -> Generator[_Result, None, None]:
    """Yield ``function(item)`` of every item, in order: many at once if they wait for the store that holds a place."""
    if isinstance(place, Path):
        yield from map(function, items)
        return
    with contextlib.closing(map_in_order(function, items, REQUESTS, ahead=1)) as results:
        yield from results


def request_all(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return ``function(item)`` of every item, many at once; of one item without a thread."""
    if len(items) < 2:
        return list(map(function, items))
    return list(map_in_order(function, items, min(REQUESTS, len(items)), ahead=1))


def read_objects(paths: Sequence[str]) -> list[bytes]:
    """Read objects at once.

    Raises:
        OSError: one is not there.
        StoreError: the store does not answer, or refuses.
    """
    return request_all(read_listed, paths)
