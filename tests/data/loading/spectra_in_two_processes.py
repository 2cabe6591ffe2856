"""What two processes do with batches of spectra; each writes what it got to FOLDER/RANK.pt.

Usage: torchrun --nproc-per-node 2 -m tests.data.loading.spectra_in_two_processes FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from prepixel.data import SpectrumDataset, SpectrumDecoder
from prepixel.models import frequency_resnet

CLASSES = 10
FORM: dict[str, Any] = {"bands": "S-6", "grid": (4, 4)}


class Stream(IterableDataset[tuple[str, int]]):
    """Yield (path, number) samples."""

    def __init__(self, samples: list[tuple[str, int]]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.samples)


def samples_of(folder: Path) -> list[tuple[str, int]]:
    """Return the photos of a folder, numbered."""
    return [(str(path), number) for number, path in enumerate(sorted(folder.rglob("*.jpg")))]


def network() -> nn.Module:
    """Build the same network in every process, in evaluation mode: batch norm would see a process's share alone."""
    torch.manual_seed(0)
    return frequency_resnet(18, FORM["bands"], CLASSES).eval()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by the parameters' names."""
    return {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.grad is not None}


def main(folder: Path) -> None:
    """Train a step by DistributedDataParallel, one by Accelerate, one compiled; and list the batches of a stream."""
    torch.set_num_threads(1)
    samples = samples_of(folder)
    dataset = SpectrumDataset(samples, **FORM)
    settings = DataLoaderConfiguration(dispatch_batches=False)  # each process reads its own share of a stream
    accelerator = Accelerator(cpu=True, dataloader_config=settings)  # starts gloo
    rank = accelerator.process_index

    parallel = DistributedDataParallel(network())
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, shuffle=False)
    (batch,) = DataLoader(dataset, batch_size=len(samples), sampler=sampler)
    cross_entropy(parallel(batch[0]), batch[1] % CLASSES).backward()
    seen: dict[str, Any] = {"DDP": gradients(parallel)}

    prepared, loader = accelerator.prepare(network(), DataLoader(dataset, batch_size=len(samples) // 2))
    (batch,) = loader
    accelerator.backward(cross_entropy(prepared(batch[0]), batch[1] % CLASSES))
    seen["Accelerate"] = gradients(prepared)

    stream: Any = DataLoader(Stream(samples), batch_size=2, collate_fn=SpectrumDecoder(**FORM))  # type: ignore[arg-type]
    seen["stream"] = [(spectrum.values, numbers) for spectrum, numbers in accelerator.prepare(stream)]
    # here, because dynamo refuses to trace the shape checks that the tests' own process has
    compiled = network()
    loss = cross_entropy(torch.compile(compiled, backend="aot_eager", fullgraph=True)(batch[0]), batch[1] % CLASSES)
    loss.backward()
    seen["compiled"], seen["numbers"] = gradients(compiled), batch[1]
    torch.save(seen, folder / f"{rank}.pt")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
