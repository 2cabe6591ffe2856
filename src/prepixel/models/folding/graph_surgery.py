"""Make a network take something else in the place of its image.

Modules that only prepare the image become identities, and the module that consumes it is replaced. Where a module's
own code touches the image (asks for its size, normalizes it), the code of that module alone is traced by torch.fx and
the operations on the image are removed from it; the modules that it calls stay as they are.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from prepixel.models.folding.folded_stem import check_decision, check_grid
from prepixel.models.folding.input_trace import CONSUMERS, CannotFold, ImageUse, name_of
from prepixel.models.folding.rerouted_class import set_forward
from prepixel.models.folding.symbolic_size import ImageProxy, SequenceProxy, SymbolicSize, is_sequence_of_tensors

_OTHER_SIZE = (2, 3)  # the second image that sizes are traced with, as multiples of the first, down and across


def replace_stem(network: nn.Module, use: ImageUse, stem: nn.Module, pixels_per_block: int) -> nn.Module:
    """Make a network take the input of ``stem`` instead of its image.

    Args:
        network: changed in place; modules keep their attributes and methods.
        use: how it uses its image.
        stem: computes the output of the layer that consumed the image.
        pixels_per_block: pixels of the image along one axis that a block of the stem's input stands for.

    Returns:
        The network.

    Raises:
        CannotFold: a module's code cannot be traced.
    """
    for path in use.preparations:
        network.set_submodule(path, nn.Identity())
    if use.is_module:
        network.set_submodule(use.stem, stem)
    for path in use.touched:
        body = network.get_submodule(path)
        _reroute_body(body, path, use, None if use.is_module or path != use.stem else stem, pixels_per_block)
    return network


def _reroute_body(body: nn.Module, path: str, use: ImageUse, stem: nn.Module | None, pixels_per_block: int) -> None:
    """Remove a module's own operations on the image from its code, in place.

    Args:
        body: the module.
        path: where it is.
        use: how the network uses its image.
        stem: what to call instead of the layer, where the layer is a function call in this very body.
        pixels_per_block: see `replace_stem`.
    """
    tracers = {}
    was_training = body.training
    for training in (True, False):
        body.training = training
        tracer = _BodyTracer(path, use, pixels_per_block, is_function=stem is not None)
        try:
            tracer.graph = tracer.trace(body, _defaults(body))
        except Exception as error:  # a body's code may fail in any way when it is traced
            reason = str(error).partition("\n")[0]
            raise CannotFold(
                f"the code of {name_of(path)} touches the image, and torch.fx cannot trace it ({reason}); move what it "
                "does with the image into a module of its own"
            ) from error
        finally:
            body.training = was_training
        tracers[training] = tracer
    different = tracers[True].source != tracers[False].source
    _keep_constants(body, tracers[False].graph)
    if stem is not None:
        body.add_module("folded_stem", stem)
    _reroute(tracers[False], type(body).__name__, is_function=stem is not None)
    if stem is not None:
        _drop_weights(body, use, tracers[False].graph)
    set_forward(body, tracers[False].graph)
    if different:
        body.register_forward_pre_hook(_refuse_training)


def _refuse_training(module: nn.Module, args: Any) -> None:
    if module.training:
        raise CannotFold(
            f"the code of {type(module).__name__} that deals with the image does something else in training, and only "
            "what it does in evaluation was folded; switch such parts (auxiliary heads, for instance) off before fold()"
        )


class _BodyTracer(fx.Tracer):
    """Trace a module's own code; the modules that it calls stay calls. Find the nodes that are made of the image.

    Attributes:
        followed: nodes made of the image, with their values for two images of different size; the second is None where
            it is not known.
        questions: nodes that ask the image, or a tensor made of it, for its device or dtype.
        consumer: the node that takes the image as the network's first layer, or leads to it.
        specialized: whether the code decided by a size, so that it holds for the folded grid alone.
        source: the code, as traced.
    """

    def __init__(self, path: str, use: ImageUse, pixels_per_block: int, *, is_function: bool) -> None:
        super().__init__()
        self.path = path
        self.use = use
        self.pixels_per_block = pixels_per_block
        self.is_function = is_function
        self.followed: dict[fx.Node, tuple[Any, Any]] = {}
        self.sizes: dict[fx.Node, tuple[int | float, int | float]] = {}
        self.questions: list[fx.Node] = []
        self.consumer: fx.Node | None = None
        self.specialized = False

    @property
    def source(self) -> str:
        """Return the traced code."""
        return self.graph.python_code("self").src

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Leave every call of a module as it is."""
        return True

    def specialize(self) -> None:
        """Mark the code as valid for the folded grid alone."""
        self.specialized = True

    def guard(self, function: Callable[..., Any], args: tuple[Any, ...], result: Any) -> None:
        """Append a check that a function of sizes still gives what it gave at the folded grid."""
        checked: Any = (function.__name__, args, result, type(self.root).__name__)
        self.create_node("call_function", check_decision, checked, {})

    def note_size(self, node: fx.Node, values: tuple[int | float, int | float]) -> fx.Node:
        """Remember what a node that computes a size gives for the two images."""
        self.sizes[node] = values
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Follow the tensors that are made of the image."""
        if node.op == "placeholder" and not self.followed:
            given = self.use.calls[self.path][0]
            self.followed[node] = given, self._other_image(given)
        elif any(source in self.followed for source in node.all_input_nodes) and node not in self.sizes:
            if self._consumes(node):
                self.consumer = node
                return super().proxy(node)
            value = self._value(node, 0)
            if not isinstance(value, Tensor) and not is_sequence_of_tensors(value):
                self.questions.append(node)
                return super().proxy(node)
            try:
                other = self._value(node, 1)
            except Exception:  # the code may not take an image of another size
                other = None
            self.followed[node] = value, other
        if node not in self.followed:
            return super().proxy(node)
        value = self.followed[node][0]
        if isinstance(value, Tensor):
            return ImageProxy(node, self, self._symbolic_sizes(node))
        return SequenceProxy(node, self, len(value))

    def _other_image(self, given: Tensor) -> Tensor | None:
        """Make an image of another size; None where the module was given something made of the image."""
        if given is not self.use.image:
            return None
        height, width = (size * factor for size, factor in zip(given.shape[2:], _OTHER_SIZE, strict=True))
        return given.new_zeros(*given.shape[:2], height, width)

    def _symbolic_sizes(self, node: fx.Node) -> tuple[Any, ...]:
        value, other = self.followed[node]
        image, other_image = self.use.image.shape, self._other_image(self.use.image)
        assert other_image is not None
        sizes: list[Any] = [fx.Proxy(self.create_node("call_method", "size", (self._first, 0), {}), self)]
        for axis, size in list(enumerate(value.shape))[1:]:
            seen = (int(size), -1 if other is None or other.dim() != value.dim() else int(other.shape[axis]))
            if seen[0] == seen[1]:
                sizes.append(seen[0])
                continue
            expression = None
            for side in (2, 3):
                if seen == (image[side], other_image.shape[side]):
                    expression = self._side(side, seen)
            sizes.append(SymbolicSize(self, seen, expression))
        return tuple(sizes)

    def _side(self, side: int, values: tuple[int, int]) -> Any:
        """Return what appends nodes for a side of the image: blocks times pixels per block."""

        def expression() -> fx.Node:
            blocks = self.create_node("call_method", "size", (self._first, side), {})
            self.sizes[blocks] = values[0] // self.pixels_per_block, values[1] // self.pixels_per_block
            if self.pixels_per_block == 1:
                return blocks
            node = self.create_node("call_function", operator.mul, (blocks, self.pixels_per_block), {})
            return self.note_size(node, values)

        return expression

    @property
    def _first(self) -> fx.Node:
        first: fx.Node = next(iter(self.graph.nodes))
        return first

    def _value(self, node: fx.Node, place: int) -> Any:
        """Compute what a node gives when the module is called with the first or the second image."""
        if node in self.followed:
            value = self.followed[node][place]
            if value is None:
                raise CannotFold(f"{node.name} is not known for another size")
            return value
        if node in self.sizes:
            return self.sizes[node][place]
        args = fx.node.map_arg(node.args, lambda one: self._value(one, place))
        kwargs = fx.node.map_arg(node.kwargs, lambda one: self._value(one, place))
        with torch.no_grad():
            if node.op == "call_function":
                return node.target(*args, **kwargs)  # type: ignore[operator]
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            if node.op == "get_attr":
                return operator.attrgetter(str(node.target))(self.root)
            if node.op == "call_module":
                known = self.use.calls.get(self._full_path(node)) if place == 0 else None
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


def _reroute(tracer: _BodyTracer, name: str, *, is_function: bool) -> None:
    """Pass the first argument on untouched, and let it answer questions about the image's device and dtype."""
    graph = tracer.graph
    followed = list(tracer.followed)
    values = followed[0]
    consumer = tracer.consumer
    if consumer is None:
        raise CannotFold(f"the code of {name} does other things when it is traced")
    for node in (consumer, *tracer.questions):
        for source in node.all_input_nodes:
            if source in tracer.followed:
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
    # asked which calls of modules have side effects; any module serves
    graph.owning_module = tracer.root  # type: ignore[assignment]
    graph.eliminate_dead_code()
    if tracer.specialized:
        grid = tuple(size // tracer.pixels_per_block for size in tracer.use.image.shape[2:])
        with graph.inserting_after(values):
            graph.call_function(check_grid, (values, grid, name))
    graph.lint()


def _keep_constants(body: nn.Module, graph: fx.Graph) -> None:
    """Turn tensors that tracing stored as plain attributes into buffers, so that they move with the module."""
    for node in graph.find_nodes(op="get_attr"):
        target = str(node.target)
        value = getattr(body, target, None) if "." not in target else None
        if isinstance(value, Tensor) and target not in body._buffers and target not in body._parameters:  # noqa: SLF001
            delattr(body, target)
            body.register_buffer(target, value, persistent=False)


def _drop_weights(body: nn.Module, use: ImageUse, graph: fx.Graph) -> None:
    """Remove the parameters of the layer that the stem replaces, unless the code uses them elsewhere."""
    used = {str(node.target) for node in graph.find_nodes(op="get_attr")}
    for name in set(use.own_weights) - used:
        delattr(body, name)
