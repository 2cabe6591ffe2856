"""A trained segmenter, loaded from its run's folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from prepixel.engine import Position, choose_device, evaluate, load_weights
from prepixel.errors import DatasetError, RunError
from prepixel.jpeg import ReadFailure
from prepixel.models import Segmenter
from prepixel.recipes.parsing import expand_path, read_any_recipe
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.runs.build_classifier import read_rgb_weights
from prepixel.runs.build_segmenter import (
    build_frame_reader,
    build_recipe_segmenter,
    build_segmentation_loader,
    build_segmentation_task,
    needs_statistics,
    open_part,
    take_segmenter,
)
from prepixel.runs.classifier import Weights
from prepixel.runs.run_folder import RunFolder
from prepixel.spectrum import BandSet, Statistics
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
        result: SegmentationResult = evaluate(
            self.network,
            build_segmentation_task(self.recipe, len(self.classes)),
            loader,
            precision=self.recipe.training.precision if self.device.type == "cuda" else "float32",
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
        data = dataclasses.replace(
            data,
            val_batch_size=batch_size or data.val_batch_size,
            threads=data.threads if threads is None else threads,
        )
        statistics = read_segmenter_statistics(self.folder, self.recipe)
        recipe = dataclasses.replace(self.recipe, data=data)
        return photos, build_segmentation_loader(recipe, photos, statistics, training=False)

    def predict(self, paths: Sequence[str | os.PathLike[str]]) -> Iterator[LabeledPhoto | ReadFailure]:
        """Label the pixels of each photo, in order; a photo that cannot be read yields its failure instead.

        Args:
            paths: photos, read one at a time.
        """
        reader = build_frame_reader(self.recipe, read_segmenter_statistics(self.folder, self.recipe))
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
    place = RunFolder(Path(folder))
    recipe = read_any_recipe(place.recipe)
    if not isinstance(recipe, SegmentationRecipe):
        raise RunError(f"{place.recipe}: task.kind is {recipe.task.kind}, and a segmenter is wanted here")
    classes = place.read_classes()
    path = place.checkpoint(weights)
    if weights == "best" and not path.exists():
        path = place.checkpoint("last")
    if not path.exists():
        raise RunError(f"{place.path}: has saved no weights yet; train it, or resume it with --resume")
    network = build_run_segmenter(place, recipe, len(classes), weights=False)
    position = load_weights(network, path)
    network.to(choose_device(device)).eval()
    return TrainedSegmenter(place, recipe, network, classes, path.stem, position)


def build_run_segmenter(place: RunFolder, recipe: SegmentationRecipe, num_classes: int, *, weights: bool) -> Segmenter:
    """Build a run's segmenter; without ``weights`` of the same parts, to be filled from a checkpoint."""
    statistics = read_segmenter_statistics(place, recipe)
    path = recipe.network.rgb_weights if weights else None
    state = None if path is None else read_rgb_weights(expand_path(path, "network.rgb_weights"))
    network = build_recipe_segmenter(recipe, num_classes, statistics, state)
    if weights and recipe.network.from_run is not None:
        start = load_segmenter(expand_path(recipe.network.from_run, "network.from_run"), weights="last", device="cpu")
        try:
            take_segmenter(network, start.network)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise RunError(f"network.from_run: {start.folder.path} is of another network: {reason}") from error
    return network


def read_segmenter_statistics(place: RunFolder, recipe: SegmentationRecipe) -> Statistics | None:
    """Read the statistics that a run kept; None where it needs none."""
    if not needs_statistics(recipe):
        return None
    return Statistics.read(place.statistics).for_bands(BandSet.read(place.bands))
