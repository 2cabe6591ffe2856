"""What a segmenter's run is, in typed, frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from prepixel.engine.settings import OptimizationSettings, TrainSettings
from prepixel.errors import RecipeError
from prepixel.recipes.checks import check_loading, check_seed, demand


@dataclass(frozen=True)
class SegmentationDataSettings:
    """Settings of the photos that a segmenter learns from and is scored on, and of their labels.

    Labels come from COCO's annotations of objects, or from a picture for each photo whose pixels are labels.
    ``${NAME}`` in a path stands for the environment variable of that name, ``~`` for the home folder.

    Attributes:
        train: folder of the training photos.
        train_annotations: COCO's .json file about them; label 0 is the background then.
        train_masks: folder of their masks.
        train_names: with masks, a text file of the photos to take, one a line, without endings; null for all.
        val: folder of the validation photos; null for no evaluation.
        val_annotations: COCO's .json file about them.
        val_masks: folder of their masks.
        val_names: with masks, a text file of the photos to take; null for all.
        classes: with masks, a text file of the classes, one a line, by label from 0.
        ignore_label: with masks, the label of pixels that are neither learned nor scored.
        one_class: with annotations, take all categories for one.
        batch_size: photos of one training batch, those of all processes together.
        val_batch_size: photos of one validation batch; null for the training batch.
        threads: threads that read photos; 0 for one per CPU.
        workers: processes that read photos; 0 reads on threads of the training process.
        read_ahead: batches read ahead of the network.
        on_error: raise the error of the first bad photo, mask or annotation, or skip them, count and report them.
        max_bad_fraction: with skip, the share of bad photos beyond which the run stops.
        use_indexes: whether crops are read by the folder's index (prepixel index), or those inside the files; what is
            learned does not depend on it.
    """

    train: str
    train_annotations: str | None = None
    train_masks: str | None = None
    train_names: str | None = None
    val: str | None = None
    val_annotations: str | None = None
    val_masks: str | None = None
    val_names: str | None = None
    classes: str | None = None
    ignore_label: int = 255
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
        for part in ("train", "val"):
            self._check_part(part)
        masked = self.train_masks is not None
        if masked != (self.classes is not None):
            raise RecipeError("train_masks and classes, a text file of the classes' names, go together; give both")
        if self.val is not None and masked != (self.val_masks is not None):
            raise RecipeError("train and val must both have annotations, or both have masks")
        if masked and self.one_class:
            raise RecipeError("one_class belongs to annotations, and train_masks is given; remove one of them")
        if not masked and self.ignore_label != 255:
            raise RecipeError("ignore_label belongs to masks, and train_masks is not given; remove it")
        demand(self, "ignore_label", lambda value: 0 <= value <= 255, "from 0 to 255")
        check_loading(self)

    def _check_part(self, part: str) -> None:
        """Check that a part has labels of one kind, and that its names are of masks."""
        photos, annotations, masks, names = (
            getattr(self, f"{part}{suffix}") for suffix in ("", "_annotations", "_masks", "_names")
        )
        if photos is None and (annotations is not None or masks is not None or names is not None):
            raise RecipeError(f"{part} is null, and there are labels for it; give the folder of its photos")
        if photos is not None and (annotations is None) == (masks is None):
            raise RecipeError(
                f"{part} needs {part}_annotations, COCO's file, or {part}_masks, a folder; give one of them"
            )
        if names is not None and masks is None:
            raise RecipeError(f"{part}_names belongs to {part}_masks, which is not given; remove it")


@dataclass(frozen=True)
class LabeledFrameSettings:
    """Settings of the input that a segmenter gets of a photo: a frame of one size, padded where the photo ends.

    Attributes:
        kind: spectrum (frequency channels, no pixels) or rgb (the usual pixels, to compare with).
        bands: for spectrum, the frequency channels, as classifiers name them.
        grid: for spectrum, blocks down and across, one number for both.
        pixels_per_block: for spectrum, pixels of the frame that a block stands for, along an axis: 1, 2, 4 or 8. A
            trunk without its stem has 4, MobileNetV2's 2.
        encoding: for spectrum, how values travel to the device: float32, or int8 at a quarter of the bytes.
        statistics: for a removed stem or int8, a file written by ``prepixel stats``; null measures the training photos
            once.
        statistics_images: how many training photos, evenly spaced, are measured at most.
        pixels: for rgb, pixels down and across, one number for both.
        scales: while training, least and largest scale of the photo; at 1 it just fits into the frame.
        flip_probability: how often a training frame is mirrored.
        filter: of the antialiased resize; rgb has bilinear only.
    """

    kind: Literal["spectrum", "rgb"] = "spectrum"
    bands: str | None = None
    grid: tuple[int, int] | None = None
    pixels_per_block: int = 4
    encoding: Literal["float32", "int8"] = "float32"
    statistics: str | None = None
    statistics_images: int = 1000
    pixels: tuple[int, int] | None = None
    scales: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = 0.5
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        spectrum = self.kind == "spectrum"
        needed = ("bands", "grid") if spectrum else ("pixels",)
        foreign = ("pixels",) if spectrum else ("bands", "grid", "statistics")
        for name in needed:
            if getattr(self, name) is None:
                raise RecipeError(f"kind {self.kind} needs {name}; {_EXAMPLES[name]}")
        for name in foreign:
            if getattr(self, name) is not None:
                other = "rgb" if spectrum else "spectrum"
                raise RecipeError(f"{name} belongs to kind {other}, and kind is {self.kind}; remove one of the two")
        if not spectrum and (self.filter != "bilinear" or self.encoding != "float32" or self.pixels_per_block != 4):
            raise RecipeError(
                "encoding, filter and pixels_per_block belong to kind spectrum, and kind is rgb; remove them"
            )
        for name in ("grid", "pixels"):
            if getattr(self, name) is not None and min(getattr(self, name)) < 1:
                raise RecipeError(f"{name} is {list(getattr(self, name))}; both sides must be 1 or greater")
        if self.pixels_per_block not in {1, 2, 4, 8}:
            raise RecipeError(f"pixels_per_block is {self.pixels_per_block}; it can be 1, 2, 4 or 8")
        demand(self, "statistics_images", lambda value: value >= 1, "1 or greater")
        low, high = self.scales
        if not 0 < low <= high < math.inf:
            raise RecipeError(f"scales is {[low, high]}; it must be [low, high] with 0 < low <= high")
        demand(self, "flip_probability", lambda value: 0 <= value <= 1, "from 0 to 1")

    @property
    def frame(self) -> tuple[int, int]:
        """Return height and width of a frame in pixels, which its label map has."""
        if self.grid is None:
            return self.pixels or (0, 0)
        return self.grid[0] * self.pixels_per_block, self.grid[1] * self.pixels_per_block


_EXAMPLES = {
    "bands": "for example bands: S-24",
    "grid": "for example grid: 56, with pixels_per_block: 4 a frame of 224 x 224",
    "pixels": "for example pixels: 224",
}


@dataclass(frozen=True)
class SegmenterSettings:
    """Settings of the segmenter that is trained.

    Attributes:
        kind: fcn, deeplabv3 or lraspp, as torchvision has them.
        name: its trunk: resnet18, resnet34, resnet50, resnet101, resnet152 or mobilenet_v2; folded or for rgb also
            mobilenet_v3_large and mobilenet_v3_small.
        stem: for kind spectrum, removed as in the paper, or folded: the RGB network itself over the coefficients.
        aux: whether fcn or deeplabv3 has an auxiliary head, which only training uses.
        rgb_weights: a torch file with the weights of the RGB classifier of that name; null starts from random weights.
        from_run: the folder of a run of a segmenter of the same kind, trunk and classes, whose last weights are taken
            after ``rgb_weights``: of one on the same channels; or on pixels, which is then folded.
    """

    kind: Literal["fcn", "deeplabv3", "lraspp"] = "deeplabv3"
    name: str = "resnet50"
    stem: Literal["removed", "folded"] = "removed"
    aux: bool = False
    rgb_weights: str | None = None
    from_run: str | None = None

    def __post_init__(self) -> None:
        if self.aux and self.kind == "lraspp":
            raise RecipeError("lraspp has no auxiliary head; remove aux, or take fcn or deeplabv3")


@dataclass(frozen=True)
class SegmentationTaskSettings:
    """Settings of the task: semantic segmentation.

    Attributes:
        kind: segmentation.
        aux_weight: of the auxiliary head's loss, where there is one.
    """

    kind: Literal["segmentation"]
    aux_weight: float = 0.5

    def __post_init__(self) -> None:
        demand(self, "aux_weight", lambda value: value >= 0, "0 or greater")


@dataclass(frozen=True)
class SegmentationRecipe:
    """Describe one run of a segmenter completely; two runs of a recipe differ in nothing but where they ran.

    Attributes:
        data: the photos and their labels.
        input: what the segmenter sees of them.
        task: segmentation.
        network: the segmenter.
        optimization: how the weights move.
        training: how long, in which precision, with which record.
        name: what tables and plots call it; empty for the name of the recipe's file.
        seed: what every draw is made from: first weights, order, frames.
    """

    data: SegmentationDataSettings
    input: LabeledFrameSettings
    task: SegmentationTaskSettings
    network: SegmenterSettings = field(default_factory=SegmenterSettings)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    name: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)
        if self.input.kind == "rgb":
            if self.network.stem == "folded":
                raise RecipeError("network.stem belongs to input.kind spectrum, and it is rgb; remove it")
            return
        stride = 2 if self.network.name == "mobilenet_v2" else 4
        if self.network.stem == "removed" and self.input.pixels_per_block != stride:
            raise RecipeError(
                f"input.pixels_per_block is {self.input.pixels_per_block}, and {self.network.name} without its stem "
                f"has {stride}; set it, or take network.stem: folded"
            )
