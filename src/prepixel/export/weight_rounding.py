"""Round an ONNX graph's weights to int8, so that what its layers compute on photos changes least.

Sources: Frantar et al. 2022 (GPTQ), equations 2 and 3, in the form of Cholesky factors, for the rounding; Nagel et al.
2019 (Data-Free Quantization Through Weight Equalization and Bias Correction), section 4.2, for the biases, with means
that are measured instead of derived.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from prepixel.array_types import Float32, Float64
from prepixel.runtime.inference import INPUT

MATRIX_OPERATORS = ("Conv", "MatMul", "Gemm")
# Processors without VNNI instructions add pairs of products of bytes in 16 bits, which is exact as long as weights are
# at most 64: 2 x 255 x 64 < 2^15. The few products of depthwise convolutions are added one by one.
_LARGEST, _LARGEST_DEPTHWISE = 64, 127
# Layers of more inputs per output are rounded to the nearest: inverting the squares takes several matrices of inputs x
# inputs in float64, 0.5 GB each at this number, and 8 times as long for twice as many.
MOST_INPUTS = 8192
_POSITIONS = 64  # of a photo's map at which a layer's input is looked at
_DAMPING = 0.01  # share of the mean square that is added to all squares, so that they can be inverted


@dataclass(frozen=True)
class Layer:
    """Store a layer whose weights are rounded.

    Attributes:
        node: of the graph, a Conv or Gemm whose first axis of weights is that of the output channels.
        weight: its values.
    """

    node: Any
    weight: Float32[np.ndarray, "out given *kernel"]

    @property
    def groups(self) -> int:
        """Return the number of parts that compute a part of the output from a part of the input."""
        return int({one.name: one.i for one in self.node.attribute}.get("group", 1))

    @property
    def is_rounded_in_turn(self) -> bool:
        """Return whether one group of at most `MOST_INPUTS` inputs feeds all output channels."""
        return self.groups == 1 and self.weight[0].size <= MOST_INPUTS

    @property
    def largest(self) -> int:
        """Return the largest integer that a weight may become."""
        return _LARGEST_DEPTHWISE if self.groups > 1 and self.weight.shape[1] == 1 else _LARGEST

    @property
    def step(self) -> Float32[np.ndarray, " out"]:
        """Return what one step of each output channel's weights is worth."""
        highest = np.abs(self.weight).reshape(len(self.weight), -1).max(1)
        step: Float32[np.ndarray, " out"] = np.where(highest > 0, highest / self.largest, 1).astype(np.float32)
        return step


def layers_of(model: Any, *, left_out: Iterable[str]) -> list[Layer]:
    """Return the layers of an ONNX model that `round_weights` takes.

    Args:
        model: with weights as initializers.
        left_out: names of nodes that keep float32.
    """
    numpy_helper = importlib.import_module("onnx.numpy_helper")
    weights = {one.name: one for one in model.graph.initializer}
    skipped, layers = set(left_out), list[Layer]()
    for node in model.graph.node:
        if node.op_type not in {"Conv", "Gemm"} or node.name in skipped or node.input[1] not in weights:
            continue
        if node.op_type == "Gemm" and not {one.name: one.i for one in node.attribute}.get("transB"):
            continue
        layers.append(Layer(node, numpy_helper.to_array(weights[node.input[1]])))
    return layers


def weight_settings(layers: Iterable[Layer]) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of the layers' weights as ONNX Runtime's quantization takes them."""
    kind = importlib.import_module("onnxruntime.quantization").QuantType.QInt8
    zero = np.array(0, np.int8)
    return {
        layer.node.input[1]: [
            {"axis": 0, "quant_type": kind, "scale": np.array(step, np.float32), "zero_point": zero}
            for step in layer.step
        ]
        for layer in layers
    }


def round_weights(model: Any, layers: Sequence[Layer], batches: Sequence[npt.NDArray[Any]]) -> None:
    """Put rounded weights into a model, and biases that give every layer the mean output that it had.

    Weights become multiples of their `Layer.step`. Where one group of at most `MOST_INPUTS` inputs feeds all output
    channels they are rounded in turn, and those to come make up for the errors of those before; others are rounded to
    the nearest. A bias that several nodes share stays.

    Args:
        model: an ONNX model; changed in place.
        layers: of it.
        batches: of the graph's input, for photos such as the network will see.
    """
    if not layers:
        return
    numpy_helper = importlib.import_module("onnx.numpy_helper")
    squares = _input_squares(model, [one for one in layers if one.is_rounded_in_turn], batches)
    rounded = [
        round_in_turn(one.weight, one.step, one.largest, squares[one.node.output[0]])
        if one.node.output[0] in squares
        else _nearest(one)
        for one in layers
    ]
    errors = [new - one.weight for one, new in zip(layers, rounded, strict=True)]
    shifts = _mean_outputs(model, layers, errors, batches)
    initializers = {one.name: one for one in model.graph.initializer}
    uses = [name for node in model.graph.node for name in node.input]
    for layer, weight, shift in zip(layers, rounded, shifts, strict=True):
        name = layer.node.input[1]
        initializers[name].CopyFrom(numpy_helper.from_array(weight, name))
        for bias in layer.node.input[2:]:
            if bias in initializers and uses.count(bias) == 1:
                former = numpy_helper.to_array(initializers[bias])
                initializers[bias].CopyFrom(numpy_helper.from_array(former - shift, bias))


def round_in_turn(
    weight: Float32[np.ndarray, "out given *kernel"],
    step: Float32[np.ndarray, " out"],
    largest: int,
    squares: Float64[np.ndarray, "k k"],
) -> Float32[np.ndarray, "out given *kernel"]:
    """Round weights one input after the other, spreading each error over the inputs to come.

    Args:
        weight: with k values per output channel.
        step: what one step of each output channel is worth.
        largest: how many steps a weight may have at most.
        squares: sums of products of two inputs over many images.
    """
    left = weight.reshape(len(weight), -1).astype(np.float64)
    order = np.argsort(-np.diag(squares))  # inputs that matter first, while there are others to make up for them
    back = np.argsort(order)
    left = left[:, order]
    regular = squares[np.ix_(order, order)].copy()
    regular[np.diag_indices_from(regular)] += _DAMPING * max(np.diag(regular).mean(), 1e-12)
    factor = np.linalg.cholesky(np.linalg.inv(regular)).T
    rounded = np.empty_like(left)
    for place in range(left.shape[1]):
        rounded[:, place] = np.clip(np.round(left[:, place] / step), -largest, largest) * step
        error = (left[:, place] - rounded[:, place]) / factor[place, place]
        left[:, place + 1 :] -= np.outer(error, factor[place, place + 1 :])
    result: Float32[np.ndarray, "out given *kernel"] = rounded[:, back].reshape(weight.shape).astype(np.float32)
    return result


def _nearest(layer: Layer) -> Float32[np.ndarray, "out given *kernel"]:
    step = layer.step.reshape(-1, *[1] * (layer.weight.ndim - 1))
    nearest: Float32[np.ndarray, "out given *kernel"] = np.round(layer.weight / step) * step
    return nearest


def _input_squares(
    model: Any, layers: Sequence[Layer], batches: Iterable[npt.NDArray[Any]]
) -> dict[str, Float64[np.ndarray, "k k"]]:
    """Return sums of products of two inputs of each layer, by the name of the layer's output."""
    if not layers:
        return {}
    onnx = importlib.import_module("onnx")
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = sorted({one.node.input[0] for one in layers} - {INPUT})
    for name in names:
        probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session, chance = _session(probe), np.random.default_rng(0)
    squares: dict[str, Any] = {}
    for batch in batches:
        outputs = session.run(names, {INPUT: batch}) if names else []  # for no name it returns the graph's outputs
        found = dict(zip(names, outputs, strict=True)) | {INPUT: batch}
        for layer in layers:
            inputs = _layer_inputs(layer, found[layer.node.input[0]], chance).astype(np.float64)
            squares[layer.node.output[0]] = squares.get(layer.node.output[0], 0.0) + inputs.T @ inputs
    return squares


def _layer_inputs(layer: Layer, given: npt.NDArray[Any], chance: np.random.Generator) -> npt.NDArray[Any]:
    """Return the inputs of some of a layer's outputs, one row each, in the order of its weights."""
    if layer.node.op_type == "Gemm":
        return given
    settings = {one.name: list(one.ints) for one in layer.node.attribute}
    axes = layer.weight.ndim - 2
    pads, strides, dilations = (
        settings.get(name) or [default] * count
        for name, default, count in (("pads", 0, 2 * axes), ("strides", 1, axes), ("dilations", 1, axes))
    )
    padded = np.pad(given, [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)])
    reach = tuple((size - 1) * apart + 1 for size, apart in zip(layer.weight.shape[2:], dilations, strict=True))
    windows = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + axes)))
    every = tuple(slice(None, None, stride) for stride in strides)
    windows = windows[(slice(None), slice(None), *every, *(slice(None, None, apart) for apart in dilations))]
    windows = np.moveaxis(windows, 1, 1 + axes)  # images, places, channels, kernel
    sizes = windows.shape[: 1 + axes]
    total = int(np.prod(sizes))
    chosen = chance.choice(total, min(total, _POSITIONS * len(given)), replace=False)
    return windows[np.unravel_index(chosen, sizes)].reshape(len(chosen), -1)


def _mean_outputs(
    model: Any,
    layers: Sequence[Layer],
    weights: Sequence[npt.NDArray[Any]],
    batches: Iterable[npt.NDArray[Any]],
) -> list[npt.NDArray[Any]]:
    """Return the mean output per channel that each layer would have with other weights, without a bias."""
    onnx = importlib.import_module("onnx")
    probe, names = onnx.ModelProto(), list[str]()
    probe.CopyFrom(model)
    graph = probe.graph
    for place, (layer, weight) in enumerate(zip(layers, weights, strict=True)):
        name, output, axes, mean = (f"prepixel_{what}_{place}" for what in ("weight", "output", "axes", "mean"))
        twin = graph.node.add()
        twin.CopyFrom(layer.node)
        twin.name = output
        del twin.input[:], twin.output[:]
        twin.input.extend([layer.node.input[0], name])
        twin.output.append(output)
        averaged = np.array([0, *range(2, weight.ndim)], np.int64)
        graph.initializer.extend(
            [onnx.numpy_helper.from_array(weight, name), onnx.numpy_helper.from_array(averaged, axes)]
        )
        graph.node.append(onnx.helper.make_node("ReduceMean", [output, axes], [mean], mean, keepdims=0))
        graph.output.append(onnx.helper.make_tensor_value_info(mean, onnx.TensorProto.FLOAT, None))
        names.append(mean)
    session, count, sums = _session(probe), 0, [0.0] * len(layers)
    for batch in batches:
        found = session.run(names, {INPUT: batch})
        sums = [total + len(batch) * one for total, one in zip(sums, found, strict=True)]
        count += len(batch)
    return [np.asarray(total / count, np.float32) for total in sums]


def _session(model: Any) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
