"""Folded networks in files: all that is needed to run from JPEG bytes, and nothing that is executed when it is read."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from prepixel.data import CenterCrop, CropLoader, SpectrumReader, open_dataset
from prepixel.engine import choose_device, evaluate
from prepixel.engine.checkpoint import read_checkpoint, write_checkpoint
from prepixel.errors import ModelError, PrepixelError, ReadFailure
from prepixel.models import FoldedNetwork, check_finite, fold, pixel_model, rebuild_folded
from prepixel.models.build_function import BuildFunction
from prepixel.models.folding.reconstruction import int8_unit
from prepixel.models.pretrained import NO_WEIGHTS, RECIPES_NETWORK
from prepixel.models.weight_files import Weights
from prepixel.runs.classifier import Classifier, load_run
from prepixel.runs.folded_file import KIND, FoldedFile
from prepixel.runs.wordnet import folder_class_names
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION, Filter
from prepixel.tasks import Classification, ClassificationResult

Encoding = Literal["float32", "int8"]


@dataclass(frozen=True, repr=False)
class FoldedClassifier(Classifier):
    """A folded network with all that it needs to take image files.

    Attributes:
        network: in evaluation mode.
        classes: names, in label order.
        source: the name by which `pixel_model` builds the pixel network.
        num_classes: that it is built for; None where that cannot be chosen.
        crop: side of the centered crop, as a share of the short side.
        filter: of the resize.
        encoding: how values travel to the device. int8 has one step for all images, wide enough that nothing is
            clipped: about 8 coefficient units, or one gray level of a block's mean.
        trained: whether the network has weights other than random ones; if not, its answers mean nothing.
        build: the caller's function that builds the pixel network; None for networks of a library. Never in a file.
    """

    network: FoldedNetwork
    classes: tuple[str, ...]
    source: str
    num_classes: int | None
    crop: float = PUBLISHED_CENTER_FRACTION
    filter: Filter = "bilinear"
    encoding: Encoding = "float32"
    trained: bool = True
    build: BuildFunction | None = None

    @property
    def name(self) -> str:
        """Return the name for tables and plots."""
        untrained = "" if self.trained else ", without training"
        return f"{self.source}, folded, {self.network.bands}{untrained}"

    @property
    def crop_fraction(self) -> float:
        """Return the side of the centered crop that the network sees, as a share of the short side."""
        return self.crop

    @property
    def reader(self) -> SpectrumReader:
        """Return what turns files into the network's inputs."""
        settings = self.network.settings
        if self.encoding == "float32":
            return SpectrumReader(settings.grid, settings.bands, self.filter)
        shift = self.network.input.shift.cpu().float()
        unit = int8_unit(settings.bands, shift)
        return SpectrumReader(settings.grid, settings.bands, self.filter, torch.int8, shift, unit)

    def evaluate(
        self, folder: str | os.PathLike[str] | None = None, *, batch_size: int | None = None, threads: int | None = None
    ) -> tuple[ClassificationResult, tuple[ReadFailure, ...]]:
        """Score the network on a folder of images; files that cannot be read are left out and listed.

        Args:
            folder: images, one folder per class, named as the network's classes.
            batch_size: images per batch; None for 32.
            threads: threads to read on; None for one per CPU.

        Raises:
            ModelError: no folder is given; a folded network knows of none.
            DatasetError: the folder has no image, or classes that the network does not know.
        """
        if folder is None:
            raise ModelError("a folded network knows of no validation images; give a folder by --data")
        loader = CropLoader(
            open_dataset(folder, class_names=folder_class_names(folder, self.classes)),
            self.reader,
            batch_size=batch_size or 32,
            crop=CenterCrop(self.crop),
            seed=0,
            training=False,
            threads=threads or 0,
            on_error="skip",
            max_bad_fraction=1.0,
        )
        result: ClassificationResult = evaluate(self.network, Classification(len(self.classes)), loader)
        return result, loader.failures


def fold_pixel_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    build: BuildFunction | None = None,
    classes: Sequence[str] | None = None,
    crop: float = PUBLISHED_CENTER_FRACTION,
    filter: Filter = "bilinear",  # noqa: A002
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> FoldedClassifier:
    """Fold a pixel network by its name, ready to take image files.

    Args:
        name: as `prepixel.models.pixel_model` takes it.
        weights: as `prepixel.models.pixel_model` takes them; a choice that must be made.
        build: your own function that returns the network, where it is none of a library.
        classes: names, in label order; None for ImageNet's where there are 1,000, or numbers.
        crop: side of the centered crop that the network sees, as a share of the short side.
        filter: of the resize.
        mean: None for what the network's library states.
        std: None for what the network's library states.
        options: as `prepixel.models.fold` takes them: pixels, grid, bands, reduction, form.

    Raises:
        ModelError: no such network, weights or grid, no choice of weights, or not as many names as classes.
        CannotFold: the network uses its image in a way that cannot be folded.
    """
    pixels = options.get("pixels")
    size = (pixels, pixels) if isinstance(pixels, int) else pixels
    model = pixel_model(name, weights=weights, pixels=size, build=build)
    if pixels is None:
        options["pixels"] = model.pixels
    network = fold(model.network, mean=mean or model.mean, std=std or model.std, **options)
    count = _count_logits(network)
    if classes is None:
        classes = model.classes if len(model.classes) == count else [str(label) for label in range(count)]
    if len(classes) != count:
        raise ModelError(f"{len(classes)} class names, and {name} gives {count} logits")
    return FoldedClassifier(
        network, tuple(classes), model.name, model.num_classes, crop, filter, trained=model.trained, build=build
    )


def fold_run(
    folder: str | os.PathLike[str], *, weights: Literal["best", "last"] = "best", **options: Any
) -> FoldedClassifier:
    """Fold the network of a run on RGB pixels, ready to take image files, with the run's own crop and classes.

    Args:
        folder: a run's folder.
        weights: which of its checkpoints.
        options: as `prepixel.models.fold` takes them, without pixels, mean and std: grid, bands, reduction, form.

    Raises:
        ModelError: the run is one on spectra, or gives labels or values, or the grid does not fit.
        RecipeError: the folder holds no run.
    """
    run = load_run(folder, weights=weights, device="cpu")
    settings = run.recipe.input.evaluated
    if run.answers != "classes":
        raise ModelError(f"{run.folder.path}: gives each image {run.answers}; only classifiers are folded into files")
    if settings.pixels is None:
        raise ModelError(f"{run.folder.path}: a run on {settings.kind}, which needs no folding")
    network = fold(run.network, pixels=settings.pixels, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), **options)
    source = f"{RECIPES_NETWORK}{run.recipe.network.name}"
    return FoldedClassifier(network, run.classes, source, len(run.classes), settings.crop_fraction, settings.filter)


def write_folded(classifier: FoldedClassifier, path: str | os.PathLike[str]) -> None:
    """Write a folded network to a file, whole or not at all, after what will be written was read back and compared.

    Raises:
        ModelError: what would be written does not read back as the same network; no file is written.
    """
    contents = _contents(classifier)
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    buffer.seek(0)
    read_back = _restore(torch.load(buffer, weights_only=True), str(path), classifier.build)
    if not _same_network(classifier.network, read_back.network):
        raise ModelError(
            f"{path}: not written: {classifier.source} does not read back from its file as the same network; this is a "
            "fault of prepixel"
        )
    write_checkpoint(Path(path), contents)


def read_folded(
    path: str | os.PathLike[str],
    *,
    encoding: Encoding = "float32",
    device: str | torch.device | None = None,
    build: BuildFunction | None = None,
) -> FoldedClassifier:
    """Read a folded network from its file.

    Nothing in the file is executed or imported: it names networks of torchvision, timm and prepixel alone. A network of
    your own is built by ``build``, which the caller must give.

    Args:
        path: written by `write_folded`.
        encoding: how values travel to the device.
        device: where to put it; None for an accelerator if there is one.
        build: your own function that returns the pixel network, as it was given to `fold_pixel_model`.

    Raises:
        CheckpointError: the file is missing, damaged, or of another format.
        ModelError: it holds no folded network, a value of the wrong type or range, weights that are not finite, or a
            network that is not to be had here.
    """
    classifier = _restore(read_checkpoint(Path(path)), str(path), build)
    classifier.network.to(choose_device(device))
    return replace(classifier, encoding=encoding)


def _contents(classifier: FoldedClassifier) -> dict[str, Any]:
    """Return what a file holds: plain values and tensors."""
    settings = asdict(classifier.network.settings)
    settings["bands"] = {"name": settings["bands"]["name"], "channels": list(settings["bands"]["channels"])}
    own = classifier.build is not None
    return {
        "kind": KIND,
        "network": {"name": classifier.source, "num_classes": classifier.num_classes, "own": own},
        "fold": settings,
        "structure": classifier.network.structure.to_values(),
        "dtype": _dtype(classifier.network),
        "input": {"crop": classifier.crop, "filter": classifier.filter},
        "classes": list(classifier.classes),
        "trained": classifier.trained,
        "weights": classifier.network.state_dict(),
    }


def _restore(contents: Mapping[str, Any], path: str, build: BuildFunction | None) -> FoldedClassifier:
    """Build a network from what a file holds, on the CPU."""
    try:
        file = FoldedFile.from_values(contents)
        if file.own and build is None:
            raise ModelError(
                f"it holds a network of somebody's own code, {file.name!r}, which is never imported from a file; give "
                "the function that builds it: build= (on the command line: --build FILE.py:FUNCTION)"
            )
        model = pixel_model(
            file.name, num_classes=file.num_classes, weights=NO_WEIGHTS, pixels=file.settings.pixels, build=build
        )
        pixel_network = model.network.to(file.dtype if file.dtype == torch.float64 else torch.float32)
        if file.structure is None:  # a file of an older version
            network = fold(pixel_network, **vars(file.settings))
        else:
            network = rebuild_folded(pixel_network, file.settings, file.structure)
        network.network.to(file.dtype)
        check_finite(file.weights, "weights")
        network.load_state_dict(Weights.of(file.weights, getattr(network.state_dict(), "_metadata", None)))
    except (PrepixelError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ModelError(f"{path}: {reason}") from error
    if len(file.classes) != _count_logits(network):
        raise ModelError(
            f"{path}: holds {len(file.classes)} class names, and its network gives {_count_logits(network)} logits"
        )
    return FoldedClassifier(
        network.eval(),
        file.classes,
        file.name,
        file.num_classes,
        file.crop,
        file.filter,
        "float32",
        file.trained,
        build,
    )


def _same_network(network: FoldedNetwork, other: FoldedNetwork) -> bool:
    """Tell whether two networks hold the same weights and give the same logits; the other one is on the CPU."""
    on_cpu = copy.deepcopy(network).cpu()
    own, read = on_cpu.state_dict(), other.state_dict()
    return (
        own.keys() == read.keys()
        and all(own[name].dtype == value.dtype and torch.equal(own[name], value) for name, value in read.items())
        and torch.equal(_logits(on_cpu), _logits(other))
    )


def _dtype(network: FoldedNetwork) -> str:
    weights = (*network.network.parameters(), *network.network.buffers())
    return str(next(one.dtype for one in weights if one.is_floating_point())).removeprefix("torch.")


def _logits(network: FoldedNetwork) -> Any:
    settings = network.settings
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, len(settings.bands), *settings.grid, generator=generator)
    with torch.inference_mode():
        return network.network(values.to(network.input.shift))


def _count_logits(network: FoldedNetwork) -> int:
    logits = _logits(network)
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        raise ModelError("the network does not give one row of logits per image, so it is no classifier")
    return int(logits.shape[1])
