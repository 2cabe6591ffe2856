"""A trained detector, loaded from its run's folder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.detection_crops import ResizeParams
from prepixel.data.loading.detection_loader import DetectionLoader
from prepixel.data.loading.detection_readers import FrameReader
from prepixel.data.loading.readers import read_drawn
from prepixel.data.random_streams import sample_generator
from prepixel.engine import Position, choose_device, load_weights
from prepixel.errors import DatasetError, RunError
from prepixel.jpeg import ReadFailure
from prepixel.models.detectors import Detector
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.parsing import read_any_recipe
from prepixel.runs.build_detector import (
    build_detection_loader,
    build_detection_task,
    build_frame_reader,
    build_recipe_detector,
    frame_settings,
    read_part,
    take_detector,
)
from prepixel.runs.classifier import Weights
from prepixel.runs.frame_runs import read_first_weights, read_frame_statistics, start_from_run
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.scoring import read_by, score
from prepixel.tasks import DetectionResult, coco_detections
from prepixel.tasks.average_precision import Found

CATEGORIES = "categories.json"  # COCO's ids and names, in label order


@dataclass(frozen=True)
class FoundInPhoto:
    """Store the detections of one photo.

    Attributes:
        source: the photo's path.
        size: its height and width in pixels, upright.
        found: detections as COCO has them, best first; ``image_id`` is the photo's number, from 1.
    """

    source: str
    size: tuple[int, int]
    found: tuple[Found, ...]


@dataclass(frozen=True)
class TrainedDetector:
    """Score and apply the detector of a trained run.

    Attributes:
        folder: where it is from.
        recipe: how it was trained.
        network: in evaluation mode.
        classes: names, in label order.
        weights: ``best`` or ``last``, those that were loaded.
        position: how far training was with these weights.
    """

    folder: RunFolder
    recipe: DetectionRecipe
    network: Detector
    classes: tuple[str, ...]
    weights: str
    position: Position

    def __repr__(self) -> str:
        return f"TrainedDetector({self.name!r}, {len(self.classes)} classes, {type(self.network).__name__})"

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
    ) -> tuple[DetectionResult, CocoDataset, tuple[ReadFailure, ...]]:
        """Score the detector on its recipe's validation photos.

        Args:
            batch_size: photos a batch; None for the recipe's.
            threads: threads to read on; None for the recipe's.

        Returns:
            The scores, the photos, and those that were left out (where the recipe skips bad ones).

        Raises:
            RunError: the recipe names no validation photos.
            DatasetError: their annotations are not those of the run's classes.
        """
        photos, loader = self.photos_and_loader(batch_size=batch_size, threads=threads)
        result: DetectionResult = score(self.recipe, self.network, build_detection_task(self.network, photos), loader)
        return result, photos, loader.failures

    def photos_and_loader(
        self, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[CocoDataset, DetectionLoader]:
        """Return the recipe's validation photos, and a loader of them; arguments and errors are those of `evaluate`."""
        data = self.recipe.data
        if data.val is None or data.val_annotations is None:
            raise RunError(f"{self.folder.recipe}: names no validation photos to score the detector on")
        photos = read_part(self.recipe, "val", data.val, data.val_annotations)
        if photos.classes != self.classes:
            raise DatasetError(
                f"{data.val_annotations} has {len(photos.classes)} categories, and the run learned "
                f"{len(self.classes)}, or others; they must be the same"
            )
        statistics = read_frame_statistics(self.folder, self.recipe)
        recipe = read_by(self.recipe, batch_size=batch_size, threads=threads)
        return photos, build_detection_loader(recipe, photos, statistics, training=False)

    def categories(self) -> list[dict[str, Any]]:
        """Return the COCO categories that the run learned, in label order."""
        listed: list[dict[str, Any]] = json.loads((self.folder.path / CATEGORIES).read_text(encoding="utf-8"))
        return listed

    def predict(
        self, paths: Sequence[str | os.PathLike[str]], *, min_score: float = 0.5
    ) -> Iterator[FoundInPhoto | ReadFailure]:
        """Detect the objects in each photo, in order; a photo that cannot be read yields its failure instead.

        Args:
            paths: photos, read one at a time.
            min_score: detections of a lower score are left out, 0..1.
        """
        reader: FrameReader = build_frame_reader(self.recipe, read_frame_statistics(self.folder, self.recipe))
        frames = frame_settings(self.recipe.input)
        identifiers = [int(category["id"]) for category in self.categories()]
        sizes: list[tuple[int, int]] = []

        def draw(_: int, size: tuple[int, int]) -> ResizeParams:
            sizes.append(size)
            return frames.make_params(size, sample_generator(0, 0, 0), training=False)

        for number, path in enumerate([os.fspath(path) for path in paths], start=1):
            sizes.clear()
            frame, _, failures = read_drawn(reader, [path], draw, threads=1, indexes=None)
            if failures:
                yield ReadFailure(number - 1, path, failures[0].error)
                continue
            (size,) = sizes
            moved = [one.to(self.device) for one in frame] if isinstance(frame, list) else frame.to(self.device)
            with torch.inference_mode():
                (one,) = self.network(moved, original_sizes=[size])
            kept = {name: value[one["scores"] >= min_score] for name, value in one.items()}
            found = coco_detections(kept, number, size, identifiers, masks=self.network.has_masks)
            yield FoundInPhoto(path, size, tuple(found))


def load_detector(
    folder: str | os.PathLike[str], *, weights: Weights = "best", device: str | torch.device | None = None
) -> TrainedDetector:
    """Load a run's detector, ready to be scored; as `load_run` for classifiers.

    Raises:
        RunError: the folder holds no run of a detector, or none that has saved weights yet.
        CheckpointError: the weights cannot be read.
    """
    place = RunFolder.at(folder)
    recipe = read_any_recipe(place.recipe)
    if not isinstance(recipe, DetectionRecipe):
        raise RunError(
            f"{place.recipe}: task.kind is {recipe.task.kind}, and a detector is wanted here; open_run takes all kinds"
        )
    classes = place.read_classes()
    path = place.saved_checkpoint(weights)
    network = build_run_network(place, recipe, len(classes), weights=False)
    position = load_weights(network, path)
    network.to(choose_device(device)).eval()
    return TrainedDetector(place, recipe, network, classes, path.stem, position)


def build_run_network(place: RunFolder, recipe: DetectionRecipe, num_classes: int, *, weights: bool) -> Detector:
    """Build a run's detector; without ``weights`` of the same parts, to be filled from a checkpoint."""
    if not weights and recipe.network.rgb_weights is not None and recipe.network.freeze_norms is None:
        frozen = dataclasses.replace(recipe.network, freeze_norms=True)  # as it was with them
        recipe = dataclasses.replace(recipe, network=frozen)
    statistics = read_frame_statistics(place, recipe)
    network = build_recipe_detector(recipe, num_classes, statistics, read_first_weights(recipe) if weights else None)
    if weights:
        start_from_run(recipe, network, load_detector, take_detector)
    return network
