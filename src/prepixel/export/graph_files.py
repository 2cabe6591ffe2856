"""Turn a classifier into the bytes of a graph: ONNX, OpenVINO, or a program of torch.export."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from prepixel.errors import ModelError
from prepixel.export.classifier_graph import CannotExport, Exportable, ExportDescription
from prepixel.optional import require
from prepixel.runtime.inference import INPUT, openvino_core
from prepixel.runtime.manifest import Graph, GraphFormat

OPSET = 18
_OUTPUT = "output"
_MAX_BATCH = 65_536
_EXAMPLES = 2  # an example of one image would be taken for a graph of one image


@dataclass(frozen=True)
class GraphFiles:
    """Store the files of a graph.

    Attributes:
        graph: which file is what.
        contents: by name.
    """

    graph: Graph
    contents: Mapping[str, bytes]


def build_graph(exportable: Exportable, kind: GraphFormat, *, opset: int = OPSET) -> GraphFiles:
    """Export a classifier for batches of any size.

    Args:
        exportable: what to export.
        kind: of the graph.
        opset: version of the ONNX operators; of no meaning for ``torch``.

    Raises:
        CannotExport: the exporter does not take the network; the message has its reason.
        MissingDependency: a package of the extra ``export`` or ``openvino`` is not installed.
    """
    if kind == "torch":
        return GraphFiles(Graph("torch", "model.pt2"), {"model.pt2": _torch_program(exportable)})
    contents = onnx_bytes(exportable, opset)
    if kind == "onnx":
        return GraphFiles(Graph("onnx", "model.onnx", opset=opset), {"model.onnx": contents})
    files = openvino_files(contents)
    return GraphFiles(Graph("openvino", "model.xml", "model.bin"), files)


def onnx_bytes(exportable: Exportable, opset: int) -> bytes:
    """Export a classifier to ONNX by torch's exporter that stands on torch.export.

    Raises:
        CannotExport, MissingDependency: as `build_graph`.
    """
    require("export to ONNX", "onnx", "onnxscript")
    with exporting(exportable, "ONNX"), quiet():
        program: Any = torch.onnx.export(
            exportable.graph,
            (exportable.random_values(_EXAMPLES),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[_OUTPUT],
            opset_version=opset,
            dynamic_shapes=_dynamic_shapes(exportable),
        )
        model = program.model_proto
        stated = {one.domain: one.version for one in model.opset_import}
        if stated.get("", 0) != opset:
            raise CannotExport(f"the exporter wrote ONNX opset {stated.get('')}, not {opset}; choose another opset")
        contents: bytes = model.SerializeToString()
    return contents


def _torch_program(exportable: Exportable) -> bytes:
    buffer = io.BytesIO()
    with exporting(exportable, "torch.export"), quiet():
        values = exportable.random_values(_EXAMPLES)
        program = torch.export.export(exportable.graph, (values,), dynamic_shapes=_dynamic_shapes(exportable))
        torch.export.save(program, buffer)
    return buffer.getvalue()


def openvino_files(contents: bytes) -> dict[str, bytes]:
    """Convert an ONNX graph to OpenVINO's two files, in float32.

    Raises:
        MissingDependency: OpenVINO is not installed.
    """
    require("export to OpenVINO", "openvino")
    openvino = importlib.import_module("openvino")
    with tempfile.TemporaryDirectory() as folder:  # its writer takes paths only
        path = Path(folder, "model.xml")
        openvino.save_model(openvino_core(openvino).read_model(contents, b""), path, compress_to_fp16=False)
        return {name: Path(folder, name).read_bytes() for name in ("model.xml", "model.bin")}


def _dynamic_shapes(exportable: Exportable) -> dict[str, Any]:
    shapes: dict[int, Any] = {0: Dim("batch", min=1, max=_MAX_BATCH)}
    if exportable.input.dynamic_grid:
        # torch may find that both must be multiples of some number; `compare` sees whether others work
        shapes |= {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        shapes[0] = Dim.DYNAMIC
    return {INPUT: shapes}


@contextlib.contextmanager
def exporting(described: ExportDescription, what: str) -> Iterator[None]:
    """Turn whatever an exporter raises into a `CannotExport`."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # exporters raise many kinds, some of them private
        reason = " ".join(str(error.__cause__ or error).split())[:300] or type(error).__name__
        raise CannotExport(
            f"{described.name}: {what} does not take this network ({type(error).__name__}: {reason}); "
            + ("leave out --dynamic-grid, or " if described.input.dynamic_grid else "")
            + ("try another --opset" if described.task == "detection" else "try another --format")
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' remarks about themselves from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
