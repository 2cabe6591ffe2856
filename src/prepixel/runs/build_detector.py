"""Where the rooms meet for detectors: a recipe becomes photos, loaders, statistics, a detector and a task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.loading.channel_statistics import Progress, measure_statistics
from prepixel.data.loading.detection_crops import FrameSettings
from prepixel.data.loading.detection_loader import DetectionDataset, DetectionLoader
from prepixel.data.loading.detection_readers import PixelFrames, SpectrumFrames
from prepixel.data.random_streams import sample_generator
from prepixel.errors import DatasetError, ReadFailure, RunError
from prepixel.gates import build_gate
from prepixel.models import WeightsMismatch, count_macs
from prepixel.models.detectors import (
    Detector,
    PixelBackbone,
    SpectralBackbone,
    build_detector,
    fold_detector,
    small_heads,
)
from prepixel.models.pyramid import FRAME_MULTIPLE, Levels, fold_pyramid, frequency_pyramid, pixel_pyramid
from prepixel.recipes.detection import DetectionRecipe, FrameInputSettings
from prepixel.recipes.parsing import expand_path
from prepixel.runs.loader_options import check_batch_size, index_choice, loader_options
from prepixel.runs.run_metadata import bytes_per_value, run_sizes
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import Detection, GroundTruth

PHOTOS = "photos with objects"  # what messages call the training set's samples
_CHUNK = 32  # photos measured at once: their crops are larger than those of classification
_TYPICAL_PHOTO = (480, 640)  # height and width of most of COCO


@dataclass(frozen=True)
class CocoFolders:
    """Store a detection recipe's data sets.

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
        on_error=recipe.data.on_error,
        with_objects_only=part == "train",
        one_class=recipe.data.one_class,
    )


def build_frame_reader(recipe: DetectionRecipe, statistics: Statistics | None) -> SpectrumFrames | PixelFrames:
    """Build what turns photos into frames; int8 values take their steps from statistics."""
    settings = recipe.input
    unit = settings.pixels_per_block
    if settings.bands is None:
        return PixelFrames(unit)
    bands, multiple = BandSet.parse(settings.bands), FRAME_MULTIPLE // unit
    if settings.encoding == "float32":
        return SpectrumFrames(bands, unit, settings.filter, multiple=multiple)
    assert statistics is not None
    shift, step = statistics.shift().float(), statistics.int8_unit().float()
    return SpectrumFrames(bands, unit, settings.filter, torch.int8, shift, step, multiple)


def frame_settings(settings: FrameInputSettings) -> FrameSettings:
    """Return how a recipe's photos become frames."""
    return FrameSettings(
        settings.min_sizes,
        settings.max_size,
        settings.pixels_per_block,
        settings.flip_probability,
        settings.jitter,
    )


def build_detection_loader(
    recipe: DetectionRecipe,
    photos: CocoDataset,
    statistics: Statistics | None,
    *,
    training: bool,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> DetectionLoader:
    """Build the loader of training or validation batches.

    Raises:
        RunError: there are fewer training photos than a batch holds.
    """
    data, settings = recipe.data, recipe.input
    if training:
        check_batch_size(recipe, photos, PHOTOS)
    dataset = DetectionDataset(
        photos,
        build_frame_reader(recipe, statistics),
        frame_settings(settings),
        seed=recipe.seed,
        threads=data.threads,
        training=training,
        masks=recipe.network.kind == "mask_rcnn",
        indexes=index_choice(recipe),
    )
    batch_size = data.batch_size if training else data.val_batch_size or data.batch_size
    return DetectionLoader(
        dataset,
        **loader_options(recipe, batch_size=batch_size, rank=rank, world_size=world_size, pin_memory=pin_memory),
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
        RunError: no such trunk, or the gate asks for more than the band set has.
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
        raise RunError(f"network.rgb_weights: {settings.rgb_weights}: {error}") from error
    heads = small_heads(settings.kind, settings.channels) if settings.heads == "small" else {}
    detector = build_detector(settings.kind, pyramid, num_classes, **heads)
    if recipe.gate.kind != "none" and isinstance(detector.backbone, SpectralBackbone):
        detector.backbone.gate = build_gate(detector.backbone.input.bands, recipe.gate)
    return detector


def take_detector(network: Detector, given: Detector) -> None:
    """Take all weights of another detector but its gate's; of one on pixels, folded over the network's channels.

    Raises:
        ValueError: they are of different kinds, or one is on pixels and the other, which gives, is not.
        RuntimeError: their parts are not the same.
    """
    target, source = network.backbone, given.backbone
    if network.kind != given.kind:
        raise ValueError(f"{given.kind}, not {network.kind}")
    if isinstance(target, SpectralBackbone) and isinstance(source, PixelBackbone):
        given = fold_detector(given, target.input.bands, pixels_per_block=target.pixels_per_block)
    elif type(target) is not type(source):
        raise ValueError("it is on coefficients, and pixels are asked for")
    state = {name: value for name, value in given.state_dict().items() if ".backbone.gate." not in name}
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [name for name in missing if ".backbone.gate." not in name]
    if missing or unexpected:
        raise ValueError(f"it has no {missing[0]}" if missing else f"{unexpected[0]} has no place")


def build_detection_task(network: Detector, photos: CocoDataset) -> Detection:
    """Build the task, scored on these photos; for a gated detector within the gate's budget."""
    gate = getattr(network.backbone, "gate", None)
    budget = None if gate is None else gate.budget
    return Detection(GroundTruth.of(photos.ground_truth()), masks=network.has_masks, budget=budget)


def detection_statistics(
    recipe: DetectionRecipe,
    photos: CocoDataset,
    bands: BandSet,
    progress: Progress | None,
    failures: list[ReadFailure] | None = None,
) -> Statistics:
    """Read the statistics that a recipe names, or measure them on centered squares of its training photos."""
    settings = recipe.input
    if settings.statistics is not None:
        return Statistics.read(expand_path(settings.statistics, "input.statistics")).for_bands(bands)
    side = max(1, settings.min_sizes[-1] // settings.pixels_per_block)
    return measure_statistics(
        photos,
        grid=(side, side),
        bands=bands,
        crop_fraction=1.0,
        filter=settings.filter,
        max_images=settings.statistics_images,
        batch_size=_CHUNK,
        threads=recipe.data.threads,
        on_error=recipe.data.on_error,
        progress=progress,
        failures=failures,
        indexes=index_choice(recipe),
    )


def detection_run_metadata(
    recipe: DetectionRecipe, network: Detector, folders: CocoFolders, processes: int
) -> dict[str, float | int | str]:
    """Return what a table's row needs beside scores; costs are of one frame, that of a photo of 480 x 640."""
    settings = recipe.network
    values, macs = _frame_costs(recipe, network)
    folded = ["folded"] if settings.stem == "folded" else []
    gate = [f"{recipe.gate.kind} gate"] if recipe.gate.kind != "none" else []
    return {
        "input": "RGB" if recipe.input.bands is None else f"DCT {BandSet.parse(recipe.input.bands)}",
        "source": _source(recipe.input),
        "values_per_sample": values,
        "bytes_per_sample": values * bytes_per_value(recipe.input),
        "network": ", ".join([settings.kind, settings.name, *folded, *gate]),
        "macs": macs,
        **run_sizes(recipe, network, folders, processes),
    }


def _frame_costs(recipe: DetectionRecipe, network: Detector) -> tuple[int, int]:
    """Count a frame's values, and the multiply-adds of trunk and pyramid; those of heads depend on what is found."""
    size = frame_settings(recipe.input).make_params(_TYPICAL_PHOTO, sample_generator(0, 0, 0), training=False).size
    backbone, block = network.backbone, recipe.input.pixels_per_block
    shape = (3, *size)
    if isinstance(backbone, SpectralBackbone):
        shape = (len(backbone.input.bands), size[0] // block, size[1] // block)
    return math.prod(shape), count_macs(backbone.body, torch.empty((1, *shape), device="meta"))


def _source(settings: FrameInputSettings) -> str:
    """Return the size of frames, and the settings of the image that the coefficients are of."""
    sides = settings.min_sizes[-1], settings.max_size
    frame = f"frames of {sides[0]} to {sides[1]}"
    if settings.bands is None or settings.pixels_per_block == 8:
        return frame
    low, high = (8 * side // settings.pixels_per_block for side in sides)
    return f"{frame}, from {low} to {high}"
