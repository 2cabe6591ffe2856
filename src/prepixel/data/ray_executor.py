"""Do units of a distributed job on a Ray cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from prepixel.errors import ClusterError
from prepixel.optional import extras_for

_AHEAD = 2  # units per CPU that wait or run, so that no worker waits for the driver


class RayExecutor:
    """Do units as tasks of Ray Core; a unit whose worker or node dies is done again elsewhere.

    Only descriptions of units and small results pass through Ray's object store. Every node needs prepixel, and the
    same paths. Ray's usage reports are off unless the environment turns them on.
    """

    def __init__(
        self, address: str | None = None, *, cpus_per_unit: int = 1, units_at_once: int = 1, max_retries: int = 5
    ) -> None:
        """Name the cluster; nothing is connected or started yet.

        Args:
            address: of a running cluster, such as ``auto`` or ``HOST:6379``; None starts one on this machine.
            cpus_per_unit: CPUs that Ray reserves for a unit: the threads of its work.
            units_at_once: units that share these CPUs; 2 where a unit waits for a store at its begin and its end.
            max_retries: how often a unit whose worker died is done again.
        """
        self.address, self.max_retries = address, max_retries
        share = cpus_per_unit / units_at_once
        self.cpus_per_unit = share if share <= 1 else math.ceil(share)  # Ray has no fractions above one

    def run(self, function: Callable[[Any], Any], units: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield ``function(unit)`` of every unit as they get ready.

        Raises:
            ClusterError: the cluster cannot be reached, or workers died again and again.
            MissingDependency: Ray is not installed.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with extras_for("--engine ray"):
            import ray
        started = not ray.is_initialized()
        if started:
            self._connect(ray)
        waiting: list[Any] = []
        try:
            task = ray.remote(num_cpus=self.cpus_per_unit, max_retries=self.max_retries)(_call)
            left, folder, limit = iter(units), str(Path.cwd()), self._limit(ray)
            while True:
                while len(waiting) < limit and (unit := next(left, _END)) is not _END:
                    waiting.append(task.remote(folder, function, unit))
                if not waiting:
                    return
                ready, waiting = ray.wait(waiting, num_returns=1)
                yield self._result(ray, ready[0])
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
            if started:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {self.address}" if self.address else "a Ray cluster on this machine"
            raise ClusterError(f"{where} cannot be used ({_first_line(error)}); check it with: ray status") from error

    def _limit(self, ray: Any) -> int:
        return max(1, int(_AHEAD * ray.cluster_resources().get("CPU", 1) / self.cpus_per_unit))

    def _result(self, ray: Any, reference: Any) -> Any:
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"a unit was given up after its worker died {self.max_retries + 1} times ({_first_line(error)}); the "
                "same command goes on with what is left"
            ) from error


def _call(folder: str, function: Callable[[Any], Any], unit: Any) -> Any:
    """Do a unit where the driver was started, if this node has that folder, so that relative paths are the same."""
    if Path(folder).is_dir():
        os.chdir(folder)
    return function(unit)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_END = object()
