from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from prepixel.tasks import Segmentation, SegmentationMetrics

CLASSES = 5


@dataclass(frozen=True)
class _Batch:
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class _Given(nn.Module):
    """Answer with what it is given."""

    def __init__(self, aux: Tensor | None = None) -> None:
        super().__init__()
        self.aux = aux

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"out": inputs} | ({} if self.aux is None else {"aux": self.aux})


def drawn(images: int, present: int, seed: int = 0, size: tuple[int, int] = (13, 17)) -> _Batch:
    """Draw logits of `CLASSES` classes and labels of the first few; a fifth of the pixels is ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(present, (images, *size), generator=generator)
    logits = torch.randn(images, CLASSES, *size, generator=generator)
    logits += functional.one_hot(labels, CLASSES).movedim(-1, 1)
    logits[:, 4] -= 100  # which nothing is taken for
    ignored = torch.rand(images, *size, generator=generator) < 0.2
    return _Batch(logits, labels.masked_fill(ignored, 255).to(torch.uint8))


def counted(*batches: _Batch) -> SegmentationMetrics:
    task = Segmentation(CLASSES)
    metrics = task.new_metrics()
    for batch in batches:
        task.measure(_Given(), batch, metrics)
    return metrics


@pytest.mark.parametrize("present", [1, 2, 4])
def test_scores_equal_torchmetrics(present: int) -> None:
    """Classes without a pixel, classes that nothing is taken for, ignored pixels, odd sizes, an unlabeled photo."""
    empty = drawn(1, present, 8)
    batches = [
        drawn(3, present, 1),
        drawn(2, present, 2, (7, 31)),
        _Batch(empty.inputs, empty.targets.clone().fill_(255)),
    ]
    result = counted(*batches).result()
    options = {"num_classes": CLASSES, "ignore_index": 255}
    oracles = {
        "miou": MulticlassJaccardIndex(**options),
        "pixel_accuracy": MulticlassAccuracy(**options, average="micro"),
        "iou": MulticlassJaccardIndex(**options, average=None),
        "recall": MulticlassAccuracy(**options, average=None),
    }
    for name, oracle in oracles.items():
        for batch in batches:
            oracle.update(batch.inputs, batch.targets.long())
        found = torch.as_tensor(getattr(result, name), dtype=torch.float64)
        expected = oracle.compute().double()
        defined = ~found.isnan()
        torch.testing.assert_close(found[defined], expected[defined], rtol=0, atol=1e-6)
        assert (expected[~defined] == 0).all()  # what is undefined, torchmetrics calls 0 and leaves out of its mean
    assert result.iou.isnan().tolist() == [False] * 4 + [True]  # of class 4 is neither a label nor an answer
    assert result.recall.isnan().tolist() == [label >= present for label in range(CLASSES)]
    assert (result.images, result.pixels) == (6, sum(int((b.targets != 255).sum()) for b in batches))
    flat = [(b.inputs.movedim(1, -1).flatten(0, 2), b.targets.flatten().long()) for b in batches]
    logits, labels = (torch.cat(parts) for parts in zip(*flat, strict=True))
    assert result.loss == pytest.approx(float(functional.cross_entropy(logits, labels, ignore_index=255)), abs=1e-6)
    assert result.row() == {"loss": result.loss, "miou": result.miou, "pixel_accuracy": result.pixel_accuracy}


def test_scores_by_hand() -> None:
    """Four pixels: two of class 0, one of them taken for 1; one of class 1, taken for it; one that does not count."""
    logits = torch.tensor([[2.0, 1.0, 0.0, 9.0], [1.0, 2.0, 3.0, 0.0]]).reshape(1, 2, 1, 4)
    labels = torch.tensor([[[0, 0, 1, 255]]], dtype=torch.uint8)
    task = Segmentation(2)
    metrics = task.new_metrics()
    task.measure(_Given(), _Batch(logits, labels), metrics)
    result = metrics.result()
    assert result.confusion.tolist() == [[1, 1], [0, 1]]
    assert result.iou.tolist() == [0.5, 0.5]
    assert result.recall.tolist() == [0.5, 1.0]
    assert (result.miou, result.pixel_accuracy) == (0.5, pytest.approx(2 / 3))
    assert result.class_rows(["sky", "sea"]) == [
        {"class": "sky", "pixels": 2, "iou": 0.5, "recall": 0.5},
        {"class": "sea", "pixels": 1, "iou": 0.5, "recall": 1.0},
    ]
    with pytest.raises(ValueError, match="1 class names for 2 classes"):
        result.class_rows(["sky"])


def test_parts_add_up_to_the_whole() -> None:
    batches = [drawn(2, 3, 1), drawn(1, 4, 2), drawn(3, 2, 3)]
    whole = counted(*batches).result()
    first, second = counted(batches[0]), counted(*batches[1:])
    first.merge(pickle.loads(pickle.dumps(second)))
    first.merge(SegmentationMetrics(CLASSES))
    merged = first.result()
    assert torch.equal(merged.confusion, whole.confusion)
    assert (merged.images, merged.miou) == (whole.images, whole.miou)
    assert merged.loss == pytest.approx(whole.loss, rel=1e-12)


def test_the_loss_is_the_mean_over_labeled_pixels_and_the_auxiliary_heads() -> None:
    batch = drawn(2, 4, 7)
    expected = functional.cross_entropy(batch.inputs, batch.targets.long(), ignore_index=255)
    task = Segmentation(CLASSES, aux_weight=0.25)
    torch.testing.assert_close(task.loss(_Given(), batch), expected)
    aux = drawn(2, 4, 9).inputs
    more = functional.cross_entropy(aux, batch.targets.long(), ignore_index=255)
    torch.testing.assert_close(task.loss(_Given(aux), batch), expected + 0.25 * more)


def test_a_batch_without_a_labeled_pixel_teaches_nothing() -> None:
    logits = drawn(2, 3).inputs.requires_grad_()
    loss = Segmentation(CLASSES).loss(_Given(), _Batch(logits, torch.full((2, 13, 17), 255, dtype=torch.uint8)))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert bool((logits.grad == 0).all())


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="no labeled pixel was counted"):
        counted(_Batch(drawn(1, 3).inputs, torch.full((1, 13, 17), 255, dtype=torch.uint8))).result()
    batch = drawn(1, 3)
    with pytest.raises(ValueError, match=r"logits of \(13, 17\) pixels and label maps of \(13, 16\)"):
        counted(_Batch(batch.inputs, batch.targets[:, :, 1:]))
    with pytest.raises(ValueError, match=r"logits of \(13, 17\) pixels and label maps of \(13, 16\)"):
        Segmentation(CLASSES).loss(_Given(), _Batch(batch.inputs, batch.targets[:, :, 1:]))
    with pytest.raises(ValueError, match="num_classes is 256; it must be from 1 to 255"):
        Segmentation(256)
    with pytest.raises(ValueError, match=r"aux_weight is -0\.5; it must be 0 or greater"):
        Segmentation(2, aux_weight=-0.5)
