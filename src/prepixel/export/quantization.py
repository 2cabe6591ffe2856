"""Quantize an exported ONNX graph to int8, statically: steps of activations are measured on a folder of photos."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Float
from prepixel.errors import ModelError
from prepixel.export.classifier_graph import CannotExport, Exportable
from prepixel.export.exporter import (
    TOLERANCE,
    ExportResult,
    assemble,
    check_difference,
    check_target,
    compare,
    graph_runner,
    write_export,
)
from prepixel.export.graph_files import OPSET, GraphFiles, build_graph
from prepixel.export.weight_rounding import MATRIX_OPERATORS, layers_of, round_weights, weight_settings
from prepixel.files import image_files
from prepixel.jpeg.source import Limits
from prepixel.optional import require
from prepixel.runs import Classifier
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.inference import INPUT
from prepixel.runtime.manifest import Encoding, Output
from prepixel.runtime.predictor import read_input, softmax

_BATCH = 8
_LOWEST = 1e-30  # a probability of which the logarithm is taken


@dataclass(frozen=True)
class QuantizationCheck:
    """Store how a quantized graph answers on the photos it was calibrated on.

    Attributes:
        num_photos: that could be read.
        agreement: share of them whose top class is the unquantized graph's.
        probability_difference: the largest difference of two probabilities of a class.
        divergence: mean Kullback-Leibler divergence from the unquantized graph's probabilities, in nats.
    """

    num_photos: int
    agreement: float
    probability_difference: float
    divergence: float


def export_quantized(
    classifier: Classifier,
    folder: str | os.PathLike[str],
    photos: str | os.PathLike[str],
    *,
    encoding: Encoding | None = None,
    output: Output = "logits",
    opset: int = OPSET,
    tolerance: float = TOLERANCE,
    max_photos: int = 200,
    min_agreement: float = 0.9,
    threads: int = 0,
) -> tuple[ExportResult, QuantizationCheck]:
    """Export a classifier as an ONNX graph with int8 weights, per output channel, and uint8 activations.

    The unquantized graph is compared with the network as `export_classifier` does. The first layer's input, which is
    the normalized coefficients, stays in float32. Weights are rounded so that the layers' outputs on the photos change
    least, and biases make up for what is left, see `round_weights`.

    Args:
        classifier: as `export_classifier`.
        folder: as `export_classifier`.
        photos: a folder of photos such as the network will see; the ranges of activations are measured on them.
        encoding: as `export_classifier`.
        output: as `export_classifier`.
        opset: as `export_classifier`.
        tolerance: of the unquantized graph.
        max_photos: how many photos to use, spread over the folder.
        min_agreement: the least share of photos whose top class must be the unquantized graph's.
        threads: to read on; 0 for one per CPU.

    Raises:
        CannotExport: as `export_classifier`, or the quantized graph agrees on fewer photos.
        ModelError: as `export_classifier`, or the folder holds no photo that can be read.
        MissingDependency, OSError: as `export_classifier`.
    """
    require("quantization", "onnx", "onnxruntime")
    target = Path(folder)
    check_target(target)
    exportable = Exportable.of(classifier, encoding=encoding, output=output)
    values = _read_photos(exportable, Path(photos), max_photos, threads)
    graph = build_graph(exportable, "onnx", opset=opset)
    files = assemble(exportable, graph, target)
    comparison = compare(exportable, files)
    check_difference(exportable, comparison, tolerance)
    with _quiet():
        contents = quantize(graph.contents[graph.graph.file], values)
    quantized = GraphFiles(dataclasses.replace(graph.graph, quantized="int8"), {graph.graph.file: contents})
    quantized_files = assemble(exportable, quantized, target)
    check = _check(files, quantized_files, values)
    if not check.agreement >= min_agreement:
        raise CannotExport(
            f"{exportable.name}: not exported: quantized, its top class is that of the float32 graph on "
            f"{check.agreement:.1%} of {check.num_photos} photos, and {min_agreement:.1%} is asked for; give more "
            "photos of the kind that it will see, lower --min-agreement, or leave out --quantize"
        )
    more = {"tolerance": tolerance, **{f"quantized_{name}": value for name, value in vars(check).items()}}
    return write_export(quantized_files, comparison, more), check


class _Batches:
    """Yield the calibration's batches, one per call, as ONNX Runtime asks for them."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._left = iter(np.array_split(values, -(-len(values) // _BATCH)))

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the next batch, as the graph's inputs; None after the last."""
        batch = next(self._left, None)
        return None if batch is None else {INPUT: batch}


def quantize(contents: bytes, values: npt.NDArray[Any]) -> bytes:
    """Quantize an ONNX graph by ONNX Runtime's static quantization, in its QDQ format.

    Args:
        contents: of the graph's file.
        values: its input for the photos to measure on.
    """
    quantization = importlib.import_module("onnxruntime.quantization")
    shape_inference = importlib.import_module("onnxruntime.quantization.shape_inference")
    onnx = importlib.import_module("onnx")

    with tempfile.TemporaryDirectory() as folder:
        graph, prepared, result = (Path(folder, name) for name in ("graph.onnx", "prepared.onnx", "quantized.onnx"))
        graph.write_bytes(contents)
        shape_inference.quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        left_out = _before_first_layer(model)
        layers = layers_of(model, left_out=left_out)
        round_weights(model, layers, np.array_split(values, -(-len(values) // _BATCH)))
        onnx.save(model, str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(result),
            _Batches(values),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # of weights that are none of the layers'
            nodes_to_exclude=left_out,
            extra_options={"TensorQuantOverrides": weight_settings(layers)},
        )
        return result.read_bytes()


def _before_first_layer(model: Any) -> list[str]:
    """Return the names of the nodes that normalize the input, and of the first layer, which keep float32."""
    reached, names = {INPUT}, list[str]()
    for node in model.graph.node:  # in topological order
        if not reached & set(node.input):
            continue
        names.append(node.name)
        if node.op_type in MATRIX_OPERATORS:
            break
        reached |= set(node.output)
    return names


def _read_photos(exportable: Exportable, folder: Path, max_photos: int, threads: int) -> npt.NDArray[Any]:
    paths = list(image_files(folder))
    if len(paths) > max_photos:
        paths = [paths[len(paths) * place // max_photos] for place in range(max_photos)]
    values, _ = read_input(exportable.input, paths, threads=threads, limits=Limits(), on_error="skip")
    if not len(values):
        raise ModelError(f"{folder}: holds no photo that can be read; name a folder of photos to calibrate on")
    return values


def _check(files: ExportedFiles, quantized: ExportedFiles, values: npt.NDArray[Any]) -> QuantizationCheck:
    (_, exact), (_, coarse) = graph_runner(files), graph_runner(quantized)
    expected, got = (
        np.concatenate(
            [_probabilities(run(part), files.manifest.output) for part in np.array_split(values, len(values))]
        )
        for run in (exact, coarse)
    )
    if not np.isfinite(got).all():
        return QuantizationCheck(len(values), 0.0, 1.0, math.inf)
    agreement = float((expected.argmax(1) == got.argmax(1)).mean())
    logarithms = np.log(np.maximum(expected, _LOWEST)) - np.log(np.maximum(got, _LOWEST))
    divergence = max(0.0, float((expected * logarithms).sum(1).mean()))  # sums of float32 may pass 1
    return QuantizationCheck(len(values), agreement, float(np.abs(expected - got).max()), divergence)


def _probabilities(output: Float[np.ndarray, "n k"], kind: Output) -> Float[np.ndarray, "n k"]:
    return (output if kind == "probabilities" else softmax(output)).astype(np.float64)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the remarks of ONNX Runtime's tools from the user."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
