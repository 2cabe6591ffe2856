"""README's two training programs, on pixels and on coefficients, reach the same loss within the noise of seeds."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchvision import models

from prepixel import fold

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 2
START = 2.30  # the loss of a guess among 10 classes, log(10)
# The last epoch's mean loss varies by about 0.2 (standard deviation) over seeds, so a difference of means of 2 seeds
# each does too. This is twice that.
TOLERANCE = 0.4


def programs() -> tuple[str, str]:
    """Return the program on pixels and the one on coefficients."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    pixels = next(block for block in blocks if "ImageFolder" in block)
    return pixels, blocks[blocks.index(pixels) + 1]


def test_both_reach_the_same_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = SimpleNamespace(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)  # those of README's first program
    losses: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        names: dict[str, Any] = {"torch": torch, "fold": fold, "model": model}
        for program in programs():
            names["print"] = lambda kind, loss: losses.setdefault(kind, []).append(loss)
            torch.manual_seed(seed)
            exec(program, names)
    assert {kind: len(values) for kind, values in losses.items()} == {"pixels": SEEDS, "coefficients": SEEDS}
    pixels, coefficients = (sum(losses[kind]) / SEEDS for kind in ("pixels", "coefficients"))
    assert max(pixels, coefficients) < START - 2 * TOLERANCE, losses
    assert abs(pixels - coefficients) < TOLERANCE, losses


def test_both_start_from_the_same_network() -> None:
    networks = []
    for folded in (False, True):
        torch.manual_seed(0)
        networks.append(models.resnet18(num_classes=10))
        if folded:
            networks[-1] = fold(networks[-1], pixels=64, bands="S-24").network
    pixels, coefficients = (dict(network.named_parameters()) for network in networks)
    coefficients = {name.removeprefix("1."): value for name, value in coefficients.items()}  # after the front, if any
    shared = [name for name in pixels if not name.startswith("conv1")]
    assert len(shared) == 61
    assert all(torch.equal(pixels[name], coefficients[name]) for name in shared)
