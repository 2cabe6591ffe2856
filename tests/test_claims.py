"""Parts of the experiments behind docs/claims.md that a wrong line would spoil without being noticed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.accuracy.claims_bias import energies, flatten, spearman
from benchmarks.accuracy.claims_scans import DEFAULT, LOW_FIRST, first_scans, recode, scan_ends
from benchmarks.answers import paired_difference
from benchmarks.write_tables import all_tables, replaced
from PIL import Image
from tests.small_photos import jpeg

from prepixel.jpeg import read_jpeg

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/benchmarks.md", "docs/claims.md", "docs/results.md")


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_what_the_records_say(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert replaced(text, all_tables()) == text, (
        "run python -m benchmarks.write_tables docs/*.md docs/guides/*.md README.md"
    )


def test_paired_interval_is_the_published_one() -> None:
    right = torch.tensor([1] * 36 + [1] * 12 + [0] * 2).bool()
    other = torch.tensor([1] * 36 + [0] * 12 + [1] * 2).bool()
    assert paired_difference(right, other) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)  # Newcombe 1998, table II


def test_equal_answers_differ_by_nothing_and_not_surely() -> None:
    right = torch.tensor([1] * 30 + [0] * 10).bool()
    difference, low, high = paired_difference(right, right)
    assert difference == 0
    assert low == pytest.approx(-high)
    assert 0.01 < high < 0.1


@pytest.mark.parametrize(
    ("mode", "script", "scans"), [("RGB", DEFAULT, 10), ("L", DEFAULT, 6), ("RGB", LOW_FIRST, 9), ("L", LOW_FIRST, 5)]
)
def test_first_scans_are_whole_scans(tmp_path: Path, mode: str, script: str, scans: int) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(mode=mode))
    file = recode(str(tmp_path / "a.jpg"), script)
    assert len(list(scan_ends(file))) == scans
    for count in range(1, scans + 1):
        part = read_jpeg(first_scans(file, count))
        assert (part.num_scans, part.warnings) == (count, ())
    whole, original = read_jpeg(first_scans(file, scans)), read_jpeg(tmp_path / "a.jpg")
    for ours, theirs in zip(whole.components, original.components, strict=True):
        np.testing.assert_array_equal(ours.quantized, theirs.quantized)
    pixels = np.asarray(Image.open(io.BytesIO(first_scans(file, scans))))
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(tmp_path / "a.jpg")))


def test_rank_correlation_shares_ranks_of_equal_values() -> None:
    a, b = torch.tensor([1.0, 2.0, 2.0, 4.0, 5.0]), torch.tensor([3.0, 1.0, 4.0, 5.0, 5.0])
    assert spearman(a, b).startswith("+0.79 (")  # ranks 1 2.5 2.5 4 5 and 2 1 3 4.5 4.5


def test_flattened_photos_keep_each_component_s_energy() -> None:
    ids = torch.tensor([0, 1, 8, 64, 65, 72, 128, 129, 136])
    values = torch.randn(3, 192, 5, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 193)[:, None, None]
    before = energies(values, ids)
    after = energies(flatten(values, ids, before), ids)
    for first in (0, 3, 6):
        assert after[first] == before[first]
        assert after[first + 1] == pytest.approx(after[first + 2])
        assert after[first + 1 : first + 3].sum() == pytest.approx(before[first + 1 : first + 3].sum())
