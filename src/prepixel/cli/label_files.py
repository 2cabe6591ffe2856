"""Write label maps as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from prepixel.array_types import Integer
from prepixel.files import replace_file


def write_labels(labels: Integer[np.ndarray, "h w"], path: Path) -> None:
    """Write labels as a gray PNG, of 8 bits or 16 as they are, whole or not at all."""
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG")
    replace_file(path, buffer.getvalue())
