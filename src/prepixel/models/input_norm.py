"""Input normalization: one multiply-add per channel turns stored values into normalized ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.spectrum.bands import COMPONENT_NAMES, BandSet
from prepixel.spectrum.spectrum import Spectrum

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BandSetMismatch(ModelError):
    """Report frequency channels that are not those a network was made for."""


class SpectrumInput(nn.Module):
    """Normalize a spectrum: ``(coefficient - shift) / scale``, whatever encoding its values are in.

    The constants belong to the network, not to the data, and are saved with its weights: a network normalizes as it
    did in training wherever it is used. The channel ids are saved too; weights of another band set do not load.

    Args:
        bands: the channels the network sees, in order.
        shift: per channel, in units of coefficients; zeros if None.
        scale: per channel, in units of coefficients; ones if None.

    Raises:
        ValueError: shift or scale is not one finite number per channel, or a scale is not positive.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, bands: BandSet | str, shift: Float[Tensor, " f"] | None = None, scale: Float[Tensor, " f"] | None = None
    ) -> None:
        super().__init__()
        bands = BandSet.of(bands)
        self.bands = bands
        self.register_buffer("shift", _per_channel("shift", shift, 0.0, bands))
        self.register_buffer("scale", _per_channel("scale", scale, 1.0, bands))
        if scale is not None and not bool((scale > 0).all()):
            worst = int(scale.argmin())
            raise ValueError(f"scale of channel {bands.channels[worst]} is {float(scale[worst]):g}, not positive")

    def forward(self, spectrum: Spectrum) -> Float[Tensor, "n f bh bw"]:
        """Normalize a spectrum.

        Raises:
            BandSetMismatch: the spectrum holds other channels than the network's, or another order of them.
            TypeError: it is no spectrum, but pixels or the bare values of one.
        """
        if not isinstance(spectrum, Spectrum):
            raise TypeError(
                f"the network takes a Spectrum of {self.bands}, not a {type(spectrum).__name__}; read images by "
                "prepixel.read_spectra or prepixel.data.SpectrumFolder"
            )
        if spectrum.bands is not self.bands and spectrum.bands.channels != self.bands.channels:
            raise BandSetMismatch(_mismatch(self.bands, spectrum.bands))
        # half-precision constants would round a shift of hundreds of units, so the arithmetic is float32 at least
        dtype = torch.promote_types(self.scale.dtype, torch.float32)
        scale = self.scale.to(dtype)
        factor = spectrum.unit.to(scale) / scale
        offset = (spectrum.shift.to(scale) - self.shift.to(dtype)) / scale
        values = torch.addcmul(offset[:, None, None], spectrum.values.to(dtype), factor[:, None, None])
        return values.to(self.scale.dtype)

    def get_extra_state(self) -> Int64[Tensor, " f"]:
        """Return what is saved beside the buffers: the channel ids. A tensor, as exporters take nothing else."""
        return torch.tensor(self.bands.channels, dtype=torch.int64)

    def set_extra_state(self, state: Any) -> None:
        """Compare saved channel ids with the network's.

        Args:
            state: the ids, or of older versions a dictionary that holds them.

        Raises:
            BandSetMismatch: they differ.
        """
        saved = state.get("channels") if isinstance(state, Mapping) else state
        try:
            channels = tuple(int(channel) for channel in saved)  # type: ignore[union-attr]  # None is one that fails
        except (TypeError, ValueError, RuntimeError) as error:
            raise BandSetMismatch("these weights do not hold the ids of the channels they see") from error
        if channels != self.bands.channels:
            raise BandSetMismatch(_mismatch(self.bands, BandSet("saved", channels), given="these weights see"))

    def extra_repr(self) -> str:
        """Return the band set, for the printed network."""
        return f"bands={self.bands.name}, channels={len(self.bands)}"


class PixelInput(nn.Module):
    """Normalize RGB pixels: ``(pixel / 255 - mean) / std``, from bytes or from fractions.

    Args:
        mean: per color, as a fraction of full scale.
        std: per color, as a fraction of full scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, pixels: UInt8[Tensor, "n 3 y x"] | Float[Tensor, "n 3 y x"]) -> Float[Tensor, "n 3 y x"]:
        """Normalize pixels: uint8 in 0..255, floats nominally in 0..1."""
        full_scale = 255.0 if pixels.dtype == torch.uint8 else 1.0
        factor = 1 / (full_scale * self.std)
        offset = -self.mean / self.std
        return torch.addcmul(offset[:, None, None], pixels.to(self.std.dtype), factor[:, None, None])


def _per_channel(name: str, values: Tensor | None, default: float, bands: BandSet) -> Float32[Tensor, " f"]:
    if values is None:
        return torch.full((len(bands),), default)
    if values.shape != (len(bands),):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; band set {bands.name} needs one number for each of its "
            f"{len(bands)} channels"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} holds numbers that are not finite")
    return values.detach().float().clone()


def _mismatch(own: BandSet, other: BandSet, given: str = "the spectrum holds") -> str:
    def count(bands: BandSet) -> str:
        parts = "/".join(str(count) for count in bands.counts)
        return f"{bands.name} ({len(bands)} channels, {'/'.join(COMPONENT_NAMES)} {parts})"

    text = f"the network sees {count(own)}, but {given} {count(other)}"
    if set(own.channels) == set(other.channels):
        return f"{text}: the same channels in another order; give them in the network's order"
    missing = sorted(set(own.channels) - set(other.channels))
    lacking = f", which lacks channels {_first(missing)}" if missing else ""
    return f"{text}{lacking}; read the images with the network's band set, or build the network for the other"


def _first(channels: list[int], limit: int = 8) -> str:
    shown = ", ".join(str(channel) for channel in channels[:limit])
    return f"{shown} and {len(channels) - limit} more" if len(channels) > limit else shown
