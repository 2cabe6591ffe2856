"""A folded network from the command line: folded, written, read, scored, asked, and what its channels mean."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.data.loading.readers import read_rgb
from prepixel.errors import ModelError, PrepixelError
from prepixel.models import import_build_function
from prepixel.models.folding.reconstruction import int8_unit
from prepixel.records import ScoreRow, read_records
from prepixel.runs import fold_pixel_model, read_folded, write_folded
from prepixel.runs.folded_classifier import _restore
from prepixel.spectrum import BandSet
from prepixel.spectrum.dct import block_dct

Captured = pytest.CaptureFixture[str]
NET = """
import torch
from torch import nn
def build():
    torch.manual_seed(11)
    return nn.Sequential(nn.Conv2d(3, 9, 5, 2, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(36, 10))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(folder, num_train_per_class=1, num_val_per_class=2, min_side=64, max_side=128)
    return folder / "val"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("network") / "net.py"
    path.write_text(NET)
    return f"{path}:build"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pt"
    torch.manual_seed(11)
    torch.save(torchvision.models.squeezenet1_1(num_classes=10).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folded(weights: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folded")
    (folder / "classes.txt").write_text("\n".join(sorted(path.name for path in data.iterdir())))
    words = f"fold squeezenet1_1 --weights {weights} --bands 192 --classes {folder / 'classes.txt'}"
    words += " --pixels 40 56 --grid 10 14"
    assert main([*words.split(), "-o", str(folder / "net.pt")]) == 0
    return folder / "net.pt"


def test_fold_says_what_it_did(source: str, tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "deeper" / "net.pt"
    assert main(["fold", source, "--pixels", "40", "--grid", "10", "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert "S-24 on 10 x 10 blocks, 2,400 values" in out
    assert "40 x 40 pixels, 4,800 values" in out
    # A 5 x 5 convolution of stride 2 from 3 to 9 channels at 20 x 20 places; to that, of each of 10 x 10 blocks, 24
    # coefficients to 3 x 4 x 4 pixels; or at once, by 3 x 3 blocks, 24 coefficients to 9 channels at 2 x 2 places.
    pixels, to_pixels, composed = 400 * 9 * 3 * 25, 100 * 24 * 3 * 16, 100 * 9 * 24 * 9 * 4
    assert f"factored: {(to_pixels + pixels) / 1e6:.1f} million multiply-adds" in out
    assert re.search(rf"if composed +{composed / 1e6:.1f} million\n", out)
    assert re.search(rf"on pixels +{pixels / 1e6:.1f} million\n", out)
    assert [path.name for path in output.parent.iterdir()] == ["net.pt"]
    before = output.stat().st_ino
    assert main(["fold", source, "--pixels", "40", "--grid", "10", "-o", str(output), "--overwrite"]) == 0
    assert output.stat().st_ino != before  # a new file, renamed
    assert main(["fold", source, "--pixels", "40", "--grid", "12", "-o", str(output), "--overwrite"]) == 2
    assert "take a grid of 5 x 5, 10 x 10" in capsys.readouterr().err


def test_what_is_read_is_what_was_written(folded: Path, data: Path) -> None:
    first, second = read_folded(folded), read_folded(folded)
    photos = sorted(data.rglob("*.jpg"))
    assert len(photos) == 20
    assert list(first.predict(photos)) == list(second.predict(photos))
    assert first.network.settings.pixels == (40, 56)
    assert list(first.classes) == sorted(path.name for path in data.iterdir())


def test_answers_are_the_pixel_networks_up_to_rounding(source: str, tmp_path: Path) -> None:
    # A smooth picture of the very size: no resampling, nothing to clamp, chroma as fine as luma.
    y, x = np.mgrid[0:80, 0:112] / 30
    pixels = np.stack([np.sin(y + x), np.cos(2 * x), np.sin(y - 2 * x)], axis=-1) * 70 + 128
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "smooth.jpg", quality=98, subsampling=0)
    build = import_build_function(source)
    classifier = fold_pixel_model("own", build=build, bands="192", pixels=(40, 56), grid=(10, 14), crop=1.0)
    (got,) = classifier.predict([tmp_path / "smooth.jpg"], top=10)
    network = build()
    rgb = read_rgb(str(tmp_path / "smooth.jpg")).double().reshape(3, 40, 2, 56, 2).mean((2, 4)) / 255
    mean, std = (
        torch.tensor(v, dtype=torch.float64)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = network.double().eval()(((rgb - mean) / std)[None]).softmax(1)[0]
    by_name = dict(zip(got.classes, got.probabilities, strict=True))
    for name, probability in by_name.items():
        assert probability == pytest.approx(float(expected[classifier.classes.index(name)]), abs=2e-3)


def test_int8_gives_nearly_the_same_answers_and_clips_nothing(folded: Path, data: Path) -> None:
    photos = sorted(data.rglob("*.jpg"))
    exact, coarse = (list(read_folded(folded, encoding=e).predict(photos)) for e in ("float32", "int8"))
    for one, other in zip(exact, coarse, strict=True):
        assert other.probabilities == pytest.approx(one.probabilities, abs=0.02)
    bands = BandSet.parse("192")
    shift = torch.linspace(-300, 300, 192)
    unit = int8_unit(bands, shift)
    samples = torch.where(torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) > 0.5, 127.0, -128.0)
    for corner in (samples, torch.full((8, 8), -128.0), torch.full((8, 8), 127.0)):
        coefficients = block_dct(corner).flatten().repeat(3)
        assert float(((coefficients - shift) / unit).abs().max()) <= 127


def test_evaluate_and_predict_take_it(folded: Path, data: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(folded), "--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 20
    assert folded.with_name(f"{folded.stem}-confusion-val.png").exists()
    assert main(["predict", str(folded), str(data), "--json", "--top", "3"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = sum(line["classes"][0]["class"] == Path(line["file"]).parent.name for line in lines)
    assert right / 20 == report["top1"]
    assert main(["evaluate", str(folded)]) == 2
    assert "knows of no validation images; give a folder by --data" in capsys.readouterr().err


def test_sensitivity_measures_draws_and_writes(folded: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    words = f"sensitivity {folded} {data} --images 11 --greedy-images 4 --channels 7 -o {tmp_path / 'bands.json'}"
    assert main([*words.split(), "--records", str(tmp_path / "records.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "top-1" in out
    assert all(name in out for name in ("S-24", "T-48", "L-24", "zigzag-16-4-4", "greedy-12"))
    chosen = BandSet.parse(str(tmp_path / "bands.json"))
    assert (chosen.name, len(chosen)) == ("greedy-7", 7)
    assert "greedy elimination on 4 images of val" in chosen.origin
    with Image.open(tmp_path / "bands.png") as picture:
        assert picture.format == "PNG"
    rows = read_records(tmp_path / "records.jsonl").of_kind(ScoreRow)
    assert sum(row.subject.startswith("without ") for row in rows) == 48
    everything = next(row for row in rows if row.subject == "all that reach the network")
    assert (everything.n, everything.scores["agreement"], everything.scores["channels"]) == (11, 1.0, 48)
    assert "top1" in everything.scores


def test_sensitivity_without_labels_and_with_bad_files(
    folded: Path, data: Path, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for index, photo in enumerate(sorted(data.rglob("*.jpg"))[:5]):
        (folder / f"{index}.jpg").write_bytes(photo.read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    words = f"sensitivity {folded} {folder} --greedy-images 0 -o {tmp_path / 'bands.json'}"
    assert main(words.split()) == 1
    captured = capsys.readouterr()
    assert "no labels" in captured.err
    assert "broken.jpg" in captured.err
    assert "top-1" not in captured.out
    assert "greedy" not in captured.out
    assert not (tmp_path / "bands.json").exists()


def test_files_that_are_no_folded_networks_are_named(folded: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "text.pt").write_text("no")
    with pytest.raises(PrepixelError, match=r"text.pt: not a checkpoint, or a damaged one"):
        read_folded(tmp_path / "text.pt")
    torch.save({"format": 1, "network": {}}, tmp_path / "run.pt")
    with pytest.raises(ModelError, match=r"run.pt: not a folded network; write one by: prepixel fold"):
        read_folded(tmp_path / "run.pt")
    contents = folded.read_bytes()
    (tmp_path / "half.pt").write_bytes(contents[: len(contents) // 2])
    with pytest.raises(PrepixelError, match=r"half.pt: not a checkpoint, or a damaged one"):
        read_folded(tmp_path / "half.pt")
    with pytest.raises(ModelError, match=r"3 class names, and .* gives 10 logits"):
        fold_pixel_model("own", build=import_build_function(source), classes=["a", "b", "c"], pixels=40, grid=10)


def test_a_network_that_is_no_classifier_is_refused() -> None:
    with pytest.raises(ModelError, match="does not give one row of logits per image"):
        fold_pixel_model("maps", build=lambda: nn.Conv2d(3, 5, 3), pixels=40, grid=10)


def test_a_file_of_named_networks_needs_nothing_beside_it(tmp_path: Path, data: Path) -> None:
    classifier = fold_pixel_model("resnet18", weights="none", pixels=56, grid=14, form="composed", crop=1.0)
    write_folded(classifier, tmp_path / "resnet.pt")
    again = read_folded(tmp_path / "resnet.pt")
    photos = sorted(data.rglob("*.jpg"))[:3]
    assert list(again.predict(photos)) == list(classifier.predict(photos))
    assert again.crop_fraction == 1.0
    assert again.name == "resnet18, folded, S-24, without training"


def test_a_file_cannot_name_code(folded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "payload_of_this_test.py").write_text(
        "open('executed', 'w')\ndef build():\n    open('executed', 'w')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("payload_of_this_test.py:build", "payload_of_this_test:build", "os:abort", "timm:local-dir:folder"):
        contents = torch.load(folded, weights_only=True)
        contents["network"]["name"] = name
        for key in ("own", None):
            contents["network"].pop(key or "own", None)
            torch.save(contents, tmp_path / "evil.pt")
            with pytest.raises(ModelError, match=r"evil\.pt: .*(build=|no network)"):
                read_folded(tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_network_of_ones_own_needs_its_function(source: str, tmp_path: Path, data: Path) -> None:
    build = import_build_function(source)
    classifier = fold_pixel_model("mine", build=build, pixels=40, grid=10)
    write_folded(classifier, tmp_path / "own.pt")
    with pytest.raises(ModelError, match=r"own\.pt: it holds a network of somebody's own code, 'mine'.*--build"):
        read_folded(tmp_path / "own.pt")
    again = read_folded(tmp_path / "own.pt", build=build)
    photos = sorted(data.rglob("*.jpg"))[:2]
    assert list(again.predict(photos)) == list(classifier.predict(photos))


def test_an_untrained_network_says_so_in_its_file_and_its_name(tmp_path: Path) -> None:
    classifier = fold_pixel_model("squeezenet1_1", weights="none", pixels=40, grid=10)
    write_folded(classifier, tmp_path / "random.pt")
    again = read_folded(tmp_path / "random.pt")
    assert not again.trained
    assert "without training" in again.name
    with pytest.raises(ModelError, match="choose its weights"):
        fold_pixel_model("squeezenet1_1", pixels=40, grid=10)


@pytest.mark.parametrize("name", ["vit_b_32", "inception_v3", "timm:vit_tiny_patch16_384"])
def test_traced_networks_read_back_without_being_folded_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size: dict[str, Any] = {"pixels": 88, "grid": 11} if name == "inception_v3" else {"bands": "S-6"}
    classifier = fold_pixel_model(name, weights="none", form="composed", **size)
    write_folded(classifier, tmp_path / "net.pt")
    monkeypatch.setattr("prepixel.models.folding.impulse_response.Probe.kernel", None)
    again = read_folded(tmp_path / "net.pt", device="cpu")
    assert again.network.settings == classifier.network.settings
    assert again.network.cost == classifier.network.cost
    values = torch.randn(1, len(again.network.bands), *again.network.settings.grid)
    with torch.inference_mode():
        assert torch.equal(again.network.network(values), classifier.network.network(values))


def test_files_of_older_versions_are_folded_again(folded: Path, tmp_path: Path, data: Path) -> None:
    contents = torch.load(folded, weights_only=True)
    for key in ("structure", "dtype", "trained"):
        del contents[key]
    del contents["network"]["own"]
    contents["weights"]["input._extra_state"] = {"channels": list(range(192))}
    torch.save(contents, tmp_path / "old.pt")
    photos = sorted(data.rglob("*.jpg"))[:2]
    assert list(read_folded(tmp_path / "old.pt").predict(photos)) == list(read_folded(folded).predict(photos))


def test_what_does_not_read_back_is_not_written(tmp_path: Path) -> None:
    classifier = fold_pixel_model("squeezenet1_1", weights="none", pixels=40, grid=10)
    wrong = dataclasses.replace(classifier, source="squeezenet1_0")
    with pytest.raises(ModelError, match=r"wrong\.pt: "):
        write_folded(wrong, tmp_path / "wrong.pt")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_refused_by_name(folded: Path, tmp_path: Path) -> None:
    contents = torch.load(folded, weights_only=True)
    name = next(name for name in contents["weights"] if name.endswith("squeeze.weight"))
    contents["weights"][name].view(-1)[3] = float("nan")
    torch.save(contents, tmp_path / "nan.pt")
    with pytest.raises(ModelError, match=rf"nan\.pt: .*{name} holds 1 of .* NaN or infinite"):
        read_folded(tmp_path / "nan.pt")


SMALL = ["kind", "network", "fold", "structure", "dtype", "input", "classes", "trained"]
OTHERS: list[Any] = [
    None,
    -1,
    0,
    3.5,
    2**70,
    float("nan"),
    True,
    "",
    "x" * 50,
    [],
    [1, "a"],
    {},
    {"a": 1},
    torch.zeros(2),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value inside another."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, inner in inside for one in places(inner, (*path, key)))]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damaged_value_gives_a_traceback(folded: Path, data: st.DataObject) -> None:
    contents = torch.load(folded, weights_only=True)
    small = {key: contents[key] for key in SMALL}
    path = data.draw(st.sampled_from(places(small)[1:]))
    target: Any = contents
    for key in path[:-1]:
        target = target[key]
    action = data.draw(st.sampled_from(["replace", "remove"]))
    if action == "remove" and isinstance(target, dict):
        del target[path[-1]]
    else:
        target[path[-1]] = data.draw(st.sampled_from(OTHERS))
    with contextlib.suppress(ModelError):
        _restore(contents, "file.pt", None)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damaged_byte_gives_anything_but_an_error_of_ours(
    small_file: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(small_file)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.sampled_from([len(damaged), len(damaged) // 2, 30]))]
    rewritten = data.draw(st.booleans())
    path = tmp_path / "damaged.pt"
    path.write_bytes(damaged)
    if rewritten:  # damage inside the pickle, under a checksum that fits
        archive = zipfile.ZipFile(io.BytesIO(small_file))
        with zipfile.ZipFile(path, "w") as made:
            for name in archive.namelist():
                value = bytearray(archive.read(name))
                if name.endswith("data.pkl"):
                    value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
                made.writestr(name, bytes(value))
    with contextlib.suppress(PrepixelError):
        read_folded(path, device="cpu", build=small_network)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.Flatten(), nn.Linear(8, 2))


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "small.pt"
    write_folded(fold_pixel_model("small", build=small_network, pixels=8, grid=2, bands="S-6"), path)
    return path.read_bytes()
