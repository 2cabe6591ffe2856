"""Folded networks in files: all that is needed to run from JPEG bytes, and nothing that is executed when it is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from prepixel.data import CenterCrop, CropLoader, SpectrumReader, open_dataset
from prepixel.engine import evaluate
from prepixel.engine.checkpoint import read_checkpoint, write_checkpoint
from prepixel.errors import ReadFailure, RecipeError
from prepixel.models import FoldedNetwork, fold, pixel_model
from prepixel.models.folding.reconstruction import int8_unit
from prepixel.models.pretrained import NO_WEIGHTS, RECIPES_NETWORK
from prepixel.runs.classifier import Classifier, load_run
from prepixel.runs.wordnet import folder_class_names
from prepixel.spectrum import BandSet
from prepixel.spectrum.reference import Filter
from prepixel.tasks import Classification, ClassificationResult

Encoding = Literal["float32", "int8"]
_KIND = "folded network"


@dataclass(frozen=True)
class FoldedClassifier(Classifier):
    """Hold a folded network with all that it needs to take image files.

    Attributes:
        network: in evaluation mode.
        classes: names, in label order.
        source: the name by which `pixel_model` builds the pixel network.
        num_classes: that it is built for; None where that cannot be chosen.
        crop: side of the centered crop, as a share of the short side.
        filter: of the resize.
        encoding: how values travel to the device. int8 has one step for all images, wide enough that nothing is
            clipped: about 8 coefficient units, or one gray level of a block's mean.
    """

    network: FoldedNetwork
    classes: tuple[str, ...]
    source: str
    num_classes: int | None
    crop: float = 0.875
    filter: Filter = "bilinear"
    encoding: Encoding = "float32"

    @property
    def name(self) -> str:
        """Name it in tables and plots."""
        return f"{self.source}, folded, {self.network.bands}"

    @property
    def crop_fraction(self) -> float:
        """Give the side of the centered crop that the network sees, as a share of the short side."""
        return self.crop

    @property
    def reader(self) -> SpectrumReader:
        """Give what turns files into the network's inputs."""
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
            folder: images, one folder a class, by the names of the network's classes.
            batch_size: images a batch; None for 32.
            threads: threads to read on; None for one a processor.

        Raises:
            RecipeError: no folder is given; a folded network knows of none.
            DatasetError: the folder has no image, or classes that the network does not know.
        """
        if folder is None:
            raise RecipeError("a folded network knows of no validation images; give a folder by --data")
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
    weights: str | None = None,
    classes: Sequence[str] | None = None,
    crop: float = 0.875,
    filter: Filter = "bilinear",  # noqa: A002
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> FoldedClassifier:
    """Fold a pixel network by its name, ready to take image files.

    Args:
        name: as `prepixel.models.pixel_model` takes it.
        weights: as `prepixel.models.pixel_model` takes them.
        classes: names, in label order; None for ImageNet's where there are 1,000, or numbers.
        crop: side of the centered crop that the network sees, as a share of the short side.
        filter: of the resize.
        mean: None for what the network's library states.
        std: None for what the network's library states.
        options: as `prepixel.models.fold` takes them: pixels, grid, bands, reduction, form.

    Raises:
        RecipeError: no such network, weights or grid, or not as many names as classes.
        CannotFold: the network uses its image in a way that cannot be folded.
    """
    model = pixel_model(name, weights=weights)
    network = fold(model.network, mean=mean or model.mean, std=std or model.std, **options)
    count = _count_logits(network)
    if classes is None:
        classes = model.classes if len(model.classes) == count else [str(label) for label in range(count)]
    if len(classes) != count:
        raise RecipeError(f"{len(classes)} class names, and {name} gives {count} logits")
    return FoldedClassifier(network, tuple(classes), name, model.num_classes, crop, filter)


def fold_run(
    folder: str | os.PathLike[str], *, weights: Literal["best", "last"] = "best", **options: Any
) -> FoldedClassifier:
    """Fold the network of a run on RGB pixels, ready to take image files, with the run's own crop and classes.

    Args:
        folder: a run's folder.
        weights: which of its checkpoints.
        options: as `prepixel.models.fold` takes them, without pixels, mean and std: grid, bands, reduction, form.

    Raises:
        RecipeError: the folder holds no run, or one on spectra; or the grid does not fit.
    """
    run = load_run(folder, weights=weights, device="cpu")
    settings = run.recipe.input
    if settings.pixels is None:
        raise RecipeError(f"{run.folder.path}: a run on {settings.kind}, which needs no folding")
    network = fold(run.network, pixels=settings.pixels, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), **options)
    source = f"{RECIPES_NETWORK}{run.recipe.network.name}"
    return FoldedClassifier(network, run.classes, source, len(run.classes), settings.crop_fraction, settings.filter)


def write_folded(classifier: FoldedClassifier, path: str | os.PathLike[str]) -> None:
    """Write a folded network to a file, whole or not at all."""
    settings = asdict(classifier.network.settings)
    settings["bands"] = {"name": settings["bands"]["name"], "channels": list(settings["bands"]["channels"])}
    contents = {
        "kind": _KIND,
        "network": {"name": classifier.source, "num_classes": classifier.num_classes},
        "fold": settings,
        "input": {"crop": classifier.crop, "filter": classifier.filter},
        "classes": list(classifier.classes),
        "weights": classifier.network.state_dict(),
    }
    write_checkpoint(Path(path), contents)


def read_folded(
    path: str | os.PathLike[str], *, encoding: Encoding = "float32", device: str | torch.device | None = None
) -> FoldedClassifier:
    """Read a folded network from its file.

    Nothing in the file is executed; a network of one's own (``FILE.py:FUNCTION``) is built by its function again.

    Args:
        path: written by `write_folded`.
        encoding: how values travel to the device.
        device: where to put it; None for an accelerator if there is one.

    Raises:
        CheckpointError: the file is missing, damaged, or of another format.
        RecipeError: it holds no folded network, or one that is not to be had here.
    """
    contents = read_checkpoint(Path(path))
    if contents.get("kind") != _KIND:
        raise RecipeError(f"{path}: not a folded network; write one by: prepixel fold")
    source = contents["network"]
    settings = dict(contents["fold"])
    bands = BandSet(settings["bands"]["name"], tuple(settings["bands"]["channels"]))
    untrained = pixel_model(source["name"], num_classes=source["num_classes"], weights=NO_WEIGHTS)
    network = fold(untrained.network, **{**settings, "bands": bands})
    network.load_state_dict(contents["weights"])
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    network.to(device or "cpu").eval()
    return FoldedClassifier(
        network,
        tuple(contents["classes"]),
        source["name"],
        source["num_classes"],
        contents["input"]["crop"],
        contents["input"]["filter"],
        encoding,
    )


def _count_logits(network: FoldedNetwork) -> int:
    settings = network.settings
    values = torch.zeros(1, len(settings.bands), *settings.grid, device=network.input.shift.device)
    with torch.inference_mode():
        logits = network.network(values.to(network.input.shift.dtype))
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        raise RecipeError("the network does not give one row of logits an image, so it is no classifier")
    return int(logits.shape[1])
