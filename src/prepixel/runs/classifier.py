"""Networks with all that they need to take image files: what `predict` and `evaluate` speak to."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from prepixel.data import CropLoader, ImageDataset, ListedDataset, PixelReader, SpectrumReader, open_dataset
from prepixel.data.loading.readers import read_centered
from prepixel.engine import Position, choose_device, load_weights
from prepixel.errors import RunError
from prepixel.jpeg import ReadFailure
from prepixel.jpeg.source import Source, source_name
from prepixel.recipes.classification import Recipe
from prepixel.recipes.parsing import expand_location
from prepixel.runs.build_classifier import Network, build_loader, build_network, build_reader, build_task
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.scoring import read_by, score
from prepixel.runtime.prediction import Prediction
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import ClassificationResult

_Answer = TypeVar("_Answer")


class Classifier(abc.ABC):
    """Classify image files.

    Attributes:
        network: in evaluation mode.
        classes: names, in label order.
    """

    network: nn.Module
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self.classes)} classes, {self.reader})"

    @property
    @abc.abstractmethod
    def reader(self) -> SpectrumReader | PixelReader:
        """Return the reader that turns files into the network's inputs."""

    @property
    @abc.abstractmethod
    def crop_fraction(self) -> float:
        """Return the side of the centered crop that the network sees, as a fraction of the short side."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name it in tables and plots."""

    @abc.abstractmethod
    def evaluate(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[ClassificationResult, tuple[ReadFailure, ...]]:
        """Score the network on a folder of images; None for the ones it was trained beside."""

    @property
    def device(self) -> torch.device:
        """Return the device of the network."""
        return next(self.network.parameters()).device

    def predict(
        self, paths: Sequence[Source], *, top: int = 5, batch_size: int = 32, threads: int = 0
    ) -> Iterator[Prediction | ReadFailure]:
        """Classify each file, in order; a file that cannot be read yields its failure instead.

        Where an image may have several labels, the chances of each are independent, and do not add up to 1.

        Args:
            paths: image files, or their bytes; no more of them are open or in memory than a batch.
            top: how many classes to name.
            batch_size: images that pass the network together.
            threads: threads to read on; 0 for one per CPU.

        Raises:
            RunError: the network gives values, not classes; use `TrainedRun.predict_values`.
        """
        if self.answers == "values":
            raise RunError(f"{self.name}: is of task.kind regression, which gives values: use predict_values")
        yield from self._answer(
            paths, lambda names, outputs: self._classify(names, outputs, top), batch_size=batch_size, threads=threads
        )

    def _answer(
        self,
        paths: Sequence[Source],
        answers: Callable[[list[str], Tensor], Iterable[_Answer]],
        *,
        batch_size: int,
        threads: int,
    ) -> Iterator[_Answer | ReadFailure]:
        """Run files through the network, and yield what is made of its outputs, or a file's failure, in order."""
        for start in range(0, len(paths), batch_size):
            sources = list(paths[start : start + batch_size])
            names = [source_name(source) for source in sources]
            crops = read_centered(self.reader, sources, self.crop_fraction, threads)
            outcomes: dict[int, _Answer | ReadFailure] = {failure.index: failure for failure in crops.failures}
            if crops.kept:
                with torch.inference_mode():
                    outputs = self.network(crops.inputs.to(self.device))
                made = answers([names[place] for place in crops.kept], outputs)
                outcomes |= zip(crops.kept, made, strict=True)
            for place in range(len(names)):
                yield outcomes[place]

    @property
    def answers(self) -> Literal["classes", "labels", "values"]:
        """Return the kind of answer: one of the classes, any of them as labels, or a value for each of their names."""
        return "classes"

    def _classify(self, names: Sequence[str], logits: Tensor, top: int) -> Iterator[Prediction]:
        chances = logits.double().sigmoid() if self.answers == "labels" else logits.double().softmax(1)
        best = chances.topk(min(top, len(self.classes)))
        for name, probabilities, labels in zip(names, best.values.tolist(), best.indices.tolist(), strict=True):
            yield Prediction(name, tuple(self.classes[label] for label in labels), tuple(probabilities))


Weights = Literal["best", "last"]


@dataclass(frozen=True, repr=False)
class TrainedRun(Classifier):
    """Classify image files with the network of a trained run.

    Attributes:
        folder: where it is from.
        recipe: how it was trained.
        network: in evaluation mode.
        classes: names, in label order.
        bands: the channels it sees; None for a run on pixels.
        statistics: of its channels; None for a run on pixels.
        weights: ``best`` or ``last``, those that were loaded.
        position: how far training was with these weights.
    """

    folder: RunFolder
    recipe: Recipe
    network: Network
    classes: tuple[str, ...]
    bands: BandSet | None
    statistics: Statistics | None
    weights: str
    position: Position

    @property
    def name(self) -> str:
        """Name it in tables and plots."""
        return self.recipe.name

    @property
    def reader(self) -> SpectrumReader | PixelReader:
        """Return the reader that turns files into the network's inputs."""
        return build_reader(self.recipe.input.evaluated, self.bands, self.statistics)

    @property
    def crop_fraction(self) -> float:
        """Return the side of the centered crop that the network sees, as a fraction of the short side."""
        return self.recipe.input.crop_fraction

    @property
    def answers(self) -> Literal["classes", "labels", "values"]:
        """Return the kind of answer: one of the classes, any of them as labels, or a value for each of their names."""
        kinds: dict[str, Literal["labels", "values"]] = {"multi_label": "labels", "regression": "values"}
        return kinds.get(self.recipe.task.kind, "classes")

    def predict_values(
        self, paths: Sequence[Source], *, batch_size: int = 32, threads: int = 0
    ) -> Iterator[dict[str, float] | ReadFailure]:
        """Return the values of each file by name, in order; a file that cannot be read yields its failure instead.

        Args:
            paths: image files, or their bytes.
            batch_size: images that pass the network together.
            threads: threads to read on; 0 for one per CPU.

        Raises:
            RunError: the network gives classes, not values; use `predict`.
        """
        if self.answers != "values":
            raise RunError(f"{self.name}: is of task.kind {self.recipe.task.kind}, which gives classes: use predict")
        scaling = self.folder.read_scaling()

        def values(_: list[str], outputs: Tensor) -> list[dict[str, float]]:
            return [dict(zip(self.classes, row, strict=True)) for row in scaling.to_units(outputs).tolist()]

        yield from self._answer(paths, values, batch_size=batch_size, threads=threads)

    def evaluate(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[Any, tuple[ReadFailure, ...]]:
        """Score the network on a folder of images.

        Args:
            folder: images of the run's classes, or a listing for tasks that take one; None for the recipe's validation
                images.
            batch_size: images a batch; None for the recipe's.
            threads: threads to read on; None for the recipe's.

        Returns:
            The scores, and the files that were left out (where the recipe skips bad files).

        Raises:
            RunError: no folder is given and the recipe names none.
            DatasetError: the folder has no image, or classes that the run does not know.
        """
        loader = self.loader(folder, batch_size=batch_size, threads=threads)
        scaling = self.folder.read_scaling() if self.answers == "values" else None
        task = build_task(self.recipe, len(self.classes), self.network, scaling)
        return score(self.recipe, self.network, task, loader), loader.failures

    def loader(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> CropLoader:
        """Build a loader of images as the network is scored on; arguments and errors are those of `evaluate`."""
        if folder is None:
            if self.recipe.data.val is None:
                raise RunError(f"{self.folder.recipe}: names no validation images; give a folder by --data")
            folder = expand_location(self.recipe.data.val, "data.val")
        files: ImageDataset
        if self.answers == "classes":
            files = open_dataset(folder, class_names=self.classes)
        else:
            files = ListedDataset(folder, kind=self.answers, class_names=self.classes)
        recipe = read_by(self.recipe, batch_size=batch_size, threads=threads)
        return build_loader(recipe, files, self.reader, training=False)


def load_run(
    folder: str | os.PathLike[str], *, weights: Weights = "best", device: str | torch.device | None = None
) -> TrainedRun:
    """Load a run's network, ready to predict: the averaged weights where the run kept an average.

    Args:
        folder: a run's folder.
        weights: those of the best evaluation, or the last ones; a run without evaluation has only the last.
        device: where to put it; None for an accelerator if there is one.

    Raises:
        RunError: the folder holds no run, or none that has saved weights yet.
        CheckpointError: the weights cannot be read.
    """
    place = RunFolder.at(folder)
    recipe = place.read_recipe()
    classes = place.read_classes()
    bands, statistics = place.read_input(recipe)
    path = place.saved_checkpoint(weights)
    network = build_network(recipe, len(classes), bands, statistics)
    position = load_weights(network, path)
    network.to(choose_device(device)).eval()
    return TrainedRun(place, recipe, network, classes, bands, statistics, path.stem, position)
