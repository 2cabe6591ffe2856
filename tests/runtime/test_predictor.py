"""An exported network answers as the network that it was exported from, and its folder is checked before it is used."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from tests.exported_network import CLASSES, small_classifier
from tests.jpeg.forged_index import with_raised_rows
from tests.jpeg.small_files import pixels
from tests.small_photos import Captured, jpeg, write_folder

from prepixel.cli import main
from prepixel.errors import ModelError, PrepixelError, TruncatedJpeg
from prepixel.jpeg import embed_index, embedded_index, read_jpeg
from prepixel.optional import _EXTRAS
from prepixel.runtime import Predictions, Predictor, is_exported
from prepixel.runtime.manifest import FileSum
from prepixel.runtime.predictor import softmax
from prepixel.spectrum import BandSet


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    folder = write_folder(tmp_path / "photos", {"wide/d.png": b"", "wide/e.jpg": jpeg(48, 200)})
    (folder / "wide" / "d.png").unlink()
    return sorted(str(path) for path in folder.rglob("*.*"))


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """Copy an exported network, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "net"))


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def test_a_forged_index_inside_a_photo_changes_no_answer(exported: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(181, 96)).save(buffer, "jpeg", subsampling=0)
    held = embed_index(buffer.getvalue(), every=0)
    index = embedded_index(held)
    assert index is not None
    forged = held.replace(index.data, with_raised_rows(index.data, by=50))
    region = (90, 0, 8, 96)
    dark, bright = (read_jpeg(file, region=region).components[0].quantized[0, 0, 0, 0] for file in (held, forged))
    assert bright == dark + 50  # who reads crops by it sees another picture
    classifier, predictor = small_classifier(), Predictor.load(exported, threads=1)
    ours, theirs = classifier.predict([held, forged])
    assert ours.probabilities == theirs.probabilities  # type: ignore[union-attr]
    assert np.array_equal(predictor.read([held])[0], predictor.read([forged])[0])


@pytest.mark.parametrize(("engine", "batch_size"), [("onnxruntime", 1), ("onnxruntime", 3), ("openvino", 32)])
def test_answers_are_those_of_the_network(engine: Any, batch_size: int, exported: Path, photos: list[str]) -> None:
    expected = list(small_classifier().predict(photos, top=3))
    predictor = Predictor.load(exported, engine=engine, threads=1)
    found = predictor.predict(photos, batch_size=batch_size)
    assert isinstance(found, Predictions)
    assert len(found) == len(photos) == 4
    assert found.all_probabilities.sum(1) == pytest.approx([1.0] * 4, abs=1e-6)
    assert found.labels == tuple(one.classes[0] for one in expected)  # type: ignore[union-attr]
    for one, pairs, probability in zip(expected, found.top(3), found.probabilities, strict=True):
        assert tuple(name for name, _ in pairs) == one.classes  # type: ignore[union-attr]
        assert [share for _, share in pairs] == pytest.approx(one.probabilities, abs=1e-5)  # type: ignore[union-attr]
        assert probability == pairs[0][1]
    each = list(predictor.predict_each(photos, top=2, batch_size=batch_size))
    assert [one.source for one in each] == photos
    assert [len(one.classes) for one in each] == [2] * 4  # type: ignore[union-attr]


def test_bytes_paths_and_open_files_give_the_same(exported: Path, photos: list[str]) -> None:
    predictor = Predictor.load(exported)
    contents = Path(photos[0]).read_bytes()
    found = predictor.predict([photos[0], Path(photos[0]), contents, io.BytesIO(contents), memoryview(contents)])
    assert (found.all_probabilities == found.all_probabilities[0]).all()
    assert len(predictor.predict([])) == 0


def test_what_cannot_be_read_is_raised_or_listed(exported: Path, photos: list[str], tmp_path: Path) -> None:
    predictor = Predictor.load(exported)
    broken = Path(photos[0]).read_bytes()[:-200]
    sources: list[Any] = [photos[0], broken, "missing.jpg", photos[1], broken, b"no photo"]
    with pytest.raises(TruncatedJpeg, match="source 1"):
        predictor.predict(sources[:2])
    with pytest.raises(FileNotFoundError):
        predictor.predict(sources[2:])
    for batch_size in (2, 3, 32):
        sources[4] = io.BytesIO(broken)  # which can be read once
        found = predictor.predict(sources, batch_size=batch_size, on_error="skip")
        assert found.kept.tolist() == [0, 3]
        assert [(one.index, one.kind) for one in found.failures] == [
            *((1, "TruncatedJpeg"), (2, "FileNotFoundError"), (4, "TruncatedJpeg"), (5, "UnreadableImage"))
        ]
        assert np.array_equal(found.all_probabilities, predictor.predict([photos[0], photos[1]]).all_probabilities)
    assert [type(one).__name__ for one in predictor.predict_each(sources[:3])] == [
        *("Prediction", "ReadFailure", "ReadFailure")
    ]
    with pytest.raises(TypeError, match="give a list of sources"):
        predictor.predict(photos[0])
    with pytest.raises(ValueError, match="batch_size is 0"):
        predictor.predict(photos, batch_size=0)


def test_softmax_of_large_logits_does_not_overflow() -> None:
    shares = softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]], np.float32))
    assert shares.tolist() == [[1.0, 0.0], [0.5, 0.5]]


# -- a folder that is not what was written -----------------------------------------------------------------------------


def refused(folder: Path, message: str, **options: Any) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        Predictor.load(folder, **options)
    assert str(folder) in str(raised.value)


def test_a_folder_without_a_network_is_refused(tmp_path: Path, exported: Path) -> None:
    refused(tmp_path, r"holds no exported network \(manifest.json is missing\); write one by: prepixel export")
    assert is_exported(exported)
    assert not is_exported(tmp_path)


def test_an_altered_graph_is_refused(folder: Path) -> None:
    contents = bytearray((folder / "model.onnx").read_bytes())
    contents[len(contents) // 2] ^= 1
    (folder / "model.onnx").write_bytes(contents)
    refused(folder, r"model.onnx: is not the file that was exported: .* export the network again")
    (folder / "model.onnx").write_bytes(contents[:-1])
    refused(folder, "model.onnx: is not the file that was exported")
    (folder / "model.onnx").unlink()
    refused(folder, "model.onnx: is missing, and manifest.json names it; copy the folder as a whole")


def test_missing_labels_are_refused(folder: Path) -> None:
    (folder / "labels.json").unlink()
    refused(folder, "labels.json: is missing")
    change(folder, lambda values: values["files"].pop("labels.json"))
    refused(folder, "names no labels.json, the class names")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('["cat"]', "labels.json: has 1 class names, and the network 3 classes"),
        ('{"cat": 1}', "labels.json: is no list of texts"),
        ("[1, 2, 3]", "labels.json: is no list of texts"),
        ("[", "labels.json: "),
    ],
)
def test_wrong_labels_are_refused(folder: Path, labels: str, message: str) -> None:
    (folder / "labels.json").write_text(labels)
    change(folder, lambda values: values["files"].update({"labels.json": vars(FileSum.of(labels.encode()))}))
    refused(folder, message)


def replace_graph(folder: Path, edit: Callable[[Any], object]) -> None:
    """Change the graph, and its checksum with it."""
    model = onnx.load(folder / "model.onnx")
    edit(model)
    contents = model.SerializeToString()
    (folder / "model.onnx").write_bytes(contents)
    change(folder, lambda values: values["files"].update({"model.onnx": vars(FileSum.of(contents))}))


def test_a_graph_of_another_opset_is_refused(folder: Path) -> None:
    replace_graph(folder, lambda model: setattr(model.opset_import[0], "version", 99))
    change(folder, lambda values: values["graph"].update(opset=99))
    refused(folder, r"model.onnx, ONNX opset 99: onnxruntime [0-9.]+ does not load it .*install a newer onnxruntime")


def test_a_graph_of_another_network_is_refused(folder: Path) -> None:
    graph = json.loads((folder / "manifest.json").read_text())

    def set_bands(values: dict[str, Any]) -> None:
        values["input"].update(
            bands={"name": "S-12", "channels": list(BandSet.parse("S-12").channels)}, shift=[0.0] * 12, unit=[1.0] * 12
        )

    change(folder, set_bands)
    refused(
        folder, "takes values of tensor.float. n x 6 x 10 x 14, and the manifest says values of tensor.float. n x 1"
    )
    (folder / "manifest.json").write_text(json.dumps(graph))
    change(folder, lambda values: values["input"].update(dtype="int8"))
    refused(folder, r"takes values of tensor\(float\) n x 6 x 10 x 14, and the manifest says values of tensor\(int8\)")
    (folder / "manifest.json").write_text(json.dumps(graph))
    change(folder, lambda values: values["input"].update(grid=[14, 10]))
    refused(folder, "takes values")
    refused(folder, "takes values of f32 n x 6 x 10 x 14", engine="openvino")
    (folder / "manifest.json").write_text(json.dumps(graph))
    labels = json.dumps(["a", "b", "c", "d"])
    (folder / "labels.json").write_text(labels)
    change(folder, lambda values: values["files"].update({"labels.json": vars(FileSum.of(labels.encode()))}))
    change(folder, lambda values: values.update(num_classes=4))
    refused(folder, "gives n x 3, and the manifest says 4 classes")


def test_a_folder_of_a_newer_version_is_refused(folder: Path) -> None:
    change(folder, lambda values: values.update(version=2, sparsity="whatever comes next"))
    refused(folder, r"written by a newer prepixel \(version 2 of the format; this prepixel reads 1\); update prepixel")


def set_at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(values: dict[str, Any]) -> None:
        *sections, key = path.split("/")
        for section in sections:
            values = values[section]
        values[key] = value

    return edit


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", "folded network", "its kind is not 'exported network'"),
        ("version", 0, "'version' is 0; this prepixel reads 1"),
        ("version", "1", "'version' is text, not a whole number"),
        ("more", 1, "unknown keys: 'more'"),
        ("trained", "yes", "'trained' must be true or false"),
        ("output", "scores", "'output' is 'scores'; it can be 'probabilities' or 'logits'"),
        ("num_classes", 0, "'num_classes' is 0; it is a whole number from 1"),
        ("num_classes", 3.0, "'num_classes' is a number, not a whole number|is text|not a whole"),
        ("graph/format", "tflite", "'format' is 'tflite'"),
        ("graph/file", "other.onnx", "'graph' names 'other.onnx', which is not among 'files'"),
        ("graph/file", "", "'graph' names 'an empty name'"),
        ("graph/opset", 0, "'graph' has 'opset' or 'weights_file' of another format than onnx"),
        ("graph/quantized", "int4", "'quantized' is 'int4'"),
        ("input/grid", [10], "'grid' is \\[10\\]; it is two numbers"),
        ("input/grid", [10, 0], "'grid' is \\[10, 0\\]"),
        ("input/bands", {"name": "x", "channels": [0, 0]}, "listed twice"),
        ("input/bands", {"name": "x", "channels": [192]}, "outside 0..191"),
        ("input/shift", [0.0], "'shift' and 'unit' are 6 finite numbers each"),
        ("input/unit", [1.0, 1.0, 1.0, 1.0, 1.0, 0.0], "units are above 0"),
        ("input/crop_fraction", 1.5, "'crop_fraction' must be a number above 0, at most 1"),
        ("input/crop_fraction", True, "'crop_fraction' must be a number"),
        ("input/filter", "nearest", "'filter' is 'nearest'"),
        ("files", {}, "'files' must be an object of 1 to 16 files"),
        ("files/..%2f", {"size_bytes": 1, "sha256": ""}, "model.onnx|missing|is no"),
        ("versions", {"torch": 2}, "'versions' must be an object of texts"),
        ("checks", {"x": None}, "'checks' must be an object of numbers and texts"),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, path: str, value: Any, message: str) -> None:
    change(folder, set_at(path, value))
    refused(folder, message)


@pytest.mark.parametrize("name", ["../labels.json", "/etc/passwd", "", ".", "..", "a\\b", "manifest.json", "a\0b"])
def test_files_outside_the_folder_are_never_opened(folder: Path, name: str) -> None:
    change(folder, set_at("files", {name: {"size_bytes": 1, "sha256": "0"}}))
    refused(folder, "which is no file inside the folder")


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    for text in ('{"kind": "exported network", "kind": 1}', "[1]", "{", '{"kind": NaN}', "x" * (1 << 21)):
        (folder / "manifest.json").write_text(text)
        refused(folder, "manifest.json: ")


def test_an_engine_that_is_not_installed_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as good as not installed
    with pytest.raises(
        PrepixelError, match=r"the engine openvino needs the package openvino; .*'prepixel\[openvino\]'"
    ):
        Predictor.load(exported, engine="openvino")


# -- the command -------------------------------------------------------------------------------------------------------


def test_predict_takes_an_exported_network(
    exported: Path, photos: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # room for whole paths
    assert main(["predict", str(exported), *photos, "--top", "2", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == photos
    expected = list(small_classifier().predict(photos, top=2))
    assert [[one["class"] for one in row["classes"]] for row in rows] == [list(one.classes) for one in expected]  # type: ignore[union-attr]
    assert main(["predict", str(exported), photos[0], "missing.jpg", "--engine", "openvino"]) == 1
    captured = capsys.readouterr()
    assert "missing.jpg: No such file" in captured.err
    assert photos[0] in captured.out


@pytest.mark.parametrize("words", [["--device", "cuda"], ["--build", "net.py:build"], ["--min-score", "0.5"]])
def test_predict_refuses_options_of_other_networks(
    words: list[str], exported: Path, photos: list[str], capsys: Captured
) -> None:
    assert main(["predict", str(exported), photos[0], *words]) == 2
    assert f"leave out {'--build' if words[0] == '--device' else ''}" in capsys.readouterr().err


def test_predict_needs_no_torch(exported: Path, photos: list[str]) -> None:
    others = sorted(set(_EXTRAS) - {"onnxruntime"})
    code = f"""
import sys; sys.modules.update(dict.fromkeys({others!r}))
from prepixel.cli import main; sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", code, "predict", str(exported), *photos, "--top", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line)["classes"][0]["class"] for line in done.stdout.splitlines()]
    assert answers == [one.classes[0] for one in small_classifier().predict(photos)]  # type: ignore[union-attr]
    assert set(answers) <= set(CLASSES)


def test_a_signal_after_two_networks_in_openvino_ends_nothing(exported: Path) -> None:
    """With a Core each, the second to go left a freed signal stack in place on processors with AMX."""
    code = """
import os, signal, sys
from prepixel.runtime import Predictor
first, second = (Predictor.load(sys.argv[1], engine="openvino", threads=1) for _ in range(2))
del first, second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    words = [sys.executable, "-c", code, str(exported)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")
