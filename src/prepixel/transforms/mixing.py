"""MixUp, CutMix and RandomErasing on batches of spectra, in the conventions of torchvision v2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as nn_functional

from prepixel.spectrum.dct import BLOCK
from prepixel.spectrum.spectrum import Spectrum
from prepixel.transforms.batch_transform import BatchTransform, uniform
from prepixel.transforms.crop_draws import Color, check_probability
from prepixel.transforms.functional import erase

_TRIES = 10


class CutParams(NamedTuple):
    """Store what a CutMix replaces.

    Attributes:
        box: top, left, height and width in blocks, of every image.
        kept: share of the image that stays.
    """

    box: tuple[int, int, int, int]
    kept: float


class ErasingParams(NamedTuple):
    """Store what a RandomErasing paints.

    Attributes:
        boxes: top, left, height and width in blocks, of each image.
        which: the images that are changed.
    """

    boxes: Int64[Tensor, "n 4"]
    which: Bool[Tensor, " n"]


@dataclass(frozen=True)
class _Mixing(BatchTransform):
    """What mixes images and their labels by a share from Beta(alpha, alpha)."""

    alpha: float = 1.0
    num_classes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha}; it must be above 0")
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes is {self.num_classes}; it must be 1 or greater")


class MixUp(_Mixing):
    """Blend every image with the one before it in the batch, and their labels likewise, exactly.

    One share for the batch, drawn from Beta(alpha, alpha), as `torchvision.transforms.v2.MixUp`. Works on batches, or
    as the end of a collate function: ``collate_fn=lambda samples: mix_up(*default_collate(samples))``.

    Attributes:
        alpha: above 0.
        num_classes: for labels that are class numbers; None if they are probabilities.

    Raises:
        ValueError: alpha is not above 0; when called, labels are missing or do not fit.
    """

    def make_params(self, generator: torch.Generator | None = None) -> float:
        """Draw the share of each image itself."""
        return draw_beta(self.alpha, generator)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with labels as probabilities."""
        soft = soft_labels(labels, self.num_classes, len(spectrum), type(self).__name__)
        share = self.make_params(generator)
        c = spectrum.coefficients()
        return Spectrum.of_coefficients(blend(c, share), spectrum.bands), blend(soft, share)


class CutMix(_Mixing):
    """Replace a rectangle of every image by that of the one before it in the batch; labels by area.

    The rectangle is torchvision's (`torchvision.transforms.v2.CutMix`) for an image of 8 bh x 8 bw pixels, each edge
    moved to the nearest edge of a block; so the pixels are replaced exactly. Labels follow the area that is replaced.

    Attributes:
        alpha: above 0; the replaced share is drawn from Beta(alpha, alpha).
        num_classes: for labels that are class numbers; None if they are probabilities.

    Raises:
        ValueError: alpha is not above 0; when called, labels are missing or do not fit.
    """

    def make_params(self, grid: tuple[int, int], generator: torch.Generator | None = None) -> CutParams:
        """Draw the rectangle for a grid of blocks."""
        share = draw_beta(self.alpha, generator)
        height, width = BLOCK * grid[0], BLOCK * grid[1]
        x = int(torch.randint(width, (1,), generator=generator))
        y = int(torch.randint(height, (1,), generator=generator))
        half = 0.5 * math.sqrt(1.0 - share)
        top, bottom = _cut(y, int(half * height), height)
        left, right = _cut(x, int(half * width), width)
        kept = 1.0 - (bottom - top) * (right - left) / (grid[0] * grid[1])
        return CutParams((top, left, bottom - top, right - left), kept)

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with labels as probabilities."""
        soft = soft_labels(labels, self.num_classes, len(spectrum), type(self).__name__)
        (top, left, height, width), kept = self.make_params(
            (spectrum.values.shape[2], spectrum.values.shape[3]), generator
        )
        values = spectrum.values.clone()
        part = (..., slice(top, top + height), slice(left, left + width))
        values[part] = spectrum.values.roll(1, 0)[part]
        return Spectrum(values, spectrum.bands, spectrum.shift, spectrum.unit), blend(soft, kept)


@dataclass(frozen=True)
class RandomErasing(BatchTransform):
    """Paint a rectangle of some images in one color, exactly.

    The rectangle is torchvision's (`torchvision.transforms.v2.RandomErasing`) for an image of 8 bh x 8 bw pixels, each
    edge moved to the nearest edge of a block; one of less than half a block may vanish. ``value="random"`` of
    torchvision is left out.

    Attributes:
        p: how often.
        scale: least and largest share of the image's area.
        ratio: least and largest height / width.
        value: the color, of 0..255, for R, G and B or one for each; "mean" for the image's own mean color.

    Raises:
        ValueError: a number is outside its range.
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: Color | str = 0

    def __post_init__(self) -> None:
        check_probability("p", self.p)
        if not 0 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is {self.scale}; it must be low <= high, in [0, 1]")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio is {self.ratio}; it must be 0 < low <= high")
        if isinstance(self.value, str) and self.value != "mean":
            raise ValueError(f'value is {self.value!r}; it must be "mean", or a color of 0..255')

    def make_params(self, n: int, grid: tuple[int, int], generator: torch.Generator | None = None) -> ErasingParams:
        """Draw the rectangles of a batch: for each image the first of ten tries that fits, as torchvision's."""
        height, width = BLOCK * grid[0], BLOCK * grid[1]
        chosen = torch.rand(n, generator=generator) < self.p
        area = height * width * uniform(n * _TRIES, *self.scale, generator)
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = torch.exp(uniform(n * _TRIES, low, high, generator))
        h, w = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()
        top = (torch.rand(n * _TRIES, generator=generator) * (height - h + 1)).floor()
        left = (torch.rand(n * _TRIES, generator=generator) * (width - w + 1)).floor()
        fits = ((h < height) & (w < width)).reshape(n, _TRIES)
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        edges = torch.stack([top, left, top + h, left + w], 1).reshape(n, _TRIES, 4)
        edges = edges.gather(1, first[:, :, None].expand(n, 1, 4))[:, 0]
        edges = (edges / BLOCK + 0.5).floor().to(torch.int64)
        boxes = torch.cat([edges[:, :2], edges[:, 2:] - edges[:, :2]], 1)
        return ErasingParams(boxes, chosen & fits.any(1))

    def apply(
        self, spectrum: Spectrum, labels: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Spectrum, Tensor | None]:
        """Draw for a batch, and return it changed, with its labels."""
        grid = (spectrum.values.shape[2], spectrum.values.shape[3])
        boxes, which = self.make_params(len(spectrum), grid, generator)
        return erase(spectrum, boxes, self.value, which), labels


def draw_beta(alpha: float, generator: torch.Generator | None) -> float:
    """Draw from Beta(alpha, alpha)."""
    shape = torch.tensor([alpha, alpha], dtype=torch.float64)
    gammas = torch._standard_gamma(shape, generator=generator).clamp(min=1e-300)  # noqa: SLF001  (takes a generator)
    return float(gammas[0] / gammas.sum())


def blend(batch: Float[Tensor, "n ..."], share: float) -> Float[Tensor, "n ..."]:
    """Return ``share`` of each row of a batch and the rest of the row before it."""
    return torch.lerp(batch.roll(1, 0), batch, share)


def soft_labels(labels: Tensor | None, num_classes: int | None, n: int, name: str) -> Float[Tensor, "n k"]:
    """Return labels as probabilities of classes.

    Args:
        labels: class numbers (n,), or probabilities (n, k).
        num_classes: k, for class numbers.
        n: how many there must be.
        name: of the transform, for messages.

    Raises:
        ValueError: they are missing, or do not fit.
    """
    if labels is None:
        raise ValueError(f"{name} mixes labels, too; call it with a spectrum and its labels")
    if labels.ndim not in (1, 2) or len(labels) != n:
        raise ValueError(f"{name}: labels are ({n},) or ({n}, classes) for {n} images, not {tuple(labels.shape)}")
    if labels.ndim == 2:
        if num_classes is not None and labels.shape[1] != num_classes:
            raise ValueError(f"{name}: labels are of {labels.shape[1]} classes, and num_classes is {num_classes}")
        return labels if labels.is_floating_point() else labels.float()
    if num_classes is None:
        raise ValueError(f"{name}: labels are class numbers, so num_classes must say how many classes there are")
    try:
        return nn_functional.one_hot(labels, num_classes).float()
    except RuntimeError as error:  # torch checks labels on the CPU only, where that costs no waiting for a device
        span = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"{name}: labels are {span}, and num_classes is {num_classes}; labels count from 0") from error


def _cut(center: int, half: int, size: int) -> tuple[int, int]:
    """Return the span of blocks nearest to a span of pixels."""
    start, stop = max(center - half, 0), min(center + half, size)
    return math.floor(start / BLOCK + 0.5), math.floor(stop / BLOCK + 0.5)
