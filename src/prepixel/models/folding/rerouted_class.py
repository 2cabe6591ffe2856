"""Replace the code of one module by a subclass whose ``forward`` is traced code, and which can be pickled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.fx import _pytree as fx_pytree
from torch.utils import _pytree as pytree

# what torch.fx's generated code refers to
_NAMES: dict[str, Any] = {
    "torch": torch,
    "device": torch.device,
    "inf": math.inf,
    "nan": math.nan,
    "NoneType": type(None),
    "fx_pytree": fx_pytree,
    "pytree": pytree,
}


def set_forward(module: nn.Module, graph: fx.Graph) -> None:
    """Let a module run a graph, in place; its attributes, methods, parameters and class name stay.

    The subclass is made from the graph's code, and made again from it by pickle and copy.

    Args:
        module: whose names the graph refers to.
        graph: traced from it.
    """
    code = graph.python_code("self")
    names = {name: value for name, value in code.globals.items() if name not in _NAMES}
    module.__class__ = _subclass(type(module), code.src, names)


def _subclass(base: type[nn.Module], source: str, names: Mapping[str, Any]) -> type[nn.Module]:
    namespace: dict[str, Any] = {**_NAMES, **names}
    exec(compile(source, f"<folded {base.__name__}>", "exec"), namespace)  # torch.fx's code, or pickle's copy of it

    def reduce(self: nn.Module, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (base, source, dict(names)), self.__getstate__()  # type: ignore[no-untyped-call]

    members = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": reduce,
        "forward": namespace["forward"],
    }
    return type(base.__name__, (base,), members)


def _rebuild(base: type[nn.Module], source: str, names: Mapping[str, Any]) -> nn.Module:
    subclass = _subclass(base, source, names)
    return subclass.__new__(subclass)
