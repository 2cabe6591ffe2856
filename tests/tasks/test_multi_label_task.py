"""Scores of several labels an image equal torchmetrics', ties, empty labels and merged parts included."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass

import pytest
import torch
import torchmetrics.classification as oracle
from torch import Tensor, nn

from prepixel.tasks import MultiLabel, MultiLabelMetrics


@dataclass(frozen=True)
class _Batch:
    inputs: Tensor
    targets: Tensor


def drawn(images: int = 101, labels: int = 7, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    targets = (torch.rand(images, labels, generator=generator) < torch.linspace(0.05, 0.7, labels)).float()
    logits = torch.randn(images, labels, generator=generator) + targets
    return (logits * 2).round() / 2 + 0.25 if ties else logits, targets


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_scores_equal_torchmetrics(ties: bool, empty: bool) -> None:
    logits, targets = drawn(ties=ties)
    if empty:
        targets[:, 2] = 0
    metrics, other = MultiLabelMetrics(), MultiLabelMetrics()
    metrics.update(logits[:40], targets[:40])
    other.update(logits[40:97], targets[40:97])
    other.update(logits[97:], targets[97:])
    metrics.merge(pickle.loads(pickle.dumps(other)))
    result = metrics.result()
    chances, wanted = logits.double().sigmoid(), targets.long()
    count = targets.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that no image has
        expected = oracle.MultilabelAveragePrecision(count, average="none")(chances, wanted)
    close = {"rtol": 0.0, "atol": 1e-6, "check_dtype": False}
    torch.testing.assert_close(result.average_precision, expected.nan_to_num(0.0), **close)
    torch.testing.assert_close(result.f1, oracle.MultilabelF1Score(count, average="none")(chances, wanted), **close)
    row = result.row()
    assert row["f1_macro"] == pytest.approx(float(oracle.MultilabelF1Score(count)(chances, wanted)), abs=1e-6)
    micro = oracle.MultilabelF1Score(count, average="micro")(chances, wanted)
    assert row["f1_micro"] == pytest.approx(float(micro), abs=1e-6)
    assert row["accuracy"] == pytest.approx(float(oracle.MultilabelAccuracy(count)(chances, wanted)), abs=1e-6)
    assert row["exact"] == pytest.approx(float(oracle.MultilabelExactMatch(count)(chances, wanted)), abs=1e-6)
    assert row["map"] == pytest.approx(float(result.average_precision.mean()))
    assert result.images == 101


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_the_mean_over_labels_and_smoothing_moves_to_one_half(smoothing: float) -> None:
    logits, targets = drawn()
    task = MultiLabel(7, smoothing)
    wanted, chances = targets * (1 - smoothing) + smoothing / 2, logits.sigmoid()
    expected = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean()
    batch = _Batch(logits, targets)
    torch.testing.assert_close(task.loss(nn.Identity(), batch), expected)
    metrics = task.new_metrics()
    task.measure(nn.Identity(), batch, metrics)
    plain = -(targets * chances.log() + (1 - targets) * (1 - chances).log()).mean()
    assert metrics.result().loss == pytest.approx(float(plain), rel=1e-5)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="num_labels is 0"):
        MultiLabel(0)
    with pytest.raises(ValueError, match="label_smoothing is 1"):
        MultiLabel(2, 1.0)
    with pytest.raises(ValueError, match="no image was counted"):
        MultiLabelMetrics().result()
