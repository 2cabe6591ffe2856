"""Evaluation between epochs, and batches without readable samples."""

from __future__ import annotations

import pytest
import torch
from tests.engine.toy import CLASSES, Batch, Loader, drawing_network, plain_network
from torch.nn import functional

from prepixel.engine import (
    EmptyShare,
    NothingToEvaluate,
    evaluate,
)
from prepixel.engine.stepping import _LossModule
from prepixel.tasks import Classification


def test_an_evaluation_needs_samples() -> None:
    with pytest.raises(NothingToEvaluate, match="gave no sample; look at its folder"):
        evaluate(plain_network(), Classification(CLASSES), Loader(bad=frozenset(range(41))))


def test_evaluation_leaves_every_part_in_its_mode() -> None:
    network = drawing_network().train()
    network[1].eval()
    first = evaluate(network, Classification(CLASSES), Loader())
    assert [part.training for part in network] == [True, False, True, True, True, True]
    second = evaluate(network, Classification(CLASSES), Loader())
    assert first.loss == second.loss
    assert torch.equal(first.confusion, second.confusion)
    loader = Loader()
    expected = functional.cross_entropy(network.eval()(loader.inputs), loader.targets).detach()
    assert abs(first.loss - float(expected)) < 1e-6


def test_an_empty_share_gives_zero_gradients_or_is_refused() -> None:
    network = drawing_network()
    empty = Batch(torch.zeros(0, 2, 5, 3), torch.zeros(0, dtype=torch.int64))
    _LossModule(network, Classification(CLASSES), refuse_empty=False)(empty).backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in network.parameters())
    with pytest.raises(EmptyShare, match="sync_batchnorm needs some on every process; remove the files"):
        _LossModule(network, Classification(CLASSES), refuse_empty=True)(empty)
