"""Networks become graphs that compute the same, in every format, or nothing is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from tests.exported_network import CLASSES, build_wide, small_classifier
from tests.small_photos import Captured, jpeg, write_folder
from torch import nn

from prepixel.cli import main
from prepixel.errors import ModelError
from prepixel.export import CannotExport, export_classifier, export_quantized
from prepixel.export.classifier_graph import Exportable
from prepixel.export.exporter import TOLERANCE, assemble, check_difference, compare, logit_difference
from prepixel.export.graph_files import build_graph
from prepixel.runs import FoldedClassifier, fold_pixel_model, write_folded
from prepixel.runtime import Manifest, Predictor


@pytest.mark.parametrize(
    ("kind", "encoding", "output", "files"),
    [
        ("onnx", "float32", "logits", ["labels.json", "manifest.json", "model.onnx"]),
        ("onnx", "int8", "probabilities", ["labels.json", "manifest.json", "model.onnx"]),
        ("openvino", "int8", "logits", ["labels.json", "manifest.json", "model.bin", "model.xml"]),
        ("torch", "int8", "probabilities", ["labels.json", "manifest.json", "model.pt2"]),
    ],
)
def test_every_format_computes_what_the_network_does(
    kind: Any, encoding: Any, output: Any, files: list[str], tmp_path: Path
) -> None:
    classifier = small_classifier()
    result = export_classifier(classifier, tmp_path / "net", format=kind, encoding=encoding, output=output)
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == files
    assert result.comparison.difference <= 1e-5
    manifest = Manifest.read(tmp_path / "net")
    assert manifest == result.manifest
    assert (manifest.input.dtype, manifest.output, manifest.num_classes) == (encoding, output, 3)
    assert (manifest.input.bands.channels, manifest.input.grid) == (classifier.network.bands.channels, (10, 14))
    assert (manifest.input.crop_fraction, manifest.input.filter) == (0.8, "bilinear")
    assert json.loads((tmp_path / "net" / "labels.json").read_text()) == list(CLASSES)
    if kind == "torch":
        with pytest.raises(ModelError, match=r"a program of torch.export, which neither engine takes"):
            Predictor.load(tmp_path / "net")
        return
    if kind == "openvino":
        with pytest.raises(ModelError, match="a graph of OpenVINO, which onnxruntime does not take"):
            Predictor.load(tmp_path / "net")
    predictor = Predictor.load(tmp_path / "net", engine="openvino" if kind == "openvino" else "onnxruntime")
    photos = [jpeg(61, 83), jpeg(200, 90)]
    expected = list(dataclasses.replace(classifier, encoding=encoding).predict(photos, top=3))
    for one, pairs in zip(expected, predictor.predict(photos).top(3), strict=True):
        assert [share for _, share in pairs] == pytest.approx(one.probabilities, abs=1e-5)  # type: ignore[union-attr]


def test_a_graph_of_another_network_is_found() -> None:
    exportable = Exportable.of(small_classifier())
    graph = build_graph(exportable, "onnx")
    files = assemble(exportable, graph, Path("nowhere"))
    good = compare(exportable, files)
    check_difference(exportable, good, TOLERANCE)
    with torch.no_grad():
        (bias,) = (one for name, one in exportable.graph.named_parameters() if name.endswith(".5.bias"))
        bias.add_(torch.tensor([0.0, 0.01, 0.0]))
    bad = compare(exportable, files)
    assert bad.difference > 1e-3 > 1e-5 > good.difference
    with pytest.raises(CannotExport, match=r"not exported: the graph's logits in onnxruntime .* 1.0e-04 is allowed"):
        check_difference(exportable, bad, TOLERANCE)
    with pytest.raises(CannotExport):
        check_difference(exportable, dataclasses.replace(bad, difference=float("nan")), TOLERANCE)


def test_a_graph_that_gives_nan_is_found() -> None:
    exportable = Exportable.of(small_classifier())
    (bias,) = (one for name, one in exportable.graph.named_parameters() if name.endswith(".5.bias"))
    good = bias.detach().clone()
    with torch.no_grad():
        bias[1] = float("nan")
        graph = build_graph(exportable, "onnx")
        bias.copy_(good)
    bad = compare(exportable, assemble(exportable, graph, Path("nowhere")))
    assert np.isnan(bad.difference)
    with pytest.raises(CannotExport, match="differ from the network's by nan"):
        check_difference(exportable, bad, TOLERANCE)


def test_only_networks_that_give_classes_are_exported(tmp_path: Path) -> None:
    class _Labels(FoldedClassifier):
        @property
        def answers(self) -> Literal["classes", "labels", "values"]:
            return "labels"

    small = small_classifier()
    classifier = _Labels(**{one.name: getattr(small, one.name) for one in dataclasses.fields(small)})
    photos = write_folder(tmp_path / "photos", {})
    with pytest.raises(CannotExport, match="gives each image labels"):
        export_classifier(classifier, tmp_path / "net")
    with pytest.raises(CannotExport, match="gives each image labels"):
        export_quantized(classifier, tmp_path / "net", photos, min_agreement=0.0)
    assert not (tmp_path / "net").exists()


def test_probabilities_are_compared_as_logits() -> None:
    logits = np.array([[30.0, 1.0, -3.0]])
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert logit_difference(shares, logits, "probabilities") < 1e-12
    # too small to be seen in the probabilities themselves
    other = logits + np.array([[0.0, 0.5, 0.0]])
    assert logit_difference(shares, other, "probabilities") == pytest.approx(0.5, rel=1e-6)
    assert np.isnan(logit_difference(np.array([[np.nan]]), np.array([[1.0]]), "logits"))


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    class _Branching(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, normalized: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(normalized)
            return logits if float(logits.sum()) > 0 else -logits

    classifier = small_classifier()
    classifier.network.network = _Branching(classifier.network.network)
    for kind in ("onnx", "torch"):
        with pytest.raises(CannotExport, match="does not take this network"):
            export_classifier(classifier, tmp_path / "net", format=kind)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_tolerance_that_is_not_met_leaves_the_old_folder(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "photo.jpg").write_bytes(b"")
    with pytest.raises(ModelError, match="holds files, and no exported network that could be replaced"):
        export_classifier(small_classifier(), tmp_path / "net")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is no folder"):
        export_classifier(small_classifier(), tmp_path / "file")
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["photo.jpg"]


def test_an_exported_network_is_replaced_whole(tmp_path: Path) -> None:
    first = export_classifier(small_classifier(), tmp_path / "net", format="torch")
    second = export_classifier(small_classifier(), tmp_path / "net", format="torch", encoding="int8")
    assert (first.manifest.input.dtype, Manifest.read(tmp_path / "net").input.dtype) == ("float32", "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    assert second.size_bytes == sum(
        path.stat().st_size for path in (tmp_path / "net").iterdir() if path.name != "manifest.json"
    )
    (tmp_path / "net" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"holds notes\.txt, which is no part of the exported network"):
        export_classifier(small_classifier(), tmp_path / "net", format="torch")
    assert (tmp_path / "net" / "notes.txt").read_text() == "mine"


def test_quantized_graphs_are_smaller_and_agree(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos", {"x/e.jpg": jpeg(48, 200), "x/bad.jpg": b"no photo"})
    classifier = fold_pixel_model("wide", build=build_wide, bands="S-24", pixels=64, grid=16)
    plain = export_classifier(classifier, tmp_path / "plain")
    result, check = export_quantized(classifier, tmp_path / "int8", photos, min_agreement=0.0)
    assert result.size_bytes < 0.35 * plain.size_bytes
    assert (check.num_photos, result.manifest.graph.quantized) == (4, "int8")
    assert 0 <= check.divergence < 1e-3
    assert result.manifest.checks["quantized_agreement"] == check.agreement
    sources = [path for path in photos.rglob("*.*") if path.name != "bad.jpg"]
    for engine in ("onnxruntime", "openvino"):
        exact, coarse = (Predictor.load(tmp_path / name, engine=engine) for name in ("plain", "int8"))  # type: ignore[arg-type]
        difference = np.abs(exact.predict(sources).all_probabilities - coarse.predict(sources).all_probabilities)
        assert 0 < difference.max() < 0.05


def test_quantized_graphs_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos", {})
    with pytest.raises(CannotExport, match=r"on \d+\.\d% of 3 photos, and 101\.0% is asked for"):
        export_quantized(small_classifier(), tmp_path / "net", photos, min_agreement=1.01)
    assert not (tmp_path / "net").exists()


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no photo that can be read"):
        export_quantized(small_classifier(), tmp_path / "net", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mobilenet_v3_small"])
def test_families_export(name: str) -> None:
    """More of them: benchmarks/accuracy/export_families.py."""
    classifier = fold_pixel_model(name, weights="none", bands="S-24", pixels=64, grid=16)
    exportable = Exportable.of(classifier)
    files = assemble(exportable, build_graph(exportable, "onnx"), Path("nowhere"))
    assert compare(exportable, files).difference < 1e-4


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: Captured) -> None:
    network = f"{Path(__file__).parents[1] / 'exported_network.py'}:build"
    words = ["export", network, "--weights", "none", "--bands", "S-6", "-o", str(tmp_path / "net")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "S-6 on 56 x 56 blocks, float32; batches of any size" in out
    assert "of the largest logit at most, on 4 random images in onnxruntime" in out
    assert "this network is untrained" in out
    assert main([*words, "--overwrite", "--tolerance", "1e-30"]) == 2
    err = capsys.readouterr().err
    assert "differ from the network's by" in err
    assert err.count("\n") == 1
    assert Manifest.read(tmp_path / "net").checks["tolerance"] == 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing"], "no network 'missing'"),
        (["resnet18"], "resnet18: choose its weights"),
        (["{file}", "--weights", "best"], "holds its weights; leave out --weights"),
        (["{file}"], "give the function that builds it: build= (on the command line: --build FILE.py:FUNCTION)"),
        (["{folder}"], "holds no run"),
        (["{folder}", "--weights", "DEFAULT"], "is no checkpoint of a run; give best or last"),
        (["resnet18", "--quantize", "nowhere"], "nowhere is no folder"),
        (["resnet18", "--quantize", "{folder}", "--format", "torch"], "writes ONNX graphs only"),
    ],
)
def test_what_cannot_be_opened_is_named(words: list[str], message: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "folder").mkdir()
    write_folded(small_classifier(), tmp_path / "net.pt")
    line = [word.format(file=tmp_path / "net.pt", folder=tmp_path / "folder") for word in words]
    assert main(["export", *line, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# -- other grids -------------------------------------------------------------------------------------------------------


def test_a_graph_for_any_grid_answers_on_others(tmp_path: Path) -> None:
    def build_pooled() -> nn.Module:
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, 7, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 3)]
        return nn.Sequential(*layers)

    classifier = fold_pixel_model("pooled", build=build_pooled, bands="S-6", pixels=(40, 56), grid=(10, 14))
    result = export_classifier(classifier, tmp_path / "net", dynamic_grid=True)
    assert (result.comparison.num_images, result.manifest.input.dynamic_grid) == (12, True)
    assert result.comparison.difference <= 1e-5
    photo = jpeg(200, 90)
    for grid in ((10, 14), (21, 13)):
        predictor = Predictor.load(tmp_path / "net", grid=grid)
        values, _ = predictor.read([photo])
        assert values.shape[2:] == grid
        expected = Exportable.of(classifier).logits(torch.from_numpy(values)).softmax(1).numpy()
        assert predictor.predict([photo]).all_probabilities == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="a grid has 1 x 1 to"):
        Predictor.load(tmp_path / "net", grid=(0, 3))


def test_a_graph_of_one_grid_refuses_others(exported: Path) -> None:
    assert Predictor.load(exported, grid=(10, 14)).manifest.input.grid == (10, 14)
    message = "takes 10 x 14 blocks, not 14 x 10; export the network again: prepixel export --dynamic-grid"
    with pytest.raises(ModelError, match=message):
        Predictor.load(exported, grid=(14, 10))


def test_a_network_of_one_grid_is_not_exported_for_any(tmp_path: Path) -> None:
    def build_fixed() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(4 * 16, 5))

    classifier = fold_pixel_model("fixed", build=build_fixed, bands="S-6", pixels=32, grid=8)
    with pytest.raises(CannotExport, match=r"leave out\s+--dynamic-grid"):
        export_classifier(classifier, tmp_path / "net", dynamic_grid=True)
    assert not list(tmp_path.iterdir())
