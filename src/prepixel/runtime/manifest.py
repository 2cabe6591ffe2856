"""The manifest of an exported network: all that its graph does not say, checked key by key when it is read.

An exported network is a folder: a graph, the names of its classes, and `manifest.json`, which says how photos become
the graph's input, what its output means, and which bytes every other file has. The format's page is
docs/formats/exported-networks.md.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from prepixel.errors import BandSetError, ModelError, reason_of
from prepixel.spectrum import strict_json
from prepixel.spectrum.bands import NUM_CHANNELS, BandSet
from prepixel.spectrum.boxes import Filter

MANIFEST = "manifest.json"
LABELS = "labels.json"
KIND = "exported network"
VERSION = 1
MOST_CLASSES = 10**6
MOST_LABELS = 2**16  # classes of a label map, whose pixels are of 16 bits at most
_LARGEST_GRID = 4096
_LARGEST_BLOCK = 8
LARGEST_FILE = 2**31 - 1  # the size that a graph of protobuf may have
_MOST_FILES = 16

GraphFormat = Literal["onnx", "openvino", "torch"]
Encoding = Literal["float32", "int8"]
Output = Literal["probabilities", "logits", "detections"]
Task = Literal["classification", "segmentation", "detection"]


@dataclass(frozen=True)
class FileSum:
    """Store the size and checksum of a file.

    Attributes:
        size_bytes: of the file.
        sha256: of its bytes, in hexadecimal.
    """

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, contents: bytes) -> FileSum:
        """Measure the bytes of a file."""
        return cls(len(contents), hashlib.sha256(contents).hexdigest())


@dataclass(frozen=True)
class GraphInput:
    """Describe how a photo becomes the input of a graph.

    Attributes:
        bands: the channels, in order.
        grid: blocks down and across.
        dtype: of the values that the graph takes; ``coefficient = shift + unit * value``, channel by channel.
        shift: the coefficient that 0 stands for, per channel.
        unit: how many coefficient units a step is, per channel.
        crop_fraction: side of the centered crop, as a share of the short side.
        filter: of the resize, antialiased.
        dynamic_grid: whether the graph takes other grids, too.
    """

    bands: BandSet
    grid: tuple[int, int]
    dtype: Encoding
    shift: tuple[float, ...]
    unit: tuple[float, ...]
    crop_fraction: float
    filter: Filter
    dynamic_grid: bool = False


@dataclass(frozen=True)
class Graph:
    """Describe the files of a graph.

    Attributes:
        format: ``onnx``, ``openvino`` or ``torch`` (torch.export).
        file: the graph, named in the manifest's ``files``.
        weights_file: where they are apart from the graph, as OpenVINO's are; else empty.
        opset: version of the ONNX operators; 0 for other formats.
        quantized: ``int8``, or empty.
    """

    format: GraphFormat
    file: str
    weights_file: str = ""
    opset: int = 0
    quantized: str = ""


@dataclass(frozen=True)
class Manifest:
    """Store what an exported network's graph does not say.

    Attributes:
        name: of the network, for tables.
        trained: whether it has weights other than random ones.
        graph: its files.
        input: how a photo becomes its input.
        output: what it gives for each class.
        num_classes: that it gives.
        files: every other file of the folder, by name.
        versions: of the libraries that wrote it.
        checks: what the graph was compared with when it was written, and how far it was off.
        task: what the network answers: a class, a class for each pixel, or objects.
        pixels_per_block: pixels of the frame that a block stands for along an axis; 0 for classifiers.
        masks: whether objects have masks.

    Raises:
        ValueError: task, output, pixels_per_block and masks do not go together.
    """

    name: str
    trained: bool
    graph: Graph
    input: GraphInput
    output: Output
    num_classes: int
    files: Mapping[str, FileSum]
    versions: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, float | int | str] = field(default_factory=dict)
    task: Task = "classification"
    pixels_per_block: int = 0
    masks: bool = False

    def __post_init__(self) -> None:
        if (self.output == "detections") != (self.task == "detection"):
            raise ValueError(f"'output' is {self.output!r}, which is not what a network for {self.task} gives")
        if bool(self.pixels_per_block) != (self.task != "classification"):
            raise ValueError(f"'pixels_per_block' is {self.pixels_per_block} for {self.task}")
        if self.masks and self.task != "detection":
            raise ValueError("'masks' is true for a network that finds no objects")

    @property
    def frame(self) -> tuple[int, int]:
        """Return height and width of the frame in pixels that label maps and boxes are of."""
        return self.input.grid[0] * self.pixels_per_block, self.input.grid[1] * self.pixels_per_block

    @property
    def output_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Return the shapes of the graph's outputs; None stands for any number."""
        if self.task == "classification":
            return ((None, self.num_classes),)
        if self.task == "segmentation":
            return ((None, self.num_classes, *self.frame),)
        masks = ((None, None, None),) if self.masks else ()
        return ((None, 4), (None,), (None,), *masks)

    def check_task(self, wanted: Task, folder: Path) -> None:
        """Raise ModelError for a network of another task than the reader's."""
        if self.task != wanted:
            name = {"classification": "Predictor", "segmentation": "SegmentationPredictor"}.get(
                self.task, "DetectionPredictor"
            )
            raise ModelError(f"{folder}: is a network for {self.task}; open it by prepixel.runtime.{name}.load")

    def to_values(self) -> dict[str, Any]:
        """Return what the file holds."""
        given = self.input
        return {
            "kind": KIND,
            "version": VERSION,
            "name": self.name,
            "trained": self.trained,
            "graph": dict(vars(self.graph)),
            "input": {
                "bands": {"name": given.bands.name, "channels": list(given.bands.channels)},
                "grid": list(given.grid),
                "dtype": given.dtype,
                "shift": list(given.shift),
                "unit": list(given.unit),
                "crop_fraction": given.crop_fraction,
                "filter": given.filter,
                "dynamic_grid": given.dynamic_grid,
            },
            "output": self.output,
            "num_classes": self.num_classes,
            "files": {name: dict(vars(one)) for name, one in self.files.items()},
            "task": self.task,
            "pixels_per_block": self.pixels_per_block,
            "masks": self.masks,
            "versions": dict(self.versions),
            "checks": dict(self.checks),
        }

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the manifest of a folder; the other files are not looked at.

        Raises:
            ModelError: there is none, it is of a newer version, or a value has another type or is out of range.
        """
        path = folder / MANIFEST
        try:
            return cls.from_values(strict_json.read_value(path))
        except NotADirectoryError as error:
            raise ModelError(
                f"{folder}: is a file, not a folder; give the one that prepixel export wrote from it"
            ) from error
        except FileNotFoundError as error:
            raise ModelError(
                f"{folder}: holds no exported network ({MANIFEST} is missing); write one by: prepixel export"
            ) from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: {reason_of(error)}") from error

    @classmethod
    def from_values(cls, values: Any) -> Manifest:
        """Check and read what `to_values` returned.

        Raises:
            ValueError: a key is missing or unknown, or a value has another type or is out of range.
        """
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise ValueError(f"is not the manifest of an exported network: its kind is not {KIND!r}")
        version = strict_json.integer_of(values.get("version"), "'version'")
        if version > VERSION:
            raise ValueError(
                f"was written by a newer prepixel (version {version} of the format; this prepixel reads {VERSION}); "
                "update prepixel, or export the network again with this one"
            )
        if version != VERSION:
            raise ValueError(f"'version' is {version}; this prepixel reads {VERSION}")
        fields = strict_json.checked_keys(values, "it", required=_KEYS)
        num_classes = _integer(fields, "num_classes", 1, MOST_CLASSES)
        files = _read_files(fields["files"])
        return cls(
            strict_json.text_of(fields, "name"),
            _flag(fields, "trained"),
            _read_graph(fields["graph"], files),
            _read_input(fields["input"]),
            _one_of(fields, "output", get_args(Output)),
            num_classes,
            files,
            _texts(fields, "versions"),
            _scalars(fields, "checks"),
            _one_of(fields, "task", get_args(Task)),
            _integer(fields, "pixels_per_block", 0, _LARGEST_BLOCK),
            _flag(fields, "masks"),
        )


_KEYS = (
    *("kind", "version", "name", "trained", "graph", "input", "output", "num_classes", "files", "versions", "checks"),
    *("task", "pixels_per_block", "masks"),
)


def _read_graph(values: Any, files: Mapping[str, FileSum]) -> Graph:
    fields = strict_json.checked_keys(
        values, "'graph'", required=("format", "file", "weights_file", "opset", "quantized")
    )
    kind = _one_of(fields, "format", get_args(GraphFormat))
    graph = Graph(
        kind,
        strict_json.text_of(fields, "file"),
        strict_json.text_of(fields, "weights_file"),
        _integer(fields, "opset", 0, 2**16),
        _one_of(fields, "quantized", ("", "int8")),
    )
    for name in filter(None, (graph.file or "an empty name", graph.weights_file)):
        if name not in files:
            raise ValueError(f"'graph' names {name!r}, which is not among 'files'")
    if bool(graph.opset) != (kind == "onnx") or bool(graph.weights_file) != (kind == "openvino"):
        raise ValueError(f"'graph' has 'opset' or 'weights_file' of another format than {kind}")
    return graph


def _read_input(values: Any) -> GraphInput:
    keys = ("bands", "grid", "dtype", "shift", "unit", "crop_fraction", "filter", "dynamic_grid")
    fields = strict_json.checked_keys(values, "'input'", required=keys)
    named = strict_json.checked_keys(fields["bands"], "'bands'", required=("name", "channels"))
    try:
        channels = strict_json.integers_of(named, "channels", most=NUM_CHANNELS)
        bands = BandSet(strict_json.text_of(named, "name"), channels)
    except BandSetError as error:
        raise ValueError(str(error)) from error
    grid = strict_json.integers_of(fields, "grid", most=2)
    if len(grid) != 2 or not all(1 <= side <= _LARGEST_GRID for side in grid):
        raise ValueError(f"'grid' is {list(grid)}; it is two numbers from 1 to {_LARGEST_GRID}")
    shift, unit = (strict_json.numbers_of(fields, key, most=NUM_CHANNELS) for key in ("shift", "unit"))
    if any(len(one) != len(bands) or not all(map(math.isfinite, one)) for one in (shift, unit)):
        raise ValueError(f"'shift' and 'unit' are {len(bands)} finite numbers each, one per channel")
    if min(unit) <= 0:
        raise ValueError(f"'unit' holds {min(unit):g}; units are above 0")
    fraction = fields["crop_fraction"]
    if type(fraction) not in {int, float} or not 0 < fraction <= 1:
        raise ValueError("'crop_fraction' must be a number above 0, at most 1")
    return GraphInput(
        bands,
        (grid[0], grid[1]),
        _one_of(fields, "dtype", get_args(Encoding)),
        shift,
        unit,
        float(fraction),
        _one_of(fields, "filter", get_args(Filter)),
        _flag(fields, "dynamic_grid"),
    )


def _read_files(values: Any) -> dict[str, FileSum]:
    if not isinstance(values, dict) or not 0 < len(values) <= _MOST_FILES:
        raise ValueError(f"'files' must be an object of 1 to {_MOST_FILES} files")
    files = {}
    for name, value in values.items():
        if Path(name).name != name or name in {"", ".", "..", MANIFEST} or "\\" in name or "\0" in name:
            raise ValueError(f"'files' names {name[:80]!r}, which is no file inside the folder")
        fields = strict_json.checked_keys(value, f"file {name!r}", required=("size_bytes", "sha256"))
        size, digest = _integer(fields, "size_bytes", 0, LARGEST_FILE), strict_json.text_of(fields, "sha256")
        files[name] = FileSum(size, digest)
    return files


def _integer(fields: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = strict_json.integer_of(fields[key], repr(key))
    if not low <= value <= high:
        raise ValueError(f"{key!r} is {value}; it is a whole number from {low} to {high}")
    return value


def _flag(fields: Mapping[str, Any], key: str) -> bool:
    if not isinstance(fields[key], bool):
        raise ValueError(f"{key!r} must be true or false")
    return bool(fields[key])


def _one_of(fields: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> Any:
    value = strict_json.text_of(fields, key)
    if value not in choices:
        raise ValueError(f"{key!r} is {value[:80]!r}; it can be {' or '.join(repr(one) for one in choices)}")
    return value


def _texts(fields: Mapping[str, Any], key: str) -> dict[str, str]:
    values = fields[key]
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError(f"{key!r} must be an object of texts")
    return values


def _scalars(fields: Mapping[str, Any], key: str) -> dict[str, float | int | str]:
    values = fields[key]
    if not isinstance(values, dict) or not all(type(value) in {int, float, str} for value in values.values()):
        raise ValueError(f"{key!r} must be an object of numbers and texts")
    return values
