"""Segmenters and detectors as graphs: equal to their networks, and label maps and boxes at the photo's own size."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.small_photos import jpeg
from torch.nn import functional

from prepixel.errors import ModelError, ReadFailure
from prepixel.export import CannotExport, detector_export, export_detector, export_segmenter
from prepixel.jpeg.source import Limits
from prepixel.models.detectors import Detector, build_detector, fold_detector, paste_mask, small_heads
from prepixel.models.pyramid import pixel_pyramid
from prepixel.models.segmenters import Segmenter, fold_segmenter, pixel_segmenter
from prepixel.runtime import (
    DetectedObjects,
    DetectionPredictor,
    Predictor,
    SegmentationPredictor,
    detection_predictor,
    segmentation_predictor,
)
from prepixel.runtime.detection_predictor import own_grid, read_frame
from prepixel.runtime.manifest import GraphInput, Manifest
from prepixel.runtime.segmentation_predictor import _labels_in_photo
from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum, read_spectra
from prepixel.spectrum.boxes import Padding

CLASSES = ("background", "cat", "dog")
GRID = (16, 24)


def small_segmenter() -> Segmenter:
    torch.manual_seed(1)
    return fold_segmenter(pixel_segmenter("fcn", "resnet18", 3).eval(), "S-12", pixels_per_block=4)


def small_detector(kind: str, **options: Any) -> Detector:
    torch.manual_seed(2)
    pyramid = pixel_pyramid("resnet18", channels=16)
    detector = build_detector(kind, pyramid, 3, **small_heads(kind, 16), **options).eval()
    return fold_detector(detector, "S-6").eval()


def _of_kind(detector: Detector, kind: str) -> Detector:
    other = copy.copy(detector)
    other.kind = kind
    return other


@pytest.fixture(scope="module")
def segmenter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "net"
    result = export_segmenter(small_segmenter(), folder, classes=CLASSES, grid=GRID, trained=False)
    assert result.comparison.difference < 1e-5
    return folder


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_label_maps_are_those_of_the_segmenter(segmenter_folder: Path, engine: Any) -> None:
    photo = jpeg(61, 83)
    predictor = SegmentationPredictor.load(segmenter_folder, engine=engine, threads=1)
    assert predictor.manifest.frame == (64, 96)
    found = predictor.predict([photo, b"no photo", photo], on_error="skip", batch_size=2)
    assert (found.kept.tolist(), [one.index for one in found.failures]) == ([0, 2], [1])
    assert [one.shape for one in found.maps] == [(61, 83), (61, 83)]
    # the smallest box of 2 : 3 around 61 x 83, in the middle
    box = torch.tensor([[0.0, -4.0, 61.0, 92.0]], dtype=torch.float64)
    spectra = read_spectra(
        [photo], grid=GRID, bands="S-12", boxes=box.numpy(), padding=Padding((123.675, 116.28, 103.53)), threads=1
    )
    with torch.inference_mode():
        scores = small_segmenter()(spectra.spectrum)["out"].softmax(1)
    rows = 2 * (torch.arange(61) + 0.5) / 61 - 1
    columns = 2 * (torch.arange(83) + 0.5 + 4) / 92 - 1
    places = torch.stack([columns.expand(61, 83), rows[:, None].expand(61, 83)], dim=-1)[None]
    moved = functional.grid_sample(scores, places, padding_mode="border", align_corners=False)
    expected = moved[0].argmax(0).numpy()
    assert (found.maps[0] == expected).mean() > 0.999  # logits that are equal to 1e-6 may rank otherwise
    assert found.maps[0].dtype == np.uint8
    assert found.scores is None
    scored = predictor.predict([photo], with_scores=True)
    assert np.array_equal(scored.maps[0], found.maps[0])
    assert scored.scores is not None
    assert np.allclose(scored.scores[0], moved[0].max(0).values.numpy(), atol=1e-5)
    assert sum(found.shares()[0].values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="batch_size is 0"):
        predictor.predict([photo], batch_size=0)


def test_labels_of_a_photo_are_bilinear_between_the_frames_pixels() -> None:
    scores = np.zeros((2, 1, 4), np.float32)
    scores[0] = [1.0, 1.0, 0.25, 0.25]
    scores[1] = 1 - scores[0]
    assert _labels_in_photo(scores, (1, 4), (0.0, 0.0, 1.0, 4.0)).tolist() == [[0, 0, 1, 1]]
    # scores of 1 and .25 are equal to the other class at two thirds of the way between the middle pixels
    assert _labels_in_photo(scores, (2, 8), (0.0, 0.0, 2.0, 8.0)).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 2
    assert _labels_in_photo(scores, (1, 2), (0.0, -6.0, 1.0, 8.0)).tolist() == [[1, 1]]
    tall = _labels_in_photo(np.repeat(scores, 3, 1), (150, 4), (0.0, 0.0, 150.0, 4.0))
    assert (tall == [0, 0, 1, 1]).all()


def test_photos_are_read_batch_by_batch(segmenter_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = SegmentationPredictor.load(segmenter_folder, threads=1)
    photos = [jpeg(61, 83), b"no photo", jpeg(40, 90), jpeg(90, 40), jpeg(30, 30)]
    expected = [predictor.predict([photo]).maps[0] for photo in photos if photo != b"no photo"]
    events: list[str] = []
    kind = type(predictor.graph)
    read, run = segmentation_predictor.read_arrays, kind.__call__

    def reading(images: Any, **options: Any) -> Any:
        events.append(f"read {len(images)}")
        return read(images, **options)

    def running(graph: Any, values: Any) -> Any:
        events.append(f"run {len(values)}")
        return run(graph, values)

    monkeypatch.setattr(segmentation_predictor, "read_arrays", reading)
    monkeypatch.setattr(kind, "__call__", running)
    found = predictor.predict(photos, batch_size=2, on_error="skip")
    assert events == ["read 1", "run 1", "read 2", "run 2", "read 1", "run 1"]
    assert found.kept.tolist() == [0, 2, 3, 4]
    assert [one.index for one in found.failures] == [1]
    for one, other in zip(found.maps, expected, strict=True):
        assert np.array_equal(one, other)
    events.clear()
    assert len(predictor.predict([b"none", b"no photo"], on_error="skip")) == 0
    assert "run 0" not in events


def test_labels_of_many_classes_need_two_bytes() -> None:
    scores = np.zeros((300, 1, 2), np.float32)
    scores[299, 0, 1] = scores[255, 0, 0] = 1
    assert _labels_in_photo(scores, (1, 2), (0.0, 0.0, 1.0, 2.0)).tolist() == [[255, 299]]
    assert _labels_in_photo(scores[:256], (1, 2), (0.0, 0.0, 1.0, 2.0)).dtype == np.uint8


def test_detectors_read_on_the_threads_that_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_detector(small_detector("faster_rcnn"), tmp_path / "net", classes=CLASSES, grid=GRID)
    used: list[int] = []
    whole = detection_predictor.open_images

    def opened(sources: Any, *, threads: int, **options: Any) -> Any:
        used.append(threads)
        return whole(sources, threads=threads, **options)

    monkeypatch.setattr(detection_predictor, "open_images", opened)
    for threads in (1, 2):
        list(DetectionPredictor.load(tmp_path / "net", threads=threads).predict([jpeg(61, 83)]))
    assert used == [1, 2]


def test_each_task_has_its_own_reader(segmenter_folder: Path, exported: Path) -> None:
    with pytest.raises(ModelError, match=r"a network for segmentation; open it by prepixel.runtime.Segmentation"):
        Predictor.load(segmenter_folder)
    with pytest.raises(ModelError, match=r"a network for segmentation; open it by prepixel.runtime.Segmentation"):
        DetectionPredictor.load(segmenter_folder)
    with pytest.raises(ModelError, match=r"a network for classification; open it by prepixel.runtime.Predictor.load"):
        SegmentationPredictor.load(exported)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", "pose", "'task' is 'pose'"),
        ("task", "classification", "'pixels_per_block' is 4 for classification"),
        ("output", "detections", "'output' is 'detections', which is not what a network for segmentation gives"),
        ("pixels_per_block", 9, "'pixels_per_block' is 9; it is a whole number from 0 to 8"),
        ("pixels_per_block", 0, "'pixels_per_block' is 0 for segmentation"),
        ("masks", True, "'masks' is true for a network that finds no objects"),
        ("masks", 1, "'masks' must be true or false"),
    ],
)
def test_a_manifest_whose_parts_do_not_go_together_is_refused(
    segmenter_folder: Path, key: str, value: Any, message: str, tmp_path: Path
) -> None:
    values = json.loads((segmenter_folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(values | {key: value}))
    with pytest.raises(ModelError, match=message):
        Manifest.read(tmp_path)


def test_a_graph_of_another_frame_is_refused(segmenter_folder: Path, tmp_path: Path) -> None:
    for path in segmenter_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(values | {"pixels_per_block": 8}))
    with pytest.raises(
        ModelError, match="gives n x 3 x 64 x 96, and the manifest says 3 classes and n x 3 x 128 x 192"
    ):
        SegmentationPredictor.load(tmp_path)


def test_segmenters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2 class names, and it gives 3 logits for each pixel"):
        export_segmenter(small_segmenter(), tmp_path / "net", classes=CLASSES[:2], grid=GRID)
    with pytest.raises(ModelError, match="takes RGB pixels, and what is exported takes coefficients; fold it first"):
        export_segmenter(pixel_segmenter("fcn", "resnet18", 3), tmp_path / "net", classes=CLASSES, grid=GRID)
    for grid, message in (((0, 0), "a grid has 1 x 1 to"), ((16, 10**6), "a grid has 1 x 1 to")):
        with pytest.raises(ValueError, match=message):
            export_segmenter(small_segmenter(), tmp_path / "net", classes=CLASSES, grid=grid)
    names = tuple(map(str, range(2**16 + 1)))
    with pytest.raises(ModelError, match="has 65537 classes; 1 to 65,536 can be exported"):
        export_segmenter(small_segmenter(), tmp_path / "net", classes=names, grid=GRID)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["faster_rcnn", "mask_rcnn"])
def test_objects_are_those_of_the_detector(kind: str, tmp_path: Path) -> None:
    detector = small_detector(kind)
    result, comparison = export_detector(detector, tmp_path / "net", classes=CLASSES, grid=GRID, trained=False)
    assert comparison.num_objects > 0
    assert comparison.box_difference < 1e-3
    assert comparison.score_difference < 1e-5
    assert result.manifest.masks == (kind == "mask_rcnn")
    photo = jpeg(96, 60)
    predictor = DetectionPredictor.load(tmp_path / "net", threads=1)
    found, failure = predictor.predict([photo, b"no photo"], min_score=0.0, on_error="skip")
    assert isinstance(failure, ReadFailure)
    assert (failure.index, failure.kind) == (1, "UnreadableImage")
    assert isinstance(found, DetectedObjects)
    assert found.size == (96, 60)
    values = read_frame(result.manifest.input, photo, Limits())
    assert np.abs(values[:, :, :, 10:]).max() == 0 < np.abs(values[:, :, :, :10]).max()  # 16 x 10 of 16 x 24 blocks
    spectrum = Spectrum(torch.from_numpy(values), BandSet.parse("S-6"), detector.backbone.input.shift, torch.ones(6))
    with torch.inference_mode():
        (expected,) = detector(PaddedSpectrum(spectrum, (GRID,)))
    boxes = np.clip(expected["boxes"].numpy() * [60 / 40, 96 / 64, 60 / 40, 96 / 64], 0, [60, 96, 60, 96])
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    assert inside.any()
    assert len(found) == inside.sum()
    assert found.boxes == pytest.approx(boxes[inside], abs=1e-2)
    assert found.scores == pytest.approx(expected["scores"].numpy()[inside], abs=1e-5)
    assert found.labels == tuple(CLASSES[label - 1] for label in expected["labels"][inside].tolist())
    if kind == "mask_rcnn":
        assert found.mask(0).shape == (96, 60)
    else:
        with pytest.raises(ValueError, match="gives no masks"):
            found.mask(0)
    assert not len(next(predictor.predict([photo], min_score=1.1)))  # type: ignore[arg-type]


@pytest.mark.parametrize("output", [0, 2])
def test_a_detectors_graph_that_gives_nan_is_refused(
    output: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_graph = detector_export.open_graph

    class _Broken:
        name = "broken"

        def __init__(self, *given: Any) -> None:
            self.inner = open_graph(*given)

        def all_outputs(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            found = list(self.inner.all_outputs(values))
            found[output] = np.full_like(found[output], np.nan)
            return found

    monkeypatch.setattr(detector_export, "open_graph", _Broken)
    with pytest.raises(ModelError, match="differ from the network's by"):
        export_detector(small_detector("faster_rcnn"), tmp_path / "net", classes=CLASSES, grid=GRID)
    assert not list(tmp_path.iterdir())


def test_a_detector_that_cannot_be_traced_is_told_what_to_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(CannotExport, match=r"no such operator\); try another --opset$"):
        export_detector(small_detector("faster_rcnn"), tmp_path / "net", classes=CLASSES, grid=GRID)


def test_masks_are_laid_out_as_torchvision_does() -> None:
    places = np.mgrid[:28, :28]
    mask = (np.hypot(places[0] - 13.5, places[1] - 11) < 9).astype(np.float32) * 0.9 + 0.05
    box = np.array([[7.3, 20.9, 70.2, 121.4]], np.float32)
    found = DetectedObjects("x", (150, 90), box, ("cat",), np.ones(1, np.float32), mask[None])
    expected = paste_mask(torch.from_numpy(mask), torch.from_numpy(box[0]), (150, 90)).numpy()
    ours = found.mask(0)
    assert (ours & expected).sum() / (ours | expected).sum() > 0.97


@pytest.mark.parametrize(
    ("size", "grid"), [((300, 200), (16, 11)), ((200, 300), (16, 24)), ((10, 4000), (1, 24)), ((4000, 10), (16, 1))]
)
def test_a_photo_fills_as_much_of_its_frame_as_fits(size: tuple[int, int], grid: tuple[int, int]) -> None:
    given = GraphInput(BandSet.parse("S-6"), GRID, "float32", (0.0,) * 6, (1.0,) * 6, 1.0, "bilinear")
    assert own_grid(given, size) == grid


def test_detectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    detector = small_detector("faster_rcnn", box_score_thresh=0.99)
    cases = [
        ({"grid": (16, 20)}, "a grid of 16 x 20 blocks; both sides must be multiples of 8"),
        ({"classes": ("cat",)}, "1 class names, and it finds objects of 3"),
        ({}, "it finds no object in 3 images, so there is nothing to compare; give photos that show some"),
        ({"tolerance": -1.0}, "differ from the network's"),
        ({"photos": [jpeg(30, 40)]}, "it finds no object in 1 images"),
    ]
    for options, message in cases:
        settings: dict[str, Any] = {"classes": CLASSES, "grid": GRID, **options}
        with pytest.raises(ModelError, match=message):
            export_detector(detector, tmp_path / "net", **settings)
    pixels = build_detector("faster_rcnn", pixel_pyramid("resnet18", channels=16), 3)
    with pytest.raises(ModelError, match=r"takes RGB pixels; fold it first: prepixel\.models\.fold_detector"):
        export_detector(pixels, tmp_path / "net", classes=CLASSES, grid=GRID)
    with pytest.raises(ModelError, match="fcos is not exported; faster_rcnn and mask_rcnn are"):
        export_detector(_of_kind(detector, "fcos"), tmp_path / "net", classes=CLASSES, grid=GRID)
    assert not list(tmp_path.iterdir())
