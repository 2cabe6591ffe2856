"""Counters of a service, in Prometheus' text format. Used on the event loop's thread alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Histogram:
    """Count values by upper bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def lines(self, name: str) -> list[str]:
        """Return the lines of the text format: counts up to each bound, sum and count."""
        lines, seen = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            seen += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {seen}')
        return [*lines, f"{name}_sum {self._total:.9g}", f"{name}_count {seen}"]


class Metrics:
    """Count requests, photos and batches of a service."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()  # by status
        self.photos: Counter[str] = Counter()  # by what became of them
        self.request_seconds = Histogram(_SECONDS)
        self.queue_seconds = Histogram(_SECONDS)
        self.batch_photos = Histogram(_SIZES)
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def text(self) -> str:
        """Return all counters in Prometheus' text format."""
        lines: list[str] = []

        def family(name: str, kind: str, about: str, samples: list[str]) -> None:
            lines.extend([f"# HELP {name} {about}", f"# TYPE {name} {kind}", *samples])

        family(
            "prepixel_requests_total",
            "counter",
            "Requests for predictions that were answered, by status.",
            [f'prepixel_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items())],
        )
        family(
            "prepixel_photos_total",
            "counter",
            "Photos, by outcome: predicted, or the kind of the error.",
            [f'prepixel_photos_total{{outcome="{outcome}"}} {n}' for outcome, n in sorted(self.photos.items())],
        )
        for name, about, histogram in (
            ("prepixel_request_seconds", "Time from a request's head to its answer.", self.request_seconds),
            ("prepixel_queue_seconds", "Time that photos waited for a worker.", self.queue_seconds),
            ("prepixel_batch_photos", "Photos in each batch.", self.batch_photos),
        ):
            family(name, "histogram", about, histogram.lines(name))
        for name, (about, value) in self.gauges.items():
            family(name, "gauge", about, [f"{name} {value():g}"])
        return "\n".join(lines) + "\n"
