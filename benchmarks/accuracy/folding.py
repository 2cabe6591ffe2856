"""Score pretrained RGB networks that are folded over coefficients, untrained, by band set.

Each network first takes ImageNet photos by its users' pipeline: Pillow decodes, torchvision crops the middle 0.875 of
the short side and resizes to 224 x 224. Then the folded network takes the same photos from JPEG bytes to S-24 and other
spectra of the same crops at 448 x 448 (56 x 56 blocks), by the native implementation. Reported beside top-1 (with
Wilson's 95 % interval): how often the answer is the RGB network's, the bytes that reach the device, the first layer's
multiply-adds and images per second, reading included, on all cores. ``-n`` is the number of timed rounds over at most
64 photos.

    python -m benchmarks.accuracy.folding -n 5
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from benchmarks.harness import arguments, photos
from torch import Tensor, nn

from prepixel.data import PixelReader, SpectrumReader
from prepixel.data.loading.readers import read_centered
from prepixel.engine import disable_malloc_trim
from prepixel.models import FoldedNetwork, count_macs, example_pixels, example_spectrum, fold, pixel_model
from prepixel.models.folding.reconstruction import int8_unit
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum.boxes import Filter

BATCH = 32
PIXELS, GRID = (224, 224), (56, 56)
BANDS = ("192", "S-64", "S-48", "S-24", "T-24", "L-24", "S-12", "T-12", "S-6")
ENCODED = ("192", "S-24", "S-6")  # measured with the other reduction and int8 as well
TIMED = 64
TIMED_PIPELINES = ("RGB 224", "192, dct, int8", "S-24, dct, int8")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network and its pixel normalization."""

    name: str
    network: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


Pipeline = tuple[nn.Module, SpectrumReader | PixelReader, dict[str, Any]]


@dataclass(frozen=True)
class Photos:
    """Photos with their classes."""

    name: str
    paths: list[str]
    labels: Tensor
    crop: float = 0.875
    filter: Filter = "bilinear"


def pretrained(folder: Path) -> Iterator[Pretrained]:
    """Build every network of which there are ImageNet weights."""
    lite = pixel_model("efficientnet_lite0")
    yield Pretrained("EfficientNet-Lite0", lite.network, lite.mean, lite.std)
    weights = folder / "weights"
    squeeze = pixel_model("squeezenet1_1", weights=str(weights / "squeezenet1_1_tvkeys.pt"))
    yield Pretrained("SqueezeNet 1.1", squeeze.network, squeeze.mean, squeeze.std)
    mobile = pixel_model("mobilenet_v2", weights=str(weights / "mobilenet_v2_tf2ptq_tvkeys_fp16.pt"))
    yield Pretrained(
        "MobileNetV2 (TensorFlow, int8 weights)", pad_as_tensorflow(mobile.network), (0.5,) * 3, (0.5,) * 3
    )
    backbone = torchvision.models.mobilenet_v2()
    backbone.load_state_dict(
        torch.load(weights / "mobilenet_v2_backbone_deepsort_tvkeys.pt", weights_only=True), strict=False
    )
    features = nn.Sequential(backbone.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    yield Pretrained("MobileNetV2 features (no classifier)", features.eval(), IMAGENET_MEAN, IMAGENET_STD)


def pad_as_tensorflow(network: nn.Module) -> nn.Module:
    """Make convolutions of stride 2 pad an even image at the end only, as TensorFlow's SAME does."""
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            network.set_submodule(path, nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), module))
    return network


def photo_sets(folder: Path) -> Iterator[Photos]:
    """List the labeled ImageNet photos."""
    synsets = [line.split()[0] for line in (folder / "imagenet_classes.txt").read_text().splitlines()]
    samples = sorted((folder / "imagenet_samples").glob("*.JPEG"))
    labels = [synsets.index(path.name.partition("_")[0]) for path in samples]
    yield Photos("photos as distributed (training set)", [str(path) for path in samples], torch.tensor(labels))
    resized = folder / "imagenet_val227"
    lines = [line.split() for line in (resized / "labels.txt").read_text().splitlines()]
    yield Photos(
        "validation photos at 227 x 227",
        [str(resized / name) for name, _ in lines],
        torch.tensor([int(label) for _, label in lines]),
        224 / 227,
        "bicubic",  # these are enlarged to 448, and bilinear enlargement blurs
    )


def outputs(network: nn.Module, reader: SpectrumReader | PixelReader, paths: list[str], crop: float) -> Tensor:
    """Run a network on photos, from their files."""
    results = []
    for start in range(0, len(paths), BATCH):
        with torch.inference_mode():
            results.append(network(read_centered(reader, paths[start : start + BATCH], crop, 0).inputs))
    return torch.cat(results)


class Normalized(nn.Module):
    """Take uint8 pixels and normalize them."""

    def __init__(self, model: Pretrained) -> None:
        super().__init__()
        self.network = model.network
        self.mean = torch.tensor(model.mean)[:, None, None]
        self.std = torch.tensor(model.std)[:, None, None]

    def forward(self, pixels: Tensor) -> Any:
        """Normalize and run."""
        return self.network((pixels.float() / 255 - self.mean) / self.std)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share counted on n. Source: E. B. Wilson, 1927."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return middle - half, middle + half


def scores(got: Tensor, reference: Tensor, labels: Tensor) -> dict[str, float]:
    """Compare outputs with labels and with the RGB pipeline's; of features without a classifier, their cosine."""
    if got.shape[1] != 1000:
        return {"cosine with RGB": float(torch.cosine_similarity(got, reference).mean())}
    answers = got.argmax(1)
    top1 = float((answers == labels).double().mean())
    low, high = wilson(top1, len(labels))
    agreement = float((answers == reference.argmax(1)).double().mean())
    return {"top1": top1, "low": low, "high": high, "as RGB": agreement}


def read_as(folded: FoldedNetwork, encoding: str, one: Photos) -> SpectrumReader:
    """Return the reader of a folded network's spectra."""
    grid = folded.settings.grid
    if encoding == "float32":
        return SpectrumReader(grid, folded.bands, one.filter)
    shift = folded.input.shift
    return SpectrumReader(grid, folded.bands, one.filter, torch.int8, shift, int8_unit(folded.bands, shift))


def rate(network: nn.Module, reader: SpectrumReader | PixelReader, paths: list[str], crop: float, rounds: int) -> float:
    """Measure images per second, reading included: the median of the rounds."""
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        outputs(network, reader, paths, crop)
        rates.append(len(paths) / (time.perf_counter() - start))
    return statistics.median(rates)


def fold_all(model: Pretrained, *, few: bool) -> dict[str, tuple[FoldedNetwork, str]]:
    """Fold a network over every band set, each with its encoding."""
    wanted = [(name, "dct", GRID) for name in BANDS] + [(name, "box", GRID) for name in ENCODED]
    wanted.append(("192", "dct", (28, 28)))
    wanted = [("S-24", "dct", GRID)] if few else wanted
    found: dict[str, tuple[FoldedNetwork, str]] = {}
    for bands, reduction, grid in wanted:
        network = fold(model.network, grid=grid, bands=bands, mean=model.mean, std=model.std, reduction=reduction)
        name = f"{bands}, {reduction}" if grid == GRID else f"{bands}, 28 x 28 blocks"
        found[f"{name}, float32"] = network, "float32"
        if reduction == "dct" and bands in ENCODED and grid == GRID:
            found[f"{name}, int8"] = network, "int8"
    return found


def costs(folded: FoldedNetwork, encoding: str) -> dict[str, Any]:
    """Return the costs of a folded network."""
    settings = folded.settings
    values = settings.bands.num_values(settings.grid)
    return {
        "bytes": values * (4 if encoding == "float32" else 1),
        "network MACs": count_macs(folded, example_spectrum(settings.bands, settings.grid)),
        "form": settings.form,
    }


def main() -> None:
    """Score every network on every set of photos."""
    disable_malloc_trim()
    options = arguments(__doc__)
    folder = photos()
    networks, sets = list(pretrained(folder)), list(photo_sets(folder))
    if options.n == 1:  # a smoke test
        networks, sets = networks[:1], [Photos(s.name, s.paths[:8], s.labels[:8]) for s in sets[:1]]
    rows, environment = [], describe_environment()
    for model in networks:
        folded = fold_all(model, few=options.n == 1)
        for one in sets:
            case = f"{model.name}, {one.name}"
            print(f"\nfolding: {case}, n = {len(one.labels)}")
            rgb = Normalized(model)
            facts = {"bytes": 3 * 224 * 224, "network MACs": count_macs(rgb.network, example_pixels(PIXELS))}
            pipelines: dict[str, Pipeline] = {"RGB 224": (rgb, PixelReader(PIXELS), facts)}
            for name, (network, encoding) in folded.items():
                pipelines[name] = network, read_as(network, encoding, one), costs(network, encoding)
            reference = None
            for name, (network, reader, facts) in pipelines.items():
                got = outputs(network, reader, one.paths, one.crop)
                reference = got if reference is None else reference
                found = scores(got, reference, one.labels)
                speed = {}
                if name in TIMED_PIPELINES:
                    speed = {"images/s": rate(network, reader, one.paths[:TIMED], one.crop, options.n)}
                row = ScoreRow("folding", case, name, len(one.labels), {**found, **facts, **speed}, environment)
                print(f"  {name:24s}" + "".join(f"  {k} {words(v)}" for k, v in row.scores.items()), flush=True)
                rows.append(row)
    if options.output:
        append_records(options.output, rows)


def words(value: float | int | str) -> str:
    """Format a score or a cost."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
