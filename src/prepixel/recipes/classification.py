"""What a run is, in typed, frozen values: all that decides its result, and nothing that does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from prepixel.engine.settings import OptimizationSettings, TrainSettings
from prepixel.errors import RecipeError
from prepixel.gates.gate_settings import GateSettings
from prepixel.recipes.augmentation import AugmentSettings
from prepixel.recipes.checks import check_loading, check_seed, demand
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION


@dataclass(frozen=True)
class DataSettings:
    """Settings of the images that a run learns from and is scored on.

    ``${NAME}`` in a path stands for the environment variable of that name, ``~`` for the home folder.

    Attributes:
        train: folder of training images, one folder a class (or a layout that FolderDataset reads), or of shards, in
            the file system or in a store (s3://BUCKET/FOLDER); for other tasks than classification a listing, .csv or
            .jsonl.
        val: folder of validation images; null for no evaluation.
        batch_size: images of one training batch, those of all processes together.
        val_batch_size: images of one validation batch; null for twice the training batch.
        repeats: how often a training batch has each of its images, with other crops each time (repeated augmentation);
            an epoch has as many steps as without, of so many fewer images.
        shuffle_block: neighbors that training batches are shuffled with together; 1 shuffles every image by itself.
            Images of shards in a store are then read by blocks, with so many fewer requests (see `BlockShuffle`).
        shuffle_open: blocks that batches are drawn from at a time, if shuffle_block is greater than 1.
        cache: local folder that keeps what is read of shards in a store; null for none.
        cache_bytes: what all files of the cache may take at most.
        threads: threads that read images; 0 for one per CPU.
        workers: processes that read images; 0 reads on threads of the training process.
        read_ahead: batches read ahead of the network.
        on_error: raise the error of the first bad file, or skip bad files, count and report them.
        max_bad_fraction: with skip, the share of bad files beyond which the run stops.
        use_indexes: whether crops are read by the folder's index (prepixel index), or those inside the files; what is
            learned does not depend on it.
    """

    train: str
    val: str | None = None
    batch_size: int = 64
    val_batch_size: int | None = None
    repeats: int = 1
    shuffle_block: int = 1
    shuffle_open: int = 64
    cache: str | None = None
    cache_bytes: int = 16 << 30
    threads: int = 0
    workers: int = 0
    read_ahead: int = 2
    on_error: Literal["raise", "skip"] = "raise"
    max_bad_fraction: float = 0.01
    use_indexes: bool = True

    def __post_init__(self) -> None:
        check_loading(self)
        for name in ("repeats", "shuffle_block", "shuffle_open"):
            demand(self, name, lambda value: value >= 1, "1 or greater")
        demand(self, "cache_bytes", lambda value: value >= 1 << 20, "1048576 (1 MiB) or greater")
        demand(self, "batch_size", lambda value: value % self.repeats == 0, f"a multiple of repeats, {self.repeats}")


@dataclass(frozen=True)
class InputSettings:
    """Settings of the input that a network gets of an image.

    Attributes:
        kind: spectrum (frequency channels, no pixels) or rgb (the usual pixels, to compare with).
        bands: for spectrum, the frequency channels: S-24, T-24, L-24, 192, zigzag-16-4-4, or a .json file.
        grid: for spectrum, blocks down and across, one number for both; 8 times as many pixels of the (resized) image.
        encoding: for spectrum, how values travel to the device: float32, or int8 at a quarter of the bytes.
        statistics: for spectrum, a file written by ``prepixel stats``; null measures the training images once.
        statistics_images: how many training images, evenly spaced, are measured at most.
        pixels: for rgb, pixels down and across, one number for both.
        val_grid: for spectrum, the grid of evaluation and of predictions; null for that of training. A larger one
            makes up for objects looking larger in training crops ("Fixing the train-test resolution discrepancy").
        val_pixels: for rgb, the same in pixels.
        crop_fraction: side of the centered crop that evaluation sees, as a share of the short side.
        areas: smallest and largest share of the image that a training crop keeps.
        ratios: smallest and largest width / height of a training crop.
        flip_probability: how often a training image is mirrored.
        filter: of the antialiased resize; rgb has bilinear only.
    """

    kind: Literal["spectrum", "rgb"] = "spectrum"
    bands: str | None = None
    grid: tuple[int, int] | None = None
    encoding: Literal["float32", "int8"] | None = None
    statistics: str | None = None
    statistics_images: int = 10_000
    pixels: tuple[int, int] | None = None
    val_grid: tuple[int, int] | None = None
    val_pixels: tuple[int, int] | None = None
    crop_fraction: float = PUBLISHED_CENTER_FRACTION
    areas: tuple[float, float] = (0.08, 1.0)
    ratios: tuple[float, float] = (3 / 4, 4 / 3)
    flip_probability: float = 0.5
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        needed = ("bands", "grid") if self.kind == "spectrum" else ("pixels",)
        of_pixels, of_spectra = ("pixels", "val_pixels"), ("bands", "grid", "val_grid", "encoding", "statistics")
        foreign = of_pixels if self.kind == "spectrum" else of_spectra
        for name in needed:
            if getattr(self, name) is None:
                raise RecipeError(f"kind {self.kind} needs {name}; {_EXAMPLES[name]}")
        for name in foreign:
            if getattr(self, name) is not None:
                other = "rgb" if self.kind == "spectrum" else "spectrum"
                raise RecipeError(f"{name} belongs to kind {other}, and kind is {self.kind}; remove one of the two")
        if self.kind == "rgb" and self.filter != "bilinear":
            raise RecipeError(f"filter is {self.filter}, and kind rgb resizes by torchvision's bilinear; remove it")
        for name in ("grid", "pixels", "val_grid", "val_pixels"):
            if getattr(self, name) is not None and min(getattr(self, name)) < 1:
                raise RecipeError(f"{name} is {list(getattr(self, name))}; both sides must be 1 or greater")
        demand(self, "statistics_images", lambda value: value >= 1, "1 or greater")
        demand(self, "crop_fraction", lambda value: 0 < value <= 1, "above 0 and at most 1")
        demand(self, "flip_probability", lambda value: 0 <= value <= 1, "from 0 to 1")
        for name, most in (("areas", 1.0), ("ratios", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most or math.isinf(high):
                limit = " <= 1" if most == 1 else ""
                raise RecipeError(f"{name} is {[low, high]}; it must be [low, high] with 0 < low <= high{limit}")

    @property
    def evaluated(self) -> InputSettings:
        """Return the settings of the input that evaluation and predictions take."""
        grid, pixels = self.val_grid or self.grid, self.val_pixels or self.pixels
        return replace(self, grid=grid, pixels=pixels, val_grid=None, val_pixels=None)


_EXAMPLES = {
    "bands": "for example bands: S-24",
    "grid": "for example grid: 28, the blocks of a 224 x 224 image",
    "pixels": "for example pixels: 224",
}


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of the network that is trained.

    Attributes:
        name: a classifier of torchvision; with a stem that is not removed or for kind rgb also timm:NAME, or
            FILE.py:FUNCTION, your own code, which is run only if the command line names it too, by --build.
        layer2_stride: 2; or 1 for the graph of the paper's released code, at more than three times the cost.
        stem: for kind spectrum, removed as in the paper (ResNet, ResNeXt, Wide ResNet, RegNet, DenseNet, ConvNeXt,
            MobileNetV2 and V3, EfficientNet and V2); folded: the RGB network itself, its first layer folded over
            the coefficients; or light: a small convolution over blocks in the place of its first layer.
        pixels: for a folded or light stem, the pixels down and across that the RGB network takes. For a folded one the
            grid's image must be 1, 2, 4 or 8 times as large; for a light one the grid must be as large as the first
            layer's maps, or a whole number of times larger or smaller.
        stochastic_depth: how often the last residual branch is left out in training; of the others, less often the
            nearer they are to the input. Null leaves the network's own.
        rgb_weights: a torch file with the weights of the RGB network of that name, or the name of weights that its
            library has (DEFAULT, IMAGENET1K_V2, a tag of timm's), reused where they fit; null starts from random ones.
        from_run: the folder of a run of the same network that sees at least these channels, gated or not: its weights
            are taken over, of those that see the input the columns of these channels.
    """

    name: str = "resnet18"
    layer2_stride: int = 2
    stem: Literal["removed", "folded", "light"] = "removed"
    pixels: tuple[int, int] | None = None
    stochastic_depth: float | None = None
    rgb_weights: str | None = None
    from_run: str | None = None

    def __post_init__(self) -> None:
        if self.stochastic_depth is not None:
            demand(self, "stochastic_depth", lambda value: 0 <= value < 1, "at least 0 and below 1, or null")
        if self.from_run is not None and self.rgb_weights is not None:
            raise RecipeError("network.from_run and network.rgb_weights both say how to start; remove one of them")
        if self.stem != "removed" and self.pixels is None:
            raise RecipeError(
                f"a {self.stem} stem needs network.pixels, what the RGB network takes; for example pixels: 224"
            )
        if self.stem == "removed" and self.pixels is not None:
            raise RecipeError(
                "network.pixels belongs to a folded or light stem, and network.stem is removed; remove one of them"
            )
        if self.stem != "removed" and self.layer2_stride != 2:
            raise RecipeError(
                f"network.layer2_stride belongs to a removed stem, and network.stem is {self.stem}; remove it"
            )
        if self.stem == "light" and self.from_run is not None:
            raise RecipeError("network.from_run slices a removed or folded stem, and network.stem is light; remove it")


@dataclass(frozen=True)
class TaskSettings:
    """Settings of the task.

    Attributes:
        kind: classification, one class an image; multi_label, any of several; or regression, numbers. For the last two
            data.train and data.val are listings, .csv or .jsonl, with the targets of each image. detection and
            segmentation make the recipe another, see `DetectionRecipe` and `SegmentationRecipe`.
        label_smoothing: while training, the share of the target that is spread evenly over all classes; for multi_label
            that by which targets move to one half.
        loss: cross_entropy, or binary_cross_entropy: of each class against the rest, the mean over classes. The targets
            of mixed images are the shares that they were mixed by.
    """

    kind: Literal["classification", "multi_label", "regression"] = "classification"
    label_smoothing: float = 0.0
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"

    def __post_init__(self) -> None:
        demand(self, "label_smoothing", lambda value: 0 <= value < 1, "at least 0 and below 1")
        if self.kind != "classification" and self.loss != "cross_entropy":
            raise RecipeError(f"loss is {self.loss}, and kind {self.kind} has one of its own; remove it")
        if self.kind == "regression" and self.label_smoothing:
            raise RecipeError("label_smoothing is set, and kind regression has no labels; remove it")


@dataclass(frozen=True)
class Recipe:
    """Describe one run completely; two runs of a recipe differ in nothing but where they ran.

    Attributes:
        data: the images.
        input: what the network sees of them.
        network: the network.
        gate: what chooses among its channels; none by default.
        task: what is learned.
        augment: how training batches are changed beyond crops and flips; not at all by default.
        optimization: how the weights move.
        training: how long, in which precision, with which record.
        name: what tables and plots call it; empty for the name of the recipe's file.
        seed: what every draw is made from: first weights, order, crops, dropout.
    """

    data: DataSettings
    input: InputSettings
    network: NetworkSettings = field(default_factory=NetworkSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    name: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)
        if self.task.kind != "classification" and (self.gate.kind != "none" or self.augment.mixes):
            raise RecipeError(
                f"gates, mixup and cutmix are for task.kind classification, and it is {self.task.kind}; remove them"
            )
        if self.input.val_grid is not None and self.network.stem == "light":
            raise RecipeError("input.val_grid is set, and network.stem is light, which is made for one grid; remove it")
        if self.input.kind == "rgb":
            if self.gate.kind != "none":
                raise RecipeError(f"gate.kind is {self.gate.kind}, and input.kind is rgb; a gate chooses frequencies")
            if self.network.from_run is not None:
                raise RecipeError("network.from_run belongs to kind spectrum, and input.kind is rgb; remove it")
            for name, default in (("layer2_stride", 2), ("stem", "removed")):
                if getattr(self.network, name) != default:
                    raise RecipeError(f"network.{name} belongs to kind spectrum, and input.kind is rgb; remove it")
