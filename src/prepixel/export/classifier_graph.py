"""A classifier as a graph takes it: stored values in, normalization inside, logits or probabilities out."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from prepixel.data import PixelReader, SpectrumReader
from prepixel.errors import ModelError
from prepixel.gates import GatedNetwork
from prepixel.models import PixelNetwork
from prepixel.models.input_norm import SpectrumInput
from prepixel.runs import Classifier, FoldedClassifier, TrainedRun
from prepixel.runtime import GraphInput
from prepixel.runtime.manifest import MOST_CLASSES, MOST_LABELS, Encoding, Output, Task
from prepixel.spectrum import BandSet, Spectrum

_TORCH_DTYPES = {"float32": torch.float32, "int8": torch.int8}
# Spread of the random images that a graph is checked on, in units of the network's own normalization.
_SPREAD = 0.5


class ClassifierGraph(nn.Module):
    """Compute a classifier's output from stored values: what is exported.

    Args:
        network: on spectra.
        bands: the channels of the values.
        shift: the coefficient that the value 0 stands for, per channel.
        unit: how many coefficient units a step is, per channel.
        output: what to give.
    """

    shift: Tensor
    unit: Tensor

    def __init__(
        self, network: nn.Module, bands: BandSet, shift: Float[Tensor, " f"], unit: Float[Tensor, " f"], output: Output
    ) -> None:
        super().__init__()
        self.network = network
        self.bands = bands
        self.register_buffer("shift", shift)
        self.register_buffer("unit", unit)
        self.output: Output = output

    def forward(self, values: Float[Tensor, "n f bh bw"] | Int8[Tensor, "n f bh bw"]) -> Float[Tensor, "n k *frame"]:
        """Compute one logit, or one probability, per class, of a segmenter for each pixel of the frame."""
        logits: Tensor = self.network(Spectrum(values, self.bands, self.shift, self.unit))
        return logits.softmax(1) if self.output == "probabilities" else logits


class CannotExport(ModelError):
    """Report a network that an exporter does not take, or whose graph computes something else."""


@dataclass(frozen=True)
class ExportDescription:
    """Store what an export says of its network.

    Attributes:
        name: for tables.
        trained: whether it has weights other than random ones.
        input: how a photo becomes its input.
        output: what it gives.
        classes: names, in label order.
        task: what the network answers.
        pixels_per_block: of the frame; 0 for classifiers.
        masks: whether objects have masks.

    Raises:
        ModelError: it has no class, or too many.
    """

    name: str
    trained: bool
    input: GraphInput
    output: Output
    classes: tuple[str, ...]
    task: Task = "classification"
    pixels_per_block: int = 0
    masks: bool = False

    def __post_init__(self) -> None:
        most = MOST_LABELS if self.task == "segmentation" else MOST_CLASSES
        if not 0 < len(self.classes) <= most:
            raise ModelError(f"{self.name}: has {len(self.classes)} classes; 1 to {most:,} can be exported")


@dataclass(frozen=True)
class Exportable(ExportDescription):
    """Store a network that gives logits, with all that its export says.

    Attributes:
        graph: on the CPU, in float32, in evaluation mode.
    """

    graph: ClassifierGraph = field(kw_only=True)

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Return the grids that a graph is compared on: its own, and where it takes any, two others."""
        down, across = self.input.grid
        others = ((down + 8, across), (max(8, down // 2), across + 16)) if self.input.dynamic_grid else ()
        return (self.input.grid, *others)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        *,
        encoding: Encoding | None = None,
        output: Output = "logits",
        dynamic_grid: bool = False,
    ) -> Exportable:
        """Prepare a classifier for export; it is left as it is.

        Args:
            classifier: on coefficients.
            encoding: of the values that the graph takes; None for the classifier's own.
            output: what the graph gives.
            dynamic_grid: whether the graph is to take other grids.

        Raises:
            CannotExport: it gives labels or values instead of one of its classes.
            ModelError: it is one on pixels, or has no statistics for int8.
        """
        if classifier.answers != "classes":
            raise CannotExport(
                f"{classifier.name} gives each image {classifier.answers}, and an exported network one of its classes"
            )
        reader = reader_of(classifier, encoding)
        bands, count = BandSet.of(reader.bands), len(reader.bands)
        shift = torch.zeros(count) if reader.shift is None else reader.shift.detach().cpu().float()
        unit = torch.ones(count) if reader.unit is None else reader.unit.detach().cpu().float()
        network = copy.deepcopy(classifier.network).cpu().float().eval().requires_grad_(requires_grad=False)
        given = GraphInput(
            bands,
            reader.grid,
            "int8" if reader.dtype == torch.int8 else "float32",
            tuple(shift.tolist()),
            tuple(unit.tolist()),
            classifier.crop_fraction,
            reader.filter,
            dynamic_grid,
        )
        graph = ClassifierGraph(network, bands, shift, unit, output).eval()
        trained = not isinstance(classifier, FoldedClassifier) or classifier.trained
        return cls(classifier.name, trained, given, output, classifier.classes, graph=graph)

    def random_values(self, count: int, *, seed: int = 0, grid: tuple[int, int] | None = None) -> Tensor:
        """Return stored values of random images, spread as the network expects; on its own grid if None is given."""
        network: Any = self.graph.network
        return random_values(self.input, network.input, count, seed=seed, grid=grid)

    def logits(self, values: Tensor) -> Float[Tensor, "n k *frame"]:
        """Compute the network's own logits."""
        graph = self.graph
        with torch.inference_mode():
            logits: Tensor = graph.network(Spectrum(values, graph.bands, graph.shift, graph.unit))
        return logits


def random_values(
    given: GraphInput, normalization: SpectrumInput, count: int, *, seed: int = 0, grid: tuple[int, int] | None = None
) -> Tensor:
    """Return stored values of random images, spread as a network's normalization expects.

    Args:
        given: how a photo becomes the network's input.
        normalization: of the network, on the CPU.
        count: images.
        seed: of the random numbers.
        grid: blocks down and across; None for the input's own.
    """
    generator = torch.Generator().manual_seed(seed)
    normalized = _SPREAD * torch.randn(count, len(given.bands), *(grid or given.grid), generator=generator)
    shift, scale = (one.float()[:, None, None] for one in (normalization.shift, normalization.scale))
    own_shift, own_unit = (torch.tensor(one)[:, None, None] for one in (given.shift, given.unit))
    values: Tensor = (shift + scale * normalized - own_shift) / own_unit
    return values.round().clamp(-127, 127).to(torch.int8) if given.dtype == "int8" else values


def reader_of(classifier: Classifier, encoding: Encoding | None) -> SpectrumReader:
    """Return what turns files into a classifier's inputs, in the encoding asked for.

    Raises:
        ModelError: the classifier takes pixels, has a gate, or has no statistics from which int8 steps follow.
    """
    if isinstance(classifier, FoldedClassifier):
        return dataclasses.replace(classifier, encoding=encoding or classifier.encoding).reader
    reader = classifier.reader
    if isinstance(classifier.network, GatedNetwork):
        raise ModelError(
            f"{classifier.name}: has a gate, whose graph the exporters fix to one batch size; take the channels "
            "that it chose (prepixel select), and train a network on them"
        )
    if isinstance(reader, PixelReader) or isinstance(classifier.network, PixelNetwork):
        raise ModelError(
            f"{classifier.name}: takes RGB pixels, and what is exported takes coefficients; fold it first: "
            "prepixel fold RUN -o FILE"
        )
    if encoding is None or reader.dtype == _TORCH_DTYPES[encoding]:
        return reader
    if encoding == "float32":
        return SpectrumReader(reader.grid, reader.bands, reader.filter)
    statistics = classifier.statistics if isinstance(classifier, TrainedRun) else None
    if statistics is None:
        raise ModelError(f"{classifier.name}: has no statistics, which give the steps of int8 values; take float32")
    shift, unit = statistics.shift().float(), statistics.int8_unit().float()
    return SpectrumReader(reader.grid, reader.bands, reader.filter, torch.int8, shift, unit)
