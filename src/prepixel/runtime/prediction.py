"""What a classifier says about photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prepixel.array_types import Float32, Int64
from prepixel.errors import ReadFailure


@dataclass(frozen=True)
class Prediction:
    """Store the classes predicted for one image.

    Attributes:
        source: the image's path, or "buffer of N bytes".
        classes: the most probable classes, most probable first.
        probabilities: theirs, 0..1, by softmax; not calibrated.
    """

    source: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Predictions:
    """Store the probabilities of all classes for several images.

    Attributes:
        all_probabilities: of each class, 0..1, by softmax; not calibrated.
        classes: names, in label order.
        kept: for each row the place of its source.
        failures: the sources that are left out; none under ``on_error="raise"``.
    """

    all_probabilities: Float32[np.ndarray, "kept k"]
    classes: tuple[str, ...]
    kept: Int64[np.ndarray, " kept"]
    failures: tuple[ReadFailure, ...] = ()

    def __len__(self) -> int:
        return len(self.all_probabilities)

    def __repr__(self) -> str:
        return f"Predictions({len(self)} images, {len(self.classes)} classes, {len(self.failures)} left out)"

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the most probable class of each image."""
        return tuple(self.classes[place] for place in self.all_probabilities.argmax(1).tolist())

    @property
    def probabilities(self) -> Float32[np.ndarray, " kept"]:
        """Return the probability of each image's most probable class."""
        highest: Float32[np.ndarray, " kept"] = self.all_probabilities.max(1)
        return highest

    def top(self, count: int) -> tuple[tuple[tuple[str, float], ...], ...]:
        """Return the most probable classes of each image with their probabilities, most probable first."""
        order = np.argsort(-self.all_probabilities, axis=1, kind="stable")[:, :count]
        return tuple(
            tuple((self.classes[place], float(row[place])) for place in places.tolist())
            for row, places in zip(self.all_probabilities, order, strict=True)
        )
