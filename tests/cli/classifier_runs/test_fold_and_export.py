"""Trained runs folded and exported: the same answers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prepixel import load_run
from prepixel.cli import main
from prepixel.runs import Prediction, read_folded
from prepixel.runtime import Predictor
from prepixel.spectrum import Spectrum

Captured = pytest.CaptureFixture[str]


def test_a_run_on_pixels_folds(runs: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "folded.pt"
    assert main(["fold", str(runs / "rgb-3"), "--bands", "192", "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert "192 on 37 x 41 blocks" in out  # eight pixels to one: the only whole number for sides that are odd
    folded, run = read_folded(output), load_run(runs / "rgb-3", device="cpu")
    assert folded.classes == run.classes
    assert folded.source == "prepixel:resnet18"
    assert folded.crop_fraction == run.crop_fraction
    spectrum = Spectrum.of_coefficients(100 * torch.randn(2, 192, 37, 41), folded.network.bands)
    pixels = (spectrum.values[:, [0, 64, 128]] / 8 + torch.tensor([128.0, 0, 0])[:, None, None]).unbind(1)
    y, cb, cr = pixels
    rgb = torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], dim=1) / 255
    with torch.no_grad():
        torch.testing.assert_close(folded.network(spectrum), run.network(rgb), rtol=1e-3, atol=1e-3)
    assert main(["predict", str(output), str(data / "val"), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 20


def test_a_run_on_spectra_or_with_words_of_its_own_is_not_folded(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["fold", str(runs / "dct-3"), "--grid", "3", "-o", str(tmp_path / "x.pt")]) == 2
    assert "a run on spectrum, which needs no folding" in capsys.readouterr().err
    assert main(["fold", str(runs / "rgb-3"), "--pixels", "32", "-o", str(tmp_path / "x.pt")]) == 2
    assert "which states its own pixels; leave out --pixels" in capsys.readouterr().err


def test_a_run_on_spectra_is_exported(runs: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", str(runs / "dct-3"), "-o", str(tmp_path / "net")]) == 0
    out = capsys.readouterr().out
    assert "S-24 on 3 x 5 blocks, int8; batches of any size" in out  # the recipe's encoding
    photos = sorted(str(path) for path in (data / "val").rglob("*.jpg"))
    expected = list(load_run(runs / "dct-3", device="cpu").predict(photos, top=3))
    found = list(Predictor.load(tmp_path / "net").predict_each(photos, top=3))
    for one, other in zip(expected, found, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert (one.source, one.classes) == (other.source, other.classes)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert main(["export", str(runs / "rgb-3"), "-o", str(tmp_path / "rgb")]) == 2
    assert "takes RGB pixels, and what is exported takes coefficients; fold it first" in capsys.readouterr().err
    assert not (tmp_path / "rgb").exists()
