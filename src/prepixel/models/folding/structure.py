"""What rebuilds a folded network from its pixel network beside weights, as plain values that a file can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prepixel.models.file_fields import Fields
from prepixel.models.folding.folded_stem import AxisPlan, Layout

_MOST_WEIGHTS = 2**26
_LARGEST = 2**24
_LAYOUTS: tuple[Layout, ...] = ("maps", "tokens", "last", "vector")


@dataclass(frozen=True)
class StemCost:
    """Multiply-adds of one image, up to the stem's output.

    Attributes:
        pixels: the network's own first layer, on pixels that exist already; 0 where not one layer takes them.
        composed: one convolution over blocks; 0 where there is no such form.
        factored: low-frequency inverse DCT to the network's pixels, then the network's own first layer.
    """

    pixels: int
    composed: int
    factored: int


@dataclass(frozen=True)
class StemStructure:
    """Where a folded stem stands in its network, and its shape.

    Attributes:
        path: of the module that it replaces, or in whose code it replaces a call.
        is_module: whether it replaces the whole module.
        preparations: paths of modules that only prepared the image.
        touched: paths of modules whose own code touched the image.
        weight_shape: of the stem's weight.
        live: indices of the channels that it responds to.
        plans: how blocks become outputs, down and across.
        layout: of its output.
        trains: whether weight and bias require gradients.
    """

    path: str
    is_module: bool
    preparations: tuple[str, ...]
    touched: tuple[str, ...]
    weight_shape: tuple[int, int, int, int]
    live: tuple[int, ...]
    plans: tuple[AxisPlan, AxisPlan]
    layout: Layout
    trains: tuple[bool, bool]


@dataclass(frozen=True)
class FoldStructure:
    """A folded network's structure.

    Attributes:
        cost: of its stem.
        stem: the composed stem; None for form factored.
    """

    cost: StemCost
    stem: StemStructure | None

    def to_values(self) -> dict[str, Any]:
        """Return it as dictionaries, lists, numbers and text."""
        values: dict[str, Any] = _plain(asdict(self))
        return values

    @classmethod
    def from_values(cls, values: Any, num_channels: int) -> FoldStructure:
        """Check and read what `to_values` returned.

        Args:
            values: from a file.
            num_channels: of the network's input.

        Raises:
            ModelError: a key is missing, or a value is of another type or outside its range; the message names the key.
        """
        fields = Fields("structure", values)
        cost = fields.section("cost")
        read = StemCost(*(cost.integer(name, 0, 2**62) for name in ("pixels", "composed", "factored")))
        if fields.value("stem") is None:
            return cls(read, None)
        return cls(read, _read_stem(fields.section("stem"), num_channels))


def _read_stem(fields: Fields, num_channels: int) -> StemStructure:
    shape = tuple(fields.integers("weight_shape", 1, _MOST_WEIGHTS, length=4))
    live = tuple(fields.integers("live", 0, num_channels - 1))
    plans = fields.items("plans", length=2)
    read = [_read_plan(Fields(f"{fields.name}.plans[{axis}]", plan)) for axis, plan in enumerate(plans)]
    layout = fields.value("layout")
    trains = fields.items("trains", length=2)
    if layout not in _LAYOUTS:
        raise fields.error("layout", f"must be one of {', '.join(_LAYOUTS)}")
    outputs = read[0].outputs * read[1].outputs
    if (
        math.prod(shape) > _MOST_WEIGHTS
        or shape[1:] != (len(live), read[0].reach, read[1].reach)
        or shape[0] % outputs
        or len(set(live)) != len(live)
    ):
        raise fields.error("weight_shape", "does not fit live and plans")
    return StemStructure(
        fields.text("path"),
        fields.flag("is_module"),
        tuple(fields.texts("preparations")),
        tuple(fields.texts("touched")),
        (shape[0], shape[1], shape[2], shape[3]),
        live,
        (read[0], read[1]),
        layout,
        (bool(trains[0]), bool(trains[1])),
    )


def _read_plan(fields: Fields) -> AxisPlan:
    positive = {name: fields.integer(name, 1, _LARGEST) for name in ("grid", "num_outputs", "stride", "reach")}
    pixels = fields.integer("pixels", 1, 8)
    slack = None if fields.value("slack") is None else fields.integer("slack", 0, _LARGEST)
    first = fields.integer("first", -_LARGEST, _LARGEST)
    return AxisPlan(**positive, pixels=pixels, slack=slack, first=first)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
