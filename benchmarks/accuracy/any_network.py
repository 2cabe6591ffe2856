"""Train a network of every family of torchvision's classifiers and of 20 of timm's for three steps on spectra.

One small member of each family is built with random weights for 10 classes, folded over S-24, or without its stem where
that is defined, and trained by SGD on batches of synthetic photos. A network trains when each loss is finite and each
of its parameters got a finite gradient.
Networks take 64 x 64 pixels (of 16 x 16 blocks, an image of 128 x 128); those that take one size alone, or need more,
take 128 or 224, of an image as large. ``-n`` limits the networks of each kind.

    python -m benchmarks.accuracy.any_network -n 100 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import torch
import torchvision
from benchmarks.harness import arguments
from torch import nn
from torch.nn.functional import cross_entropy

from prepixel.data import SpectrumFolder, write_synthetic
from prepixel.errors import PrepixelError
from prepixel.models import count_macs, count_parameters, example_spectrum, fold, frequency_network, pixel_network
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import Spectrum, concatenate

Scores: TypeAlias = dict[str, float | int | str]

BANDS = "S-24"
CLASSES, BATCH, STEPS = 10, 4, 3
PIXELS = 64
TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16"),
    "wide_resnet50_2",
)
TIMM = (
    *("convnext_atto", "convnextv2_atto", "deit_tiny_patch16_224", "densenet121", "edgenext_xx_small"),
    *("efficientnet_b0", "fastvit_t8", "ghostnet_050", "hrnet_w18_small", "levit_128s", "mixer_s16_224"),
    *("mobilenetv4_conv_small", "mobileone_s0", "poolformer_s12", "pvt_v2_b0", "regnetx_002", "repvgg_a0"),
    *("resnet10t", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"),
)
STEMLESS = (
    *("convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "mobilenet_v2", "mobilenet_v3_large"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d"),
    "wide_resnet50_2",
)
STEMLESS_GRID = 16
# networks that take one size alone, or need more than 64 pixels
SIZES = {"alexnet": 128, "inception_v3": 128, "maxvit_t": 224, "vit_b_16": 224} | {
    f"timm:{name}": 224 for name in TIMM if name.endswith("224") or name.startswith("levit")
}


def check_families() -> None:
    """Check that every module of torchvision's classifiers has a network here."""

    def modules(names: Iterable[str]) -> set[str]:
        return {torchvision.models.get_model_builder(name).__module__ for name in names}

    missing = modules(torchvision.models.list_models(module=torchvision.models)) - modules(TORCHVISION)
    if missing:
        raise SystemExit(f"torchvision has families that are not tried: {', '.join(sorted(missing))}")


def batches(folder: Path, grid: int) -> Iterator[tuple[Spectrum, torch.Tensor]]:
    """Yield a batch per step."""
    images = SpectrumFolder(folder, bands=BANDS, grid=(grid, grid))
    for step in range(STEPS):
        samples = images.__getitems__([(step + 7 * place) % len(images) for place in range(BATCH)])
        yield concatenate([spectrum for spectrum, _ in samples]), torch.tensor([target for _, target in samples])


def train(name: str, folder: Path) -> Scores:
    """Return a folded network's grid, parameters, multiply-adds, and the result of its three steps."""
    torch.manual_seed(0)
    pixels = SIZES.get(name, PIXELS)
    grid = pixels // (4 if pixels == PIXELS else 8)
    try:
        network = fold(
            pixel_network(name, CLASSES), pixels=pixels, grid=grid, bands=BANDS, mean=(0, 0, 0), std=(1, 1, 1)
        )
    except PrepixelError as error:
        return {"blocks": f"{grid} x {grid}", "three steps": f"not folded: {error}".replace("|", "\\|")}
    return three_steps(network.train(), folder, grid)


def train_stemless(name: str, folder: Path) -> Scores:
    """Return the same of a network without its stem."""
    torch.manual_seed(0)
    return three_steps(frequency_network(name, BANDS, CLASSES).train(), folder, STEMLESS_GRID)


def three_steps(network: nn.Module, folder: Path, grid: int) -> Scores:
    """Train a network, and return its grid, parameters, multiply-adds and the result."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    losses = []
    for spectrum, targets in batches(folder, grid):
        loss = cross_entropy(network(spectrum), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    without = [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None]
    gradients = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
    infinite = [key for key, gradient in gradients.items() if not gradient.isfinite().all()]
    result = "trains" if all(map(math.isfinite, losses)) else f"losses {losses}"
    result += f", no gradient: {', '.join(without[:3])} ({len(without)})" if without else ""
    result += f", infinite gradient: {', '.join(infinite[:3])} ({len(infinite)})" if infinite else ""
    macs = count_macs(network, example_spectrum(BANDS, (grid, grid)))
    return {
        "blocks": f"{grid} x {grid}",
        "parameters": count_parameters(network),
        "multiply-adds": macs,
        "three steps": result,
    }


def main() -> None:
    """Print a line for each network as it is done, and record it."""
    options = arguments(__doc__)
    check_families()
    environment = describe_environment()
    folded = [*TORCHVISION[: options.n], *(f"timm:{name}" for name in TIMM[: options.n])]
    jobs = [(f"folded, {BANDS}", name, train) for name in folded]
    jobs += [(f"stem removed, {BANDS}", name, train_stemless) for name in STEMLESS[: options.n]]
    with tempfile.TemporaryDirectory() as place:
        folder, _ = write_synthetic(Path(place) / "data", num_train_per_class=2, num_val_per_class=1)
        for case, name, work in jobs:
            scores = work(name, folder)
            print(f"{case:20s} {name:32s} " + ", ".join(f"{key} {value}" for key, value in scores.items()), flush=True)
            if options.output:
                append_records(options.output, [ScoreRow("any network", case, name, 1, scores, environment)])


if __name__ == "__main__":
    main()
