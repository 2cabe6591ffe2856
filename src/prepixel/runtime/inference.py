"""Run exported graphs: ONNX Runtime, or OpenVINO. Knows arrays, not photos."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from prepixel.array_types import Float32
from prepixel.errors import ModelError
from prepixel.optional import extras_for
from prepixel.runtime.manifest import ExportedFiles, GraphInput

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

    def __call__(self, values: npt.NDArray[Any]) -> Float32[np.ndarray, "n k"]:
        """Return the output for (n, f, bh, bw) values of the graph's dtype."""


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
        _check_graph(files, found, (INPUT, kind), len(inputs), len(outputs))
        self.name = name
        self._session, self._output = session, outputs[0].name

    def __call__(self, values: npt.NDArray[Any]) -> Float32[np.ndarray, "n k"]:
        (result,) = self._session.run([self._output], {INPUT: values})
        output: npt.NDArray[np.float32] = result
        return output


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
        _check_graph(files, found, (INPUT, kind), len(model.inputs), len(model.outputs))
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.name = name
        self._compiled = core.compile_model(model, "CPU", settings)

    def __call__(self, values: npt.NDArray[Any]) -> Float32[np.ndarray, "n k"]:
        result = self._compiled.create_infer_request().infer({0: values})  # a request of its own: threads share nothing
        output: npt.NDArray[np.float32] = np.asarray(result[0], dtype=np.float32)
        return output


def _sizes(shape: Any) -> list[Any]:
    return [size.get_length() if size.is_static else None for size in shape]


def _check_graph(
    files: ExportedFiles,
    found: list[tuple[str, str, list[Any]]],
    wanted: tuple[str, str],
    num_inputs: int,
    num_outputs: int,
) -> None:
    """Compare a graph's input and output with the manifest.

    Raises:
        ModelError: they differ.
    """
    given: GraphInput = files.manifest.input
    shape = [None, len(given.bands), *given.grid]
    path = files.folder / files.manifest.graph.file
    if (num_inputs, num_outputs) != (1, 1):
        raise ModelError(f"{path}: has {num_inputs} inputs and {num_outputs} outputs; an exported network has one each")
    name, kind, sizes = found[0]
    if (name, kind) != wanted or not _fits(sizes, shape):
        raise ModelError(
            f"{path}: takes {name} of {kind} {_shape_text(sizes)}, and the manifest says {wanted[0]} of {wanted[1]} "
            f"{_shape_text(shape)}; one of them is of another network: export again"
        )
    sizes = found[1][2]
    if not _fits(sizes, [None, files.manifest.num_classes]):
        raise ModelError(
            f"{path}: gives {_shape_text(sizes)}, and the manifest says {files.manifest.num_classes} classes; one of "
            "them is of another network: export again"
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
