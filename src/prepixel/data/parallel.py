"""Work on many files at once, stopped at any moment by Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Enough that a thread never waits for a caller that only counts.
_AHEAD = 4


def map_unordered(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 0, ahead: int = _AHEAD
) -> Generator[_Result, None, None]:
    """Yield ``function(item)`` of every item as results get ready, worked out on threads a few items ahead.

    A function that works long calls `check_wanted` between its steps.

    One thread keeps the items' order.

    An error of the function or of the items is raised here. When the generator is closed, items that no thread has
    begun are dropped, and the threads are waited for. Close it by contextlib.closing: an error in the caller's loop
    would leave it open.

    concurrent.futures cannot be used: an interrupt that meets its main thread inside a lock, which it takes for
    each item, leaves that lock taken, and the program hangs. SimpleQueue has no lock that an interrupt can leave so.

    Args:
        function: called on the threads.
        items: drawn on the threads, by one at a time.
        threads: 0 for one per CPU.
        ahead: results for each thread that may wait for the caller, or be in the making, besides the one it has.
    """
    tokens: SimpleQueue[None] = SimpleQueue()
    with contextlib.closing(_map_by_tokens(function, items, tokens, threads, ahead)) as results:
        for result in results:
            tokens.put(None)
            yield result


def map_in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 0, ahead: int = _AHEAD
) -> Generator[_Result, None, None]:
    """Yield ``function(item)`` of every item in the items' order; otherwise as `map_unordered`.

    Results that wait for an earlier one count among those that are ahead.
    """
    tokens: SimpleQueue[None] = SimpleQueue()
    waiting: dict[int, _Result] = {}
    due = 0
    numbered = _map_by_tokens(lambda pair: (pair[0], function(pair[1])), enumerate(items), tokens, threads, ahead)
    with contextlib.closing(numbered) as results:
        for place, result in results:
            waiting[place] = result
            while due in waiting:
                tokens.put(None)
                yield waiting.pop(due)
                due += 1


def _map_by_tokens(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    tokens: SimpleQueue[None],
    threads: int,
    ahead: int,
) -> Generator[_Result, None, None]:
    """Yield results as they get ready; each item needs a token, which the caller puts back when it passes a result."""
    count = threads or os.cpu_count() or 1
    source, one_at_a_time = iter(items), threading.Lock()
    # whether the thread is done; else a result; the error that ended it
    results: SimpleQueue[tuple[bool, _Result | None, BaseException | None]] = SimpleQueue()
    stopped = False

    def work() -> None:
        _THREAD.is_stopped = lambda: stopped
        try:
            while tokens.get() is None and not stopped:
                with one_at_a_time:
                    drawn = next(source, _END)
                if drawn is _END:
                    break
                results.put((False, function(drawn), None))  # type: ignore[arg-type]
            results.put((True, None, None))
        except BaseException as error:  # whatever it is, it belongs to the caller's thread
            results.put((True, None, error))

    for _ in range(ahead * count):
        tokens.put(None)
    workers = [threading.Thread(target=work, name=f"prepixel worker {i}", daemon=True) for i in range(count)]
    try:
        for worker in workers:
            worker.start()
        running = count
        while running:
            done, result, error = results.get()
            if error is not None:
                raise error
            if done:
                running -= 1
            else:
                yield result  # type: ignore[misc]
    finally:
        stopped = True
        for _ in workers:
            tokens.put(None)
        for worker in workers:
            if worker.ident is not None:
                worker.join()


def check_wanted() -> None:
    """Raise where this thread works for a generator of this module that was closed, so that nobody waits for the rest.

    Raises:
        DroppedError: the thread's results are not wanted any more.
    """
    if getattr(_THREAD, "is_stopped", bool)():
        raise DroppedError


class DroppedError(Exception):
    """End the work of a thread whose results are not wanted any more; nobody sees it."""


_END = object()
_THREAD = threading.local()
