"""Measure a network's linear part, from coefficients to its first layer's output, by its impulse response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.models.folding.folded_stem import AxisPlan, FoldedStem, Layout
from prepixel.models.folding.input_trace import CannotFold, ImageUse, stem_output
from prepixel.models.folding.reconstruction import Reconstruction, Reduction, block_pixels
from prepixel.models.input_norm import IMAGENET_MEAN
from prepixel.spectrum.bands import BandSet

_UNIT = 100.0  # coefficient units of a probe: some percent of full scale, as in photographs
_PROBE_VALUES = 8_000_000  # pixels and stem outputs that a batch of probes may have: 64 MB in float64
_MOST_WEIGHTS = 2**26


Form = Literal["composed", "factored"]


@dataclass(frozen=True)
class FoldSettings:
    """State what a network was folded for.

    Attributes:
        pixels: height and width that the pixel network takes.
        grid: blocks down and across that stand for them.
        bands: the channels.
        mean: that the pixel network's user subtracts, per color, as a fraction of full scale.
        std: that divides, per color, as a fraction of full scale.
        reduction: how 8 samples become pixels.
        form: which of the exact factorisations was taken.
    """

    pixels: tuple[int, int]
    grid: tuple[int, int]
    bands: BandSet
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    reduction: Reduction
    form: Form


class TooManyWeights(ModelError):
    """Report a composed layer that would be too large to derive.

    Attributes:
        macs: its multiply-adds for one image.
    """

    def __init__(self, message: str, macs: int) -> None:
        super().__init__(message)
        self.macs = macs


class Probe:
    """Send images through a network's linear part, in float64, and read its matrix off what comes out."""

    def __init__(self, network: nn.Module, use: ImageUse, settings: FoldSettings, size: int) -> None:
        self.network = network
        self.settings = settings
        self.size = size
        self.steps = use.steps
        self.layout: Layout = "maps"
        if use.layer == "linear":
            layouts: dict[int, Layout] = {4: "last", 3: "tokens", 2: "vector"}
            self.layout = layouts.get(use.output.dim(), "maps")
        self.plans = _plans(use, settings, size, self.layout)
        self.mean = torch.tensor(settings.mean, dtype=torch.float64)[:, None, None]
        self.std = torch.tensor(settings.std, dtype=torch.float64)[:, None, None]
        self.columns = block_pixels(settings.bands, size, settings.reduction)

    def run(self, images: Float64[Tensor, "n 3 y x"]) -> Float64[Tensor, "n d h w"]:
        """Return the stem's output, as maps, for RGB images in fractions of full scale."""
        values = stem_output(self.network, (images - self.mean) / self.std)
        height, width = (plan.num_outputs for plan in self.plans)
        if self.layout == "maps":
            return values
        return values.reshape(len(images), height, width, -1).permute(0, 3, 1, 2)

    def plain(self, color: Float64[Tensor, " 3"]) -> Float64[Tensor, "1 3 y x"]:
        """Make an image of one color."""
        return color.reshape(1, 3, 1, 1).expand(1, 3, *self.settings.pixels).clone()

    def zero_color(self) -> tuple[Float64[Tensor, " 3"], Float64[Tensor, " d"]]:
        """Find the color whose image looks the same at the borders as inside, and what the stem gives for it.

        Raises:
            CannotFold: there is none.
        """
        # Without padding any color would do; black, the mean of networks that normalize themselves, is a bad one to
        # stand for channels that are left out.
        color = self.mean.flatten() if self.mean.any() else torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
        for _ in range(3):  # the first solution is exact but for rounding
            base = self.run(self.plain(color))
            if not bool(base.isfinite().all()):
                raise CannotFold(
                    "the network's first layer gives values that are not finite for an image of one color (it divides "
                    f"by the image's own spread, perhaps); {self._story()}"
                )
            uneven = _unevenness(base)
            if uneven.abs().max() <= 1e-13 * max(1.0, float(base.abs().max())):
                break
            slopes = [_unevenness(self.run(self.plain(color + unit))) - uneven for unit in torch.eye(3).double()]
            matrix = torch.stack([slope.flatten() for slope in slopes], dim=1)
            color = color - torch.linalg.pinv(matrix.T @ matrix, rtol=1e-12) @ (matrix.T @ uneven.flatten())
        base = self.run(self.plain(color))
        if _unevenness(base).abs().max() > 1e-10 * max(1.0, float(base.abs().max())):
            raise CannotFold(
                "the network's padding is not one color, the same at all borders, so no value of the coefficients "
                f"stands for it; {self._story()}"
            )
        return color, base[0, :, base.shape[2] // 2, base.shape[3] // 2]

    def kernel(self, zero: Float64[Tensor, " 3"]) -> tuple[Float64[Tensor, "d i j f bh bw"], tuple[AxisPlan, AxisPlan]]:
        """Read the map from a neighborhood of blocks to one repetition of outputs; the neighborhood is the smallest.

        Raises:
            ModelError: the grid is too small to see the whole of it.
            TooManyWeights: it would have too many.
        """
        base = self.run(self.plain(zero))
        spans = self._spans(zero, base)
        places = [self._places(plan, span) for plan, span in zip(self.plans, spans, strict=True)]
        down, across = self.plans
        rows, columns = (span[1] - span[0] + 1 for span in spans)
        f, d = len(self.settings.bands), base.shape[1]
        shape = (d, down.outputs, across.outputs, f, rows * down.steps, columns * across.steps)
        if torch.Size(shape).numel() > _MOST_WEIGHTS:
            raise TooManyWeights(
                f"the composed layer would have {torch.Size(shape).numel():,} weights ({d} features of "
                f"{rows * down.steps} x {columns * across.steps} blocks); take form factored, fewer bands, or "
                "a smaller grid",
                torch.Size(shape).numel() * down.repetitions(down.num_outputs) * across.repetitions(across.num_outputs),
            )
        kernel = torch.zeros(shape, dtype=torch.float64)
        jobs = [(y, x, c) for y in range(down.steps) for x in range(across.steps) for c in range(f)]
        spots = [(y, x) for y in places[0] for x in places[1]]
        for batch in _batches(jobs, len(spots), self._probes_at_once(base)):
            images = self.plain(zero).repeat(len(batch), 1, 1, 1)
            for image, part in zip(images, batch, strict=True):
                for (y, x, c), (row, column) in zip(part, spots, strict=False):
                    top = (row * down.steps + y) * self.size
                    left = (column * across.steps + x) * self.size
                    image[:, top : top + self.size, left : left + self.size] += _UNIT * self.columns[c]
            responses = (self.run(images) - base) / _UNIT
            for response, part in zip(responses, batch, strict=True):
                for (y, x, c), (row, column) in zip(part, spots, strict=False):
                    for e in range(spans[0][0], spans[0][1] + 1):
                        for k in range(spans[1][0], spans[1][1] + 1):
                            top, left = (row + e) * down.outputs, (column + k) * across.outputs
                            seen = response[:, top : top + down.outputs, left : left + across.outputs]
                            kernel[..., c, y + (spans[0][1] - e) * down.steps, x + (spans[1][1] - k) * across.steps] = (
                                seen
                            )
        kernel[kernel.abs() <= 1e-13 * kernel.abs().max()] = 0
        return self._trimmed(kernel, spans)

    def _trimmed(
        self, kernel: Float64[Tensor, "d i j f rows columns"], spans: list[tuple[int, int]]
    ) -> tuple[Float64[Tensor, "d i j f bh bw"], tuple[AxisPlan, AxisPlan]]:
        """Leave out blocks on the outside that no output sees."""
        plans = []
        for axis, plan, span in zip((4, 5), self.plans, spans, strict=True):
            others = [other for other in range(6) if other != axis]
            used = kernel.abs().amax(others).nonzero().flatten().tolist() or [0]
            kernel = kernel.narrow(axis, used[0], used[-1] - used[0] + 1)
            first = used[0] - span[1] * plan.steps
            plans.append(AxisPlan(**{**vars(plan), "first": first, "reach": used[-1] - used[0] + 1}))
        return kernel, (plans[0], plans[1])

    def _spans(self, zero: Float64[Tensor, " 3"], base: Float64[Tensor, "1 d h w"]) -> list[tuple[int, int]]:
        """Measure which repetitions of outputs see a repetition's blocks, as seen from their own."""
        image = self.plain(zero)
        middle = [max(plan.grid // plan.steps, 1) // 2 for plan in self.plans]
        sides = [plan.steps * self.size for plan in self.plans]
        window = image[0, :, middle[0] * sides[0] :, middle[1] * sides[1] :][:, : sides[0], : sides[1]]
        window += torch.rand(window.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        seen = (self.run(image) - base)[0].abs().amax(0)
        seen = seen > 1e-12 * max(float(seen.max()), 1e-300)
        spans = []
        for axis, plan in enumerate(self.plans):
            found = seen.any(1 - axis).nonzero().flatten().tolist()
            if not found:
                raise CannotFold(
                    f"the network's first layer does not respond to the middle of the image; {self._story()}"
                )
            spans.append((found[0] // plan.outputs - middle[axis], found[-1] // plan.outputs - middle[axis]))
        return spans

    def _places(self, plan: AxisPlan, span: tuple[int, int]) -> list[int]:
        """List repetitions that can be probed at once, as no output sees two of them and none is seen in part."""
        last = min(plan.grid // plan.steps - 1, plan.num_outputs // plan.outputs - 1 - span[1])
        first, step = max(0, -span[0]), span[1] - span[0] + 1
        # Away from the borders if there is room: padding other than zeros would be seen from the outermost.
        places = list(range(first + 1, last, step)) or list(range(first, last + 1, step))
        if not places:
            raise self._too_small(plan.steps * (span[1] - span[0] + 2))
        return places

    def _too_small(self, least: int) -> ModelError:
        return ModelError(
            f"a grid of {self.settings.grid[0]} x {self.settings.grid[1]} blocks does not hold all that one output of "
            f"the network's first layer sees; fold it for at least {least} blocks along each axis (a network that "
            "takes any size can then be used on smaller grids, too)"
        )

    def _probes_at_once(self, base: Tensor) -> int:
        pixels = 3 * self.settings.pixels[0] * self.settings.pixels[1]
        return max(1, _PROBE_VALUES // (pixels + base.numel()))

    def check(self, stem: FoldedStem, zero: Float64[Tensor, " 3"], scale: Float64[Tensor, " f"]) -> None:
        """Compare the folded stem with the RGB baseline on a random spectrum, borders included.

        Raises:
            CannotFold: they differ.
            ModelError: they differ, and the grid may be too small to see the whole of the layer.
        """
        settings = self.settings
        front = Reconstruction(
            settings.bands,
            self.size,
            settings.reduction,
            zero=zero,
            scale=scale,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            dtype=torch.float64,
        )
        normalized = random_spectrum(settings.bands, settings.grid, torch.float64)
        with torch.no_grad():
            expected = self.run(front(normalized))
            got = stem(normalized)
        if self.layout != "maps":
            got = got.reshape(1, *(plan.num_outputs for plan in self.plans), -1).permute(0, 3, 1, 2)
        if got.shape != expected.shape:
            raise CannotFold(
                f"the folded layer gives {tuple(got.shape)}, the network's own {tuple(expected.shape)}; {self._story()}"
            )
        error = (got - expected).abs().amax((0, 1))
        worst = float(error.max()) / max(float(expected.abs().max()), 1e-300)
        if not worst <= 1e-9:
            if any(plan.grid < 2 * plan.reach for plan in stem.plans):
                raise self._too_small(max(2 * plan.reach for plan in stem.plans))
            inside = error[error.shape[0] // 4 : -(error.shape[0] // 4) or None]
            inside = inside[:, error.shape[1] // 4 : -(error.shape[1] // 4) or None]
            at_border = float(inside.max()) <= 1e-9 * float(expected.abs().max())
            why = (
                "at the borders: its padding is not zeros (reflected or replicated pixels, perhaps)"
                if at_border
                else "all over: what happens to the image before that layer is not linear, or not the same everywhere"
            )
            raise CannotFold(f"the folded layer differs from the network's own by {worst:.1e} {why}; {self._story()}")

    def _story(self) -> str:
        """Return a description of what is done to the image before the layer."""
        names = list(dict.fromkeys(what for _, what in self.steps))
        return f"before its first layer: {', '.join(names)}" if names else "the image goes straight to its first layer"


def _plans(use: ImageUse, settings: FoldSettings, size: int, layout: Layout) -> tuple[AxisPlan, AxisPlan]:
    """Return which outputs there are along each axis, and how far they are apart in pixels.

    Raises:
        CannotFold: outputs do not lie on a regular grid.
    """
    plans = []
    for axis in (0, 1):
        length, grid = settings.pixels[axis], settings.grid[axis]
        slack = None
        if layout == "maps":
            given = use.given.shape[2 + axis]
            shrunk = length // given if given < length and length % given == 0 else 1
            stride, count = use.stride[axis] * shrunk, use.output.shape[2 + axis]
            if use.padding is not None and given == length:
                extent = use.dilation[axis] * (use.weight.shape[2 + axis] - 1) + 1
                slack = (length + use.padding[axis] - extent) % stride
        elif layout == "last":
            count = use.output.shape[1 + axis]
            stride = length // count
        elif layout == "vector":
            count, stride = 1, length
        else:
            area = settings.pixels[0] * settings.pixels[1]
            stride = round((area / use.output.shape[1]) ** 0.5)
            count = length // max(stride, 1)
        if layout != "maps" and stride * count != length:
            raise CannotFold(
                f"the first layer gives {tuple(use.output.shape[1:])} for {settings.pixels[0]} x {settings.pixels[1]} "
                "pixels, which is not one output a square patch"
            )
        plans.append(AxisPlan(grid, count, size, stride, slack))
    if layout == "tokens" and plans[0].num_outputs * plans[1].num_outputs != use.output.shape[1]:
        raise CannotFold(f"the first layer gives {use.output.shape[1]} outputs, which is not one a square patch")
    return plans[0], plans[1]


def random_spectrum(bands: BandSet, grid: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "1 f bh bw"]:
    """Draw normalized values whose spread falls with frequency, as photographs' does."""
    values = torch.randn(1, len(bands), *grid, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    falling = torch.tensor([1 / (1 + v + u) for _, v, u in bands], dtype=torch.float64)
    return (values * falling[:, None, None]).to(dtype)


def _unevenness(maps: Float64[Tensor, "1 d h w"]) -> Float64[Tensor, "1 d h w"]:
    """Return by how much outputs differ from the one in the middle."""
    height, width = maps.shape[2:]
    return maps - maps[:, :, height // 2, width // 2][:, :, None, None]


def _batches(
    jobs: list[tuple[int, int, int]], per_image: int, images: int
) -> Iterator[list[list[tuple[int, int, int]]]]:
    """Share jobs out to images, and images to batches."""
    parts = [jobs[start : start + per_image] for start in range(0, len(jobs), per_image)]
    for start in range(0, len(parts), images):
        yield parts[start : start + images]
