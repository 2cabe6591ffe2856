"""Sizes of the image in traced code: right for every grid, or marked as known for the folded grid alone."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, fx


@runtime_checkable
class SizeTracer(Protocol):
    """What a size needs of its tracer."""

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any) -> fx.Node:
        """Append a node to the graph."""

    def note_size(self, node: fx.Node, values: tuple[int | float, int | float]) -> fx.Node:
        """Remember what a node that computes a size gives for the two traced images."""

    def specialize(self) -> None:
        """Mark the graph as valid for the folded grid alone."""

    def guard(self, function: Callable[..., Any], args: tuple[Any, ...], result: Any) -> None:
        """Append a check that a function of sizes still gives what it gave at the folded grid."""


@dataclass(eq=False)
class SymbolicSize:
    """A side of the image, or a number computed from it.

    Arithmetic stays symbolic. Code that decides by a size (a comparison, ``int()``) gets what holds at the folded grid,
    and a check is traced that refuses grids for which it would decide otherwise.

    Attributes:
        tracer: of the code that asked for it.
        values: at the folded grid, and at another.
        expression: appends nodes that compute it from the coefficients' grid; None where that is not known.
    """

    tracer: SizeTracer
    values: tuple[int | float, int | float]
    expression: Callable[[], fx.Node] | None

    def __fx_create_arg__(self, tracer: Any) -> Any:
        return self.concrete(operator.pos) if self.expression is None else self.expression()

    def concrete(self, function: Callable[..., Any], *others: Any) -> Any:
        """Return a function of the value at the folded grid, and guard it."""
        result = function(*(_value(one, 0) for one in (self, *others)))
        if any(isinstance(one, SymbolicSize) and one.expression is None for one in (self, *others)):
            self.tracer.specialize()
        else:
            self.tracer.guard(function, tuple(_argument(one) for one in (self, *others)), result)
        return result

    def __hash__(self) -> int:
        return int(self.concrete(hash))

    def __bool__(self) -> bool:
        return bool(self.concrete(bool))

    def __index__(self) -> int:
        return int(self.concrete(operator.index))

    def __int__(self) -> int:
        return int(self.concrete(int))

    def __float__(self) -> float:
        return float(self.concrete(float))

    def __round__(self, digits: int | None = None) -> Any:
        return self.concrete(round, digits)

    def __ceil__(self) -> int:
        return int(self.concrete(math.ceil))

    def __floor__(self) -> int:
        return int(self.concrete(math.floor))

    def __neg__(self) -> Any:
        return _arithmetic(operator.sub, reflected=True)(self, 0)

    def __format__(self, spec: str) -> str:
        return format(self.values[0], spec)

    def __str__(self) -> str:
        return str(self.values[0])


def _arithmetic(function: Callable[[Any, Any], Any], *, reflected: bool) -> Callable[[SymbolicSize, Any], Any]:
    def apply(self: SymbolicSize, other: Any) -> Any:
        if isinstance(other, Tensor):
            number = self.concrete(operator.pos)
            return function(other, number) if reflected else function(number, other)
        if not isinstance(other, int | float | SymbolicSize):
            return NotImplemented
        operands: tuple[Any, Any] = (other, self) if reflected else (self, other)
        first, second = (function(*(_value(one, place) for one in operands)) for place in (0, 1))
        known = all(not isinstance(one, SymbolicSize) or one.expression is not None for one in operands)

        def expression() -> fx.Node:
            args = tuple(_argument(one) for one in operands)
            return self.tracer.note_size(self.tracer.create_node("call_function", function, args, {}), (first, second))

        return SymbolicSize(self.tracer, (first, second), expression if known else None)

    return apply


def _comparison(function: Callable[[Any, Any], bool]) -> Callable[[SymbolicSize, Any], Any]:
    def apply(self: SymbolicSize, other: Any) -> Any:
        if not isinstance(other, int | float | SymbolicSize):
            return NotImplemented
        return self.concrete(function, other)

    return apply


def _argument(one: Any) -> Any:
    return one.expression() if isinstance(one, SymbolicSize) and one.expression is not None else one


def _value(one: Any, place: int) -> Any:
    return one.values[place] if isinstance(one, SymbolicSize) else one


for _name in ("add", "sub", "mul", "floordiv", "truediv", "mod"):
    _function = getattr(operator, _name)
    setattr(SymbolicSize, f"__{_name}__", _arithmetic(_function, reflected=False))
    setattr(SymbolicSize, f"__r{_name}__", _arithmetic(_function, reflected=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(SymbolicSize, f"__{_name}__", _comparison(getattr(operator, _name)))


class ImageProxy(fx.Proxy):
    """Stand for the image, or a tensor made of it, in traced code."""

    def __init__(self, node: fx.Node, tracer: Any, sizes: tuple[Any, ...]) -> None:
        super().__init__(node, tracer)
        self._sizes = sizes

    @property
    def shape(self) -> tuple[Any, ...]:
        """Return the sizes: numbers where they do not depend on the image, symbolic ones where they do."""
        return self._sizes

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self._sizes)

    def size(self, dim: int | None = None) -> Any:
        """Return all sizes, or one axis's."""
        return self._sizes if dim is None else self._sizes[dim]

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self._sizes)

    ndimension = dim


class SequenceProxy(fx.Proxy):
    """Stand for a sequence of tensors made of the image: the parts of a split, for instance."""

    def __init__(self, node: fx.Node, tracer: Any, length: int) -> None:
        super().__init__(node, tracer)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter([operator.getitem(self, index) for index in range(self._length)])


def is_sequence_of_tensors(value: Any) -> bool:
    """Tell whether a value is a tuple or list that holds tensors alone."""
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(one, torch.Tensor) for one in value)
