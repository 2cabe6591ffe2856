"""Measure on an accelerator what CPUs cannot say: moving inputs to it, and ResNet-50's forward pass and training step.

Inputs: uint8 RGB of 224 x 224; S-24 of 56 x 56 blocks as int8 and as float32; all 192 channels as int8. Networks: those
of `benchmarks.accuracy.claims_networks`, in bfloat16 autocast, with the normalization of their inputs. Every subject
runs once in each round, between two synchronizations; ratios are to RGB in the same round. Without an accelerator, or
with ``-n 1``, batches of one and four networks show that it runs, and no record is written of a CPU's figures.

    python -m benchmarks.accuracy.claims_gpu -n 15 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.accuracy.claims_networks import CLASSES, REFERENCE, networks
from benchmarks.harness import arguments
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prepixel.records import TimingRow, append_records, describe_environment

QUESTION = "claim: on an accelerator"
BATCH, STEPS = 64, 10
VALUES = {
    "RGB 224, uint8": ((3, 224, 224), torch.uint8),
    "S-24, int8": ((24, 56, 56), torch.int8),
    "S-24, float32": ((24, 56, 56), torch.float32),
    "192, int8": ((192, 56, 56), torch.int8),
}


def repeat(inputs: Any, size: int) -> Any:
    """Return a batch of a size: the first input, several times."""
    values = (inputs if isinstance(inputs, Tensor) else inputs.values)[:1].repeat(size, 1, 1, 1)
    return values if isinstance(inputs, Tensor) else type(inputs).of_coefficients(values, inputs.bands)


def copies(device: torch.device, size: int) -> dict[str, Callable[[], object]]:
    """Return what moves a batch of each kind of input to the device."""
    found: dict[str, Callable[[], object]] = {}
    for name, (shape, dtype) in VALUES.items():
        values = torch.zeros(size, *shape, dtype=dtype)
        values = values.pin_memory() if device.type == "cuda" else values
        found[name] = lambda values=values: values.to(device, non_blocking=True)  # type: ignore[misc]
    return found


def passes(
    built: dict[str, Any], device: torch.device, size: int, *, training: bool
) -> dict[str, Callable[[], object]]:
    """Return what runs each network on a batch that is on the device."""
    targets = (torch.arange(size) % CLASSES).to(device)
    found: dict[str, Callable[[], object]] = {}
    for name, (network, inputs, _, _) in built.items():
        network.to(device, memory_format=torch.channels_last)
        batch = repeat(inputs, size).to(device)
        optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
        found[name] = step(network, batch, targets, optimizer) if training else forward(network, batch)
    return found


def forward(network: nn.Module, batch: Any) -> Callable[[], object]:
    """Return a forward pass."""

    def run() -> None:
        network.eval()
        with torch.inference_mode(), torch.autocast(kind_of(batch), torch.bfloat16):
            network(batch)

    return run


def step(network: nn.Module, batch: Any, targets: Tensor, optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return a training step."""

    def run() -> None:
        network.train()
        with torch.autocast(targets.device.type, torch.bfloat16):
            loss = cross_entropy(network(batch).float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def kind_of(batch: Any) -> str:
    """Return the kind of device that a batch is on."""
    return str((batch if isinstance(batch, Tensor) else batch.values).device.type)


def measure(
    work: dict[str, Callable[[], object]], device: torch.device, steps: int, rounds: int
) -> dict[str, list[float]]:
    """Return seconds per call, by subject and round, after a round that is not counted."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds: dict[str, list[float]] = {name: [] for name in work}
    for counted in range(-1, rounds):
        for name, run in work.items():
            wait()
            start = time.perf_counter()
            for _ in range(steps):
                run()
            wait()
            if counted >= 0:
                seconds[name].append((time.perf_counter() - start) / steps)
    return seconds


def main() -> None:
    """Measure copies, forward passes and training steps."""
    options = arguments(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    toy = device.type == "cpu" or options.n == 1
    size, steps, rounds = (1, 1, 1) if toy else (BATCH, STEPS, options.n)
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    built = networks(few=toy)
    tasks = {
        "inputs to the device": (copies(device, size), "RGB 224, uint8"),
        "forward pass": (passes(built, device, size, training=False), REFERENCE),
        "training step": (passes(built, device, size, training=True), REFERENCE),
    }
    for case, (work, reference) in tasks.items():
        seconds = measure(work, device, steps, rounds)
        rows = []
        for subject, mine in seconds.items():
            ratio = statistics.median(base / value for base, value in zip(seconds[reference], mine, strict=True))
            rates = [size / value for value in mine]
            environment = describe_environment(accelerator)
            more = {"reference": reference, "ratio": ratio, "environment": environment}
            rows.append(TimingRow.of_rounds(QUESTION, f"{case}, batches of {size}", subject, "images/s", rates, **more))
            print(f"{case}: {subject:40s} {rows[-1].median:10.1f} images/s, {ratio:.2f}", flush=True)
        if options.output and not toy:
            append_records(options.output, rows)


if __name__ == "__main__":
    main()
