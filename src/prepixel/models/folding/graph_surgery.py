"""Let a network take something else in the place of its image.

Modules that do nothing but prepare the image become identities, and the one that consumes it is replaced. Where a
module's own code touches the image (asks its size, normalizes it), that one body is traced by torch.fx and the touches
are taken out of it; the modules that it calls stay as they are.
"""

from __future__ import annotations

import inspect
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from prepixel.models.folding.input_trace import CONSUMERS, CannotFold, ImageUse, name_of


def replace_stem(network: nn.Module, use: ImageUse, stem: nn.Module) -> nn.Module:
    """Let a network take what ``stem`` takes instead of its image.

    Args:
        network: changed in place.
        use: how it uses its image.
        stem: gives what the layer that consumed the image gave.

    Returns:
        The network, or what stands for it where its own code was traced.

    Raises:
        CannotFold: a module's code cannot be traced.
    """
    for path in use.preparations:
        network.set_submodule(path, nn.Identity())
    if use.is_module:
        network.set_submodule(use.stem, stem)
    for path in use.touched:
        body = network.get_submodule(path)
        traced = _trace(body, path, use, None if use.is_module or path != use.stem else stem)
        if path == "":
            return traced
        network.set_submodule(path, traced)
    return network


def _trace(body: nn.Module, path: str, use: ImageUse, stem: nn.Module | None) -> nn.Module:
    """Take a module's own dealings with the image out of its code.

    Args:
        body: the module.
        path: where it is.
        use: how the network uses its image.
        stem: what to call instead of the layer, where the layer is a function call in this very body.
    """
    tracers = {}
    was_training = body.training
    for training in (True, False):
        body.training = training
        tracers[training] = _BodyTracer(path, use, is_function=stem is not None)
        try:
            tracers[training].graph = tracers[training].trace(body, _defaults(body))
        except Exception as error:  # a body's code may fail in any way when it is traced
            reason = str(error).partition("\n")[0]
            raise CannotFold(
                f"the code of {name_of(path)} touches the image, and torch.fx cannot trace it ({reason}); move what it "
                "does with the image into a module of its own"
            ) from error
        finally:
            body.training = was_training
    traced = fx.GraphModule(body, tracers[False].graph, type(body).__name__)
    traced.training = was_training
    if stem is not None:
        traced.add_submodule("folded_stem", stem)
    _reroute(traced, tracers[False], is_function=stem is not None)
    if tracers[True].graph.python_code("self").src != tracers[False].source:
        traced.register_forward_pre_hook(_refuse_training)
    return traced


def _refuse_training(module: nn.Module, args: Any) -> None:
    if module.training:
        raise CannotFold(
            f"the code of {type(module).__name__} that deals with the image does something else in training, and only "
            "what it does in evaluation was folded; switch such parts (auxiliary heads, for instance) off before fold()"
        )


class _ImageProxy(fx.Proxy):
    """Stand for the image, or what is made of it, in code that is traced; its size is known, but for the batch's."""

    def __init__(self, node: fx.Node, tracer: _BodyTracer, size: tuple[int, ...]) -> None:
        super().__init__(node, tracer)
        self._body = tracer
        self._size = size

    @property
    def shape(self) -> tuple[Any, ...]:
        """Give the size."""
        return (self._body.batch_size(), *self._size[1:])

    @property
    def ndim(self) -> int:
        """Count the axes."""
        return len(self._size)

    def size(self, dim: int | None = None) -> Any:
        """Give the size, or one axis's."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Count the axes."""
        return len(self._size)

    ndimension = dim


class _BodyTracer(fx.Tracer):
    """Trace a module's own code; what it calls stays a call. Find which nodes are made of the image.

    Attributes:
        followed: nodes made of the image, with their values.
        questions: nodes that ask the image, or what is made of it, for its device or dtype.
        consumer: the node that takes the image as the network's first layer, or leads to it.
        source: the code, as traced.
    """

    def __init__(self, path: str, use: ImageUse, *, is_function: bool) -> None:
        super().__init__()
        self.path = path
        self.use = use
        self.is_function = is_function
        self.followed: dict[fx.Node, Tensor] = {}
        self.questions: list[fx.Node] = []
        self.consumer: fx.Node | None = None

    @property
    def source(self) -> str:
        """Give the traced code."""
        return self.graph.python_code("self").src

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Leave every call of a module as it is."""
        return True

    def batch_size(self) -> fx.Proxy:
        """Ask the first argument, image or values, for the length of the batch."""
        image = next(iter(self.graph.nodes))
        return fx.Proxy(self.create_node("call_method", "size", (image, 0), {}), self)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Follow what is made of the image."""
        if node.op == "placeholder" and not self.followed:
            self.followed[node] = self.use.calls[self.path][0]
        elif any(source in self.followed for source in node.all_input_nodes):
            if self._consumes(node):
                self.consumer = node
                return super().proxy(node)
            value = self._value(node)
            if not isinstance(value, Tensor):
                self.questions.append(node)
                return super().proxy(node)
            self.followed[node] = value
        return (
            _ImageProxy(node, self, tuple(self.followed[node].shape)) if node in self.followed else super().proxy(node)
        )

    def _value(self, node: fx.Node) -> Any:
        """Compute what a node gives when the module is called as it was when it was watched."""
        if node in self.followed:
            return self.followed[node]
        args = fx.node.map_arg(node.args, self._value)
        kwargs = fx.node.map_arg(node.kwargs, self._value)
        with torch.no_grad():
            if node.op == "call_function":
                return node.target(*args, **kwargs)  # type: ignore[operator]
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            if node.op == "get_attr":
                return operator.attrgetter(str(node.target))(self.root)
            if node.op == "call_module":
                known = self.use.calls.get(self._full_path(node))
                return self.root.get_submodule(str(node.target))(*args, **kwargs) if known is None else known[1]
        raise CannotFold(f"{node.name} is an argument of which nothing is known")

    def _full_path(self, n: fx.Node) -> str:
        return f"{self.path}.{n.target}" if self.path else str(n.target)

    def _consumes(self, n: fx.Node) -> bool:
        if self.is_function:
            return n.op == "call_function" and n.target in CONSUMERS
        path = self._full_path(n)
        return n.op == "call_module" and (path == self.use.stem or self.use.stem.startswith(f"{path}."))


def _defaults(body: nn.Module) -> dict[str, Any] | None:
    parameters = list(inspect.signature(body.forward).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.default is not p.empty} or None


def _reroute(traced: fx.GraphModule, tracer: _BodyTracer, *, is_function: bool) -> None:
    """Hand the first argument on untouched, and let it answer what the image was asked."""
    graph = traced.graph
    nodes = {node.name: node for node in graph.nodes}  # the module has a copy of what was traced
    followed = [nodes[node.name] for node in tracer.followed]
    values = followed[0]
    if tracer.consumer is None:
        raise CannotFold(f"the code of {type(traced).__name__} does other things when it is traced")
    consumer = nodes[tracer.consumer.name]
    for node in (consumer, *(nodes[node.name] for node in tracer.questions)):
        for source in node.all_input_nodes:
            if source in followed:
                node.replace_input_with(source, values)
    if is_function:
        with graph.inserting_before(consumer):
            call = graph.call_module("folded_stem", (values,))
        consumer.replace_all_uses_with(call)
        graph.erase_node(consumer)
    for node in reversed(followed[1:]):
        if node.users:
            raise CannotFold(f"{node.name}, made of the image, is used again by {next(iter(node.users)).name}")
        graph.erase_node(node)
    graph.eliminate_dead_code()
    graph.lint()
    traced.recompile()
