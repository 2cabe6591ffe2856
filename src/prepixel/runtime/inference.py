"""Run exported graphs: ONNX Runtime, or OpenVINO. Knows arrays, not photos."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from prepixel.errors import ModelError
from prepixel.optional import extras_for
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.manifest import GraphInput

Engine = Literal["onnxruntime", "openvino"]
ENGINES: tuple[str, ...] = get_args(Engine)
INPUT = "values"
_SHOWN = 300
_MAKING_CORE = threading.Lock()  # functools.cache may call twice where two threads come first
_TYPES = {"float32": ("tensor(float)", "f32"), "int8": ("tensor(int8)", "i8")}


@runtime_checkable
class GraphRunner(Protocol):
    """Compute a graph's output for a batch of values; several threads may call it at once.

    Attributes:
        name: the engine and its version.
    """

    name: str

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the first output for (n, f, bh, bw) values of the graph's dtype."""

    def all_outputs(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return all outputs for such values, in the graph's order."""


def open_graph(files: ExportedFiles, engine: Engine = "onnxruntime", *, threads: int = 0) -> GraphRunner:
    """Open the graph of an exported network.

    Args:
        files: checked.
        engine: ``onnxruntime``, or ``openvino``, which is asked for float32 arithmetic: by its own choice it computes
            in lower precision on some processors.
        threads: of one call; 0 for one per CPU.

    Raises:
        ModelError: no such engine, a format that it does not take, or a graph that it does not load, or whose input
            or output is not what the manifest says.
        MissingDependency: the engine is not installed.
    """
    graph = files.manifest.graph
    if engine not in ENGINES:
        raise ModelError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    if graph.format == "torch":
        raise ModelError(
            f"{files.folder}: holds a program of torch.export, which neither engine takes; open {graph.file} by "
            "torch.export.load, or export the network again: prepixel export --format onnx"
        )
    if graph.format == "openvino" and engine == "onnxruntime":
        raise ModelError(
            f"{files.folder}: holds a graph of OpenVINO, which onnxruntime does not take; choose the engine openvino, "
            "or export the network again: prepixel export --format onnx"
        )
    with extras_for(f"the engine {engine}"):
        runtime = importlib.import_module(engine)
    name = f"{engine} {runtime.__version__.partition('-')[0]}"
    load: Callable[..., Any] = _OnnxRuntime if engine == "onnxruntime" else _OpenVino
    try:
        runner: GraphRunner = load(runtime, name, files, threads)
    except ModelError:
        raise
    except Exception as error:  # of the engine, whose classes have no base of their own
        opset = f", ONNX opset {graph.opset}" if graph.opset else ""
        raise ModelError(
            f"{files.folder / graph.file}{opset}: {name} does not load it ({_first_words(error)}); install a newer "
            f"{engine}, or export the network again with the opset that it takes"
        ) from error
    return runner


def openvino_core(runtime: Any) -> Any:
    """Return the process's one ``openvino.Core``, which lives as long as the process.

    Every Core loads the CPU plugin afresh, which on processors with AMX gives the thread a signal stack and frees it
    with the Core. Of two Cores the one that goes last puts the other's freed stack back, and the next signal with a
    handler in Python ends the process by a segmentation fault (seen with OpenVINO 2026.4).
    """
    with _MAKING_CORE:
        return _make_core(runtime)


@functools.cache
def _make_core(runtime: Any) -> Any:
    return runtime.Core()


class _OnnxRuntime:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, runtime: Any, name: str, files: ExportedFiles, threads: int) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        graph = files.manifest.graph
        session = runtime.InferenceSession(files.contents[graph.file], options, providers=["CPUExecutionProvider"])
        inputs, outputs = session.get_inputs(), session.get_outputs()
        found = [(one.name, one.type, one.shape) for one in (*inputs, *outputs)]
        kind = _TYPES[files.manifest.input.dtype][0]
        _check_graph(files, found, (INPUT, kind), len(inputs))
        self.name = name
        self._session, self._outputs = session, [one.name for one in outputs]

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return self.all_outputs(values)[0]

    def all_outputs(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        results: list[npt.NDArray[Any]] = self._session.run(self._outputs, {INPUT: values})
        return results


class _OpenVino:
    """A model compiled by OpenVINO for the CPU, in float32."""

    def __init__(self, runtime: Any, name: str, files: ExportedFiles, threads: int) -> None:
        graph = files.manifest.graph
        core = openvino_core(runtime)
        contents = files.contents[graph.file]
        weights = files.contents[graph.weights_file] if graph.weights_file else b""
        model = core.read_model(contents, weights)
        found = [
            (one.get_any_name(), one.get_element_type().get_type_name(), _sizes(one.get_partial_shape()))
            for one in (*model.inputs, *model.outputs)
        ]
        kind = _TYPES[files.manifest.input.dtype][1]
        _check_graph(files, found, (INPUT, kind), len(model.inputs))
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.name = name
        self._compiled = core.compile_model(model, "CPU", settings)

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return self.all_outputs(values)[0]

    def all_outputs(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        result = self._compiled.create_infer_request().infer({0: values})  # a request of its own: threads share nothing
        return [np.array(result[place]) for place in range(len(self._compiled.outputs))]


def _sizes(shape: Any) -> list[Any]:
    return [size.get_length() if size.is_static else None for size in shape]


def _check_graph(
    files: ExportedFiles,
    found: list[tuple[str, str, list[Any]]],
    wanted: tuple[str, str],
    num_inputs: int,
) -> None:
    """Compare a graph's inputs and outputs, in this order, with the manifest.

    Raises:
        ModelError: they differ.
    """
    manifest = files.manifest
    given: GraphInput = manifest.input
    grid = (None, None) if given.dynamic_grid else given.grid
    shape = [1 if manifest.task == "detection" else None, len(given.bands), *grid]
    path = files.folder / manifest.graph.file
    shapes = manifest.output_shapes
    if (num_inputs, len(found) - num_inputs) != (1, len(shapes)):
        count = "one each" if len(shapes) == 1 else f"1 and {len(shapes)}"
        raise ModelError(
            f"{path}: has {num_inputs} inputs and {len(found) - num_inputs} outputs; an exported network for "
            f"{manifest.task} has {count}"
        )
    name, kind, sizes = found[0]
    if (name, kind) != wanted or not _fits(sizes, shape):
        raise ModelError(
            f"{path}: takes {name} of {kind} {_shape_text(sizes)}, and the manifest says {wanted[0]} of {wanted[1]} "
            f"{_shape_text(shape)}; one of them is of another network: export again"
        )
    for (_, _, sizes), expected in zip(found[1:], shapes, strict=True):
        if not _fits(sizes, list(expected)):
            raise ModelError(
                f"{path}: gives {_shape_text(sizes)}, and the manifest says {manifest.num_classes} classes"
                + (f" and {_shape_text(list(expected))}" if manifest.task != "classification" else "")
                + "; one of them is of another network: export again"
            )


def _fits(sizes: list[Any], wanted: list[Any]) -> bool:
    """Tell whether a graph's sizes, numbers or names of free ones, are the wanted ones; None is any number."""
    pairs = zip(sizes, wanted, strict=True) if len(sizes) == len(wanted) else None
    return pairs is not None and all(not isinstance(a, int) if b is None else a == b for a, b in pairs)


def _shape_text(sizes: list[Any]) -> str:
    return " x ".join(str(size) if isinstance(size, int) else "n" for size in sizes)


def _first_words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
