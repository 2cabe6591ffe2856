"""Rounded weights: of how many steps, how near their layers' outputs stay, and biases that make up for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional

from prepixel.export import weight_rounding
from prepixel.export.quantization import quantize
from prepixel.export.weight_rounding import (
    Layer,
    _layer_inputs,
    layers_of,
    round_in_turn,
    round_weights,
    weight_settings,
)
from prepixel.runtime.inference import INPUT

SIZE = (12, 11)


def graph() -> bytes:
    """Build a convolution that keeps float32, a depthwise one on its positive outputs, a strided and a linear layer."""
    rng, make = np.random.default_rng(3), onnx.helper.make_node
    shapes = {"first": (13, 5, 1, 1), "depthwise": (13, 1, 3, 3), "dense": (7, 13, 3, 3), "last": (3, 7)}
    weights = []
    for name, shape in shapes.items():
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        weights.append(onnx.numpy_helper.from_array(rng.normal(0, scale, shape).astype(np.float32), f"{name}.weight"))
        weights.append(onnx.numpy_helper.from_array(rng.normal(0, 1, shape[0]).astype(np.float32), f"{name}.bias"))
    weights.append(onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))

    def layer(name: str, given: str, **settings: Any) -> Any:
        return make("Conv", [given, f"{name}.weight", f"{name}.bias"], [name], name, **settings)

    nodes = [
        layer("first", INPUT),
        make("Relu", ["first"], ["a"], "relu_1"),
        layer("depthwise", "a", group=13, pads=[1, 1, 1, 1]),
        make("Relu", ["depthwise"], ["b"], "relu_2"),
        layer("dense", "b", strides=[2, 2]),
        make("Relu", ["dense"], ["c"], "relu_3"),
        make("ReduceMean", ["c", "axes"], ["d"], "mean", keepdims=0),
        make("Gemm", ["d", "last.weight", "last.bias"], ["output"], "last", transB=1),
    ]
    given, result = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
        for name, sizes in ((INPUT, ["n", 5, *SIZE]), ("output", ["n", 3]))
    )
    built = onnx.helper.make_graph(nodes, "small", [given], [result], weights)
    opset = [onnx.helper.make_opsetid("", 18)]
    return bytes(onnx.helper.make_model(built, opset_imports=opset, ir_version=10).SerializeToString())


def model() -> Any:
    return onnx.load_from_string(graph())


def photos() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(16, 5, *SIZE)).astype(np.float32)


def run(contents: bytes, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    session = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])
    result: npt.NDArray[Any] = session.run(None, {INPUT: values})[0]
    return result


def first_node(found: Any) -> str:
    return str(next(node.name for node in found.graph.node if node.op_type == "Conv"))


def test_depthwise_layers_have_8_bits_and_others_7() -> None:
    found = model()
    layers = layers_of(found, left_out=[first_node(found)])
    assert [(one.weight.shape, one.largest) for one in layers] == [
        *(((13, 1, 3, 3), 127), ((7, 13, 3, 3), 64), ((3, 7), 64))
    ]
    settings = weight_settings(layers)
    assert [len(channels) for channels in settings.values()] == [13, 7, 3]
    for layer, channels in zip(layers, settings.values(), strict=True):
        assert np.array([one["scale"] for one in channels]) * layer.largest == pytest.approx(
            np.abs(layer.weight).reshape(len(layer.weight), -1).max(1)
        )


def test_weights_rounded_in_turn_keep_the_output_nearer() -> None:
    chance = np.random.default_rng(7)
    inputs = chance.normal(size=(500, 5)) @ chance.normal(size=(5, 29)) + chance.normal(size=(500, 29)) / 10 + 0.5
    weight = chance.normal(size=(11, 29)).astype(np.float32)
    step = (np.abs(weight).max(1) / 8).astype(np.float32)
    rounded = round_in_turn(weight, step, 8, inputs.T @ inputs)
    assert np.abs(rounded / step[:, None] - np.round(rounded / step[:, None])).max() < 1e-4
    assert np.abs(rounded / step[:, None]).max() < 8.001
    nearest = np.round(weight / step[:, None]) * step[:, None]
    near, turn = (np.square(inputs @ (one - weight).T).mean() for one in (nearest, rounded))
    assert turn < 0.3 * near
    assert np.array_equal(round_in_turn(nearest, step, 8, np.zeros((29, 29))), nearest)  # dead inputs, exact weights


@pytest.mark.parametrize(
    ("strides", "dilations", "pads"), [([1, 1], [1, 1], [0, 0, 0, 0]), ([2, 3], [2, 1], [1, 0, 2, 1]), ([], [], [])]
)
def test_a_layers_inputs_times_its_weights_are_its_outputs(
    strides: list[int], dilations: list[int], pads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(1)
    weight = chance.normal(size=(3, 5, 3, 2)).astype(np.float32)
    given = chance.normal(size=(2, 5, 11, 13)).astype(np.float32)
    settings = {"strides": strides, "dilations": dilations, "pads": pads}
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], **{key: value for key, value in settings.items() if value})
    monkeypatch.setattr("prepixel.export.weight_rounding._POSITIONS", 10**6)  # all of them
    outputs = _layer_inputs(Layer(node, weight), given, chance) @ weight.reshape(3, -1).T
    top, left, bottom, right = pads or [0] * 4
    padded = functional.pad(torch.from_numpy(given), (left, right, top, bottom))
    expected = functional.conv2d(padded, torch.from_numpy(weight), stride=strides or 1, dilation=dilations or 1)
    assert np.sort(outputs, 0) == pytest.approx(np.sort(expected.movedim(1, 3).reshape(-1, 3).numpy(), 0), abs=1e-4)


def outputs_of(found: Any, name: str) -> npt.NDArray[Any]:
    seen = onnx.ModelProto()
    seen.CopyFrom(found)
    seen.graph.output.insert(0, onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run(seen.SerializeToString(), photos())


def test_biases_give_a_layer_the_mean_output_that_it_had() -> None:
    exact, found = model(), model()
    layers = layers_of(found, left_out=[first_node(found)])
    round_weights(found, layers, np.array_split(photos(), 3))
    name = layers[0].node.output[0]  # of the depthwise layer, whose input is that of the exact graph
    now, before = outputs_of(found, name), outputs_of(exact, name)
    assert np.abs(now - before).max() > 1e-3
    assert np.abs(now.mean((0, 2, 3)) - before.mean((0, 2, 3))).max() < 1e-5
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in found.graph.initializer}
    for layer in layers:
        steps = weights[layer.node.input[1]].reshape(len(layer.step), -1) / layer.step[:, None]
        assert np.abs(steps - np.round(steps)).max() < 1e-3


def test_layers_of_too_many_inputs_are_rounded_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_rounding, "MOST_INPUTS", 100)  # the convolution has 117
    found = model()
    dense, last = layers_of(found, left_out=[first_node(found)])[1:]
    round_weights(found, [dense, last], [photos()])
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in found.graph.initializer}
    step = dense.step[:, None, None, None]
    assert weights[dense.node.input[1]] == pytest.approx(np.round(dense.weight / step) * step, abs=1e-6)
    step = last.step[:, None]
    assert np.abs(weights[last.node.input[1]] - np.round(last.weight / step) * step).max() > 1e-3


@pytest.mark.parametrize("kept", [1, 3])
def test_networks_of_one_layer_or_of_depthwise_ones_are_quantized(kept: int) -> None:
    """One layer keeps float32, so none is left to round; of depthwise ones none is rounded in turn."""
    small = model()
    del small.graph.node[kept:]
    small.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info(small.graph.node[-1].output[0], onnx.TensorProto.FLOAT, ["n", 13, *SIZE])
    )
    used = {name for node in small.graph.node for name in node.input}
    weights = [one for one in small.graph.initializer if one.name in used]
    del small.graph.initializer[:]
    small.graph.initializer.extend(weights)
    contents = small.SerializeToString()
    exact = run(contents, photos())
    assert np.abs(run(quantize(contents, photos()), photos()) - exact).max() < 0.02 * np.abs(exact).max()


def test_a_bias_that_layers_share_is_left_alone() -> None:
    found = model()
    dense = next(node for node in found.graph.node if node.op_type == "Gemm")
    twin = found.graph.node.add()
    twin.CopyFrom(dense)
    twin.name, twin.output[0] = "twin", "twin"
    (bias,) = (one for one in found.graph.initializer if one.name == dense.input[2])
    before = onnx.numpy_helper.to_array(bias).copy()
    round_weights(found, layers_of(found, left_out=["twin"]), [photos()])
    (bias,) = (one for one in found.graph.initializer if one.name == dense.input[2])
    assert np.array_equal(onnx.numpy_helper.to_array(bias), before)


def test_graphs_hold_the_rounded_weights() -> None:
    contents = quantize(graph(), photos())
    stored = {
        one.dims[0]: onnx.numpy_helper.to_array(one).astype(int)
        for one in onnx.load_from_string(contents).graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1
    }
    assert {out: int(np.abs(one).max()) for out, one in stored.items()} == {13: 127, 7: 64, 3: 64}
    expected = model()
    layers = layers_of(expected, left_out=[first_node(expected)])
    round_weights(expected, layers, np.array_split(photos(), 2))
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in expected.graph.initializer}
    for layer in layers:
        steps = layer.step.reshape(-1, *[1] * (layer.weight.ndim - 1))
        assert np.array_equal(stored[len(steps)], np.round(weights[layer.node.input[1]] / steps))
    exact = run(graph(), photos())
    assert np.abs(run(contents, photos()) - exact).max() < 0.02 * np.abs(exact).max()
