"""What the reports of all jobs over many images say alike."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from prepixel.errors import ReadFailure


@dataclass(frozen=True, kw_only=True)
class JobReport(abc.ABC):
    """Report what became of many images.

    Attributes:
        num_earlier: images finished by an earlier run.
        bytes_before: of the files that were converted.
        bytes_after: of what they became.
        seconds: that this run took.
        bad: images that could not be handled.
    """

    num_earlier: int
    bytes_before: int
    bytes_after: int
    seconds: float
    bad: tuple[ReadFailure, ...]

    @property
    @abc.abstractmethod
    def num_images(self) -> int:
        """Return how many images there are, those of earlier runs among them."""

    @property
    def ratio(self) -> float:
        """Return bytes after over bytes before; 1 where nothing was converted."""
        return self.bytes_after / self.bytes_before if self.bytes_before else 1.0

    @property
    def images_per_second(self) -> float:
        """Return how many images this run handled a second."""
        return (self.num_images - self.num_earlier) / self.seconds if self.seconds else 0.0
