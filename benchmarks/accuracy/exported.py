"""Compare exported networks with the torch networks that they come from, on photos of ImageNet's training set.

EfficientNet-Lite0 with its weights, MobileNetV2 and SqueezeNet 1.1 with those of PREPIXEL_DATA, folded over S-24: as
ONNX in float32, with int8 values, in OpenVINO, and quantized to int8. Quantized graphs are calibrated on the photos of
imagenet_val227, and scored on others. The time is the CPU's for one photo at a
time on one thread, from the file's bytes to the answer. With ``-n 1`` only EfficientNet-Lite0 on 8 photos, in float32.

    python -m benchmarks.accuracy.exported -n 2 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import arguments, photos

from prepixel.export import export_classifier, export_quantized
from prepixel.export.classifier_graph import Exportable
from prepixel.files import image_files
from prepixel.jpeg.source import Limits
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import FoldedClassifier, fold_pixel_model
from prepixel.runtime import Predictor
from prepixel.runtime.predictor import read_input

QUESTION = "exported networks"
CALIBRATION = 200


def main() -> None:
    """Export each network in each way, and compare."""
    options = arguments(__doc__)
    data, short = photos(), options.n == 1
    paths = sorted(image_files(data / "imagenet_samples"))[: 8 if short else options.files]
    labels = true_labels(data, paths)
    environment = describe_environment()
    for name, classifier in list(networks(data))[: 1 if short else None]:
        expected = torch_probabilities(classifier, paths)
        case = f"{name}, folded, S-24, {len(paths)} photos"
        with tempfile.TemporaryDirectory() as folder:
            for subject, predictor, facts in exports(classifier, Path(folder), data, short=short):
                found = predictor.predict(paths).all_probabilities
                scores = {**agreement(expected, found, labels), "cpu_ms": cpu_milliseconds(predictor, paths), **facts}
                print(
                    f"{case}; {subject}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()),
                    flush=True,
                )
                if options.output:
                    row = ScoreRow(QUESTION, case, subject, len(paths), scores, environment)
                    append_records(options.output, [row])


def networks(data: Path) -> Iterator[tuple[str, FoldedClassifier]]:
    """Yield networks with weights, folded."""
    yield "efficientnet_lite0", fold_pixel_model("efficientnet_lite0")
    yield "squeezenet1_1", fold_pixel_model("squeezenet1_1", weights=data / "weights" / "squeezenet1_1_tvkeys.pt")
    weights = data / "weights" / "mobilenet_v2_tf2ptq_tvkeys_fp16.pt"
    middle = (0.5, 0.5, 0.5)
    yield "mobilenet_v2", fold_pixel_model("mobilenet_v2", weights=weights, mean=middle, std=middle)


def exports(
    classifier: FoldedClassifier, folder: Path, data: Path, *, short: bool
) -> Iterator[tuple[str, Predictor, Mapping[str, float]]]:
    """Yield each way to export, opened, with what else is known of it."""
    plain = export_classifier(classifier, folder / "float32")
    facts = {"megabytes": plain.size_bytes / 1e6}
    yield "ONNX Runtime, float32", Predictor.load(plain.folder, threads=1), facts
    if short:
        return
    yield "OpenVINO, float32", Predictor.load(plain.folder, engine="openvino", threads=1), facts
    coded = export_classifier(classifier, folder / "int8_values", encoding="int8")
    yield "ONNX Runtime, int8 values", Predictor.load(coded.folder, threads=1), {"megabytes": coded.size_bytes / 1e6}
    calibration = data / "imagenet_val227"
    small, _ = export_quantized(classifier, folder / "int8", calibration, max_photos=CALIBRATION)
    facts = {"megabytes": small.size_bytes / 1e6}
    yield "ONNX Runtime, quantized to int8", Predictor.load(small.folder, threads=1), facts


def cpu_milliseconds(predictor: Predictor, paths: list[str]) -> float:
    """Return the median CPU time of a photo by itself, from the bytes of its file to the answer."""
    contents = [Path(path).read_bytes() for path in paths]
    predictor.predict(contents[:2])
    spent = []
    for one in contents:
        started = time.process_time()
        predictor.predict([one])
        spent.append(time.process_time() - started)
    return 1000 * float(np.median(spent))


def torch_probabilities(classifier: FoldedClassifier, paths: list[str]) -> Any:
    """Return the torch network's probabilities of all classes."""
    exportable = Exportable.of(classifier)
    parts = []
    for start in range(0, len(paths), 32):
        values, _ = read_input(
            exportable.input, paths[start : start + 32], threads=0, limits=Limits(), on_error="raise"
        )
        parts.append(exportable.logits(torch.from_numpy(values)).double().softmax(1).numpy())
    return np.concatenate(parts)


def agreement(expected: Any, found: Any, labels: list[int]) -> dict[str, float]:
    """Compare probabilities of the same photos."""
    return {
        "same_top1": float((expected.argmax(1) == found.argmax(1)).mean()),
        "largest_probability_difference": float(np.abs(expected - found).max()),
        "top1_torch": float((expected.argmax(1) == labels).mean()),
        "top1": float((found.argmax(1) == labels).mean()),
    }


def true_labels(data: Path, paths: list[str]) -> list[int]:
    """Return the class index of each photo, from the WordNet id that its name begins with."""
    lines = (data / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    synsets = [line.split()[0] for line in lines]
    index: Callable[[str], int] = synsets.index
    return [index(Path(path).name.partition("_")[0]) for path in paths]


if __name__ == "__main__":
    main()
