"""Where the rooms meet for detectors: a recipe becomes photos, loaders, statistics, a detector and a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from prepixel.data import CenterCrop, SpectrumReader
from prepixel.data.augment import sample_generator
from prepixel.data.coco import CocoDataset
from prepixel.data.detection import DetectionDataset, DetectionLoader, PixelFrames, SpectrumFrames
from prepixel.data.folder import DatasetError
from prepixel.errors import RecipeError
from prepixel.gates import build_gate
from prepixel.jpeg import read_sizes
from prepixel.models import WeightsMismatch, count_parameters
from prepixel.models.detection import Detector, SpectralBackbone, build_detector
from prepixel.models.pyramid import FRAME_MULTIPLE, Levels, fold_pyramid, frequency_pyramid, pixel_pyramid
from prepixel.recipe.building import Progress
from prepixel.recipe.detection_description import DetectionRecipe
from prepixel.recipe.reading import expand_path
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import Detection, GroundTruth

_CHUNK = 32


@dataclass(frozen=True)
class CocoFolders:
    """Hold a detection recipe's photos.

    Attributes:
        train: what it learns from.
        val: what it is scored on; None where the recipe names none.
    """

    train: CocoDataset
    val: CocoDataset | None

    @classmethod
    def of(cls, recipe: DetectionRecipe) -> CocoFolders:
        """Read both parts' annotations.

        Raises:
            DatasetError: annotations or photos are missing or wrong, or the parts have not the same categories.
            RecipeError: a path names an environment variable that is not set.
        """
        data = recipe.data
        train = read_part(recipe, "train", data.train, data.train_annotations)
        if data.val is None or data.val_annotations is None:
            return cls(train, None)
        val = read_part(recipe, "val", data.val, data.val_annotations)
        if (train.classes, train.category_ids) != (val.classes, val.category_ids):
            raise DatasetError(
                f"{data.train_annotations} has {len(train.classes)} categories and {data.val_annotations} "
                f"{len(val.classes)}, or others; both must list the same ones"
            )
        return cls(train, val)


def read_part(recipe: DetectionRecipe, part: str, photos: str, annotations: str) -> CocoDataset:
    """Read the annotations of one part of a recipe's photos; in training only those that show objects count."""
    return CocoDataset(
        expand_path(annotations, f"data.{part}_annotations"),
        expand_path(photos, f"data.{part}"),
        on_bad=recipe.data.on_error,
        with_objects_only=part == "train",
    )


def build_frame_reader(recipe: DetectionRecipe) -> SpectrumFrames | PixelFrames:
    """Build what turns photos into frames."""
    settings = recipe.input
    unit = settings.pixels_per_block
    if settings.bands is None:
        return PixelFrames(unit)
    return SpectrumFrames(BandSet.parse(settings.bands), unit, settings.filter, multiple=FRAME_MULTIPLE // unit)


def build_detection_loader(
    recipe: DetectionRecipe,
    photos: CocoDataset,
    *,
    training: bool,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> DetectionLoader:
    """Build the loader of training or validation batches.

    Raises:
        RecipeError: there are fewer training photos than a batch holds.
    """
    data, settings = recipe.data, recipe.input
    if training and len(photos) < data.batch_size:
        raise RecipeError(
            f"data.batch_size is {data.batch_size}, and {photos.root} has {len(photos)} photos with objects; lower it"
        )
    dataset = DetectionDataset(
        photos,
        build_frame_reader(recipe),
        settings.frames(),
        seed=recipe.seed,
        threads=data.threads,
        training=training,
        masks=recipe.network.kind == "mask_rcnn",
    )
    return DetectionLoader(
        dataset,
        batch_size=data.batch_size if training else data.val_batch_size or data.batch_size,
        rank=rank,
        world_size=world_size,
        workers=data.workers,
        read_ahead=data.read_ahead,
        pin_memory=pin_memory,
        on_error=data.on_error,
        max_bad_fraction=data.max_bad_fraction,
    )


def build_recipe_detector(
    recipe: DetectionRecipe,
    num_classes: int,
    statistics: Statistics | None = None,
    weights: dict[str, Any] | None = None,
) -> Detector:
    """Build the detector, and the gate before it, with first weights that depend on the recipe's seed alone.

    Args:
        recipe: which detector.
        num_classes: without the background.
        statistics: of the channels, for a removed stem.
        weights: of the RGB classifier.

    Raises:
        RecipeError: no such trunk, or the gate asks for more than the band set has.
    """
    settings, bands = recipe.network, recipe.input.bands
    torch.manual_seed(recipe.seed)
    levels: Levels = "rcnn" if settings.kind.endswith("rcnn") else "dense"
    shared: dict[str, Any] = {"weights": weights, "levels": levels, "channels": settings.channels}
    shared["freeze_norms"] = settings.freeze_norms
    try:
        if bands is None or settings.stem == "folded":
            pyramid = pixel_pyramid(settings.name, **shared)
            if bands is not None:
                parsed = BandSet.parse(bands)
                pyramid = fold_pyramid(pyramid, parsed, pixels_per_block=recipe.input.pixels_per_block)
        else:
            shift, scale = (None, None) if statistics is None else (statistics.shift(), statistics.scale())
            pyramid = frequency_pyramid(settings.name, BandSet.parse(bands), shift=shift, scale=scale, **shared)
    except WeightsMismatch as error:
        raise RecipeError(f"network.rgb_weights: {settings.rgb_weights}: {error}") from error
    detector = build_detector(settings.kind, pyramid, num_classes)
    if recipe.gate.kind != "none" and isinstance(detector.backbone, SpectralBackbone):
        detector.backbone.gate = build_gate(detector.backbone.input.bands, recipe.gate)
    return detector


def build_detection_task(network: Detector, photos: CocoDataset) -> Detection:
    """Build the task, scored on these photos; for a gated detector within the gate's budget."""
    gate = getattr(network.backbone, "gate", None)
    budget = None if gate is None else gate.budget
    return Detection(GroundTruth.of(photos.ground_truth()), masks=network.has_masks, budget=budget)


def needs_statistics(recipe: DetectionRecipe) -> bool:
    """Say whether channels are normalized by statistics of the data; a folded stem brings its own."""
    return recipe.input.kind == "spectrum" and recipe.network.stem == "removed"


def detection_statistics(
    recipe: DetectionRecipe, photos: CocoDataset, bands: BandSet, progress: Progress | None
) -> Statistics:
    """Read the statistics that a recipe names, or measure them on centred squares of its training photos."""
    settings = recipe.input
    if settings.statistics is not None:
        return Statistics.read(expand_path(settings.statistics, "input.statistics")).for_bands(bands)
    side = max(1, settings.min_sizes[-1] // settings.pixels_per_block)
    statistics = Statistics.empty(bands, (side, side), source=photos.root.name)
    reader, crop, generator = (
        SpectrumReader((side, side), bands, settings.filter),
        CenterCrop(1.0),
        sample_generator(0, 0, 0),
    )
    total = min(len(photos), settings.statistics_images)
    paths = [photos.samples[place * len(photos) // total].path for place in range(total)]
    for start in range(0, total, _CHUNK):
        chunk = paths[start : start + _CHUNK]
        measured = read_sizes(chunk, threads=recipe.data.threads, on_error="skip")
        kept = [chunk[place] for place in measured.kept.tolist()]
        draws = [crop.draw((height, width), 1.0, generator) for height, width in measured.sizes.tolist()]
        views = reader.read(kept, draws, recipe.data.threads)
        failures = (*measured.failures, *views.failures)
        if failures and recipe.data.on_error == "raise":
            raise failures[0].error
        statistics.update(views.inputs)
        if progress is not None:
            progress(start + len(chunk), total)
    if not statistics.num_images:
        raise DatasetError(f"{photos.root}: none of {total} photos can be read; list them with: prepixel scan")
    return statistics


def detection_facts(
    recipe: DetectionRecipe, network: Detector, folders: CocoFolders, processes: int
) -> dict[str, float | int | str]:
    """Say what a table's row needs beside scores."""
    settings = recipe.network
    folded = ["folded"] if settings.stem == "folded" else []
    gate = [f"{recipe.gate.kind} gate"] if recipe.gate.kind != "none" else []
    return {
        "input": "RGB" if recipe.input.bands is None else f"DCT {BandSet.parse(recipe.input.bands)}",
        "source": f"shorter side {recipe.input.min_sizes[-1]}, longer at most {recipe.input.max_size}",
        "network": ", ".join([settings.kind, settings.name, *folded, *gate]),
        "parameters": count_parameters(network),
        "epochs": recipe.training.epochs,
        "classes": len(folders.train.classes),
        "train_images": len(folders.train),
        "val_images": 0 if folders.val is None else len(folders.val),
        "processes": processes,
    }
