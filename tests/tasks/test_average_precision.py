"""COCO's figures: by hand, and against the two packages that compute them, through their own files."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import faster_coco_eval
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from prepixel.errors import MissingDependency
from prepixel.tasks.average_precision import (
    FIGURES,
    GroundTruth,
    Kind,
    encode_mask,
    score_detections,
    write_detections,
)

SIDES = (211, 307)
CATEGORIES = [{"id": 2, "name": "crane"}, {"id": 5, "name": "heron"}, {"id": 90, "name": "stork"}]


def document(objects: list[dict[str, Any]], images: int = 1) -> dict[str, Any]:
    """Give COCO's document of images 10, 11, ... with the objects' missing fields filled in."""
    annotations = [
        {"id": number, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3], **one}
        for number, one in enumerate(objects, start=1)
    ]
    listed = [{"id": 10 + index, "height": SIDES[0], "width": SIDES[1]} for index in range(images)]
    return {"images": listed, "categories": CATEGORIES, "annotations": annotations}


def an_object(box: list[float], image: int = 10, category: int = 5, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, **more}


def scored(objects: list[dict[str, Any]], found: list[dict[str, Any]], images: int = 1) -> dict[str, float]:
    return dict(score_detections(GroundTruth.of(document(objects, images)), found, "box").figures)


def test_what_is_found_exactly_scores_one_and_what_is_missed_costs_its_share() -> None:
    first, second = an_object([10.0, 20.0, 50.0, 60.0]), an_object([100.0, 20.0, 120.0, 150.0])
    figures = scored([first, second], [{**first, "score": 0.9}])
    # recall is 1/2 with precision 1: of the 101 recall levels 0, .01, ... those up to .5 count
    assert figures["ap"] == pytest.approx(51 / 101)
    assert (figures["ar100"], figures["ap_medium"], figures["ap_large"]) == pytest.approx((0.5, 1.0, 0.0))
    assert math.isnan(figures["ap_small"])
    assert scored([first], [{**first, "score": 0.1}])["ap"] == pytest.approx(1)


def test_a_crowd_neither_rewards_nor_punishes() -> None:
    one, crowd = an_object([10.0, 20.0, 50.0, 60.0]), an_object([100.0, 20.0, 120.0, 150.0], iscrowd=1)
    inside = [{**an_object([110.0, 30.0 + step, 20.0, 20.0]), "score": 0.95} for step in range(3)]
    assert scored([one, crowd], [{**one, "score": 0.5}, *inside])["ap"] == pytest.approx(1)
    assert scored([one], [{**one, "score": 0.5}, *inside])["ap"] == pytest.approx(0.25)


def test_nothing_found_scores_zero_and_a_box_of_one_pixel_can_be_found() -> None:
    tiny = an_object([7.0, 3.0, 1.0, 1.0])
    assert scored([tiny], [])["ap"] == 0.0
    assert scored([tiny], [{**tiny, "score": 0.2}], images=3)["ap_small"] == pytest.approx(1)
    scores = score_detections(GroundTruth.of(document([tiny])), [{**tiny, "score": 0.2}], "box")
    assert scores.class_ap[5] == pytest.approx(1)
    assert math.isnan(scores.class_ap[2])


def random_set(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw images with objects of all sizes, crowds and none, and detections near and far, some of equal score."""
    rng = np.random.default_rng(seed)
    objects: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(7):
        objects += [drawn_object(rng, 10 + image) for _ in range(0 if image == 2 else int(rng.integers(1, 14)))]
        near = [one for one in objects if one["image_id"] == 10 + image and rng.random() < 0.8 and image != 4]
        for one in near:
            x, y, w, h = one["bbox"]
            shifts = rng.normal(0, 0.07, 4) * [w, h, w, h]
            x, y, w, h = (np.array([x, y, w, h]) + shifts).tolist()
            found.append(with_mask(rng, an_object([x, y, w, h], 10 + image, one["category_id"]), iscrowd=0))
        for one in found[len(found) - len(near) :]:
            one["score"] = round(rng.uniform(0.3, 1), 2)  # some are equal
        for _ in range(130 if image == 5 else int(rng.integers(0, 9))):
            far = drawn_object(rng, 10 + image)
            found.append({**far, "score": round(rng.uniform(0, 0.7), 2)})
    kept = ("image_id", "category_id", "bbox", "segmentation", "score")
    return document(objects, 7), [{name: one[name] for name in kept} for one in found]


def drawn_object(rng: np.random.Generator, image: int) -> dict[str, Any]:
    w, h = (2.0 ** rng.uniform(2, 7.5) * rng.uniform(0.8, 1.1, 2)).tolist()
    x, y = rng.uniform(0, SIDES[1] - w - 1), rng.uniform(0, SIDES[0] - h - 1)
    one = an_object([x, y, w, h], image, int(rng.choice([2, 5, 90])))
    return with_mask(rng, one, iscrowd=int(rng.random() < 0.15))


def with_mask(rng: np.random.Generator, one: dict[str, Any], iscrowd: int) -> dict[str, Any]:
    x, y, w, h = one["bbox"]
    mask = np.zeros(SIDES, dtype=bool)
    mask[max(0, int(y)) : int(y + h) + 1, max(0, int(x)) : int(x + rng.uniform(0.8, 1) * w) + 1] = True
    return {**one, "segmentation": encode_mask(mask), "area": float(mask.sum()), "iscrowd": iscrowd}


def loaded(coco: Any, path: Path, contents: Any) -> Any:
    path.write_text(json.dumps(contents))
    return coco(str(path))


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("package", ["pycocotools", "faster_coco_eval"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_figures_are_those_of_both_packages(tmp_path: Path, seed: int, package: str, kind: Kind) -> None:
    truth, found = random_set(seed)
    scores = score_detections(GroundTruth.of(truth), found, kind)
    write_detections(tmp_path / "found.json", found, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        coco, evaluation = (
            (COCO, COCOeval) if package == "pycocotools" else (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)
        )
        expected = loaded(coco, tmp_path / "truth.json", truth)
        scorer = evaluation(
            expected, expected.loadRes(str(tmp_path / "found.json")), {"box": "bbox", "mask": "segm"}[kind]
        )
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    ours = [scores.figures[name] for name in FIGURES]
    np.testing.assert_allclose(ours, np.array(scorer.stats[:12], dtype=float), rtol=0, atol=1e-6)
    assert 0.05 < scores.figures["ap"] < 0.95
    assert len({round(value, 4) for value in ours}) >= 10


def test_polygons_and_run_lengths_are_read_alike_and_nothing_is_changed() -> None:
    square = [10.0, 20.0, 30.0, 20.0, 30.0, 40.0, 10.0, 40.0]
    mask = np.zeros(SIDES, dtype=bool)
    mask[20:40, 10:30] = True
    one = an_object([10.0, 20.0, 20.0, 20.0], segmentation=[square])
    found = [{**one, "segmentation": encode_mask(mask), "score": 0.7}]
    truth = document([one])
    before = json.dumps([truth, found])
    assert score_detections(GroundTruth.of(truth), found, "mask").figures["ap"] == pytest.approx(1)
    assert json.dumps([truth, found]) == before


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools, by numpy
def test_a_mask_comes_back_from_its_code() -> None:
    mask = np.random.default_rng(3).random((13, 17)) < 0.4
    code = encode_mask(mask)
    assert code["size"] == [13, 17]
    assert np.array_equal(coco_mask.decode(json.loads(json.dumps(code))), mask)


def test_a_file_of_results_holds_one_kind(tmp_path: Path) -> None:
    _, found = random_set(3)
    write_detections(tmp_path / "boxes.json", found, "box")
    write_detections(tmp_path / "masks.json", found, "mask")
    boxes, masks = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("boxes", "masks"))
    assert set(boxes[0]) == {"image_id", "category_id", "bbox", "score"}
    assert set(masks[0]) == {"image_id", "category_id", "segmentation", "score"}
    assert len(boxes) == len(masks) == len(found)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_masks_that_are_not_there_are_named() -> None:
    one = an_object([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="annotation 1 of image 10 has no mask; score boxes, or give every object one"):
        score_detections(GroundTruth.of(document([one])), [], "mask")
    whole = {**one, "segmentation": [[1.0, 2.0, 4.0, 2.0, 4.0, 6.0]]}
    with pytest.raises(ValueError, match="a detection of image 10 has no mask"):
        score_detections(GroundTruth.of(document([whole])), [{**one, "score": 1.0}], "mask")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(
        MissingDependency, match=r"needs the package faster-coco-eval; install it: pip install 'prepixel"
    ):
        score_detections(GroundTruth.of(document([])), [], "box")
