"""Executors: where the units of a distributed job are done, in this process or on a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from prepixel.data.parallel import map_unordered

_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")


@runtime_checkable
class Executor(Protocol):
    """Do units of work and yield their results in the order in which they get ready."""

    def run(self, function: Callable[[Any], Any], units: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield ``function(unit)`` of every unit, drawn a few ahead; an error of a unit is raised.

        Args:
            function: of a module that every node can import; it may be called again for a unit whose worker died.
            units: small values that can be pickled.
        """


class LocalExecutor:
    """Do units in this process; the threads are those of a unit's own work."""

    def __init__(self, at_once: int = 1) -> None:
        """Return how many units are done at once.

        Args:
            at_once: 1 to do one after the other, in order; 2 where a unit waits for a store at its begin and its end.
        """
        self.at_once = at_once

    def run(self, function: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Generator[_Result, None, None]:
        """Yield ``function(unit)`` of every unit as they get ready."""
        if self.at_once == 1:
            yield from map(function, units)
            return
        with contextlib.closing(map_unordered(function, units, self.at_once, ahead=1)) as results:
            yield from results


def run_units(
    executor: Executor | None,
    function: Callable[[_Unit], _Result],
    units: Iterable[_Unit],
    *,
    count: Callable[[_Result], int],
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Result]:
    """Do units, report progress after each, and yield their results as they get ready.

    Args:
        executor: does the units; None for this process.
        function: of one unit.
        units: those that are not finished.
        count: items of a unit, by its result.
        done: items of the units that were finished before.
        total: items of all units.
        progress: called with (items done, items in all).
    """
    with contextlib.closing((executor or LocalExecutor()).run(function, units)) as finished:
        for result in finished:
            done += count(result)
            yield result
            if progress is not None:
                progress(done, total)


def finish_units(
    executor: Executor | None,
    function: Callable[[_Unit], int],
    units: Iterable[_Unit],
    *,
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Do units whose result is the number of their items; see `run_units`."""
    for _ in run_units(executor, function, units, count=int, done=done, total=total, progress=progress):
        pass
