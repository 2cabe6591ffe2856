"""A trained segmenter, loaded from its run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from prepixel.array_types import Float32, UInt8
from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.label_map_crops import scores_in_photo
from prepixel.data.loading.loader import BatchLoader
from prepixel.data.loading.padded_crops import WholePhoto
from prepixel.data.loading.readers import read_drawn
from prepixel.data.random_streams import sample_generator
from prepixel.engine import Position, choose_device, load_weights
from prepixel.errors import DatasetError, RunError
from prepixel.jpeg import ReadFailure
from prepixel.models import Segmenter
from prepixel.recipes.parsing import read_any_recipe
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.runs.build_segmenter import (
    build_frame_reader,
    build_recipe_segmenter,
    build_segmentation_loader,
    build_segmentation_task,
    open_part,
    take_segmenter,
)
from prepixel.runs.classifier import Weights
from prepixel.runs.frame_runs import read_first_weights, read_frame_statistics, start_from_run
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.scoring import read_by, score
from prepixel.tasks import SegmentationResult


@dataclass(frozen=True)
class LabeledPhoto:
    """Store the labels that a segmenter gives the pixels of one photo.

    Attributes:
        source: the photo's path.
        labels: of its pixels, upright.
        scores: the probability of each pixel's label.
    """

    source: str
    labels: UInt8[np.ndarray, "h w"]
    scores: Float32[np.ndarray, "h w"]

    def shares(self, num_classes: int) -> list[float]:
        """Return the share of the photo's pixels that has each label."""
        counts = np.bincount(self.labels.ravel(), minlength=num_classes)
        return [float(count) / self.labels.size for count in counts]


@dataclass(frozen=True)
class TrainedSegmenter:
    """Score and apply the segmenter of a trained run.

    Attributes:
        folder: where it is from.
        recipe: how it was trained.
        network: in evaluation mode.
        classes: names, in label order.
        weights: ``best`` or ``last``, those that were loaded.
        position: how far training was with these weights.
    """

    folder: RunFolder
    recipe: SegmentationRecipe
    network: Segmenter
    classes: tuple[str, ...]
    weights: str
    position: Position

    def __repr__(self) -> str:
        return f"TrainedSegmenter({self.name!r}, {len(self.classes)} classes, {self.network.kind})"

    @property
    def name(self) -> str:
        """Name it in tables and plots."""
        return self.recipe.name

    @property
    def device(self) -> torch.device:
        """Return the device of the network."""
        return next(self.network.parameters()).device

    def evaluate(
        self, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[SegmentationResult, LabeledPhotos, tuple[ReadFailure, ...]]:
        """Score the segmenter on its recipe's validation photos, each as a whole in a frame.

        Args:
            batch_size: photos a batch; None for the recipe's.
            threads: threads to read on; None for the recipe's.

        Returns:
            The scores, the photos, and those that were left out (where the recipe skips bad ones).

        Raises:
            RunError: the recipe names no validation photos.
            DatasetError: their classes are not those of the run.
        """
        photos, loader = self.photos_and_loader(batch_size=batch_size, threads=threads)
        result: SegmentationResult = score(
            self.recipe, self.network, build_segmentation_task(self.recipe, len(self.classes)), loader
        )
        return result, photos, loader.failures

    def photos_and_loader(
        self, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[LabeledPhotos, BatchLoader]:
        """Return the recipe's validation photos, and a loader of them; arguments and errors are those of `evaluate`."""
        data = self.recipe.data
        if data.val is None:
            raise RunError(f"{self.folder.recipe}: names no validation photos to score the segmenter on")
        photos = open_part(self.recipe, "val")
        if photos.classes != self.classes:
            raise DatasetError(
                f"{data.val} has {len(photos.classes)} classes, and the run learned {len(self.classes)}, or others; "
                "they must be the same"
            )
        statistics = read_frame_statistics(self.folder, self.recipe)
        recipe = read_by(self.recipe, batch_size=batch_size, threads=threads)
        return photos, build_segmentation_loader(recipe, photos, statistics, training=False)

    def predict(self, paths: Sequence[str | os.PathLike[str]]) -> Iterator[LabeledPhoto | ReadFailure]:
        """Label the pixels of each photo, in order; a photo that cannot be read yields its failure instead.

        Args:
            paths: photos, read one at a time.
        """
        reader = build_frame_reader(self.recipe, read_frame_statistics(self.folder, self.recipe))
        crop, generator = WholePhoto(), sample_generator(0, 0, 0)  # which it does not touch
        shown: list[tuple[tuple[int, int], CropParams]] = []

        def draw(_: int, size: tuple[int, int]) -> CropParams:
            params = crop.make_params(size, reader.aspect, generator)
            shown.append((size, params))
            return params

        for number, path in enumerate([os.fspath(path) for path in paths]):
            shown.clear()
            frame, _, failures = read_drawn(reader, [path], draw, threads=1, indexes=None)
            if failures:
                yield ReadFailure(number, path, failures[0].error)
                continue
            ((size, params),) = shown
            with torch.inference_mode():
                logits = self.network(frame.to(self.device))["out"]
                scores = scores_in_photo(logits[0].float().softmax(0), params, size)
            best = scores.max(0)
            yield LabeledPhoto(path, best.indices.to(torch.uint8).cpu().numpy(), best.values.cpu().numpy())


def load_segmenter(
    folder: str | os.PathLike[str], *, weights: Weights = "best", device: str | torch.device | None = None
) -> TrainedSegmenter:
    """Load a run's segmenter, ready to be scored; as `load_run` for classifiers.

    Raises:
        RunError: the folder holds no run of a segmenter, or none that has saved weights yet.
        CheckpointError: the weights cannot be read.
    """
    place = RunFolder.at(folder)
    recipe = read_any_recipe(place.recipe)
    if not isinstance(recipe, SegmentationRecipe):
        raise RunError(
            f"{place.recipe}: task.kind is {recipe.task.kind}, and a segmenter is wanted here; open_run takes all kinds"
        )
    classes = place.read_classes()
    path = place.saved_checkpoint(weights)
    network = build_run_segmenter(place, recipe, len(classes), weights=False)
    position = load_weights(network, path)
    network.to(choose_device(device)).eval()
    return TrainedSegmenter(place, recipe, network, classes, path.stem, position)


def build_run_segmenter(place: RunFolder, recipe: SegmentationRecipe, num_classes: int, *, weights: bool) -> Segmenter:
    """Build a run's segmenter; without ``weights`` of the same parts, to be filled from a checkpoint."""
    statistics = read_frame_statistics(place, recipe)
    network = build_recipe_segmenter(recipe, num_classes, statistics, read_first_weights(recipe) if weights else None)
    if weights:
        start_from_run(recipe, network, load_segmenter, take_segmenter)
    return network
