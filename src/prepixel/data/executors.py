"""Executors: where the units of a distributed job are done, in this process or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

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
    """Do one unit after the other in this process; the threads are those of the unit's own work."""

    def run(self, function: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Generator[_Result, None, None]:
        """Yield ``function(unit)`` of every unit, in order."""
        for unit in units:
            yield function(unit)
