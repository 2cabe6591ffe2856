"""What a detector's run is, in typed, frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from prepixel.engine.settings import OptimizationSettings, TrainSettings
from prepixel.errors import RecipeError
from prepixel.gates.gate_settings import GateSettings
from prepixel.recipes.checks import check_loading, check_seed, demand


@dataclass(frozen=True)
class DetectionDataSettings:
    """Settings of the photos that a detector learns from and is scored on.

    ``${NAME}`` in a path stands for the environment variable of that name, ``~`` for the home folder.

    Attributes:
        train: folder of the training photos.
        train_annotations: COCO's .json file about them.
        val: folder of the validation photos; null for no evaluation.
        val_annotations: COCO's .json file about them.
        one_class: take all categories for one: learn where objects are, not which.
        batch_size: photos of one training batch, those of all processes together.
        val_batch_size: photos of one validation batch; null for the training batch.
        threads: threads that read photos; 0 for one per CPU.
        workers: processes that read photos; 0 reads on threads of the training process.
        read_ahead: batches read ahead of the network.
        on_error: raise the error of the first bad photo or annotation, or skip them, count and report them.
        max_bad_fraction: with skip, the share of bad photos beyond which the run stops.
        use_indexes: whether crops are read by the folder's index (prepixel index), or those inside the files; what is
            learned does not depend on it.
    """

    train: str
    train_annotations: str
    val: str | None = None
    val_annotations: str | None = None
    one_class: bool = False
    batch_size: int = 16
    val_batch_size: int | None = None
    threads: int = 0
    workers: int = 0
    read_ahead: int = 2
    on_error: Literal["raise", "skip"] = "raise"
    max_bad_fraction: float = 0.01
    use_indexes: bool = True

    def __post_init__(self) -> None:
        if (self.val is None) != (self.val_annotations is None):
            raise RecipeError("val and val_annotations go together; give both, or neither")
        check_loading(self)


@dataclass(frozen=True)
class FrameInputSettings:
    """Settings of the input that a detector gets of a photo.

    Attributes:
        kind: spectrum (frequency channels, no pixels) or rgb (the usual pixels, to compare with).
        bands: for spectrum, the frequency channels, as classifiers name them.
        pixels_per_block: for spectrum, pixels of the frame that a block stands for, along an axis: 4 (published) or 8.
        encoding: for spectrum, how values travel to the device: float32, or int8 at a quarter of the bytes.
        statistics: for a removed stem or int8, a file written by ``prepixel stats``; null measures the training photos
            once.
        statistics_images: how many training photos, evenly spaced, are measured at most.
        min_sizes: the frame's shorter side in pixels; while training one is drawn, in evaluation the last is taken.
        max_size: its longer side is never longer.
        flip_probability: how often a training frame is mirrored.
        jitter: low and high end of the factor of large-scale jitter; null for none.
        filter: of the antialiased resize; rgb has bilinear only.
    """

    kind: Literal["spectrum", "rgb"] = "spectrum"
    bands: str | None = None
    pixels_per_block: int = 4
    encoding: Literal["float32", "int8"] = "float32"
    statistics: str | None = None
    statistics_images: int = 1000
    min_sizes: tuple[int, ...] = (800,)
    max_size: int = 1333
    flip_probability: float = 0.5
    jitter: tuple[float, float] | None = None
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if (self.kind == "spectrum") != (self.bands is not None):
            raise RecipeError("kind spectrum needs bands, for example bands: S-24, and kind rgb has none")
        foreign = self.statistics is not None or self.filter != "bilinear" or self.encoding != "float32"
        if self.kind == "rgb" and foreign:
            raise RecipeError("encoding, statistics and filter belong to kind spectrum, and kind is rgb; remove them")
        if self.pixels_per_block not in {1, 2, 4, 8}:
            raise RecipeError(f"pixels_per_block is {self.pixels_per_block}; it can be 1, 2, 4 or 8")
        demand(self, "statistics_images", lambda value: value >= 1, "1 or greater")
        sizes = list(self.min_sizes)
        if not sizes or min(sizes) < 1 or self.max_size < max(sizes):
            raise RecipeError(f"min_sizes is {sizes}, max_size {self.max_size}; give 1 <= every min size <= max_size")
        demand(self, "flip_probability", lambda value: 0 <= value <= 1, "from 0 to 1")
        if self.jitter is not None and not 0 < self.jitter[0] <= self.jitter[1] < math.inf:
            raise RecipeError(
                f"jitter is {list(self.jitter)}; it must be [low, high] with 0 < low <= high; published: [0.1, 2.0]"
            )


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of the detector that is trained.

    Attributes:
        kind: faster_rcnn, mask_rcnn, retinanet or fcos; of these mask_rcnn finds masks.
        name: its trunk: resnet18, resnet34, resnet50, resnet101, resnet152; folded or for rgb also mobilenet_v2 and
            efficientnet_lite0.
        stem: for kind spectrum, removed as in the paper, or folded: the RGB trunk itself over the coefficients.
        channels: of every map of the feature pyramid.
        heads: full, as torchvision has them, or small, for small frames and machines: see
            `prepixel.models.detectors.small_heads`.
        rgb_weights: a torch file with the weights of the RGB classifier of that name; null starts from random weights.
        from_run: the folder of a run of a detector of the same kind, trunk and classes, whose last weights are taken
            after ``rgb_weights``: of one on the same channels; or on pixels, which is then folded.
        freeze_norms: whether the trunk's batch norms keep their statistics; null for whether there are weights.
    """

    kind: Literal["faster_rcnn", "mask_rcnn", "retinanet", "fcos"] = "faster_rcnn"
    name: str = "resnet50"
    stem: Literal["removed", "folded"] = "removed"
    channels: int = 256
    heads: Literal["full", "small"] = "full"
    rgb_weights: str | None = None
    from_run: str | None = None
    freeze_norms: bool | None = None

    def __post_init__(self) -> None:
        demand(self, "channels", lambda value: value >= 1, "1 or greater")
        if self.kind == "fcos" and (self.channels % 32 or self.channels < 64):
            raise RecipeError(
                f"channels is {self.channels}; fcos normalizes 32 groups of them: take 64, 96, ... or 256"
            )


@dataclass(frozen=True)
class DetectionTaskSettings:
    """Settings of the task: detection.

    Attributes:
        kind: detection.
    """

    kind: Literal["detection"]


@dataclass(frozen=True)
class DetectionRecipe:
    """Describe one run of a detector completely; two runs of a recipe differ in nothing but where they ran.

    Attributes:
        data: the photos.
        input: what the detector sees of them.
        task: detection.
        network: the detector.
        gate: what chooses among its channels; none by default.
        optimization: how the weights move.
        training: how long, in which precision, with which record.
        name: what tables and plots call it; empty for the name of the recipe's file.
        seed: what every draw is made from: first weights, order, frames.
    """

    data: DetectionDataSettings
    input: FrameInputSettings
    task: DetectionTaskSettings
    network: DetectorSettings = field(default_factory=DetectorSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    name: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)
        rgb = self.input.kind == "rgb"
        if rgb and (self.gate.kind != "none" or self.network.stem == "folded"):
            raise RecipeError("gate and network.stem belong to input.kind spectrum, and it is rgb; remove them")
        if self.gate.bytes is not None:
            raise RecipeError("gate.bytes counts the bytes of one size of grid, and frames differ; give gate.channels")
        if not rgb and self.network.stem == "removed" and self.input.pixels_per_block != 4:
            raise RecipeError(
                f"input.pixels_per_block is {self.input.pixels_per_block}, and a trunk without its stem has 4; set it, "
                "or take network.stem: folded"
            )
