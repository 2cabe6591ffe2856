"""Measure ResNet-50 on pixels and on coefficients: multiply-adds, and CPU time of the forward pass and a training step.

The RGB network; the paper's network without its stem on S-24 of 56 x 56 blocks (448 x 448 pixels), with the stride of
the paper's text and with that of its released code; the same on 28 x 28 blocks (224 x 224); and the RGB network itself
folded over S-24, in both forms. Random weights, batches of two random inputs, one thread, CPU time of the process,
networks in turn in every round; ratios are to RGB in the same round. Reading is not in it. ``-n`` is the number of
rounds.

    python -m benchmarks.accuracy.claims_networks -n 5 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
import torchvision
from benchmarks.answers import report
from benchmarks.harness import arguments
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prepixel.engine import disable_malloc_trim
from prepixel.models import count_macs, count_parameters, example_pixels, example_spectrum, fold, frequency_network
from prepixel.records import ScoreRow, describe_environment
from prepixel.spectrum import BandSet, Spectrum

QUESTION, CASE = "claim: faster networks", "ResNet-50, batches of two"
REFERENCE = "RGB 224"
BATCH, CLASSES = 2, 1000


def networks(*, few: bool) -> dict[str, tuple[nn.Module, Any, Any, int]]:
    """Return each network with a batch, an example to count with, and the bytes of an input."""
    rgb = torchvision.models.resnet50()
    found: dict[str, tuple[nn.Module, Any, Any, int]] = {
        REFERENCE: (rgb, torch.randn(BATCH, 3, 224, 224), example_pixels((224, 224)), 3 * 224 * 224)
    }
    stemless = {
        "S-24, no stem, 56 x 56 blocks": ("S-24", 56, 2),
        "S-24, no stem, 56 x 56 blocks, stride of the code": ("S-24", 56, 1),
        "S-64, no stem, 56 x 56 blocks": ("S-64", 56, 2),
        "192, no stem, 28 x 28 blocks": ("192", 28, 2),
        "192, no stem, 28 x 28 blocks, stride of the code": ("192", 28, 1),
    }
    for name, (bands, side, stride) in list(stemless.items())[: 1 if few else None]:
        network = frequency_network("resnet50", bands, CLASSES, layer2_stride=stride)
        found[name] = network, *spectrum(bands, side)
    for form in ("composed", "factored"):
        folded = fold(rgb, bands="S-24", form=form).train()
        found[f"RGB network folded over S-24, {form}"] = folded, *spectrum("S-24", 56)
    return found


def spectrum(bands: str, side: int) -> tuple[Spectrum, Spectrum, int]:
    """Return a random batch, an example to count with, and the bytes of an input as int8."""
    kept, grid = BandSet.parse(bands), (side, side)
    values = torch.randn(BATCH, len(kept), *grid)
    return Spectrum.of_coefficients(values, kept), example_spectrum(kept, grid), kept.num_bytes(grid)


def forward(network: nn.Module, inputs: Any) -> None:
    """Run the network as for an answer."""
    network.eval()
    with torch.inference_mode():
        network(inputs)


def step(network: nn.Module, inputs: Any, targets: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Take one training step."""
    network.train()
    loss = cross_entropy(network(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main() -> None:
    """Measure every network."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    built = networks(few=options.n == 1)
    targets = torch.arange(BATCH)
    optimizers = {name: torch.optim.SGD(built[name][0].parameters(), 1e-3, momentum=0.9) for name in built}
    seconds: dict[tuple[str, str], list[float]] = {(name, what): [] for name in built for what in ("forward", "step")}
    for counted in range(-1 if options.n > 1 else 0, options.n):
        for name, (network, inputs, _, _) in built.items():
            for what in ("forward", "step"):
                start = time.process_time()
                if what == "forward":
                    forward(network, inputs)
                else:
                    step(network, inputs, targets, optimizers[name])
                if counted >= 0:
                    seconds[name, what].append(time.process_time() - start)
    report([row(name, built[name], seconds, options.n) for name in built], options)


def row(name: str, built: tuple[nn.Module, Any, Any, int], seconds: Any, rounds: int) -> ScoreRow:
    """Return what a network costs."""
    network, _, example, size = built
    scores: dict[str, Any] = {
        "bytes": size,
        "params M": f"{count_parameters(network) / 1e6:.2f}",
        "network MACs": count_macs(network, example),
    }
    for what in ("forward", "step"):
        mine, base = seconds[name, what], seconds[REFERENCE, what]
        speedups = [b / value for value, b in zip(mine, base, strict=True)]
        scores[f"{what}, CPU ms an image"] = f"{1000 * statistics.median(mine) / BATCH:.0f}"
        scores[f"{what}, times as fast (lowest to highest)"] = (
            f"{statistics.median(speedups):.2f} ({min(speedups):.2f} to {max(speedups):.2f})"
        )
    return ScoreRow(QUESTION, CASE, name, rounds, scores, describe_environment())


if __name__ == "__main__":
    main()
