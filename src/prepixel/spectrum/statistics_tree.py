"""Merge statistics of consecutive pieces of a data set, to the same bits in whatever order the pieces arrive.

Merging in floating point rounds, so the grouping decides the last bits. Here the pieces' places decide the grouping:
piece 2k is merged with piece 2k + 1, their sum with that of the next such pair, and so on.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from prepixel.errors import StatisticsError
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.statistics import Statistics

_ARRAYS = ("mean", "squares", "minimum", "maximum")


@dataclass
class StatisticsTree:
    """Store statistics of pieces as sums of complete subtrees: about log2(n) of them for n pieces in order.

    Attributes:
        nodes: statistics of a subtree by (level, place): of the pieces from ``place << level`` on, ``1 << level`` many.
    """

    nodes: dict[tuple[int, int], Statistics] = field(default_factory=dict)

    def add(self, place: int, statistics: Statistics) -> None:
        """Add the statistics of the piece at a place; each place once."""
        self._add((0, place), statistics)

    def merge(self, other: StatisticsTree) -> StatisticsTree:
        """Return the tree of the pieces of both, which have none in common."""
        merged = StatisticsTree(dict(self.nodes))
        for key, statistics in other.nodes.items():
            merged._add(key, statistics)
        return merged

    def total(self) -> Statistics:
        """Return the statistics of all pieces.

        Raises:
            ValueError: there is none.
        """
        if not self.nodes:
            raise ValueError("these statistics have no piece; add one first")
        nodes = [node for _, node in sorted(self.nodes.items(), key=lambda item: _begin(item[0]))]
        return functools.reduce(Statistics.merge, nodes)

    def _add(self, key: tuple[int, int], statistics: Statistics) -> None:
        level, place = key
        while (sibling := self.nodes.pop((level, place ^ 1), None)) is not None:
            left, right = (sibling, statistics) if place & 1 else (statistics, sibling)
            statistics = left.merge(right)
            level, place = level + 1, place >> 1
        self.nodes[level, place] = statistics


def _begin(key: tuple[int, int]) -> int:
    level, place = key
    return place << level


def statistics_to_json(statistics: Statistics) -> dict[str, Any]:
    """Return statistics as JSON holds them, exactly; of no image, without extremes."""
    return {
        "bands": {
            "name": statistics.bands.name,
            "channels": list(statistics.bands.channels),
            "origin": statistics.bands.origin,
        },
        "grid": list(statistics.grid),
        "source": statistics.source,
        "num_images": statistics.num_images,
        "num_positions": statistics.num_positions,
        **({name: getattr(statistics, name).tolist() for name in _ARRAYS} if statistics.num_images else {}),
    }


def statistics_from_json(fields: Mapping[str, Any]) -> Statistics:
    """Return what `statistics_to_json` was called on.

    Raises:
        StatisticsError: the fields are not those of statistics.
    """
    try:
        bands = BandSet(fields["bands"]["name"], tuple(fields["bands"]["channels"]), fields["bands"]["origin"])
        down, across = fields["grid"]
        empty = Statistics.empty(bands, (down, across), source=fields["source"])
        if not fields["num_images"]:
            return empty
        arrays = {name: torch.tensor(fields[name], dtype=torch.float64) for name in _ARRAYS}
        if any(array.shape != (len(bands),) for array in arrays.values()):
            raise ValueError(f"arrays are not of {len(bands)} channels")
        return Statistics(
            bands, empty.grid, empty.source, int(fields["num_images"]), int(fields["num_positions"]), **arrays
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StatisticsError(f"a record of statistics is damaged ({error}); remove it, run its part again") from error
