"""The schema of a folded network's file: every value is checked for its type and range before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch

from prepixel.errors import ModelError
from prepixel.models import FoldSettings, FoldStructure
from prepixel.models.file_fields import Fields
from prepixel.models.folding.impulse_response import Form
from prepixel.models.folding.reconstruction import Reduction, pixels_per_block
from prepixel.spectrum import BandSet
from prepixel.spectrum.boxes import Filter

KIND = "folded network"
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}
_MOST_CLASSES = 10**6
_LARGEST_SIDE = 2**16


@dataclass(frozen=True)
class FoldedFile:
    """What a file holds, checked.

    Attributes:
        name: of the pixel network.
        num_classes: that the pixel network is built for; None where that cannot be chosen.
        own: whether the pixel network is built by a function of the caller's.
        settings: the network was folded for.
        structure: of the folded network; None in files of older versions, whose networks are folded again.
        dtype: of the weights.
        crop: side of the centered crop, as a share of the short side.
        filter: of the resize.
        classes: names, in label order.
        trained: whether the network was trained; True in files of older versions, which do not say.
        weights: the folded network's state dict.
    """

    name: str
    num_classes: int | None
    own: bool
    settings: FoldSettings
    structure: FoldStructure | None
    dtype: torch.dtype
    crop: float
    filter: Filter
    classes: tuple[str, ...]
    trained: bool
    weights: dict[str, Any]

    @classmethod
    def from_values(cls, contents: Mapping[str, Any]) -> FoldedFile:
        """Check the contents of a file.

        Raises:
            ModelError: they are not those of a folded network; the message names the key.
        """
        if contents.get("kind") != KIND:
            raise ModelError("not a folded network; write one by: prepixel fold")
        fields = Fields("file", contents)
        network, given = fields.section("network"), fields.section("input")
        name = network.text("name")
        classes = tuple(fields.texts("classes"))
        count = None if network.value("num_classes") is None else network.integer("num_classes", 1, _MOST_CLASSES)
        if count is not None and count != len(classes):
            raise network.error("num_classes", f"must be the number of class names, {len(classes)}")
        settings = _read_settings(fields.section("fold"))
        structure = None
        if "structure" in contents:
            structure = FoldStructure.from_values(contents["structure"], len(settings.bands))
        return cls(
            name,
            count,
            network.flag("own")
            if "own" in network.values
            else ":" in name and not name.startswith(("timm:", "prepixel:")),
            settings,
            structure,
            _read_dtype(fields) if "dtype" in contents else torch.float32,
            given.number("crop", 1e-6, 1.0),
            _one_of(given, "filter", get_args(Filter)),
            classes,
            fields.flag("trained") if "trained" in contents else True,
            _read_weights(fields),
        )


def _read_settings(fields: Fields) -> FoldSettings:
    pixels = fields.integers("pixels", 1, _LARGEST_SIDE, length=2)
    grid = fields.integers("grid", 1, _LARGEST_SIDE, length=2)
    pixels_per_block((pixels[0], pixels[1]), (grid[0], grid[1]))
    bands = fields.section("bands")
    mean, std = fields.numbers("mean", -1e6, 1e6, length=3), fields.numbers("std", 1e-12, 1e6, length=3)
    return FoldSettings(
        (pixels[0], pixels[1]),
        (grid[0], grid[1]),
        BandSet(bands.text("name"), tuple(bands.integers("channels", 0, 191))),
        (mean[0], mean[1], mean[2]),
        (std[0], std[1], std[2]),
        _one_of(fields, "reduction", get_args(Reduction)),
        _one_of(fields, "form", get_args(Form)),
    )


def _read_dtype(fields: Fields) -> torch.dtype:
    return _DTYPES[_one_of(fields, "dtype", tuple(_DTYPES))]


def _read_weights(fields: Fields) -> dict[str, Any]:
    weights = fields.section("weights").values
    for name, value in weights.items():
        if not isinstance(name, str):
            raise ModelError(f"file.weights has a name that is {type(name).__name__}, not text")
        if not isinstance(value, torch.Tensor) and not name.endswith("_extra_state"):
            raise ModelError(f"file.weights.{name} is {type(value).__name__}, not a tensor")
    return dict(weights)


def _one_of(fields: Fields, key: str, choices: tuple[str, ...]) -> Any:
    value = fields.text(key)
    if value not in choices:
        raise fields.error(key, f"must be one of {', '.join(choices)}")
    return value
