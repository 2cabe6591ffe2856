"""Gate settings: plain, frozen values that a recipe states field by field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from prepixel.errors import PrepixelError


class GateError(PrepixelError, ValueError):
    """Report gate settings that contradict each other, or that ask for more than a band set has."""


@dataclass(frozen=True)
class GateSettings:
    """Describe how channels are chosen while training.

    Attributes:
        kind: none; dynamic, by each image, as published; or static, one choice for all images.
        loss: paper (strength times the number of channels on), released (times their share), or budget (as many
            channels, or bytes, as asked for).
        strength: what the loss is multiplied by; for budget, what a channel costs that is neither on nor off.
        channels: for budget, how many channels are on, in the mean over images.
        bytes: for budget, bytes per sample instead, in the encoding that input states.
        temperature_start: of the soft sample, whose gradient is passed back.
        temperature_end: at the end of training.
        temperature_schedule: linear or exponential in between.
        floors: of Y, Cb and Cr, at least so many channels of every image stay on: the most probable ones.
    """

    kind: Literal["none", "dynamic", "static"] = "none"
    loss: Literal["paper", "released", "budget"] = "budget"
    strength: float = 0.1
    channels: int | None = None
    bytes: int | None = None
    temperature_start: float = 1.0
    temperature_end: float = 1.0
    temperature_schedule: Literal["linear", "exponential"] = "exponential"
    floors: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for name in ("strength", "temperature_start", "temperature_end"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise GateError(f"{name} is {value}; it must be greater than 0")
        if min(self.floors) < 0 or max(self.floors) > 64:
            raise GateError(f"floors is {list(self.floors)}; each of Y, Cb, Cr must be from 0 to 64")
        given = [name for name in ("channels", "bytes") if getattr(self, name) is not None]
        if given and (self.kind == "none" or self.loss != "budget"):
            raise GateError(f"{given[0]} belongs to a gate with loss budget; remove it, or set kind and loss")
        if self.kind != "none" and self.loss == "budget" and len(given) != 1:
            raise GateError("loss budget needs one of channels and bytes; for example channels: 24")
        for name in given:
            if getattr(self, name) < 1:
                raise GateError(f"{name} is {getattr(self, name)}; it must be 1 or greater")
        if self.channels is not None and self.channels < sum(self.floors):
            raise GateError(f"channels is {self.channels}, fewer than floors demand: {list(self.floors)}")

    def temperature(self, progress: float) -> float:
        """Compute the temperature at a share of training, 0..1."""
        start, end = self.temperature_start, self.temperature_end
        if self.temperature_schedule == "linear":
            return start + (end - start) * progress
        return float(start * (end / start) ** progress)
