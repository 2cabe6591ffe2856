"""Folded and gated networks in other processes: pickled, in a loader's spawned worker, in data-parallel training."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from prepixel.gates import GatedNetwork, GateSettings, build_gate
from prepixel.models import FoldedNetwork, fold
from prepixel.spectrum import BandSet, Spectrum

SQUARE = BandSet.parse("S-6")


class Traced(nn.Module):
    """Shifts its image by code of its own before the first layer, so that folding traces it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 4, 4)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.stem(2 * x - 1)).mean((2, 3)))


def folded_network() -> FoldedNetwork:
    torch.manual_seed(0)
    return fold(Traced(), pixels=40, grid=5, bands=SQUARE, form="composed")


def spectrum(n: int, seed: int = 3) -> Spectrum:
    values = 30 * torch.randn(n, len(SQUARE), 5, 5, generator=torch.Generator().manual_seed(seed))
    return Spectrum.of_coefficients(values, SQUARE)


def test_gated_networks_are_copied_and_pickled() -> None:
    gated = GatedNetwork(folded_network(), build_gate(SQUARE, GateSettings(kind="dynamic", loss="paper"))).eval()
    buffer = io.BytesIO()
    torch.save(gated, buffer)
    buffer.seek(0)
    copies = [pickle.loads(pickle.dumps(gated)), copy.deepcopy(gated), torch.load(buffer, weights_only=False)]
    expected = gated(spectrum(2))
    for one in copies:
        assert torch.equal(one(spectrum(2)), expected)
        assert one.bands == gated.bands
        one.gate.set_progress(0.5)
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.zero_()
    assert torch.equal(gated(spectrum(2)), expected)


class Answers(Dataset[Tensor]):
    """Runs a network on one spectrum per index."""

    def __init__(self, network: FoldedNetwork) -> None:
        self.network = network

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Tensor:
        torch.set_num_threads(1)
        with torch.no_grad():
            return self.network(spectrum(1, seed=index))[0]


def test_a_folded_network_runs_in_a_loaders_spawned_worker() -> None:
    answers = Answers(folded_network())
    here = torch.stack([answers[index] for index in range(3)])
    (there,) = DataLoader(answers, batch_size=3, num_workers=1, multiprocessing_context="spawn")
    torch.testing.assert_close(there, here, rtol=0, atol=1e-6)


def test_a_folded_network_trains_in_two_processes_as_in_one(tmp_path: Path) -> None:
    network = folded_network().train()
    multiprocessing.spawn(_train_share, args=(network, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    _step(network, network, slice(None))
    for name, value in network.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(first["network.stem.weight"], folded_network().state_dict()["network.stem.weight"])


def _train_share(rank: int, network: FoldedNetwork, folder: Path) -> None:
    torch.set_num_threads(1)
    network = copy.deepcopy(network)  # what is passed to a process lies in memory that all processes share
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    _step(DistributedDataParallel(network), network, slice(2 * rank, 2 * rank + 2))
    torch.save(network.state_dict(), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def _step(run: nn.Module, network: FoldedNetwork, share: slice) -> None:
    """Take one step of gradient descent on a share of four spectra."""
    values, labels = spectrum(4).values[share], torch.tensor([0, 1, 2, 1])[share]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    functional.cross_entropy(run(Spectrum.of_coefficients(values, SQUARE)), labels).backward()
    optimizer.step()
