from __future__ import annotations

import math
import pickle
from dataclasses import dataclass

import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional

from prepixel.tasks import Classification, ClassificationMetrics, ClassificationResult


@dataclass(frozen=True)
class _Batch:
    inputs: Tensor
    targets: Tensor


def _drawn(images: int, classes: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=generator)
    return torch.randn(images, classes, generator=generator) + functional.one_hot(labels, classes), labels


def _counted(logits: Tensor, labels: Tensor, sizes: tuple[int, ...]) -> ClassificationMetrics:
    metrics = ClassificationMetrics(logits.shape[1])
    for part, part_labels in zip(logits.split(sizes), labels.split(sizes), strict=True):
        metrics.update(part, part_labels)
    return metrics


def test_scores_equal_torchmetrics() -> None:
    logits, labels = _drawn(211, 7)
    result = _counted(logits, labels, (101, 97, 13)).result()
    assert result.images == 211
    oracle = torchmetrics.functional.classification
    close = {"rtol": 0, "atol": 1e-6}
    assert torch.equal(result.confusion, oracle.multiclass_confusion_matrix(logits, labels, 7))
    for name, k in (("top1", 1), ("top5", 5)):
        expected = oracle.multiclass_accuracy(logits, labels, 7, average="micro", top_k=k)
        torch.testing.assert_close(torch.tensor(getattr(result, name)), expected, **close)
    recall = oracle.multiclass_recall(logits, labels, 7, average=None)
    precision = oracle.multiclass_precision(logits, labels, 7, average=None)
    torch.testing.assert_close(result.recall.float(), recall, **close)
    torch.testing.assert_close(result.precision.float(), precision, **close)
    assert result.loss == pytest.approx(float(functional.cross_entropy(logits, labels)), abs=1e-6)
    assert result.row() == {"loss": result.loss, "top1": result.top1, "top5": result.top5}


def test_parts_add_up_to_the_whole() -> None:
    logits, labels = _drawn(89, 11)
    whole = _counted(logits, labels, (89,)).result()
    first, second = _counted(logits[:31], labels[:31], (31,)), _counted(logits[31:], labels[31:], (41, 17))
    first.merge(pickle.loads(pickle.dumps(second)))
    first.merge(ClassificationMetrics(11))
    merged = first.result()
    assert torch.equal(merged.confusion, whole.confusion)
    assert (merged.top1, merged.top5, merged.images) == (whole.top1, whole.top5, 89)
    assert merged.loss == pytest.approx(whole.loss, abs=1e-12)


def test_ties_and_the_edge_of_the_five() -> None:
    logits = torch.tensor([[3.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0]]).repeat(4, 1)
    metrics = ClassificationMetrics(7)
    metrics.update(logits, torch.tensor([0, 1, 2, 3]))
    result = metrics.result()
    assert result.top1 == 0.25  # of the two highest the lower label
    assert result.top5 == 0.75  # four others are as high as label 3's logit, three are higher: seven of seven places
    metrics = ClassificationMetrics(6)
    metrics.update(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]).repeat(2, 1), torch.tensor([4, 5]))
    assert metrics.result().top5 == 0.5


def test_few_classes_have_no_top5_and_absent_ones_no_recall() -> None:
    metrics = ClassificationMetrics(3)
    metrics.update(torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]), torch.tensor([0, 2]))
    result = metrics.result()
    assert math.isnan(result.top5)
    assert set(result.row()) == {"loss", "top1"}
    assert result.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    rows = result.class_rows(("rose", "daisy", "tulip"))
    assert [(row["class"], row["images"]) for row in rows] == [("rose", 1), ("daisy", 0), ("tulip", 1)]
    assert (rows[0]["recall"], rows[0]["precision"], rows[2]["recall"]) == (1.0, 0.5, 0.0)
    assert math.isnan(float(rows[1]["recall"]))
    assert math.isnan(float(rows[2]["precision"]))
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        result.class_rows(("rose", "daisy"))


def test_an_empty_batch_counts_nothing_and_nothing_counted_is_no_result() -> None:
    metrics = ClassificationMetrics(5)
    metrics.update(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="no image was counted"):
        metrics.result()


def test_logits_that_are_not_finite_are_no_hit_in_top5_and_show_in_the_loss() -> None:
    metrics = ClassificationMetrics(7)
    metrics.update(torch.full((3, 7), float("nan")), torch.tensor([4, 5, 6]))
    result = metrics.result()
    assert result.top5 == 0.0
    assert math.isnan(result.loss)


def test_the_loss_is_smoothed_cross_entropy_and_the_score_is_not() -> None:
    logits, labels = _drawn(13, 5)
    task = Classification(5, label_smoothing=0.2)
    batch = _Batch(logits, labels)
    log_odds = logits.double().log_softmax(1)
    own = log_odds.gather(1, labels[:, None]).mean()
    expected = -(0.8 * own + 0.2 * log_odds.mean())
    assert float(task.loss(nn.Identity(), batch)) == pytest.approx(float(expected), abs=1e-6)
    metrics = task.new_metrics()
    task.measure(nn.Identity(), batch, metrics)
    result = metrics.result()
    assert isinstance(result, ClassificationResult)
    assert result.loss == pytest.approx(-float(own), abs=1e-6)
    assert task.score in result.row()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes is 0; it must be 1 or greater"):
        Classification(0)
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.0; it must be at least 0 and below 1"):
        Classification(3, label_smoothing=1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_that_of_each_class_against_the_rest(smoothing: float) -> None:
    logits, labels = _drawn(13, 5)
    task = Classification(5, smoothing, criterion="binary_cross_entropy")
    wanted = functional.one_hot(labels, 5) * (1 - smoothing) + smoothing / 5
    chances = logits.sigmoid()
    expected = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean()
    torch.testing.assert_close(task.loss_of(logits, labels), expected)
    mixed = 0.7 * functional.one_hot(labels, 5) + 0.3 * functional.one_hot(labels.roll(1), 5)
    expected = -((mixed * (1 - smoothing) + smoothing / 5) * chances.log()).mean()
    expected -= ((1 - mixed * (1 - smoothing) - smoothing / 5) * (1 - chances).log()).mean()
    torch.testing.assert_close(task.loss_of(logits, mixed), expected)
