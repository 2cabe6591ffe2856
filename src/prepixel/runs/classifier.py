"""Networks with all that they need to take image files: what `predict` and `evaluate` speak to."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prepixel.data import CenterCrop, PixelReader, SpectrumReader
from prepixel.data.loading.crops import sample_generator
from prepixel.jpeg import Failure, read_sizes
from prepixel.tasks import ClassificationResult


@dataclass(frozen=True)
class Prediction:
    """Hold what a network takes one image for.

    Attributes:
        source: the image's path, or "buffer".
        classes: the most probable classes, most probable first.
        probabilities: theirs, 0..1, by softmax; not calibrated.
    """

    source: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


class Classifier(abc.ABC):
    """Say of image files what they show.

    Attributes:
        network: in evaluation mode.
        classes: names, in label order.
    """

    network: nn.Module
    classes: tuple[str, ...]

    @property
    @abc.abstractmethod
    def reader(self) -> SpectrumReader | PixelReader:
        """Give what turns files into the network's inputs."""

    @property
    @abc.abstractmethod
    def crop_fraction(self) -> float:
        """Give the side of the centred crop that the network sees, as a share of the short side."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name it in tables and plots."""

    @abc.abstractmethod
    def evaluate(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[ClassificationResult, tuple[tuple[str, str], ...]]:
        """Score the network on a folder of images; None for the ones it was trained beside."""

    @property
    def device(self) -> torch.device:
        """Say where the network is."""
        return next(self.network.parameters()).device

    def predict(
        self, paths: Sequence[str | os.PathLike[str]], *, top: int = 5, batch_size: int = 32, threads: int = 0
    ) -> Iterator[Prediction | Failure]:
        """Say of each file what it shows, in order; a file that cannot be read gives its failure instead.

        Args:
            paths: image files; no more of them are open or in memory than a batch.
            top: how many classes to name.
            batch_size: images that pass the network together.
            threads: threads to read on; 0 for one a processor.
        """
        reader = self.reader
        crop = CenterCrop(self.crop_fraction)
        generator = sample_generator(0, 0, 0)  # a centred crop draws nothing
        for start in range(0, len(paths), batch_size):
            names = [os.fspath(path) for path in paths[start : start + batch_size]]
            measured = read_sizes(names, threads=threads, on_error="skip")
            places = measured.kept.tolist()
            draws = [crop.draw((height, width), reader.aspect, generator) for height, width in measured.sizes.tolist()]
            views = reader.read([names[place] for place in places], draws, threads)
            outcomes: dict[int, Prediction | Failure] = {f.index: f for f in measured.failures}
            outcomes |= {places[f.index]: dataclasses.replace(f, index=places[f.index]) for f in views.failures}
            if views.kept:
                kept = [places[place] for place in views.kept]
                outcomes |= zip(kept, self._classify([names[place] for place in kept], views.inputs, top), strict=True)
            for place in range(len(names)):
                yield outcomes[place]

    def _classify(self, names: Sequence[str], inputs: Any, top: int) -> Iterator[Prediction]:
        with torch.inference_mode():
            logits: Tensor = self.network(inputs.to(self.device))
        best = logits.double().softmax(1).topk(min(top, len(self.classes)))
        for name, probabilities, labels in zip(names, best.values.tolist(), best.indices.tolist(), strict=True):
            yield Prediction(name, tuple(self.classes[label] for label in labels), tuple(probabilities))
