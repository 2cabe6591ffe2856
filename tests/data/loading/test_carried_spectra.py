"""What carries batches carries spectra: DDP, Accelerate, Lightning, torch.compile, page-locked memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from accelerate.utils import send_to_device
from tests.data.loading.spectra_in_two_processes import CLASSES, FORM, gradients, network, samples_of
from tests.data.photos import write_photos
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from prepixel.data import SpectrumDataset
from prepixel.spectrum import Spectrum

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = ["torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
META = torch.device("meta")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    write_photos(root, 8, cut=-1)
    return root


@pytest.fixture(scope="module")
def batch(folder: Path) -> tuple[Spectrum, Tensor]:
    """Read all photos as one batch."""
    dataset = SpectrumDataset(samples_of(folder), **FORM)
    ((spectrum, numbers),) = DataLoader(dataset, batch_size=len(dataset))
    return spectrum, numbers


@pytest.fixture(scope="module")
def pair(folder: Path) -> list[dict[str, Any]]:
    """Return what two processes saw."""
    module = "tests.data.loading.spectra_in_two_processes"
    done = subprocess.run(
        [sys.executable, "-m", *TORCHRUN, "--nproc-per-node=2", "-m", module, str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("carrier", ["DDP", "Accelerate"])
def test_two_processes_have_the_gradients_of_one(
    pair: list[dict[str, Any]], batch: tuple[Spectrum, Tensor], carrier: str
) -> None:
    alone = network()
    cross_entropy(alone(batch[0]), batch[1] % CLASSES).backward()
    wanted = gradients(alone)
    for seen in pair:
        assert seen[carrier].keys() == wanted.keys()
        for name, gradient in wanted.items():
            torch.testing.assert_close(seen[carrier][name], gradient, rtol=1e-4, atol=1e-6)


def test_two_processes_share_a_stream(pair: list[dict[str, Any]], batch: tuple[Spectrum, Tensor]) -> None:
    numbers = torch.cat([numbers for seen in pair for _, numbers in seen["stream"]])
    values = torch.cat([values for seen in pair for values, _ in seen["stream"]])
    assert sorted(numbers.tolist()) == list(range(8))
    assert torch.equal(values, batch[0].values[numbers])


def test_accelerate_moves_every_array(batch: tuple[Spectrum, Tensor]) -> None:
    spectrum, targets = send_to_device(batch, META)
    assert {spectrum.device, spectrum.shift.device, spectrum.unit.device, targets.device} == {META}


def test_lightning_moves_every_array(batch: tuple[Spectrum, Tensor]) -> None:
    module = lightning.LightningModule()
    spectrum, targets = module.transfer_batch_to_device(batch, META, 0)
    assert {spectrum.device, spectrum.shift.device, spectrum.unit.device, targets.device} == {META}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_a_data_loader_pins_every_array(folder: Path) -> None:
    dataset = SpectrumDataset(samples_of(folder), **FORM)
    ((spectrum, _),) = DataLoader(dataset, batch_size=len(dataset), pin_memory=True)
    assert spectrum.values.is_pinned()
    assert spectrum.shift.is_pinned()
    assert spectrum.unit.is_pinned()


def test_dynamo_traces_a_training_step_as_one_graph(pair: list[dict[str, Any]], batch: tuple[Spectrum, Tensor]) -> None:
    for seen in pair:
        plain = network()
        cross_entropy(plain(batch[0][seen["numbers"]]), seen["numbers"] % CLASSES).backward()
        for name, gradient in gradients(plain).items():
            torch.testing.assert_close(seen["compiled"][name], gradient, rtol=1e-4, atol=1e-6)
