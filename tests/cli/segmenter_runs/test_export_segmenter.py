"""A segmenter's run, exported and used by `predict`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.cli import main
from prepixel.runs import LabeledPhoto, load_segmenter

Captured = pytest.CaptureFixture[str]


def test_an_exported_segmenter_labels_as_its_run_does(
    run: Path, recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["export", str(run), "-o", str(tmp_path / "net"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["task"], report["format"], report["frame"]) == ("segmentation", "onnx", [48, 64])
    assert report["comparison"]["difference"] <= report["tolerance"]

    photos = sorted(str(path) for path in (recipe.parent / "photos").iterdir())
    expected = list(load_segmenter(run, device="cpu").predict(photos))
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    out = tmp_path / "labels"
    assert main(["predict", str(tmp_path / "net"), *photos, str(bad), "--json", "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert f"1 of {len(photos) + 1} files could not be read" in captured.err
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["file"] for line in lines] == photos
    for line, one in zip(lines, expected, strict=True):
        assert isinstance(one, LabeledPhoto)
        labels = np.asarray(Image.open(line["labels"]))
        assert labels.shape == one.labels.shape
        assert (labels == one.labels).mean() > 0.99
        assert sum(line["shares"].values()) == pytest.approx(1, abs=1e-5)

    assert main(["predict", str(tmp_path / "net"), *photos]) == 0
    assert "share of pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--softmax", "--encoding", "int8"], "is a segmenter's run, which is exported without --softmax, --encoding"),
        (["--grid", "8", "8"], "is a segmenter's run, which is exported without --grid"),
        (["--weights", "DEFAULT"], "DEFAULT is no checkpoint of a run; give best or last"),
    ],
)
def test_options_of_classifiers_are_refused(
    run: Path, words: list[str], message: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["export", str(run), "-o", str(tmp_path / "net"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("words", "message"), [(["--min-score", "0.3"], "leave out --min-score"), (["--beside", "x"], "nothing is drawn")]
)
def test_options_of_runs_are_refused(
    run: Path, recipe: Path, words: list[str], message: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["export", str(run), "-o", str(tmp_path / "net")]) == 0
    photo = next(iter((recipe.parent / "photos").iterdir()))
    assert main(["predict", str(tmp_path / "net"), str(photo), *words]) == 2
    assert message in capsys.readouterr().err
