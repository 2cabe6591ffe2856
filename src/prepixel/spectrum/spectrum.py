"""The input of networks: chosen frequencies of n images on one block grid."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn import functional
from torch.utils.data._utils.collate import default_collate_fn_map

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.tree import refuse_tensor_function, register_node

# int8 values are kept within +-127, so that a mirrored channel, which is a negated one, still fits.
INT8_LIMIT = 127


@dataclass(frozen=True)
class Spectrum:
    """f frequency channels of n images on one grid of bh x bw blocks.

    ``coefficients() == shift + unit * values`` channel by channel, whatever the values' dtype, so one multiply-add
    turns stored values into orthonormal coefficients, or into any other affine scale.

    The values are no pixels: a flip, a crop or RandAugment of torchvision runs on ``values`` and means nothing there. A
    `Spectrum` is a node of torch's pytrees (`torch.utils._pytree`), and raises TypeError where a transform of
    torchvision flattens it, or where a function of torch gets it, such as the first layer of a network on pixels.

    Attributes:
        values: float32, float16, bfloat16, float64, or int8 within +-127.
        bands: which channel each of the f is, in order.
        shift: the coefficient that the value 0 stands for, per channel.
        unit: how many coefficient units one step of the values is, per channel; never 0.

    Raises:
        ValueError: values, bands, shift and unit do not agree on the number of channels.
    """

    values: Float[Tensor, "n f bh bw"] | Int8[Tensor, "n f bh bw"]
    bands: BandSet
    shift: Float[Tensor, " f"]
    unit: Float[Tensor, " f"]

    def __post_init__(self) -> None:
        f = len(self.bands)
        shapes = tuple(self.values.shape), tuple(self.shift.shape), tuple(self.unit.shape)
        if self.values.dim() != 4 or shapes[0][1] != f or shapes[1:] != ((f,), (f,)):
            raise ValueError(
                f"band set {self.bands} has {f} channels, so values are (n, {f}, bh, bw) and shift and unit ({f},); "
                f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )

    @classmethod
    def of_coefficients(cls, coefficients: Float[Tensor, "n f bh bw"], bands: BandSet | str) -> Spectrum:
        """Wrap orthonormal coefficients, whose shift is 0 and unit 1."""
        bands = BandSet.of(bands)
        zeros = torch.zeros(len(bands), dtype=torch.float32, device=coefficients.device)
        return cls(coefficients, bands, zeros, torch.ones_like(zeros))

    def coefficients(self) -> Float[Tensor, "n f bh bw"]:
        """Return orthonormal coefficients; int8 values come back within half a unit of what was encoded, if unclipped.

        Returns:
            float64 where the values are float64, float32 otherwise.
        """
        dtype = torch.float64 if self.values.dtype == torch.float64 else torch.float32
        return torch.addcmul(_per_channel(self.shift, dtype), self.values.to(dtype), _per_channel(self.unit, dtype))

    def normalized(self, shift: Float[Tensor, " f"], scale: Float[Tensor, " f"]) -> Float[Tensor, "n f bh bw"]:
        """Return (coefficients - shift) / scale by one multiply-add on the stored values.

        Args:
            shift: per channel, for instance `Statistics.shift`; in coefficient units.
            scale: per channel, above 0, for instance `Statistics.scale`; in coefficient units.

        Returns:
            float64 where the values are float64, float32 otherwise.
        """
        dtype = torch.float64 if self.values.dtype == torch.float64 else torch.float32
        own_shift, own_unit = self.shift.double(), self.unit.double()
        shift, scale = shift.to(own_shift), scale.to(own_shift)
        offset, factor = (own_shift - shift) / scale, own_unit / scale
        return torch.addcmul(_per_channel(offset, dtype), self.values.to(dtype), _per_channel(factor, dtype))

    def select(self, bands: BandSet | str) -> Spectrum:
        """Return some of the channels, in the order of the given set (or of the one of a name), exactly.

        Raises:
            ValueError: a channel is not here.
        """
        bands = BandSet.of(bands)
        missing = sorted(set(bands.channels) - set(self.bands.channels))
        if missing:
            raise ValueError(f"band set {self.bands} lacks channels {missing} of {bands}; read them from the images")
        index = torch.tensor([self.bands.channels.index(c) for c in bands.channels], device=self.values.device)
        return Spectrum(self.values[:, index], bands, self.shift[index], self.unit[index])

    def flip_horizontal(self) -> Spectrum:
        """Mirror every image left to right, exactly: reverse the block columns, negate channels of odd u.

        Raises:
            ValueError: int8 values hold -128, which has no negative; `encode_int8` makes none.
        """
        return self._mirrored(axis=3, odd=[u % 2 == 1 for _, _, u in self.bands])

    def flip_vertical(self) -> Spectrum:
        """Mirror every image top to bottom, exactly: reverse the block rows, negate channels of odd v.

        Raises:
            ValueError: as `flip_horizontal`.
        """
        return self._mirrored(axis=2, odd=[v % 2 == 1 for _, v, _ in self.bands])

    def transpose(self) -> Spectrum:
        """Exchange rows and columns of every image, exactly.

        Channel (v, u) becomes (u, v). Where the band set holds both, the order of its channels is kept; where not, the
        result's band set is the transposed one.
        """
        channels = tuple(64 * c + 8 * u + v for c, v, u in self.bands)
        name = self.bands.name
        swapped = BandSet(f"{name} transposed", channels, f"{name}, v and u exchanged")
        turned = replace(self, values=self.values.transpose(2, 3).contiguous(), bands=swapped)
        return turned.select(self.bands) if set(channels) == set(self.bands.channels) else turned

    def pad(self, grid: tuple[int, int]) -> Spectrum:
        """Enlarge the grid at the bottom and the right by zeros.

        A zero stands for the coefficient ``shift``: the mean color where the shift is `Statistics.shift`, and mid-gray
        where it is 0.

        Raises:
            ValueError: the grid is smaller than the present one.
        """
        height, width = self.values.shape[2:]
        if grid[0] < height or grid[1] < width:
            raise ValueError(f"cannot pad a grid of {height} x {width} blocks to {grid[0]} x {grid[1]}: it is smaller")
        return replace(self, values=functional.pad(self.values, (0, grid[1] - width, 0, grid[0] - height)))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Spectrum:
        """Move all arrays to a device."""
        return replace(
            self,
            values=self.values.to(device, non_blocking=non_blocking),
            shift=self.shift.to(device, non_blocking=non_blocking),
            unit=self.unit.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Spectrum:
        """Copy all arrays to page-locked memory, from which a copy to a CUDA device does not block."""
        return replace(
            self, values=self.values.pin_memory(), shift=self.shift.pin_memory(), unit=self.unit.pin_memory()
        )

    @property
    def shape(self) -> torch.Size:
        """Return images, channels, blocks down, blocks across."""
        return self.values.shape

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Return the device of the values."""
        return self.values.device

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __repr__(self) -> str:
        values: Any = self.values  # a map over pytrees may have made anything of them
        if not isinstance(values, Tensor):
            return f"Spectrum({values!r}, {self.bands})"
        n, _, bh, bw = values.shape
        images = "1 image" if n == 1 else f"{n} images"
        device = "" if self.device.type == "cpu" else f", {self.device}"
        return f"Spectrum({images}, {self.bands}, {bh} x {bw} blocks, {self.dtype}{device})"

    def __getattr__(self, name: str) -> Any:  # asked of what is not here
        if name.startswith("_") or not hasattr(Tensor, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"a Spectrum is no tensor and has no {name!r}: networks on pixels take it once they are folded "
            f"(prepixel.fold); for computations of your own take its values: spectrum.values.{name}"
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a Spectrum is no array: take spectrum.values.numpy(), or read_arrays in place of read_spectra")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        refuse_tensor_function("Spectrum", function)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Spectrum:
        """Return some of the images, as a batch: one for a number; for a number or a slice, a view.

        Raises:
            IndexError: there is no such image.
            TypeError: the index is of more than the images; index ``values``.
        """
        if isinstance(index, slice):
            part: Any = index
        elif isinstance(index, Tensor) and index.dim() > 0:
            part = index
        elif isinstance(index, tuple):
            raise TypeError(f"a Spectrum is indexed by images, not by {index}; index its values, or select its bands")
        elif isinstance(index, Sequence):
            part = list(index)
        else:
            place = operator.index(index)
            if not -len(self) <= place < len(self):
                raise IndexError(f"there is no image {place} in a Spectrum of {len(self)}")
            place %= len(self)
            part = slice(place, place + 1)
        return replace(self, values=self.values[part])

    def _mirrored(self, axis: int, odd: list[bool]) -> Spectrum:
        if self.values.dtype == torch.int8 and bool((self.values < -INT8_LIMIT).any()):
            raise ValueError("int8 values hold -128, which has no negative in int8; encode them by encode_int8")
        signs = 1 - 2 * torch.tensor(odd, dtype=torch.int8, device=self.values.device)
        return replace(
            self,
            values=self.values.flip(axis) * signs[:, None, None].to(self.values.dtype),
            shift=self.shift * signs.to(self.shift.dtype),
        )


register_node(
    Spectrum,
    ("values", "shift", "unit"),
    dump=lambda context: [context[0].name, list(context[0].channels), context[0].origin],
    load=lambda said: (BandSet(said[0], tuple(said[1]), said[2]),),
)


def concatenate(spectra: Sequence[Spectrum]) -> Spectrum:
    """Join spectra of equal bands, grid, dtype, shift and unit to one batch.

    Consecutive views of one tensor are joined without a copy. torch's ``default_collate`` joins spectra by this
    function.

    Raises:
        ValueError: they are none, or they differ in bands, grid, dtype, shift or unit.
    """
    if not spectra:
        raise ValueError("there is no spectrum to join")
    first = spectra[0]
    for other in spectra[1:]:
        alike = (
            other.bands == first.bands
            and other.dtype == first.dtype
            and other.shape[1:] == first.shape[1:]
            and torch.equal(other.shift, first.shift)
            and torch.equal(other.unit, first.unit)
        )
        if not alike:
            raise ValueError(
                f"{_form(first)} and {_form(other)} do not join: bands, grid, dtype, shift and unit must be equal"
            )
    values = [spectrum.values for spectrum in spectra]
    return replace(first, values=_consecutive(values) if _are_consecutive(values) else torch.cat(values))


def _form(spectrum: Spectrum) -> str:
    return f"{spectrum.dtype} spectra of {spectrum.bands} on {tuple(spectrum.shape[2:])} blocks"


def _are_consecutive(values: Sequence[Tensor]) -> bool:
    place, storage = values[0].data_ptr(), values[0].untyped_storage().data_ptr()
    for tensor in values:
        if not tensor.is_contiguous() or tensor.data_ptr() != place:
            return False
        if tensor.untyped_storage().data_ptr() != storage:
            return False
        place += tensor.nbytes
    return True


def _consecutive(values: Sequence[Tensor]) -> Tensor:
    first = values[0]
    shape = (sum(len(tensor) for tensor in values), *first.shape[1:])
    return first.as_strided(shape, first.stride(), first.storage_offset())


def _collate(batch: Sequence[Spectrum], *, collate_fn_map: Any = None) -> Spectrum:
    return concatenate(batch)


default_collate_fn_map[Spectrum] = _collate


def encode_int8(spectrum: Spectrum, shift: Float[Tensor, " f"], unit: Float[Tensor, " f"]) -> Spectrum:
    """Store a spectrum as int8: round((coefficient - shift) / unit), clipped to +-127.

    Ties round to even, as IEEE 754 and SIMD units do by default. Unclipped coefficients come back within half a unit,
    but for the rounding of float32.

    Args:
        spectrum: any dtype; taken to coefficients first.
        shift: the coefficient that 0 stands for, per channel; `Statistics.shift`.
        unit: the step, per channel, above 0; `Statistics.int8_unit`. One for a data set, never one for an image.

    Raises:
        ValueError: a unit is not above 0.

    >>> bands = BandSet("one", (0,))
    >>> spectrum = Spectrum.of_coefficients(torch.tensor([[[[26.0, -3.0, 900.0]]]]), bands)
    >>> encode_int8(spectrum, torch.tensor([6.0]), torch.tensor([4.0])).values.flatten().tolist()
    [5, -2, 127]
    """
    if not bool((unit > 0).all()):
        raise ValueError(f"an int8 unit must be above 0 in every channel; the smallest is {float(unit.min()):g}")
    shift, unit = shift.float(), unit.float()  # as they are stored, so that decoding uses the very same numbers
    steps = spectrum.normalized(shift, unit).round().clamp(-INT8_LIMIT, INT8_LIMIT)
    return Spectrum(steps.to(torch.int8), spectrum.bands, shift, unit)


def _per_channel(values: Float[Tensor, " f"], dtype: torch.dtype) -> Float[Tensor, "f 1 1"]:
    return values.to(dtype)[:, None, None]
