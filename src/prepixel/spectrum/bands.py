"""Band sets: which of the 192 frequency channels a network sees. Published lists, families of lists, own lists.

A channel's id is ``component * 64 + 8 * v + u``: Y, Cb, Cr, each in natural order (v vertical, u horizontal).
Published lists are those of "Learning in the Frequency Domain" (CVPR 2020) and its released code.
"""

from __future__ import annotations

import difflib
import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prepixel.array_types import Int64
from prepixel.errors import BandSetError, describe_error
from prepixel.files import replace_file
from prepixel.spectrum import strict_json

COMPONENT_NAMES = ("Y", "Cb", "Cr")
NUM_CHANNELS = 192

# Natural index (8 v + u) of each zigzag position. Source: ITU-T T.81, Figure A.6.
ZIGZAG: tuple[int, ...] = tuple(
    sorted(
        range(64),
        key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8),
    )
)


def _ranges(text: str) -> tuple[int, ...]:
    """Expand "0-3 8 16-19" to its numbers."""
    bounds = (part.partition("-") for part in text.split())
    return tuple(i for low, _, high in bounds for i in range(int(low), int(high or low) + 1))


# name: (Y, each of Cb and Cr), natural indices inside the component.
_PUBLISHED: dict[str, tuple[str, str]] = {
    "S-6": ("0 1 8 9", "0"),
    "S-12": ("0-2 8-10 16 17", "0 1"),
    "S-24": ("0-3 8-11 16-19 24-27", "0 1 8 9"),
    "S-32": ("0-4 8-12 16-20 24-27 32-34", "0 1 2 8 9"),
    "S-48": ("0-5 8-13 16-21 24-29 32-35 40-43", "0 1 2 8 9 10 16 17"),
    "S-64": ("0-6 8-14 16-21 24-29 32-37 40-45 48-53", "0 1 2 8 9 10 16 17 24 25"),
    "T-12": ("0-2 8 9 16", "0 1 8"),
    "T-24": ("0-4 8-11 16 17 24", "0 1 2 8 9 16"),
    "T-48": ("0-6 8-13 16-20 24-27 32-34 40 41 48", "0-3 8 9 10 16 17 24"),
    "T-64": ("0-7 8-14 16-21 24-28 32-35 40-42 48", "0-4 8-11 16-18 24 25 32"),
    "L-24": ("0-5 8-10 16-18 24 32", "0 1 3 8 24"),
    "192": ("0-63", "0-63"),
}

PUBLISHED_NAMES: tuple[str, ...] = tuple(_PUBLISHED)


@dataclass(frozen=True)
class BandSet:
    """The frequency channels that a network sees, in the order in which it sees them.

    Every public function of the library that asks for ``bands`` takes a `BandSet` or the name of one; see `of`.

    Attributes:
        name: what tables print.
        channels: ids, ``component * 64 + 8 * v + u``, each at most once.
        origin: where an own list comes from; empty for published lists and families.

    >>> BandSet.parse("S-24").counts
    (16, 4, 4)
    """

    name: str
    channels: tuple[int, ...]
    origin: str = ""

    def __post_init__(self) -> None:
        try:
            channels = tuple(operator.index(c) for c in self.channels)
        except TypeError:
            raise BandSetError(f"band set {self.name!r}: channels are whole numbers, 0..191") from None
        object.__setattr__(self, "channels", channels)
        if outside := sorted({c for c in channels if not 0 <= c < NUM_CHANNELS}):
            raise BandSetError(f"band set {self.name!r}: channels {_some(outside)} are outside 0..191")
        if not channels:
            raise BandSetError(f"band set {self.name!r} is empty; name at least one channel")
        if len(set(channels)) != len(channels):
            twice = sorted(c for c, count in Counter(channels).items() if count > 1)
            raise BandSetError(f"band set {self.name!r}: channels {_some(twice)} are listed twice")

    def __len__(self) -> int:
        return len(self.channels)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield (component, v, u) channel by channel."""
        return ((c // 64, c % 64 // 8, c % 8) for c in self.channels)

    def __str__(self) -> str:
        return self.name

    @property
    def counts(self) -> tuple[int, int, int]:
        """Count the channels of Y, Cb, Cr."""
        y, cb, cr = (sum(c // 64 == component for c in self.channels) for component in range(3))
        return y, cb, cr

    def of_component(self, component: int) -> tuple[int, ...]:
        """List one component's natural indices (8 v + u), in order."""
        return tuple(c % 64 for c in self.channels if c // 64 == component)

    def num_values(self, grid: tuple[int, int]) -> int:
        """Count the values of one image on a grid of (blocks down, blocks across)."""
        return len(self) * grid[0] * grid[1]

    def num_values_by_component(self, grid: tuple[int, int]) -> tuple[int, int, int]:
        """Count the values of one image's Y, Cb, Cr on a grid of (blocks down, blocks across)."""
        y, cb, cr = (count * grid[0] * grid[1] for count in self.counts)
        return y, cb, cr

    def num_bytes(self, grid: tuple[int, int], *, bytes_per_value: int = 1) -> int:
        """Count the bytes of one image on a grid: 1 byte per value as int8, 4 as float32.

        >>> BandSet.parse("S-24").num_bytes((56, 56))
        75264
        """
        return self.num_values(grid) * bytes_per_value

    @classmethod
    def of_components(
        cls, name: str, y: Iterable[int], cb: Iterable[int], cr: Iterable[int], *, origin: str = ""
    ) -> BandSet:
        """Build a set from natural indices (8 v + u) per component."""
        parts = (tuple(y), tuple(cb), tuple(cr))
        for component, indices in zip(COMPONENT_NAMES, parts, strict=True):
            outside = [i for i in indices if not 0 <= i < 64]
            if outside:
                raise BandSetError(f"band set {name!r}: {component} indices {_some(outside)} are outside 0..63")
        return cls(name, tuple(64 * c + i for c, indices in enumerate(parts) for i in indices), origin)

    @classmethod
    def of(cls, bands: BandSet | str) -> BandSet:
        """Return the band set that an argument ``bands`` stands for: itself, or the one of a name.

        Args:
            bands: a band set, or what `parse` reads.

        Raises:
            BandSetError: there is no band set of that name.
            TypeError: neither a band set nor text.

        >>> len(BandSet.of("S-24"))
        24
        """
        if isinstance(bands, cls):
            return bands
        if isinstance(bands, str):
            return cls.parse(bands)
        raise TypeError(f"bands is a {type(bands).__name__}; give a BandSet, or the name of one such as 'S-24'")

    @classmethod
    def parse(cls, text: str) -> BandSet:
        """Return the band set of a name, or read it from its file.

        Args:
            text: a published name (``S-24``, ``T-12``, ``L-24``, ``192``); a family with its size per component:
                ``zigzag-16-4-4`` (the first in zigzag order), ``square-4-2-2`` (v, u < k), ``triangle-4-2-2``
                (v + u < k); or the path of a ``.json`` file written by `write`.

        Raises:
            BandSetError: nothing of that name; the nearest names are listed.
        """
        if text in _PUBLISHED:
            y, chroma = (_ranges(part) for part in _PUBLISHED[text])
            return cls.of_components(text, y, chroma, chroma)
        family = re.fullmatch(r"(zigzag|square|triangle)-([0-9]{1,3})-([0-9]{1,3})-([0-9]{1,3})", text)
        if family:
            sizes = [int(size) for size in family.groups()[1:]]
            return cls.of_components(text, *(_family_indices(family[1], size, text) for size in sizes))
        if text.endswith(".json"):
            return cls.read(Path(text))
        near = difflib.get_close_matches(text.upper(), PUBLISHED_NAMES, n=3, cutoff=0.3)
        hint = f"nearest: {', '.join(near)}; " if near else ""
        raise BandSetError(
            f"no band set {text!r}; {hint}published: {', '.join(PUBLISHED_NAMES)}; "
            "families: zigzag-16-4-4, square-4-2-2, triangle-4-2-2; or the path of a .json file"
        )

    @classmethod
    def read(cls, path: Path) -> BandSet:
        """Read a set written by `write`.

        Raises:
            BandSetError: the file is missing, is not JSON, or does not hold a band set.
        """
        try:
            fields = strict_json.read_object(path, required=("name", "channels"), optional=("origin",))
            name, origin = strict_json.text_of(fields, "name"), strict_json.text_of(fields, "origin")
            return cls(name, strict_json.integers_of(fields, "channels", most=NUM_CHANNELS), origin)
        except BandSetError as error:
            raise BandSetError(f"{path}: {error}") from error
        except OSError as error:
            raise BandSetError(describe_error(error, str(path))) from error
        except ValueError as error:
            raise BandSetError(f"{path}: not a band set file ({error}); it needs 'name' and 'channels'") from error

    def write(self, path: Path) -> None:
        """Write the set as JSON; the file is replaced as a whole."""
        fields = {"name": self.name, "channels": list(self.channels), "origin": self.origin}
        replace_file(path, (json.dumps(fields) + "\n").encode())


def _some(numbers: list[int]) -> str:
    """Format a list of numbers, shortened where it is long."""
    return str(numbers) if len(numbers) <= 16 else f"[{', '.join(map(str, numbers[:16]))}, ...]"


def _family_indices(family: str, size: int, text: str) -> tuple[int, ...]:
    limit = {"zigzag": 64, "square": 8, "triangle": 15}[family]
    if size > limit:
        raise BandSetError(f"band set {text!r}: {family} sizes end at {limit}, not {size}")
    if family == "zigzag":
        return ZIGZAG[:size]
    if family == "square":
        return tuple(8 * v + u for v in range(size) for u in range(size))
    return tuple(8 * v + u for v in range(8) for u in range(8) if v + u < size)


def zigzag_ids() -> Int64[np.ndarray, "8 8"]:
    """Return each channel's position in zigzag order: the numbers that the paper prints."""
    ids = np.zeros((8, 8), dtype=np.int64)
    for position, place in enumerate(ZIGZAG):
        ids[place // 8, place % 8] = position
    return ids
