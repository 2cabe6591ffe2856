"""Small photos for the command's verbs, and what a verb printed of them, taken apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Captured = pytest.CaptureFixture[str]


def jpeg(height: int = 61, width: int = 83, mode: str = "RGB", **options: object) -> bytes:
    ramp = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 120, width))
    pixels = np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, **{"format": "JPEG", "quality": 90, **options})  # type: ignore[arg-type]
    return buffer.getvalue()


def write_folder(root: Path, others: dict[str, bytes]) -> Path:
    """Write two photos of cats, one of a dog in gray, and other files by their paths below the root, which is given."""
    photos = {
        "cat/a.jpg": jpeg(subsampling="4:2:0"),
        "cat/b.jpg": jpeg(31, 47, subsampling="4:4:4", progressive=True),
        "dog/c.JPG": jpeg(47, 31, mode="L"),
    }
    for name, contents in (photos | others).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    return root


def facts(text: str) -> dict[str, str]:
    """Read what print_pairs printed."""
    pairs = (line.partition("  ") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs if name}
