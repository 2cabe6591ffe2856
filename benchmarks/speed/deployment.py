"""Time photos from the bytes of a JPEG to the names of classes, by coefficients and by pixels.

EfficientNet-Lite0 with its weights, folded over S-24, against the RGB network in ONNX Runtime, exported with its
normalization in the graph; photos of imagenet_samples, center crop, resized with antialiasing, in memory. Baselines
decode by Pillow, or by simplejpeg (fast inverse DCT) with OpenCV's area resize; torch eager runs the folded network
as `predict` of a folded file does. Batches of 1 and 16; one and two threads, for reading and computing alike. Every
round runs all subjects on all photos; p50 and p99 are of single batches over all rounds.

    python -m benchmarks.speed.deployment -n 5 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from benchmarks.harness import arguments, peer, photos
from PIL import Image
from torch import Tensor, nn

from prepixel.export import export_classifier, export_quantized
from prepixel.files import image_files
from prepixel.models import pixel_model
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import FoldedClassifier, fold_pixel_model
from prepixel.runtime import Predictor
from prepixel.spectrum.boxes import PUBLISHED_CENTER_FRACTION
from prepixel.transforms.crop_draws import center_box

NETWORK, SIDE = "efficientnet_lite0", 224
QUESTION = "deployment"
Answer = Callable[[Sequence[bytes]], Any]


def main() -> None:
    """Time every pipeline in every setting."""
    options = arguments(__doc__)
    files = sorted(image_files(photos() / "imagenet_samples"))[: 8 if options.n == 1 else options.files]
    contents = [Path(file).read_bytes() for file in files]
    classifier = fold_pixel_model(NETWORK)
    rows: list[ScoreRow] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        export_classifier(classifier, place / "float32")
        export_classifier(classifier, place / "int8_values", encoding="int8")
        if options.n > 1:
            export_quantized(classifier, place / "quantized", photos() / "imagenet_val227", max_photos=100)
        (place / "rgb.onnx").write_bytes(rgb_graph())
        for threads in (1, 2):
            torch.set_num_threads(threads)
            subjects = pipelines(classifier, place, threads)
            for batch in (1, 16):
                rows += measure(subjects, contents, batch, threads, options.n)
    if options.output:
        append_records(options.output, rows)


def measure(
    subjects: dict[str, Answer], contents: list[bytes], batch: int, threads: int, rounds: int
) -> list[ScoreRow]:
    """Run all subjects in turn, round by round; return a row for each."""
    case = f"{NETWORK}, batch {batch}, {threads} thread{'s' * (threads > 1)}, {len(contents)} photos"
    parts = [contents[start : start + batch] for start in range(0, len(contents), batch)]
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    single: dict[str, list[float]] = {name: [] for name in subjects}
    for counted in range(-1, rounds):
        for name, answer in subjects.items():
            seconds = []
            for part in parts:
                started = time.perf_counter()
                answer(part)
                seconds.append(time.perf_counter() - started)
            if counted >= 0:
                rates[name].append(len(contents) / sum(seconds))
                single[name] += seconds
    print(f"\n{case}, {rounds} rounds")
    rows: list[ScoreRow] = []
    for name in subjects:
        latencies = np.array(single[name]) * 1000
        scores = {
            "images/s": statistics.median(rates[name]),
            "images/s, lowest": min(rates[name]),
            "images/s, highest": max(rates[name]),
            "p50 ms": float(np.percentile(latencies, 50)),
            "p99 ms": float(np.percentile(latencies, 99)),
        }
        print(f"  {name:46s} " + ", ".join(f"{key} {value:.1f}" for key, value in scores.items()), flush=True)
        rows.append(ScoreRow(QUESTION, case, name, rounds, scores, describe_environment()))
    return rows


def pipelines(classifier: FoldedClassifier, place: Path, threads: int) -> dict[str, Answer]:
    """Return what answers photos, by name."""

    def runtime(name: str, **options: Any) -> Answer:
        predictor = Predictor.load(place / name, threads=threads, **options)
        return lambda part: predictor.predict(part, batch_size=len(part)).labels

    session = onnxruntime.InferenceSession(
        str(place / "rgb.onnx"), one_session(threads), providers=["CPUExecutionProvider"]
    )
    pool = ThreadPoolExecutor(threads)

    def rgb(decode: Callable[[bytes], Any]) -> Answer:
        def answer(part: Sequence[bytes]) -> Any:
            decoded = [decode(one) for one in part] if threads == 1 or len(part) == 1 else list(pool.map(decode, part))
            return session.run(None, {"pixels": np.stack(decoded)})[0].argmax(1)

        return answer

    subjects = {
        "prepixel, float32": runtime("float32"),
        "prepixel, int8 values": runtime("int8_values"),
        "prepixel, float32, OpenVINO": runtime("float32", engine="openvino"),
        "Pillow + ONNX Runtime": rgb(by_pillow),
        "prepixel, torch eager": lambda part: list(classifier.predict(part, batch_size=len(part), threads=threads)),
    }
    if (place / "quantized").exists():
        subjects["prepixel, quantized to int8"] = runtime("quantized")
    simplejpeg, cv2 = peer("simplejpeg"), peer("cv2")
    if simplejpeg and cv2:
        cv2.setNumThreads(1)
        subjects["simplejpeg + OpenCV + ONNX Runtime"] = rgb(by_simplejpeg(simplejpeg, cv2))
    return subjects


def one_session(threads: int) -> Any:
    """Return ONNX Runtime's options for a number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


def by_pillow(contents: bytes) -> Any:
    """Decode, crop and resize by Pillow; the draft mode of its JPEG decoder is left out, as it changes the picture."""
    with Image.open(io.BytesIO(contents)) as picture:
        box = center_box(picture.height, picture.width, PUBLISHED_CENTER_FRACTION)
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        part = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=edges)
    return np.asarray(part).transpose(2, 0, 1)


def by_simplejpeg(simplejpeg: Any, cv2: Any) -> Callable[[bytes], Any]:
    """Return a function that decodes by simplejpeg, and crops and resizes by OpenCV."""

    def decode(contents: bytes) -> Any:
        pixels = simplejpeg.decode_jpeg(contents, fastdct=True, fastupsample=True)
        box = center_box(*pixels.shape[:2], PUBLISHED_CENTER_FRACTION)
        top, left = int(box.top), int(box.left)
        part = pixels[top : top + int(box.height), left : left + int(box.width)]
        return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)

    return decode


class _FromBytes(nn.Module):
    """The RGB network behind its normalization, on bytes."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255)
        self.register_buffer("factor", 1 / (torch.tensor(std)[:, None, None] * 255))

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network((pixels.float() - self.mean) * self.factor)
        return logits


def rgb_graph() -> bytes:
    """Export the RGB network to ONNX, for batches of any size."""
    model = pixel_model(NETWORK)
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            _FromBytes(model.network, model.mean, model.std).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            opset_version=18,
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}},
        )
    contents: bytes = program.model_proto.SerializeToString()
    return contents


if __name__ == "__main__":
    main()
