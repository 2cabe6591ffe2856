"""Batch norm of all processes: what it replaces and what it leaves alone; test_processes.py runs it in two."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prepixel.engine import SettingsError
from prepixel.engine.synchronized_norm import SynchronizedBatchNorm, synchronize_batch_norm

CPU = torch.device("cpu")


def test_names_parameters_and_results_stay() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), nn.Flatten(), nn.BatchNorm1d(16)
    )
    before, weights = copy.deepcopy(network), list(network.parameters())
    network = synchronize_batch_norm(network, CPU)
    assert [type(part) for part in network][1::2] == [SynchronizedBatchNorm] * 2
    assert all(one is other for one, other in zip(network.parameters(), weights, strict=True))
    pixels = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    for training in (True, False):
        assert torch.equal(network.train(training)(pixels), before.train(training)(pixels))
    after = before.state_dict()
    assert list(network.state_dict()) == list(after)
    assert all(torch.equal(value, after[name]) for name, value in network.state_dict().items())


def test_the_activation_of_a_timm_network_stays() -> None:
    """torch's own conversion makes a plain SyncBatchNorm of timm's batch norm with activation, and drops that."""
    timm = pytest.importorskip("timm")
    network = timm.create_model("mobilenetv3_small_050", num_classes=3).train()
    before = copy.deepcopy(network)
    converted = synchronize_batch_norm(network, CPU)
    assert not [part for part in converted.modules() if type(part).__name__ == "BatchNormAct2d"]
    pixels = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for network in (before, converted):
        torch.manual_seed(3)
        network.logits = network(pixels)
    assert torch.equal(before.logits, converted.logits)
    assert list(before.state_dict()) == list(converted.state_dict())


def test_a_batch_norm_of_another_kind_is_refused() -> None:
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(SettingsError, match=r"sync_batchnorm does not know tests\.engine.*Own, a batch norm of this"):
        synchronize_batch_norm(nn.Sequential(Own(3)), CPU)
