"""Detection as a task: losses that are summed, detections that reach COCO's format, shares that add up."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from prepixel.engine import OptimizationSettings, TrainSettings, evaluate, train
from prepixel.gates import GateSettings, build_gate
from prepixel.models.detectors import Detector, SpectralBackbone, build_detector
from prepixel.models.pyramid import frequency_pyramid
from prepixel.records import MetricRow
from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum
from prepixel.tasks import Detection, DetectionMetrics, GroundTruth, coco_detections

BANDS = BandSet.parse("S-6")
CATEGORIES = [{"id": 4, "name": "finch"}, {"id": 17, "name": "swift"}]
BOX = [5.0, 3.0, 40.0, 29.0]


def truth(image_ids: list[int], size: tuple[int, int] = (88, 152)) -> GroundTruth:
    """Give one swift an image, but in the last, which is empty."""
    polygon = [5.0, 3.0, 45.0, 3.0, 45.0, 32.0, 5.0, 32.0]
    annotations = [
        {
            "id": 1 + place,
            "image_id": image_id,
            "category_id": 17,
            "bbox": BOX,
            "area": 1160.0,
            "iscrowd": 0,
            "segmentation": [polygon],
        }
        for place, image_id in enumerate(image_ids[:-1])
    ]
    images = [{"id": image_id, "height": size[0], "width": size[1]} for image_id in image_ids]
    return GroundTruth.of({"images": images, "categories": CATEGORIES, "annotations": annotations})


def target(image_id: int, size: tuple[int, int], **more: Any) -> dict[str, Tensor]:
    height, width = size
    mask = torch.zeros(1, 44, 76, dtype=torch.uint8)
    mask[0, 2:16, 3:22] = 1
    return {
        "boxes": torch.tensor([[2.5, 1.5, 22.5, 16.0]]),
        "labels": torch.tensor([2]),
        "masks": mask,
        "image_id": torch.tensor(image_id),
        "original_size": torch.tensor([height, width]),
        "frame_size": torch.tensor([44, 76]),
        "crop": torch.tensor([0, 0, height, width], dtype=torch.float64),
        "flipped": torch.tensor(False),
        **more,
    }


def empty(image_id: int, size: tuple[int, int]) -> dict[str, Tensor]:
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 44, 76, dtype=torch.uint8),
    }
    return target(image_id, size, **nothing)


@dataclass(frozen=True)
class Batch:
    inputs: Any
    targets: list[dict[str, Tensor]]

    def to(self, device: torch.device) -> Batch:
        return self

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Loader:
    batches: list[Batch]

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, first_batch: int = 0) -> Any:
        return iter(self.batches[first_batch:])


class Oracle(nn.Module):
    """Find what each image's input says, scaled as a detector would."""

    has_masks = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: list[Any], original_sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        return inputs


def seen(boxes: list[list[float]], score: float = 0.9) -> dict[str, Tensor]:
    """Give detections of swifts whose masks fill their boxes."""
    n = len(boxes)
    return {
        "boxes": torch.tensor(boxes).reshape(n, 4),
        "labels": torch.full((n,), 2),
        "scores": torch.linspace(score, score / 2, n) if n else torch.zeros(0),
        "masks": torch.ones(n, 28, 28),
    }


RIGHT = [5.0, 3.0, 45.0, 32.0]
WRONG = [100.0, 60.0, 140.0, 80.0]


def test_a_perfect_detector_scores_one_for_boxes_and_masks() -> None:
    task = Detection(truth([7, 8, 9]), masks=True)
    size = (88, 152)
    first = Batch([seen([RIGHT]), seen([RIGHT, WRONG])], [target(7, size), target(8, size)])
    second = Batch([seen([])], [empty(9, size)])
    result = evaluate(Oracle(), task, Loader([first, second]))
    row = result.row()
    assert task.score == "mask_ap"
    assert row["box_ap"] == pytest.approx(1)
    # torchvision lays a full mask out half a place of 28 short at each side
    assert (row["mask_ap50"], row["mask_ap"]) == pytest.approx((1, 0.8))
    assert len([name for name in row if name.startswith("box_")]) == 8  # no small and no large objects: four of 12
    assert (result.images, result.objects, len(result.found)) == (3, 2, 3)
    assert [one["category_id"] for one in result.found] == [17, 17, 17]
    assert result.found[0]["bbox"] == [5.0, 3.0, 40.0, 29.0]
    assert result.class_rows(CATEGORIES)[1] == {
        "class": "swift",
        "box_ap": pytest.approx(1),
        "mask_ap": pytest.approx(0.8),
    }
    assert math.isnan(result.class_rows(CATEGORIES)[0]["box_ap"])


def test_shares_of_processes_add_up_and_carry_their_own_annotations_only() -> None:
    task = Detection(truth([3, 5, 7, 9]))
    size = (88, 152)
    parts = [
        Batch([seen([RIGHT]), seen([WRONG])], [target(3, size), target(5, size)]),
        Batch([seen([WRONG, RIGHT]), seen([RIGHT])], [target(7, size), empty(9, size)]),
    ]
    whole = evaluate(Oracle(), task, Loader(parts))
    shares = []
    for part in parts:
        metrics = task.new_metrics()
        task.measure(Oracle(), part, metrics)
        shares.append(pickle.loads(pickle.dumps(metrics)))
    first, second = shares
    assert (list(first.truth.images), list(second.truth.images)) == ([3, 5], [7, 9])
    second.merge(first)
    again = second.result()
    assert (again.row(), again.found, again.images) == (whole.row(), whole.found, 4)
    assert 0 < whole.row()["box_ap"] < 1
    with pytest.raises(ValueError, match="image 3 was counted twice; each image counts once"):
        second.merge(first)


def test_masks_are_laid_out_in_the_photo_and_small_ones_are_not_lost() -> None:
    given = seen([[10.0, 20.0, 30.0, 60.0], [4.0, 6.0, 5.0, 7.0], [0.0, 0.0, 53.0, 71.0]])
    found = coco_detections(given, 6, (71, 53), [4, 17], masks=True)
    assert [one["segmentation"]["size"] for one in found] == 3 * [[71, 53]]
    areas = [int(coco_mask.area(one["segmentation"])) for one in found]
    assert areas[0] == pytest.approx(800, rel=0.1)
    assert 1 <= areas[1] <= 9  # torchvision lays out a box of one pixel on all that it touches
    assert areas[2] == pytest.approx(71 * 53, rel=0.05)
    assert [set(one) for one in coco_detections(given, 6, (71, 53), [4, 17], masks=False)] == 3 * [
        {"image_id", "category_id", "bbox", "score"}
    ]


def test_a_photo_of_many_megapixels_costs_one_mask_at_a_time() -> None:
    size = (4003, 5003)
    given = seen([[10.0, 20.0, 4990.0, 3990.0]] * 3)
    for one in coco_detections(given, 1, size, [4, 17], masks=True):
        assert len(one["segmentation"]["counts"]) < 100_000
        assert int(coco_mask.area(one["segmentation"])) == pytest.approx(4980 * 3970, rel=1e-2)


def small_detector(kind: str = "mask_rcnn") -> Detector:
    torch.manual_seed(3)
    return build_detector(kind, frequency_pyramid("resnet18", BANDS, channels=8), 2, box_score_thresh=0.0)


def spectra(n: int) -> PaddedSpectrum:
    values = 30 * torch.randn(n, len(BANDS), 16, 24, generator=torch.Generator().manual_seed(n))
    return PaddedSpectrum(Spectrum.of_coefficients(values, BANDS), ((11, 19),) * n)


def test_a_detector_trains_and_is_scored_by_the_engine(tmp_path: Path) -> None:
    size = (88, 152)
    batch = Batch(spectra(2), [target(7, size), empty(9, size)])
    rows: list[MetricRow] = []
    network = small_detector()
    before = [p.detach().clone() for p in network.parameters() if p.requires_grad]
    result = train(
        network,
        Detection(truth([7, 9]), masks=True),
        Loader([batch, batch]),
        settings=TrainSettings(epochs=1, device="cpu", record_steps=2, tensorboard=False, progress=False),
        optimization=OptimizationSettings(learning_rate=1e-3, average_decay=0.9),
        folder=tmp_path,
        evaluation=Loader([batch]),
        record=rows.extend,
    )
    numbers = {(row.split, row.name): row.value for row in rows}
    losses = {name: value for (split, name), value in numbers.items() if split == "train" and name.startswith("loss_")}
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    assert sum(losses.values()) == pytest.approx(numbers["train", "loss"], rel=1e-5)
    assert result.best_score == numbers["val", "mask_ap"]
    after = [p for p in network.parameters() if p.requires_grad]
    assert all(bool((old != new).any()) for old, new in zip(before, after, strict=True))


def test_a_gates_loss_is_added_and_its_channels_are_counted() -> None:
    network = small_detector("faster_rcnn").train()
    backbone = network.backbone
    assert isinstance(backbone, SpectralBackbone)
    size = (88, 152)
    batch = Batch(spectra(2), [target(7, size), target(8, size)])
    task = Detection(truth([7, 8, 9]), budget=4.0)
    torch.manual_seed(1)
    plain = task.loss(network, batch).item()
    network.pop_metrics()
    backbone.gate = build_gate(BANDS, GateSettings(kind="static", loss="paper", strength=0.5))
    backbone.gate.eval()  # all channels pass, nothing is drawn
    torch.manual_seed(1)
    total = task.loss(network, batch).item()
    assert backbone.choice is not None
    assert total - plain == pytest.approx(backbone.gate.penalty(backbone.choice).item(), rel=1e-3)
    result = evaluate(network, task, Loader([batch]))
    assert result.channels_on == 6
    assert task.score == "budget_score"
    assert result.row()["budget_score"] == pytest.approx(result.row()["box_ap"] - 1)


def test_what_cannot_be_scored_is_refused() -> None:
    size = (88, 152)
    task = Detection(truth([7, 9]))
    metrics = task.new_metrics()
    with pytest.raises(ValueError, match="the 0 images that were counted show no object, so nothing can be scored"):
        metrics.result()
    with pytest.raises(ValueError, match="image 8 is not one of the 2 annotated images"):
        metrics.update(8, [])
    for more in ({"flipped": torch.tensor(True)}, {"crop": torch.tensor([0.0, 1.0, 88.0, 151.0])}):
        part = Batch([seen([])], [target(7, size, **more)])
        with pytest.raises(
            ValueError, match="image 7: the frame is a part of the photo, or mirrored; evaluate on whole"
        ):
            task.measure(Oracle(), part, DetectionMetrics(task.truth, ("box",)))
    with pytest.raises(ValueError, match="masks are scored, and this Detector finds none; take a mask_rcnn"):
        Detection(truth([7, 9]), masks=True).measure(small_detector("faster_rcnn"), Batch([], []), metrics)
